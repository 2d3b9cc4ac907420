"""`SqlObservationStore`: the ObservationStore contract over the DB manager's table, without a wire between."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from pykatib.api.shared import MetricLog
from pykatib.store.log_row import bound_of, log_of, row_of
from pykatib.store.sql_logs import SqlLogs


class SqlObservationStore:
    """Keeps metric logs in a database. Any thread may call."""

    def __init__(self, logs: SqlLogs) -> None:
        self._logs = logs

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog]) -> None:
        """Adds logs in their order. Reporting twice adds twice."""
        rows = [row_of(log) for log in logs]
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
