"""Katib's service `EarlyStopping`: `katib serve early-stopping`.

pykatib has no early stopping algorithm yet, so every call is answered with UNIMPLEMENTED and the reason.
"""

from typing import NoReturn

import grpc

from pykatib.algorithms import registry
from pykatib.api.errors import NotSupported
from pykatib.rpc import messages
from pykatib.rpc.services import EARLY_STOPPING, handler
from pykatib.rpc.serving import Serving


class EarlyStoppingService:
    """The service."""

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
    ) -> NoReturn:
        """Refuses."""
        _refuse(request.early_stopping.algorithm_name)

    def rules(self, request: messages.GetEarlyStoppingRulesRequest, context: grpc.ServicerContext) -> NoReturn:
        """Refuses."""
        _refuse(request.experiment.spec.early_stopping.algorithm_name)

    def set_trial_status(self, request: messages.SetTrialStatusRequest, context: grpc.ServicerContext) -> NoReturn:
        """Refuses."""
        raise NotSupported(f"Trial {request.trial_name}: this service stops no Trials")


def _refuse(name: str) -> NoReturn:
    known = ", ".join(registry.early_stopping_names()) or "none"
    raise NotSupported(f"the early stopping algorithm {name!r} is not there; there are: {known}")


def early_stopping_serving(address: str) -> Serving:
    """A server of the service."""
    return Serving(address, [EarlyStoppingService().handler()])
