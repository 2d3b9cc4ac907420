"""A suggestion service of somebody else on loopback, with the faults that such services have."""

import threading
from collections.abc import Callable, Mapping

import grpc

from pykatib.rpc import messages
from pykatib.rpc.services import EARLY_STOPPING, SUGGESTION, full_name
from pykatib.rpc.serving import Serving


class ForeignService:
    """Proposes x = 1, 2, 3, … and keeps the last one in the setting `state`, as Katib's Hyperband keeps its.

    Attributes:
        behave: called with each request for proposals, with the number of the request; it may end the call.
        more: added to the number of proposals that are answered.
        refusal: the words with which an Experiment is refused; None takes all.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.requests: list[messages.GetSuggestionsRequest] = []
        self.judged: list[messages.ValidateAlgorithmSettingsRequest] = []
        self.behave: Callable[[int, grpc.ServicerContext], None] = lambda number, context: None
        self.more = 0
        self.parameter = "x"
        self.labels: Mapping[str, str] = {}
        self.trial_name: Callable[[int], str] = lambda value: f"theirs-{value}"
        self.refusal: str | None = None
        self.stopping: list[messages.GetEarlyStoppingRulesRequest] = []
        self._asked_port = port
        self._serving: Serving | None = None
        self._lock = threading.Lock()

    def start(self) -> "ForeignService":
        """Listens; once more at the port that it had."""
        methods = {
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
        }
        handler = grpc.method_handlers_generic_handler(full_name(SUGGESTION), methods)
        rules = grpc.unary_unary_rpc_method_handler(
            self._rules,
            request_deserializer=messages.GetEarlyStoppingRulesRequest.FromString,
            response_serializer=messages.GetEarlyStoppingRulesReply.SerializeToString,
        )
        stopping = grpc.method_handlers_generic_handler(full_name(EARLY_STOPPING), {"GetEarlyStoppingRules": rules})
        self._serving = Serving(f"127.0.0.1:{self._asked_port}", [handler, stopping])
        self._asked_port = self._serving.port
        self._serving.start()
        return self

    def stop(self) -> None:
        """Goes away at once, in the middle of what it does."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.grpc_server.stop(None).wait()

    @property
    def address(self) -> str:
        """Where it listens, or will."""
        return f"127.0.0.1:{self._asked_port}"

    def __enter__(self) -> "ForeignService":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _get(
        self, request: messages.GetSuggestionsRequest, context: grpc.ServicerContext
    ) -> messages.GetSuggestionsReply:
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
        self.behave(number, context)
        kept = {one.name: one.value for one in request.experiment.spec.algorithm.algorithm_settings}
        last = int(kept.get("state", "0"))
        reply = messages.GetSuggestionsReply()
        for value in range(last + 1, last + 1 + max(0, request.current_request_number + self.more)):
            to = reply.parameter_assignments.add(trial_name=self.trial_name(value), labels=self.labels)
            to.assignments.add(name=self.parameter, value=str(value))
        reply.algorithm.algorithm_settings.add(name="state", value=str(last + request.current_request_number))
        return reply

    def _rules(
        self, request: messages.GetEarlyStoppingRulesRequest, context: grpc.ServicerContext
    ) -> messages.GetEarlyStoppingRulesReply:
        """A rule that never holds: the loss is above a million."""
        self.stopping.append(request)
        reply = messages.GetEarlyStoppingRulesReply()
        reply.early_stopping_rules.add(name="loss", value="1000000", comparison=messages.GREATER, start_step=4)
        return reply

    def _validate(
        self, request: messages.ValidateAlgorithmSettingsRequest, context: grpc.ServicerContext
    ) -> messages.ValidateAlgorithmSettingsReply:
        self.judged.append(request)
        if self.refusal is not None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, self.refusal)
        return messages.ValidateAlgorithmSettingsReply()
