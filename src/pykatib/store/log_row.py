"""A metric log as the DB manager's tables and its wire have it: its time is a moment of the calendar, in UTC.

A log without a time (0.0 of `MetricLog`) stands, as in Katib, at the first moment of the calendar. This module needs no
database and no wire, so that clients need neither.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.shared import MetricLog

NO_TIME = datetime.min
_EPOCH = datetime(1970, 1, 1)


class LogRow(NamedTuple):
    """One reported value; `at` is in UTC, without a zone, as databases keep it."""

    at: datetime
    name: str
    value: str


def row_of(log: MetricLog) -> LogRow:
    """The row of a log. Raises InvalidInput where no calendar has its time."""
    return LogRow(moment_of(log.time), log.name, log.value)


def log_of(row: LogRow) -> MetricLog:
    """The log of a row."""
    return MetricLog(0.0 if row.at == NO_TIME else (row.at - _EPOCH).total_seconds(), row.name, row.value)


def moment_of(seconds: float) -> datetime:
    """A log's time as tables keep it. Raises InvalidInput where no calendar has it."""
    if seconds == 0.0:
        return NO_TIME
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidInput([FieldError("time", f"{seconds} seconds since 1970 are in no calendar")]) from error


def bound_of(seconds: float) -> datetime:
    """An end of a stretch of time; one outside the calendar is its first or last moment."""
    try:
        return moment_of(seconds)
    except InvalidInput:
        return datetime.max if seconds > 0 else NO_TIME
