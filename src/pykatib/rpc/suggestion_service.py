"""Katib's service `Suggestion` over pykatib's algorithms: `katib serve suggestion`.

It keeps nothing. Every request brings the Experiment and its Trials; a fresh algorithm is told all of them and
asked, and since cold equals warm (`pykatib.algorithms.contract`) that is as if it had lived on. Two things of a
proposal are not in Katib's requests, so they travel in what Katib does carry:

* its number, in the last letters of the Trial's name, before which stand random ones: the request does not say in
  which namespace its Experiment is, and Trials of equally named ones must not share a name, as Katib's table of
  metrics knows Trials by name alone;
* its labels, as algorithm settings of the answer. Katib's controller keeps those in the Suggestion's status and sends
  them with each request (`pykatib-labels-…`); Katib's Hyperband keeps its state so.

The seed is the setting `random_state`, else made from the Experiment's name and search space.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence

import grpc
import msgspec
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pykatib.algorithms import registry
from pykatib.algorithms.description import nearest
from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.meta import ObjectMeta
from pykatib.api.sequences import AppendLog
from pykatib.api.shared import AlgorithmSpec
from pykatib.api.suggestion import Suggestion, SuggestionSpec, SuggestionStatus, TrialAssignment
from pykatib.api.trial import Trial
from pykatib.control.suggestion_plan import Proposed
from pykatib.control.view import ExperimentView
from pykatib.rpc import messages
from pykatib.rpc.experiment_messages import experiment_from
from pykatib.rpc.services import SUGGESTION, SUGGESTION_HEALTH, handler
from pykatib.rpc.serving import Serving
from pykatib.rpc.trial_messages import trial_from
from pykatib.runtime.algorithm_host import AlgorithmHost

LABELS_SETTING = "pykatib-labels-"
_LETTERS = names.NAME_ALPHABET
_RANDOM_LENGTH, _NUMBER_LENGTH = 6, 4


class SuggestionService:
    """The service over the algorithms of these names. Any thread may call."""

    def __init__(self, algorithms: Sequence[str] = ()) -> None:
        """Serves every algorithm where none is named. Raises InvalidInput for a name that is unknown."""
        for name in algorithms:
            registry.info(name)
        self._algorithms = tuple(algorithms) or registry.names()

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server needs to serve it."""
        return handler(SUGGESTION, {"GetSuggestions": self.get, "ValidateAlgorithmSettings": self.validate})

    def validate(
        self, request: messages.ValidateAlgorithmSettingsRequest, context: grpc.ServicerContext
    ) -> messages.ValidateAlgorithmSettingsReply:
        """Answers an Experiment that the algorithm would refuse with INVALID_ARGUMENT and all its mistakes."""
        experiment, _ = self._read(request.experiment)
        registry.create(experiment, seed=0)
        return messages.ValidateAlgorithmSettingsReply()

    def get(
        self, request: messages.GetSuggestionsRequest, context: grpc.ServicerContext
    ) -> messages.GetSuggestionsReply:
        """So many assignments as are asked for, each with the name of its Trial; fewer where there are no more."""
        experiment, labels_by_index = self._read(request.experiment)
        count = request.current_request_number
        issued = max(0, request.total_request_number - count)
        trials = [trial_from(message) for message in request.trials]
        name_by_index = _numbered(experiment.metadata.name, trials, issued)
        index_by_name = {name: index for index, name in name_by_index.items()}
        issued = max([issued, *(index + 1 for index in name_by_index)])
        view = ExperimentView()
        for trial in trials:
            labels = labels_by_index.get(index_by_name.get(trial.metadata.name, -1), {})
            metadata = ObjectMeta(name=trial.metadata.name, labels={**labels, **(trial.spec.labels or {})})
            view.apply(None, msgspec.structs.replace(trial, metadata=metadata))
        suggestion = Suggestion(
            metadata=ObjectMeta(name=experiment.metadata.name),
            spec=SuggestionSpec(requests=issued + count),
            status=SuggestionStatus(
                suggestion_count=issued,
                suggestions=AppendLog(TrialAssignment(name_by_index.get(index, "")) for index in range(issued)),
            ),
        )
        if count <= 0:
            return messages.GetSuggestionsReply()
        answer = AlgorithmHost(registry.create).propose(experiment, suggestion, view, count)
        reply = _reply(experiment, answer.proposals[:count], issued)
        if answer.settings:  # Katib keeps them, and sends them with each request from now on
            reply.algorithm.algorithm_name = (experiment.spec.algorithm or AlgorithmSpec()).algorithm_name
            for setting in answer.settings:
                reply.algorithm.algorithm_settings.add(name=setting.name, value=setting.value)
        return reply

    def _read(self, message: messages.Experiment) -> tuple[Experiment, Mapping[int, Mapping[str, str]]]:
        experiment = experiment_from(message)
        algorithm = experiment.spec.algorithm or AlgorithmSpec()
        if algorithm.algorithm_name not in self._algorithms:
            name = algorithm.algorithm_name
            text = f"unknown algorithm name {name}; {nearest(name, self._algorithms)}"
            raise InvalidInput([FieldError(registry.NAME_PATH, text)])
        settings = algorithm.algorithm_settings
        labels = _labels(setting.value for setting in settings if setting.name.startswith(LABELS_SETTING))
        own = tuple(setting for setting in settings if not setting.name.startswith(LABELS_SETTING))
        spec = msgspec.structs.replace(experiment.spec, algorithm=AlgorithmSpec(algorithm.algorithm_name, own))
        metadata = ObjectMeta(name=message.name, uid=_identity(message))
        return msgspec.structs.replace(experiment, spec=spec, metadata=metadata), labels


def _identity(message: messages.Experiment) -> str:
    """What stands for the uid, which the wire does not carry: the same for every request of an Experiment."""
    lasting = messages.Experiment(name=message.name)
    lasting.spec.parameter_specs.CopyFrom(message.spec.parameter_specs)
    lasting.spec.nas_config.CopyFrom(message.spec.nas_config)
    return hashlib.blake2b(lasting.SerializeToString(deterministic=True), digest_size=16).hexdigest()


def _labels(texts: Iterable[str]) -> dict[int, Mapping[str, str]]:
    labels: dict[int, Mapping[str, str]] = {}
    for text in texts:
        try:
            labels.update({int(index): dict(given) for index, given in json.loads(text).items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(
                [
                    FieldError(
                        registry.SETTINGS_PATH, f"{LABELS_SETTING}… is kept by the service, and was changed: {error}"
                    )
                ]
            ) from error
    return labels


def _reply(experiment: Experiment, proposals: Sequence[Proposed], issued: int) -> messages.GetSuggestionsReply:
    reply = messages.GetSuggestionsReply()
    given: dict[str, Mapping[str, str]] = {}
    for index, proposal in enumerate(proposals, issued):
        to = reply.parameter_assignments.add(trial_name=trial_name(experiment.metadata.name, index))
        for assignment in proposal.assignments:
            to.assignments.add(name=assignment.name, value=assignment.value)
        if proposal.labels:
            to.labels.update(proposal.labels)
            given[str(index)] = proposal.labels
    if given:
        algorithm = experiment.spec.algorithm or AlgorithmSpec()
        reply.algorithm.algorithm_name = algorithm.algorithm_name
        reply.algorithm.algorithm_settings.add(name=f"{LABELS_SETTING}{issued}", value=json.dumps(given))
    return reply


def trial_name(experiment_name: str, index: int) -> str:
    """A name for Trial number `index`, not twice the same."""
    number = []
    for _ in range(_NUMBER_LENGTH):
        index, place = divmod(index, len(_LETTERS))
        number.append(_LETTERS[place])
    if index:
        raise InvalidInput([FieldError("total_request_number", "there are no more names for Trials")])
    chance = [secrets.choice(_LETTERS) for _ in range(_RANDOM_LENGTH)]
    return f"{experiment_name}-{''.join(chance)}{''.join(reversed(number))}"


def index_of(experiment_name: str, name: str) -> int | None:
    """The number in a name that `trial_name` has made, else None."""
    head, _, tail = name.rpartition("-")
    if head != experiment_name or len(tail) != _RANDOM_LENGTH + _NUMBER_LENGTH or not set(tail) <= set(_LETTERS):
        return None
    index = 0
    for letter in tail[_RANDOM_LENGTH:]:
        index = index * len(_LETTERS) + _LETTERS.index(letter)
    return index


def _numbered(experiment_name: str, trials: Sequence[Trial], issued: int) -> dict[int, str]:
    """The Trials' names by number; those that somebody else has named get the numbers left over, oldest first."""
    found = {
        index: trial.metadata.name
        for trial in trials
        if (index := index_of(experiment_name, trial.metadata.name)) is not None
    }
    known = set(found.values())
    others = [
        (trial.status.start_time or "~", trial.metadata.name) for trial in trials if trial.metadata.name not in known
    ]
    free = (index for index in range(issued) if index not in found)
    return found | dict(zip(list(free), [name for _, name in sorted(others)], strict=False))


def suggestion_serving(address: str, algorithms: Sequence[str] = ()) -> Serving:
    """A server of the service, with the health that Katib's probes ask for."""
    serving = Serving(address, [SuggestionService(algorithms).handler()])
    servicer = health.HealthServicer()
    servicer.set(SUGGESTION_HEALTH, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, serving.grpc_server)
    return serving
