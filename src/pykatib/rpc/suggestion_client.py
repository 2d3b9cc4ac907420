"""Katib's suggestion services as algorithms: Katib's own, ours elsewhere, or a user's.

Requests are what Katib's controller would send. Differences are on purpose: a status that may go away is waited for
(up to the time limit) instead of deciding a validation; one that is a refusal, as Katib's services tell it, fails the
Experiment with the service's words; fewer assignments than asked for mean that there are no more. What could never
become a Trial is refused here, where it can be said of whom it came.
"""

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from pykatib.api.errors import FieldError, InvalidInput, PykatibError, Unavailable
from pykatib.api.experiment import Experiment
from pykatib.api.shared import ParameterAssignment, Setting
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.control.suggestion_plan import Answer, Proposed
from pykatib.rpc import messages
from pykatib.rpc.experiment_messages import experiment_message
from pykatib.rpc.services import SUGGESTION, caller, open_channel
from pykatib.rpc.statuses import TRANSIENT, status_of
from pykatib.rpc.trial_messages import is_sent, trial_message

TIMEOUT_SECONDS = 60.0
"""How long a service that does not answer is tried."""
VALIDATION_SECONDS = 60.0
"""How long one that is there may take to judge an Experiment."""
ANSWER_SECONDS = 3600.0
"""How long one that is there may think. One that has gone without a word is noticed by the channel."""
_PAUSES = (0.2, 0.5, 1.0, 2.0, 3.0)
# goptuna's service tells wrong settings as INTERNAL, Python's services tell what they did not foresee as UNKNOWN.
_REFUSALS = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL})


_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class SuggestionClient:
    """A suggestion service at an address. Any thread may call; `close` when done."""

    def __init__(
        self, address: str, *, timeout_seconds: float = TIMEOUT_SECONDS, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._answer_seconds = answer_seconds
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
            self._call(self._validate, request, max(self._timeout_seconds, VALIDATION_SECONDS))
        except grpc.RpcError as error:
            code, details = status_of(error)
            if code is grpc.StatusCode.UNIMPLEMENTED:
                return
            if code in _REFUSALS:
                text = f"ValidateAlgorithmSettings Error: {details}"
                raise InvalidInput([FieldError("spec.algorithm", text)]) from error
            raise self._error(error) from error

    def suggest(self, experiment: Experiment, suggestion: Suggestion, trials: Iterable[Trial], count: int) -> Answer:
        """Up to `count` more proposals; fewer mean that there are no more.

        Raises:
            InvalidInput: the service refuses the Experiment.
            Unavailable: it did not answer in time.
            PykatibError: it failed, or what it answered cannot be used.
        """
        status = suggestion.status
        request = messages.GetSuggestionsRequest(
            experiment=experiment_message(experiment, settings=status.algorithm_settings),
            trials=[trial_message(trial) for trial in trials if is_sent(trial)],
            current_request_number=count,
            total_request_number=status.suggestion_count + count,
        )
        try:
            reply: messages.GetSuggestionsReply = self._call(self._get, request, self._answer_seconds)
        except grpc.RpcError as error:
            raise self._error(error) from error
        if len(reply.parameter_assignments) > count:
            found = len(reply.parameter_assignments)
            raise PykatibError(f"{self._what}: The response contains unexpected trials: asked for {count}, got {found}")
        proposals = tuple(
            Proposed(
                tuple(ParameterAssignment(assignment.name, assignment.value) for assignment in proposal.assignments),
                dict(proposal.labels) or None,
                proposal.trial_name,
            )
            for proposal in reply.parameter_assignments
        )
        problem = _unusable(experiment, suggestion, proposals)
        if problem:
            raise PykatibError(f"{self._what} {problem}")
        return Answer(
            proposals, tuple(Setting(setting.name, setting.value) for setting in reply.algorithm.algorithm_settings)
        )

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    @property
    def _what(self) -> str:
        return f"the suggestion service at {self.address}"

    def _error(self, error: grpc.RpcError) -> PykatibError:
        # Not more than this: what a service makes of its own faults must not be taken for a fault of ours.
        code, details = status_of(error)
        if code in TRANSIENT:
            return Unavailable(f"{self._what} does not answer: {_reason(details) or code.name}")
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return InvalidInput([FieldError("", details)], source=self._what)
        return PykatibError(f"{self._what} has failed: {code.name}: {details}")

    def _call(self, method: "grpc.UnaryUnaryMultiCallable[Any, Any]", request: Any, limit_seconds: float) -> Any:
        until = time.monotonic() + self._timeout_seconds
        attempt = 0
        while True:
            try:
                return method(request, timeout=limit_seconds)
            except ValueError as error:
                raise Unavailable(f"the connection to {self._what} is closed") from error
            except grpc.RpcError as error:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                attempt += 1
                if status_of(error)[0] not in TRANSIENT or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)


def _unusable(experiment: Experiment, suggestion: Suggestion, proposals: Sequence[Proposed]) -> str:
    """Why no Trials can be made of an answer; empty where they can."""
    wanted = [parameter.name for parameter in experiment.spec.parameters]
    named = [proposal.name for proposal in proposals if proposal.name]
    known = {assignment.name for assignment in suggestion.status.suggestions} if named else set()
    for proposal in proposals:
        given = {assignment.name for assignment in proposal.assignments}
        missing = [name for name in wanted if name not in given]
        if missing:
            return f"proposes a Trial without a value for {', '.join(missing)}"
        if proposal.name and not _NAME.fullmatch(proposal.name):
            return f"names a Trial {proposal.name!r}; at most 63 of a-z, 0-9 and '-' can be a name"
        if proposal.name in known:
            return f"names a second Trial {proposal.name!r}"
        known.update(filter(None, [proposal.name]))
    return ""


def _reason(details: str) -> str:
    """Why nothing was reached, without the channel's account of how it was tried."""
    if details.startswith(("failed to connect to all addresses", "DNS resolution failed")):
        return details.rsplit(": ", 1)[-1]
    return details
