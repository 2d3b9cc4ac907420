"""`SqlObservationStore`: the ObservationStore contract over the DB manager's table, without a wire between.

A log without a time (0.0) is kept as Katib keeps it: at the first moment of the calendar.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.shared import MetricLog
from pykatib.store.sql_logs import LogRow, SqlLogs

_EPOCH = datetime(1970, 1, 1)
NO_TIME = datetime.min


def moment_of(seconds: float) -> datetime:
    """A log's time as tables keep it. Raises InvalidInput where no calendar has it."""
    if seconds == 0.0:
        return NO_TIME
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidInput([FieldError("time", f"{seconds} seconds since 1970 are in no calendar")]) from error


def seconds_at(moment: datetime) -> float:
    """The time of a log that a table keeps."""
    return 0.0 if moment == NO_TIME else (moment - _EPOCH).total_seconds()


def bound_of(seconds: float) -> datetime:
    """An end of a stretch of time; one outside the calendar is its first or last moment."""
    try:
        return moment_of(seconds)
    except InvalidInput:
        return datetime.max if seconds > 0 else NO_TIME


class SqlObservationStore:
    """Keeps metric logs in a database. Any thread may call."""

    def __init__(self, logs: SqlLogs) -> None:
        self._logs = logs

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog]) -> None:
        """Adds logs in their order. Reporting twice adds twice."""
        rows = [LogRow(moment_of(log.time), log.name, log.value) for log in logs]
        self._logs.add(trial_name, rows, namespace=namespace)

    def logs(
        self,
        namespace: str,
        trial_name: str,
        *,
        metric_name: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> Iterator[MetricLog]:
        """The logs of a Trial by time, equal times in order of arrival; `start` and `end` are inclusive seconds."""
        rows = self._logs.find(
            trial_name,
            namespace=namespace,
            metric_name=metric_name,
            start=_bound(start),
            end=_bound(end),
        )
        return (log_of(row) for row in rows)

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial, by metric name."""
        return {name: log_of(row) for name, row in self._logs.latest(trial_name, namespace=namespace).items()}

    def delete(self, namespace: str, trial_name: str) -> None:
        """Forgets the logs of a Trial; there may be none."""
        self._logs.remove(trial_name, namespace=namespace)


def _bound(seconds: float | None) -> datetime | None:
    return None if seconds is None else bound_of(seconds)


def log_of(row: LogRow) -> MetricLog:
    """The log of a row."""
    return MetricLog(seconds_at(row.at), row.name, row.value)
