"""Reads the curves of running Trials from where metrics are kept, at an interval: for early stopping in a cluster.

Reading is done by the executor, for whoever keeps the metrics may take its time; one round at a time. What was read is
taken in, and stops are announced, on the thread that owns the control plane (`tick`). First the curves of all Trials
that have ended are read, once; then, round by round, what running ones have reported since.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from pykatib.api.errors import PykatibError
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.control.view import is_finished
from pykatib.runtime.clock import Clock
from pykatib.runtime.control_plane import Executor
from pykatib.runtime.early_stops import EarlyStops, StoppedExperiment
from pykatib.store.contract import ObservationStore

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0
CURVES_A_ROUND = 200
"""Of ended Trials: a new process with ten thousand of them must not be silent for a minute."""


class _Cursor(NamedTuple):
    """How far a curve has been read: the last time, and how many reports have that very time."""

    time: float
    seen: int


class _Question(NamedTuple):
    of: StoppedExperiment
    trial: Trial
    metric: str | None
    since: _Cursor | None


class CurveReader:
    """Looks after the early stopping of a store whose metrics are elsewhere."""

    def __init__(
        self,
        stops: EarlyStops,
        observations: ObservationStore,
        clock: Clock,
        *,
        executor: Executor,
        wake: Callable[[], None] = lambda: None,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._stops = stops
        self._observations = observations
        self._clock = clock
        self._executor = executor
        self._wake = wake
        self._interval_seconds = interval_seconds
        self._next = 0.0
        self._reading: list[_Question] = []
        self._answers: list[list[MetricLog]] | None = None  # of the first questions; made by the executor
        self._cursors: dict[str, _Cursor] = {}  # by the Trial's uid

    def tick(self) -> None:
        """Takes in what was read, announces what is due, and has the next round read when it is time."""
        if self._answers is not None:
            self._take_in()
        now = self._clock.now()
        if self._reading or now < self._next:
            return
        self._stops.announce_due(self._executor)
        self._next = now + self._interval_seconds
        self._reading = self._questions()
        if self._reading:
            self._executor(self._read)

    def _questions(self) -> list[_Question]:
        wanted = [of for of in self._stops.experiments() if of.active]
        unlearned = [(of, trial) for of in wanted for trial in of.unlearned.values()]
        if unlearned:
            return [_Question(of, trial, of.metric_of(trial), None) for of, trial in unlearned[:CURVES_A_ROUND]]
        running = [(of, trial) for of in wanted for trial in of.active.values() if trial.status.start_time]
        uids = {trial.metadata.uid for _, trial in running}
        self._cursors = {uid: cursor for uid, cursor in self._cursors.items() if uid in uids}
        return [
            _Question(of, trial, of.metric_of(trial), self._cursors.get(trial.metadata.uid)) for of, trial in running
        ]

    def _read(self) -> None:
        answers: list[list[MetricLog]] = []
        try:
            for _, trial, metric, since in self._reading:
                meta = trial.metadata
                start = since.time if since is not None else None
                answers.append(
                    list(self._observations.logs(meta.namespace, meta.name, metric_name=metric, start=start))
                )
        except PykatibError as error:
            logger.warning("curves of running Trials cannot be read: %s", error)
        except Exception:
            logger.exception("curves of running Trials cannot be read")
        self._answers = answers
        self._wake()

    def _take_in(self) -> None:
        questions, answers = self._reading, self._answers or []
        self._reading, self._answers = [], None
        for (of, trial, _, since), logs in zip(questions, answers, strict=False):
            name = trial.metadata.name
            if is_finished(trial):
                of.learn(name, logs)
                self._next = 0.0  # until all are known, no running Trial is judged
                continue
            now = of.active.get(name)
            if now is None or now.metadata.uid != trial.metadata.uid:
                continue
            if now.status.retry_counts != trial.status.retry_counts:
                self._cursors.pop(trial.metadata.uid, None)
                continue
            new = logs if since is None else logs[since.seen :]
            if not new:
                continue
            last = logs[-1].time
            self._cursors[trial.metadata.uid] = _Cursor(last, sum(1 for log in logs if log.time == last))
            reason = of.hear(now, new, catching_up=since is None)
            if reason is not None:
                self._stops.to_stop(now.reference, reason)
        self._stops.announce_due(self._executor)
