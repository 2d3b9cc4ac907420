"""Katib's suggestion services as algorithms: Katib's own, ours elsewhere, or a user's.

Requests are what Katib's controller would send. Differences are on purpose: a status that may go away is waited for
(up to the time limit) instead of deciding a validation; one that is a refusal, as Katib's services tell it, fails the
Experiment with the service's words; fewer assignments than asked for mean that there are no more.
"""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import grpc

from pykatib.api.errors import FieldError, InvalidInput, PykatibError
from pykatib.api.experiment import Experiment
from pykatib.api.shared import ParameterAssignment, Setting
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.control.suggestion_plan import Proposed
from pykatib.control.view import ExperimentView
from pykatib.rpc import messages
from pykatib.rpc.experiment_messages import experiment_message
from pykatib.rpc.services import SUGGESTION, caller, open_channel
from pykatib.rpc.statuses import TRANSIENT, error_from, status_of
from pykatib.rpc.trial_messages import is_sent, trial_message

TIMEOUT_SECONDS = 60.0
_PAUSES = (0.2, 0.5, 1.0, 2.0, 3.0)
# goptuna's service tells wrong settings as INTERNAL, Python's services tell what they did not foresee as UNKNOWN.
_REFUSALS = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL})


class Suggested(NamedTuple):
    """A service's answer. `settings` are to be kept in the Suggestion's status: they come back with each request."""

    proposals: list[Proposed]
    settings: tuple[Setting, ...]


class SuggestionClient:
    """A suggestion service at an address. Any thread may call; `close` when done."""

    def __init__(self, address: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._channel = open_channel(address)
        self._validate = caller(self._channel, SUGGESTION, "ValidateAlgorithmSettings")
        self._get = caller(self._channel, SUGGESTION, "GetSuggestions")

    def validate(self, experiment: Experiment) -> None:
        """Returns where the service takes the Experiment, or judges none.

        Raises:
            InvalidInput: it does not; with its words.
            Unavailable: it did not answer in time.
        """
        request = messages.ValidateAlgorithmSettingsRequest(experiment=experiment_message(experiment))
        try:
            self._call(self._validate, request)
        except grpc.RpcError as error:
            code, details = status_of(error)
            if code is grpc.StatusCode.UNIMPLEMENTED:
                return
            if code in _REFUSALS:
                text = f"ValidateAlgorithmSettings Error: {details}"
                raise InvalidInput([FieldError("spec.algorithm", text)]) from error
            raise self._error(error) from error

    def suggest(self, experiment: Experiment, suggestion: Suggestion, trials: Iterable[Trial], count: int) -> Suggested:
        """Up to `count` more proposals; fewer mean that there are no more.

        Raises:
            InvalidInput: the service refuses the Experiment.
            Unavailable: it did not answer in time.
            PykatibError: it failed, or answered with more than it was asked for.
        """
        status = suggestion.status
        request = messages.GetSuggestionsRequest(
            experiment=experiment_message(experiment, settings=status.algorithm_settings),
            trials=[trial_message(trial) for trial in trials if is_sent(trial)],
            current_request_number=count,
            total_request_number=status.suggestion_count + count,
        )
        try:
            reply: messages.GetSuggestionsReply = self._call(self._get, request)
        except grpc.RpcError as error:
            raise self._error(error) from error
        if len(reply.parameter_assignments) > count:
            found = len(reply.parameter_assignments)
            raise PykatibError(f"{self._what}: The response contains unexpected trials: asked for {count}, got {found}")
        return Suggested(
            [
                Proposed(
                    tuple(
                        ParameterAssignment(assignment.name, assignment.value) for assignment in proposal.assignments
                    ),
                    dict(proposal.labels) or None,
                    proposal.trial_name,
                )
                for proposal in reply.parameter_assignments
            ],
            tuple(Setting(setting.name, setting.value) for setting in reply.algorithm.algorithm_settings),
        )

    def propose(
        self, experiment: Experiment, suggestion: Suggestion, view: ExperimentView, count: int
    ) -> list[Proposed]:
        """As `AlgorithmHost.propose`, for services that return no settings."""
        trials = (*view.history, *view.active_trials())
        return self.suggest(experiment, suggestion, trials, count).proposals

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    @property
    def _what(self) -> str:
        return f"the suggestion service at {self.address}"

    def _error(self, error: grpc.RpcError) -> PykatibError:
        return error_from(error, self._what)

    def _call(self, method: "grpc.UnaryUnaryMultiCallable[Any, Any]", request: Any) -> Any:
        until = time.monotonic() + self._timeout_seconds
        attempt = 0
        while True:
            try:
                return method(request, timeout=max(0.001, until - time.monotonic()))
            except grpc.RpcError as error:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                attempt += 1
                if status_of(error)[0] not in TRANSIENT or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
