"""Moments as text. Inside, a moment is a float of seconds since the Unix epoch; on the wire, RFC 3339 in UTC."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=64)
def _rfc3339(whole_seconds: int) -> str:
    return datetime.fromtimestamp(whole_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339(seconds: float) -> str:
    """The moment in UTC with whole seconds, as Kubernetes writes times: `2026-01-31T08:00:00Z`."""
    return _rfc3339(int(seconds))


def rfc3339_micro(seconds: float) -> str:
    """The moment in UTC with microseconds, as metric logs carry it: `2026-01-31T08:00:00.000001Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_of(text: str) -> float:
    """The moment that an RFC 3339 text names.

    Raises:
        ValueError: the text is not RFC 3339.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.timestamp()
