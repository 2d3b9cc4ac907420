"""One Trial's metrics, from the program to the spool, and its end by stop rules.

The order of each step is what makes it safe: first it is asked whether the program has ended, then its metrics are
read, so nothing written before its end is missed; what was read is spooled with the place that it was read up to, so
nothing is read twice; and rules hear what was spooled, so a successor that reads the spool knows what they knew.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pykatib.api import names
from pykatib.api.errors import StorageFailed
from pykatib.api.shared import MetricLog
from pykatib.control.stop_rules import StopRules
from pykatib.sidecar.delivery import Delivery
from pykatib.sidecar.main_process import Program
from pykatib.sidecar.options import Options
from pykatib.sidecar.spool import Spool
from pykatib.workers.collectors.collector import make_collector
from pykatib.workers.logfile import LogBound

logger = logging.getLogger(__name__)

READ_BYTES: Final = 128 * 1024
WAITING_BYTES: Final = 64 * 1024 * 1024
"""So much may wait for the DB manager; beyond, reading waits too, for the files are on disk anyway."""

Sleep = Callable[[float], None]


class Collecting:
    """Reads one Trial's metrics into the spool; `step` again and again, then `finish`."""

    def __init__(self, options: Options, spool: Spool, delivery: Delivery, program: Program, *, sleep: Sleep) -> None:
        self._options, self._spool, self._delivery, self._program = options, spool, delivery, program
        self._sleep = sleep
        self._objective = options.objective.objective_metric_name
        self._is_objective_seen = spool.last is not None and spool.last.is_objective_seen
        self._rules = StopRules(options.rules, objective=options.objective)
        self._is_to_stop = False
        if options.rules:
            for report in spool.all():
                self._hear(report.logs)
        path = Path(options.path)
        self._collector = make_collector(
            options.collector,
            metric_names=options.objective.metric_names,
            log_path=path,
            source_path=path,
            log_bound=LogBound(),
            scrape_interval_seconds=options.poll_seconds,
            start=spool.last.positions if spool.last is not None else (),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be used, and, once finished, why the objective's metric never came."""
        return () if self._is_objective_seen and not self._collector.problems else self._collector.problems

    def step(self) -> bool:
        """Reads what is new; True when there may be more at once."""
        if self._spool.waiting_bytes > WAITING_BYTES:
            return False
        self._keep(self._collector.poll(time.time(), max_bytes=READ_BYTES))
        if self._is_to_stop and not self._program.was_stopped and self._program.stop():
            logger.info("the program is stopped early: %s", self._rules.reason)
        return not self._collector.caught_up

    def finish(self) -> None:
        """Reads the rest, when the program has ended."""
        while True:
            while self._spool.waiting_bytes > WAITING_BYTES and not self._delivery.is_closing:
                self._sleep(1.0)
            self._keep(self._collector.poll(time.time(), max_bytes=READ_BYTES))
            if self._collector.caught_up:
                break
        for logs in self._collector.finish(time.time()):
            self._keep(logs)
        if not self._is_objective_seen and not self._program.has_failed:
            self._add([MetricLog(0.0, self._objective, names.UNAVAILABLE)])

    def close(self) -> None:
        """Lets go of files and threads."""
        self._collector.close()

    def _keep(self, logs: Sequence[MetricLog]) -> None:
        if not logs:
            return
        if not self._is_objective_seen:
            self._is_objective_seen = any(log.name == self._objective for log in logs)
        self._add(logs)
        self._hear(logs)

    def _add(self, logs: Sequence[MetricLog]) -> None:
        while True:
            try:
                self._spool.add(logs, self._collector.positions, is_objective_seen=self._is_objective_seen)
                break
            except StorageFailed as error:  # what has arrived makes room
                logger.error("metrics wait: %s", error)
                self._sleep(1.0)
        self._delivery.notice()

    def _hear(self, logs: Sequence[MetricLog]) -> None:
        for log in logs:
            if self._rules.hear(log):
                self._is_to_stop = True
