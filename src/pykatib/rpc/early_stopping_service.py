"""Katib's service `EarlyStopping` over pykatib's methods: `katib serve early-stopping`.

It keeps nothing. A request for rules brings the Experiment, its Trials and the address of the DB manager; the curves of
the Trials that have ended are read there and a fresh method is told of them, so the process may be started anew between
any two calls, and settings that change are heeded. Trials without a usable report are passed over.

A rule is decided on before its Trial begins, and is all that Katib's sidecar knows. Methods that look at more than a
rule can say are refused at validation, with the reason.
"""

from collections.abc import Callable

import grpc
import msgspec
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pykatib.algorithms.description import nearest
from pykatib.algorithms.stopping import registry
from pykatib.algorithms.stopping.monitor import StopMonitor
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.shared import EarlyStoppingSpec, ObjectiveSpec
from pykatib.control.view import trial_state
from pykatib.rpc import messages
from pykatib.rpc.db_manager_client import DBManagerClient
from pykatib.rpc.early_stopping_messages import rule_message
from pykatib.rpc.experiment_messages import early_stopping_from, objective_from
from pykatib.rpc.services import EARLY_STOPPING, handler
from pykatib.rpc.serving import Serving
from pykatib.rpc.trial_messages import trial_from
from pykatib.runtime.early_stops import COMPARED, points_of
from pykatib.store.log_row import log_of

EARLY_STOPPING_HEALTH = "manager.v1beta1.EarlyStopping"
"""A health name in the way of Katib's suggestion services; Katib's own early stopping has no health."""

DB_MANAGER_SECONDS = 40.0
"""How long the DB manager is tried: less than the minute that Katib's controller waits."""


class EarlyStoppingService:
    """The service. `stop` writes on a Trial that it is stopped early. Any thread may call."""

    def __init__(self, stop: Callable[[str], None], *, db_manager_seconds: float = DB_MANAGER_SECONDS) -> None:
        self._stop = stop
        self._db_manager_seconds = db_manager_seconds

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server needs to serve it."""
        return handler(
            EARLY_STOPPING,
            {
                "GetEarlyStoppingRules": self.rules,
                "SetTrialStatus": self.set_trial_status,
                "ValidateEarlyStoppingSettings": self.validate,
            },
        )

    def validate(
        self, request: messages.ValidateEarlyStoppingSettingsRequest, context: grpc.ServicerContext
    ) -> messages.ValidateEarlyStoppingSettingsReply:
        """Answers settings that the method would refuse with INVALID_ARGUMENT and all their mistakes."""
        spec = _served(early_stopping_from(request.early_stopping))
        # The request has no objective: whatever metric the settings name is taken for one of it.
        named = tuple(setting.value for setting in spec.algorithm_settings if setting.name == "metric")
        registry.create(spec, ObjectiveSpec(objective_metric_name="objective", additional_metric_names=named))
        return messages.ValidateEarlyStoppingSettingsReply()

    def rules(
        self, request: messages.GetEarlyStoppingRulesRequest, context: grpc.ServicerContext
    ) -> messages.GetEarlyStoppingRulesReply:
        """The rule for Trials that begin now; none while too little is known."""
        spec = _served(early_stopping_from(request.experiment.spec.early_stopping))
        objective = objective_from(request.experiment.spec.objective)
        # The wire knows no strategies; what a sidecar compares is the best so far.
        method = registry.create(spec, msgspec.structs.replace(objective, metric_strategies=()))
        ended = [trial.metadata.name for trial in map(trial_from, request.trials) if trial_state(trial) in COMPARED]
        if ended and registry.info(spec.algorithm_name).compares:
            self._tell(StopMonitor(method), ended, request.db_manager_address)
        rule = method.rule()
        reply = messages.GetEarlyStoppingRulesReply()
        if rule is not None:
            reply.early_stopping_rules.append(rule_message(rule))
        return reply

    def set_trial_status(
        self, request: messages.SetTrialStatusRequest, context: grpc.ServicerContext
    ) -> messages.SetTrialStatusReply:
        """Writes on a Trial that it is stopped early; answers once that is written."""
        if not request.trial_name:
            raise InvalidInput([FieldError("trial_name", "is empty")])
        self._stop(request.trial_name)
        return messages.SetTrialStatusReply()

    def _tell(self, monitor: StopMonitor, trial_names: list[str], address: str) -> None:
        host, colon, port = address.rpartition(":")
        if not host or not colon or not port.isdecimal():
            text = f"Invalid Katib DB manager service address: {address!r}, HOST:PORT is expected"
            raise InvalidInput([FieldError("db_manager_address", text)])
        client = DBManagerClient(address, timeout_seconds=self._db_manager_seconds)
        try:
            for name in trial_names:
                logs = [log_of(row) for row in client.find(name, metric_name=monitor.metric)]
                monitor.hear(name, points_of(logs, monitor.metric), catching_up=True)
                monitor.ended(name)
        finally:
            client.close()


def _served(spec: EarlyStoppingSpec) -> EarlyStoppingSpec:
    """The very specification; InvalidInput where Katib cannot be served with its method."""
    name = spec.algorithm_name
    served = [each for each in registry.names() if not registry.info(each).katib]
    if name in served:
        return spec
    if name in registry.names():
        text = f"{name} cannot be served to Katib: {registry.info(name).katib}; there are {', '.join(served)}"
    else:
        text = f"unknown algorithm name {name}; {nearest(name, served)}"
    raise InvalidInput([FieldError(registry.NAME_PATH, text)])


def early_stopping_serving(address: str, stop: Callable[[str], None]) -> Serving:
    """A server of the service, with health under the empty name and `manager.v1beta1.EarlyStopping`."""
    serving = Serving(address, [EarlyStoppingService(stop).handler()])
    servicer = health.HealthServicer()
    servicer.set(EARLY_STOPPING_HEALTH, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, serving.grpc_server)
    return serving
