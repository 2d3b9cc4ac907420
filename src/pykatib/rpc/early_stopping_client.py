"""Katib's early stopping services: Katib's own, ours elsewhere, or a user's."""

from collections.abc import Iterable
from typing import Any

import grpc

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.shared import EarlyStoppingRule, EarlyStoppingSpec
from pykatib.api.trial import Trial
from pykatib.rpc import messages
from pykatib.rpc.early_stopping_messages import rule_from
from pykatib.rpc.experiment_messages import early_stopping_message, experiment_message
from pykatib.rpc.services import EARLY_STOPPING, caller, open_channel
from pykatib.rpc.statuses import error_from, status_of
from pykatib.rpc.trial_messages import is_sent, trial_message

TIMEOUT_SECONDS = 60.0
_REFUSALS = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN})


class EarlyStoppingClient:
    """An early stopping service at an address. Any thread may call; `close` when done."""

    def __init__(self, address: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._channel = open_channel(address)

    def validate(self, stopping: EarlyStoppingSpec) -> None:
        """Returns where the service takes the settings, or judges none.

        Raises:
            InvalidInput: it does not; with its words.
            Unavailable: it did not answer in time.
        """
        request = messages.ValidateEarlyStoppingSettingsRequest(early_stopping=early_stopping_message(stopping))
        try:
            self._method("ValidateEarlyStoppingSettings")(request, timeout=self._timeout_seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            code, details = status_of(error)
            if code is grpc.StatusCode.UNIMPLEMENTED:
                return
            if code in _REFUSALS:
                text = f"ValidateEarlyStoppingSettings Error: {details}"
                raise InvalidInput([FieldError("spec.earlyStopping", text)]) from error
            raise error_from(error, self._what) from error

    def rules(
        self, experiment: Experiment, trials: Iterable[Trial], *, db_manager_address: str
    ) -> tuple[EarlyStoppingRule, ...]:
        """The rules for Trials that begin now. Raises PykatibError."""
        request = messages.GetEarlyStoppingRulesRequest(
            experiment=experiment_message(experiment),
            trials=[trial_message(trial) for trial in trials if is_sent(trial)],
            db_manager_address=db_manager_address,
        )
        reply = self._call("GetEarlyStoppingRules", request)
        return tuple(rule_from(rule) for rule in reply.early_stopping_rules)

    def set_trial_status(self, trial_name: str) -> None:
        """Has the service write on a Trial that it is stopped early. Raises PykatibError."""
        self._call("SetTrialStatus", messages.SetTrialStatusRequest(trial_name=trial_name))

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    @property
    def _what(self) -> str:
        return f"the early stopping service at {self.address}"

    def _method(self, name: str) -> "grpc.UnaryUnaryMultiCallable[Any, Any]":
        return caller(self._channel, EARLY_STOPPING, name)

    def _call(self, name: str, request: Any) -> Any:
        try:
            return self._method(name)(request, timeout=self._timeout_seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            raise error_from(error, self._what) from error
