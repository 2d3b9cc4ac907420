"""enas and darts through Katib's service: what Katib's own tests of both ask, and that it learns without a memory."""

from collections.abc import Iterator

import msgspec
import pytest

from pykatib.algorithms.nas.strings import from_text
from pykatib.api import names
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import (
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    GraphConfig,
    NasConfig,
    Operation,
    ParameterSpec,
)
from pykatib.api.meta import Condition, ObjectMeta
from pykatib.api.shared import AlgorithmSpec, Metric, MetricStrategy, ObjectiveSpec, Observation, Setting
from pykatib.api.suggestion import Suggestion, SuggestionSpec, SuggestionStatus
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.control.suggestion_plan import Proposed
from pykatib.rpc.suggestion_client import SuggestionClient
from pykatib.rpc.suggestion_service import suggestion_serving

METRIC = "Validation-Accuracy"
OBJECTIVE = ObjectiveSpec(names.MAXIMIZE, None, METRIC, (), (MetricStrategy(METRIC, "max"),))


def choice(name: str, *values: str) -> ParameterSpec:
    return ParameterSpec(name, names.CATEGORICAL, FeasibleSpace(values=values))


# As Katib's own tests have them.
SIZES = (choice("filter_size", "5"), choice("num_filter", "128"), choice("stride", "1", "2"))
CONVOLUTION = Operation("convolution", SIZES)
POOL_SIZE = ParameterSpec("pool_size", names.INT, FeasibleSpace(min="2", max="3", step="1"))
REDUCTION = Operation("reduction", (choice("reduction_type", "max_pooling"), POOL_SIZE))
SEPARABLE = Operation("separable_convolution", (choice("filter_size", "3", "5"),))


def experiment(algorithm: str, *settings: Setting) -> Experiment:
    enas = algorithm == "enas"
    graph = GraphConfig(4 if enas else 3, (32, 32, 3), (10,))
    return Experiment(
        metadata=ObjectMeta(name="search"),
        spec=ExperimentSpec(
            objective=OBJECTIVE,
            algorithm=AlgorithmSpec(algorithm, settings),
            max_trial_count=10,
            parallel_trial_count=2,
            nas_config=NasConfig(graph, (CONVOLUTION, REDUCTION) if enas else (SEPARABLE,)),
        ),
    )


def suggestion(count: int) -> Suggestion:
    return Suggestion(
        metadata=ObjectMeta(name="search"), spec=SuggestionSpec(), status=SuggestionStatus(suggestion_count=count)
    )


def trial(proposal: Proposed, state: str, accuracy: str | None) -> Trial:
    metric = Metric(METRIC, accuracy or "", accuracy or "", accuracy or "")
    return Trial(
        metadata=ObjectMeta(name=proposal.name),
        spec=TrialSpec(objective=OBJECTIVE, parameter_assignments=proposal.assignments),
        status=TrialStatus(
            start_time="2026-01-31T08:00:00Z",
            conditions=(Condition(state, names.TRUE),),
            observation=Observation((metric,)) if accuracy else None,
        ),
    )


def texts(proposal: Proposed) -> dict[str, str]:
    return {assignment.name: assignment.value for assignment in proposal.assignments}


@pytest.fixture(scope="module")
def client() -> Iterator[SuggestionClient]:
    serving = suggestion_serving("127.0.0.1:0")
    serving.start()
    client = SuggestionClient(f"127.0.0.1:{serving.port}")
    yield client
    client.close()
    serving.stop(grace_seconds=1)


def test_enas_answers_katibs_request_and_goes_on_from_all_kinds_of_ends(client: SuggestionClient) -> None:
    asked = experiment("enas", Setting("controller_train_steps", "5"))
    client.validate(asked)
    first = client.suggest(asked, suggestion(0), [], 3).proposals
    assert [list(texts(one)) for one in first] == [["architecture", "nn_config"]] * 3
    assert [len(row) for row in from_text(texts(first[0])["architecture"])] == [1, 2, 3, 4]
    ended = [
        trial(first[0], names.SUCCEEDED, "0.7"),
        trial(first[1], names.FAILED, None),
        trial(first[2], names.SUCCEEDED, "0.4"),
    ]
    second = client.suggest(asked, suggestion(3), ended, 2).proposals
    assert len(second) == 2
    assert [texts(one) for one in client.suggest(asked, suggestion(3), ended[::-1], 2).proposals] == [
        texts(one) for one in second
    ]
    assert not {texts(one)["architecture"] for one in first} & {texts(one)["architecture"] for one in second}


def test_other_rewards_lead_to_other_proposals(client: SuggestionClient) -> None:
    quick = (Setting("controller_train_steps", "30"), Setting("controller_learning_rate", "0.1"))
    asked = experiment("enas", *quick)
    first = client.suggest(asked, suggestion(0), [], 3).proposals

    def after(*accuracies: str) -> list[dict[str, str]]:
        ended = [trial(one, names.SUCCEEDED, text) for one, text in zip(first, accuracies, strict=True)]
        return [texts(one) for one in client.suggest(asked, suggestion(3), ended, 4).proposals]

    assert after("0.1", "0.5", "0.9") == after("0.1", "0.5", "0.9") != after("0.9", "0.5", "0.1")


def test_darts_hands_settings_on_even_those_that_it_does_not_know(client: SuggestionClient) -> None:
    asked = experiment("darts", Setting("num_epoch", "10"), Setting("w_lr", "0.1"))
    client.validate(asked)
    (proposal,) = client.suggest(asked, suggestion(0), [], 1).proposals
    found = texts(proposal)
    assert from_text(found["search-space"]) == ["separable_convolution_3x3", "separable_convolution_5x5"]
    assert found["num-layers"] == "3"
    settings = from_text(found["algorithm-settings"])
    assert (settings["num_epoch"], settings["w_lr"]) == ("10", "0.1")


@pytest.mark.parametrize(
    ("algorithm", "setting", "says"),
    [
        ("enas", Setting("controller_hidden_sise", "64"), "did you mean controller_hidden_size"),
        ("enas", Setting("controller_temperature", "0"), "controller_temperature must be a number above 0, or None"),
        ("darts", Setting("num_epochs", "0"), "num_epochs must be a whole number at least 1"),
        ("darts", Setting("w_momentum", "-0.8"), "w_momentum must be a number at least 0"),
    ],
)
def test_wrong_settings_are_refused(client: SuggestionClient, algorithm: str, setting: Setting, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        client.validate(experiment(algorithm, setting))


def test_operations_without_what_katib_asks_for_are_refused(client: SuggestionClient) -> None:
    asked = experiment("enas")
    assert asked.spec.nas_config is not None
    for operation in (Operation(""), Operation("convolution"), Operation("convolution", (ParameterSpec("", "int"),))):
        config = msgspec.structs.replace(asked.spec.nas_config, operations=(operation,))
        wrong = msgspec.structs.replace(asked, spec=msgspec.structs.replace(asked.spec, nas_config=config))
        with pytest.raises(InvalidInput, match=r"spec\.nasConfig\.operations\[0\]"):
            client.validate(wrong)
