"""Every error that pykatib raises on purpose, in one small tree. The type says what the caller should do.

PykatibError
├── InvalidInput        fix the input; carries all mistakes with their paths
├── NotFound            there is no such object
├── Conflict            somebody else was faster: read again, decide again
│   └── AlreadyExists
├── Unavailable         try again later
├── NotSupported        this place cannot do that; the message says what can
└── StorageFailed       nothing more can be kept: disk full, read-only, damaged, or held by another process
    └── HomeLocked
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One mistake in an input: where it is, what was found, what would do."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class PykatibError(Exception):
    """Base of all errors that pykatib raises on purpose."""


class InvalidInput(PykatibError):  # noqa: N818 - names state the fault, as Kubernetes' reasons do
    """The input breaks rules; `errors` lists every one that was found."""

    def __init__(self, errors: Sequence[FieldError], *, source: str = "") -> None:
        self.errors = tuple(errors)
        self.source = source
        head = f"{source}: " if source else ""
        super().__init__(head + "; ".join(str(error) for error in self.errors))


class NotFound(PykatibError):  # noqa: N818
    """There is no such object."""


class Conflict(PykatibError):  # noqa: N818
    """The object has changed since it was read."""


class AlreadyExists(Conflict):
    """An object of that name is there already."""


class Unavailable(PykatibError):  # noqa: N818
    """A service did not answer; trying again later may help."""


class NotSupported(PykatibError):  # noqa: N818
    """This place cannot do what was asked; the message says why and what can."""


class StorageFailed(PykatibError):  # noqa: N818
    """The store can keep nothing more. What was committed before is safe."""


class HomeLocked(StorageFailed):
    """Another process owns the home folder."""


class Answer(NamedTuple):
    """How an error is told over HTTP and gRPC, and as the reason of a condition or event."""

    http_status: int
    grpc_code: str
    reason: str


ANSWERS: dict[type[PykatibError], Answer] = {
    InvalidInput: Answer(400, "INVALID_ARGUMENT", "Invalid"),
    NotFound: Answer(404, "NOT_FOUND", "NotFound"),
    AlreadyExists: Answer(409, "ALREADY_EXISTS", "AlreadyExists"),
    Conflict: Answer(409, "ABORTED", "Conflict"),
    Unavailable: Answer(503, "UNAVAILABLE", "ServiceUnavailable"),
    NotSupported: Answer(501, "UNIMPLEMENTED", "NotSupported"),
    HomeLocked: Answer(423, "FAILED_PRECONDITION", "HomeLocked"),
    StorageFailed: Answer(507, "DATA_LOSS", "StorageFailed"),
    PykatibError: Answer(500, "INTERNAL", "InternalError"),
}


def answer_to(error: PykatibError) -> Answer:
    """The row of the table for an error: its own class's, else its nearest ancestor's."""
    for kind in type(error).__mro__:
        if kind in ANSWERS:
            return ANSWERS[kind]
    raise AssertionError("PykatibError has a row")  # pragma: no cover
