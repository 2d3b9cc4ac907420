"""Metric logs as rows: clustered by Trial, metric, time and arrival, so each question is a walk along the index."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from pykatib.api.shared import MetricLog

Read: TypeAlias = Callable[[str, Sequence[Any]], list[Any]]
PlacedLog: TypeAlias = tuple[float, int, MetricLog]  # time, number of arrival

_PAGE_LENGTH = 500
_EVER = float("inf")


def trial_id(read: Read, namespace: str, trial_name: str) -> int | None:
    """The number under which a Trial's logs are kept, or None where it has none."""
    rows = read("SELECT id FROM trials WHERE namespace = ? AND name = ?", (namespace, trial_name))
    return int(rows[0][0]) if rows else None


def metric_names(read: Read, trial: int) -> list[str]:
    """The metrics of a Trial that have logs."""
    names: list[str] = []
    [(name,)] = read("SELECT min(metric) FROM logs WHERE trial = ?", (trial,))
    while name is not None:
        names.append(name)
        [(name,)] = read("SELECT min(metric) FROM logs WHERE trial = ? AND metric > ?", (trial, name))
    return names


def placed_logs(
    read: Read, trial: int, metric: str, *, start: float | None, end: float | None, before: int
) -> Iterator[PlacedLog]:
    """The logs of one metric in order, read page by page, without those that arrived as number `before` or later."""
    time, number = (-_EVER if start is None else start), -1
    while True:
        rows = read(
            "SELECT time, id, value FROM logs WHERE trial = ? AND metric = ? AND (time, id) > (?, ?) AND time <= ? "
            "AND id < ? ORDER BY time, id LIMIT ?",
            (trial, metric, time, number, _EVER if end is None else end, before, _PAGE_LENGTH),
        )
        for time, number, value in rows:  # the last row is where the next page begins
            yield time, number, MetricLog(time, metric, value)
        if len(rows) < _PAGE_LENGTH:
            return


def of_trial(
    read: Read,
    namespace: str,
    trial_name: str,
    metric_name: str | None,
    *,
    start: float | None,
    end: float | None,
    before: int,
) -> list[Iterator[PlacedLog]]:
    """The logs of a Trial, a source for each metric (or for `metric_name` alone)."""
    trial = trial_id(read, namespace, trial_name)
    if trial is None:
        return []
    metrics = metric_names(read, trial) if metric_name is None else [metric_name]
    return [placed_logs(read, trial, metric, start=start, end=end, before=before) for metric in metrics]


def merged(sources: Iterable[Iterable[PlacedLog]]) -> Iterator[MetricLog]:
    """Several ordered sources as one."""
    return (log for _, _, log in heapq.merge(*sources))


def last_logs(read: Read, trial: int) -> list[MetricLog]:
    """The last log of each metric."""
    logs = []
    for metric in metric_names(read, trial):
        rows = read(
            "SELECT time, value FROM logs WHERE trial = ? AND metric = ? ORDER BY time DESC, id DESC LIMIT 1",
            (trial, metric),
        )
        logs += [MetricLog(time, metric, value) for time, value in rows]
    return logs
