"""Carries the metrics of one attempt from its collector to the store, while it runs and once it has ended.

Bounded steps: however much a program prints, nobody waits long for one job's output to be read.
"""

from pathlib import Path
from typing import Final

from pykatib.api import names
from pykatib.api.shared import MetricsCollectorSpec
from pykatib.api.trial import Trial
from pykatib.store.contract import ObservationStore, Store
from pykatib.workers.attempts import AttemptFolder
from pykatib.workers.collectors.collector import make_collector
from pykatib.workers.logfile import LogBound

POLL_SECONDS: Final = 0.3
"""How often a running job's metrics are read."""


class JobMetrics:
    """The metrics of one attempt."""

    def __init__(
        self,
        trial: Trial,
        folder: AttemptFolder,
        *,
        source_path: Path | None,
        store: Store,
        observations: ObservationStore,
        log_bound: LogBound,
    ) -> None:
        objective = trial.spec.objective
        assert objective is not None, "validated"
        self._key = (trial.metadata.namespace, trial.metadata.name)
        self._store = store
        self._observations = observations
        self._collector = make_collector(
            trial.spec.metrics_collector or MetricsCollectorSpec(),
            metric_names=objective.metric_names,
            log_path=folder.log,
            source_path=source_path,
            push_path=folder.pushed,
            collector_log_path=folder.collector_log,
            log_bound=log_bound,
        )
        self.next_read = 0.0
        """When to read again while the job runs."""

    @property
    def caught_up(self) -> bool:
        """Whether the last `read` left nothing unread."""
        return self._collector.caught_up

    def read(self, now: float) -> bool:
        """Keeps what is new, as far as one step goes; True when there was something."""
        logs = self._collector.poll(now)
        self._observations.report(*self._key, logs)
        if self.caught_up:
            self.next_read = now + POLL_SECONDS
        else:
            # So much output is being cut to its bound as it is read: what was found in it must not be lost with us.
            self._store.flush()
            self.next_read = now
        return bool(logs)

    def finish(self, now: float) -> tuple[str, ...]:
        """Keeps the rest, when nobody writes any more; says what was wrong with the metrics."""
        for logs in self._collector.finish(now):
            self._observations.report(*self._key, logs)
        return self._collector.problems

    def close(self) -> None:
        """Lets go, for a job that is given up."""
        self._collector.close()


def forget_what_is_read_again(
    trial: Trial, folder: AttemptFolder, observations: ObservationStore, bound: LogBound
) -> None:
    """Before an attempt is read from its beginning: what an earlier life read of it would count twice.

    Where the log was longer than what is kept of it, that life's reading is the only one of the part that is gone; then
    all is left, and values show up twice rather than not at all.
    """
    if folder.log_bytes() <= bound.head_bytes + bound.tail_bytes:
        observations.delete(trial.metadata.namespace, trial.metadata.name)


def metrics_environment(folder: AttemptFolder) -> dict[str, str]:
    """What tells a process where to push, and a collector of the user's own when the main process has ended."""
    return {names.ENV_METRICS_FILE: str(folder.pushed), names.ENV_EXIT_FILE: str(folder.exit)}
