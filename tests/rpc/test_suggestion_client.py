"""The client of suggestion services against a service of somebody else, with the faults that Katib's have."""

import itertools

import grpc
import msgspec
import pytest
from db_manager_support import free_port

from pykatib.api import names
from pykatib.api.errors import InvalidInput, PykatibError, Unavailable
from pykatib.api.experiment import Experiment, ExperimentSpec, FeasibleSpace, ParameterSpec
from pykatib.api.meta import Condition, ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, ParameterAssignment, Setting
from pykatib.api.suggestion import Suggestion, SuggestionSpec, SuggestionStatus
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.control.suggestion_plan import Proposed, with_proposals
from pykatib.control.view import ExperimentView
from pykatib.rpc import messages
from pykatib.rpc.algorithm_services import FixedAddress, ServiceAsker
from pykatib.rpc.services import SUGGESTION, full_name
from pykatib.rpc.serving import Serving
from pykatib.rpc.suggestion_client import SuggestionClient

EXPERIMENT = Experiment(
    metadata=ObjectMeta(name="tune", uid="u"),
    spec=ExperimentSpec(
        parameters=(ParameterSpec("x", names.INT, FeasibleSpace(min="1", max="5")),),
        objective=ObjectiveSpec(names.MINIMIZE, None, "loss"),
        algorithm=AlgorithmSpec("theirs", (Setting("a", "1"),)),
    ),
)
SUGGESTION_OBJECT = Suggestion(
    metadata=ObjectMeta(name="tune"),
    spec=SuggestionSpec(requests=4),
    status=SuggestionStatus(suggestion_count=3, algorithm_settings=(Setting("state", "s"),)),
)


def trial(name: str, condition: str) -> Trial:
    return Trial(
        metadata=ObjectMeta(name=name),
        spec=TrialSpec(),
        status=TrialStatus(conditions=(Condition(condition, names.TRUE),)),
    )


class Foreign:
    """A service that answers its first calls with these codes, then well, with so many assignments."""

    def __init__(self, *codes: grpc.StatusCode, answer_count: int = 1) -> None:
        self.requests: list[messages.GetSuggestionsRequest] = []
        self._codes = itertools.chain(codes, itertools.repeat(grpc.StatusCode.OK))
        self._answer_count = answer_count
        self._serving = Serving(
            "127.0.0.1:0",
            [
                grpc.method_handlers_generic_handler(
                    full_name(SUGGESTION),
                    {
                        "GetSuggestions": grpc.unary_unary_rpc_method_handler(
                            self._get,
                            request_deserializer=messages.GetSuggestionsRequest.FromString,
                            response_serializer=messages.GetSuggestionsReply.SerializeToString,
                        ),
                        "ValidateAlgorithmSettings": grpc.unary_unary_rpc_method_handler(
                            self._validate,
                            request_deserializer=messages.ValidateAlgorithmSettingsRequest.FromString,
                            response_serializer=messages.ValidateAlgorithmSettingsReply.SerializeToString,
                        ),
                    },
                )
            ],
        )

    def __enter__(self) -> SuggestionClient:
        self._serving.start()
        self._client = SuggestionClient(f"127.0.0.1:{self._serving.port}", timeout_seconds=20.0)
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._serving.stop(grace_seconds=1)

    def _fail(self, context: grpc.ServicerContext) -> None:
        code = next(self._codes)
        if code is not grpc.StatusCode.OK:
            context.abort(code, "as told")

    def _get(
        self, request: messages.GetSuggestionsRequest, context: grpc.ServicerContext
    ) -> messages.GetSuggestionsReply:
        self.requests.append(request)
        self._fail(context)
        reply = messages.GetSuggestionsReply(algorithm=messages.AlgorithmSpec(algorithm_name="theirs"))
        reply.algorithm.algorithm_settings.add(name="state", value="next")
        for number in range(self._answer_count):
            to = reply.parameter_assignments.add(trial_name=f"mine-{number}", labels={"generation": "1"})
            to.assignments.add(name="x", value="1")
        return reply

    def _validate(
        self, request: messages.ValidateAlgorithmSettingsRequest, context: grpc.ServicerContext
    ) -> messages.ValidateAlgorithmSettingsReply:
        self._fail(context)
        return messages.ValidateAlgorithmSettingsReply()


def test_a_request_is_what_katibs_controller_would_send() -> None:
    foreign = Foreign()
    trials = [
        trial("a", names.SUCCEEDED),
        trial("b", names.METRICS_UNAVAILABLE),
        trial("c", names.EARLY_STOPPED),
        trial("d", names.RUNNING),
    ]
    with foreign as client:
        client.suggest(EXPERIMENT, SUGGESTION_OBJECT, trials, 1)
    [request] = foreign.requests
    assert (request.current_request_number, request.total_request_number) == (1, 4)
    assert [one.name for one in request.trials] == ["a", "d"]
    settings = [(one.name, one.value) for one in request.experiment.spec.algorithm.algorithm_settings]
    assert settings == [("a", "1"), ("state", "s")]


def test_an_answer_brings_names_labels_and_settings() -> None:
    with Foreign() as client:
        answer = client.suggest(EXPERIMENT, SUGGESTION_OBJECT, [], 1)
    assert answer.proposals == (Proposed((ParameterAssignment("x", "1"),), {"generation": "1"}, "mine-0"),)
    assert answer.settings == (Setting("state", "next"),)
    status = with_proposals(SUGGESTION_OBJECT, EXPERIMENT, answer.proposals, wanted=1)
    assert [one.name for one in status.suggestions] == ["mine-0"]


def test_all_trials_of_a_view_are_sent() -> None:
    foreign = Foreign()
    view = ExperimentView()
    for name, condition in (("a", names.RUNNING), ("b", names.FAILED), ("c", names.SUCCEEDED)):
        view.apply(None, trial(name, condition))
    with foreign as client:
        asker = ServiceAsker(lambda *_: FixedAddress(client.address))
        asker.question(EXPERIMENT, SUGGESTION_OBJECT, view, 1).answer()
        asker.close()
    assert {one.name for one in foreign.requests[0].trials} == {"a", "b", "c"}


def test_fewer_answers_mean_that_there_are_no_more() -> None:
    with Foreign(answer_count=0) as client:
        proposals = client.suggest(EXPERIMENT, SUGGESTION_OBJECT, [], 2).proposals
    assert with_proposals(SUGGESTION_OBJECT, EXPERIMENT, proposals, wanted=2).exhausted


def test_more_answers_than_asked_for_are_an_error() -> None:
    with Foreign(answer_count=3) as client, pytest.raises(PykatibError, match="unexpected trials: asked for 2, got 3"):
        client.suggest(EXPERIMENT, SUGGESTION_OBJECT, [], 2)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_what_may_pass_is_asked_again(code: grpc.StatusCode) -> None:
    with Foreign(code, code) as client:
        assert len(client.suggest(EXPERIMENT, SUGGESTION_OBJECT, [], 1).proposals) == 1
    with Foreign(code, code) as client:
        client.validate(EXPERIMENT)


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL],
    ids=lambda code: code.name,
)
def test_a_refusal_of_a_validation_tells_the_services_words(code: grpc.StatusCode) -> None:
    with Foreign(code) as client, pytest.raises(InvalidInput, match="ValidateAlgorithmSettings Error: as told"):
        client.validate(EXPERIMENT)


def test_a_service_that_judges_none_takes_all() -> None:
    with Foreign(grpc.StatusCode.UNIMPLEMENTED) as client:
        client.validate(EXPERIMENT)


def test_a_failure_to_suggest_is_an_error_with_the_services_words() -> None:
    with Foreign(grpc.StatusCode.INTERNAL) as client, pytest.raises(PykatibError, match="INTERNAL: as told") as told:
        client.suggest(EXPERIMENT, SUGGESTION_OBJECT, [], 1)
    assert not isinstance(told.value, Unavailable | InvalidInput)


def test_a_service_that_is_not_there_is_unavailable() -> None:
    client = SuggestionClient(f"127.0.0.1:{free_port()}", timeout_seconds=0.3)
    with pytest.raises(Unavailable, match="the suggestion service at 127"):
        client.validate(EXPERIMENT)
    with pytest.raises(Unavailable):
        client.suggest(msgspec.structs.replace(EXPERIMENT), SUGGESTION_OBJECT, [], 1)
    client.close()
