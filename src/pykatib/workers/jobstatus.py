"""The statuses that local runners write, in the words of Kubernetes' Job controller."""

from typing import Any, Protocol

import msgspec

from pykatib.api import names
from pykatib.api.job import JobCondition
from pykatib.api.times import rfc3339
from pykatib.api.wire import decode

WAITING = msgspec.Raw(b"{}")
"""A job that nobody has begun."""

COMPLETE = msgspec.Raw(b'{"conditions":[{"type":"Complete","status":"True"}],"succeeded":1}')
"""A job that succeeded, for those who ask for no times."""


class _Ends(msgspec.Struct):
    conditions: tuple[JobCondition, ...] = ()


def has_ended(status: bytes) -> bool:
    """Whether a status says that its job succeeded or failed for good."""
    ends = (names.COMPLETE, names.SUCCEEDED, names.FAILED)
    return any(
        condition.type in ends and condition.status == names.TRUE for condition in decode(status, _Ends).conditions
    )


class Statuses(Protocol):
    """Makes the statuses of one job in the words of its kind. This module is one, for Jobs."""

    def active(self, *, started_at: float | None, attempts_failed: int = 0) -> msgspec.Raw:
        """A job that runs, or waits for a free slot."""
        ...

    def complete(self, *, started_at: float, ended_at: float) -> msgspec.Raw:
        """A job that succeeded."""
        ...

    def failed(
        self, *, reason: str, message: str, started_at: float | None, ended_at: float, attempts: int = 1
    ) -> msgspec.Raw:
        """A job that failed for good."""
        ...


def active(*, started_at: float | None, attempts_failed: int = 0) -> msgspec.Raw:
    """A job whose process runs (or, with `started_at` None, waits for a free slot)."""
    status: dict[str, Any] = {"active": 1}
    if started_at is not None:
        status["startTime"] = rfc3339(started_at)
    if attempts_failed:
        status["failed"] = attempts_failed
    return msgspec.Raw(msgspec.json.encode(status))


def complete(*, started_at: float, ended_at: float) -> msgspec.Raw:
    """A job that succeeded."""
    moment = rfc3339(ended_at)
    return msgspec.Raw(
        msgspec.json.encode(
            {
                "startTime": rfc3339(started_at),
                "completionTime": moment,
                "succeeded": 1,
                "conditions": [{"type": "Complete", "status": names.TRUE, "lastTransitionTime": moment}],
            }
        )
    )


def failed(*, reason: str, message: str, started_at: float | None, ended_at: float, attempts: int = 1) -> msgspec.Raw:
    """A job that failed for good."""
    moment = rfc3339(ended_at)
    status: dict[str, Any] = {
        "failed": attempts,
        "conditions": [
            {
                "type": names.FAILED,
                "status": names.TRUE,
                "reason": reason,
                "message": message,
                "lastTransitionTime": moment,
            }
        ],
    }
    if started_at is not None:
        status["startTime"] = rfc3339(started_at)
    return msgspec.Raw(msgspec.json.encode(status))
