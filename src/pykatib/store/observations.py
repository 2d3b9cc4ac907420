"""Metric logs by Trial, in memory: `MemoryObservationStore`, and the last values that every observation store keeps."""

import bisect
import operator
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from pykatib.api.shared import MetricLog

TrialKey: TypeAlias = tuple[str, str]  # namespace, name

_time = operator.attrgetter("time")


class LatestLogs:
    """The last log of each metric for the Trials that were asked about lately; the others are forgotten."""

    def __init__(self, limit: int = 1_024) -> None:
        self._limit = limit
        self._by_trial: dict[TrialKey, dict[str, MetricLog]] = {}

    def get(self, trial: TrialKey) -> Mapping[str, MetricLog] | None:
        """A Trial's last logs, or None where they are not known here."""
        known = self._by_trial.get(trial)
        return None if known is None else known.copy()

    def learn(self, trial: TrialKey, logs: Iterable[MetricLog]) -> Mapping[str, MetricLog]:
        """Takes all logs of a Trial that may be last, in order of arrival; answers the last ones."""
        if trial not in self._by_trial and len(self._by_trial) >= self._limit:
            del self._by_trial[next(iter(self._by_trial))]
        latest = self._by_trial[trial] = {}
        self.follow(trial, logs)
        return latest.copy()

    def follow(self, trial: TrialKey, logs: Iterable[MetricLog]) -> None:
        """Takes notice of new logs of a Trial, if it is known here."""
        latest = self._by_trial.get(trial)
        if latest is not None:
            for log in logs:
                last = latest.get(log.name)
                if last is None or log.time >= last.time:
                    latest[log.name] = log

    def forget(self, trial: TrialKey) -> None:
        """Drops a Trial."""
        self._by_trial.pop(trial, None)


class MemoryObservationStore:
    """Keeps logs in memory, a list a Trial, in order. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[TrialKey, list[MetricLog]] = {}
        self._latest = LatestLogs()

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog]) -> None:
        """Adds logs in their order. Reporting twice adds twice."""
        if not logs:
            return
        trial = (namespace, trial_name)
        with self._lock:
            kept = self._logs.setdefault(trial, [])
            for log in logs:
                if not kept or kept[-1].time <= log.time:
                    kept.append(log)
                else:
                    bisect.insort_right(kept, log, key=_time)
            self._latest.follow(trial, logs)

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
        with self._lock:
            kept = self._logs.get((namespace, trial_name), [])
            first = 0 if start is None else bisect.bisect_left(kept, start, key=_time)
            after = len(kept) if end is None else bisect.bisect_right(kept, end, key=_time)
            found = kept[first:after]
        return (log for log in found if metric_name is None or log.name == metric_name)

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial, by metric name."""
        trial = (namespace, trial_name)
        with self._lock:
            known = self._latest.get(trial)
            return known if known is not None else self._latest.learn(trial, self._logs.get(trial, ()))

    def delete(self, namespace: str, trial_name: str) -> None:
        """Forgets the logs of a Trial; there may be none."""
        with self._lock:
            self._logs.pop((namespace, trial_name), None)
            self._latest.forget((namespace, trial_name))
