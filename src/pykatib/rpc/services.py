"""Katib's services by name: serving their methods, and calling them. All calls are unary and plain text.

What Katib's wire has no field for travels as metadata, which servers that do not know it pass over.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from pykatib.rpc import messages
from pykatib.rpc.service_names import DB_MANAGER as DB_MANAGER
from pykatib.rpc.service_names import EARLY_STOPPING as EARLY_STOPPING
from pykatib.rpc.service_names import NAMESPACE_KEY as NAMESPACE_KEY
from pykatib.rpc.service_names import REPORT_ID_KEY as REPORT_ID_KEY
from pykatib.rpc.service_names import SUGGESTION as SUGGESTION
from pykatib.rpc.service_names import full_name as full_name
from pykatib.rpc.statuses import answering

SUGGESTION_HEALTH = "manager.v1beta1.Suggestion"
"""The name under which Katib's probes ask a suggestion service; it is no name of the contract."""

ANY_LENGTH = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
"""A long log, or a long Experiment, is longer than the 4 MiB that gRPC takes by itself."""

CHANNEL_OPTIONS = (
    *ANY_LENGTH,
    # A server that comes back is found within seconds, not within gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # One that went without a word is noticed though nothing is being sent.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # The proxy of an environment is for the world outside.
    ("grpc.enable_http_proxy", 0),
)

Method: TypeAlias = Callable[[Any, grpc.ServicerContext], Any]
"""A method of a service: a request and the call's context to a reply. Each service types its own."""


def _descriptors(service: str) -> Mapping[str, MethodDescriptor]:
    descriptor = messages.DESCRIPTOR.services_by_name[service]
    return {method.name: method for method in descriptor.methods}


def handler(service: str, methods: Mapping[str, Method]) -> grpc.GenericRpcHandler:
    """What a server needs to serve these methods; pykatib's errors are answered as statuses."""
    described = _descriptors(service)
    assert methods.keys() <= described.keys()
    return grpc.method_handlers_generic_handler(
        full_name(service),
        {
            name: grpc.unary_unary_rpc_method_handler(
                answering(method),
                request_deserializer=message_factory.GetMessageClass(described[name].input_type).FromString,
                response_serializer=message_factory.GetMessageClass(described[name].output_type).SerializeToString,
            )
            for name, method in methods.items()
        },
    )


def open_channel(address: str) -> grpc.Channel:
    """A channel to a service. Nothing is connected before the first call; close it when done."""
    return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)


def caller(channel: grpc.Channel, service: str, method: str) -> "grpc.UnaryUnaryMultiCallable[Any, Any]":
    """The callable of a service's method."""
    described = _descriptors(service)[method]
    return channel.unary_unary(
        f"/{full_name(service)}/{method}",
        request_serializer=message_factory.GetMessageClass(described.input_type).SerializeToString,
        response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
    )


def metadata_value(context: grpc.ServicerContext, key: str) -> str | None:
    """A value that the caller sent beside its request."""
    for found, value in context.invocation_metadata():
        if found == key:
            return value if isinstance(value, str) else value.decode()
    return None
