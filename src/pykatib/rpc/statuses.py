"""Errors over the wire: pykatib's to a gRPC status and back, by the table of `pykatib.api.errors`."""

import logging
from collections.abc import Callable
from typing import NoReturn, TypeVar

import grpc

from pykatib.api.errors import (
    AlreadyExists,
    Conflict,
    FieldError,
    InvalidInput,
    NotFound,
    NotSupported,
    PykatibError,
    StorageFailed,
    Unavailable,
    answer_to,
)

logger = logging.getLogger(__name__)

Request = TypeVar("Request")
Reply = TypeVar("Reply")

TRANSIENT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
"""A call that ended so may succeed when it is made again."""


def answering(
    method: Callable[[Request, grpc.ServicerContext], Reply],
) -> Callable[[Request, grpc.ServicerContext], Reply]:
    """A method of a service whose errors reach the caller as statuses with their texts."""

    def answer(request: Request, context: grpc.ServicerContext) -> Reply:
        try:
            return method(request, context)
        except PykatibError as error:
            refuse(context, error)
        except Exception as error:  # methods end calls by raising, never by `abort`, so this is a fault of ours
            logger.exception("a call failed")
            context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    return answer


def refuse(context: grpc.ServicerContext, error: PykatibError) -> NoReturn:
    """Ends a call with an error's status and text."""
    context.abort(grpc.StatusCode[answer_to(error).grpc_code], str(error))


def error_from(error: grpc.RpcError, what: str) -> PykatibError:
    """The error that a failed call means; `what` begins its text."""
    code, details = status_of(error)
    text = f"{what}: {details}" if details else f"{what}: {code.name}"
    if code in TRANSIENT and code is not grpc.StatusCode.ABORTED:
        return Unavailable(text)
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE:
            return InvalidInput([FieldError("", details)], source=what)
        case grpc.StatusCode.NOT_FOUND:
            return NotFound(text)
        case grpc.StatusCode.ALREADY_EXISTS:
            return AlreadyExists(text)
        case grpc.StatusCode.ABORTED:
            return Conflict(text)
        case grpc.StatusCode.UNIMPLEMENTED:
            return NotSupported(text)
        case grpc.StatusCode.DATA_LOSS:
            return StorageFailed(text)
    return PykatibError(f"{what}: {code.name}: {details}")


def status_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Code and text of a failed call."""
    assert isinstance(error, grpc.Call)
    return error.code(), error.details() or ""
