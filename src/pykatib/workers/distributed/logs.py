"""Keeps the logs of replicas within their bound while they are written: nobody else reads those."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pykatib.workers.logfile import LogBound, LogTail

INTERVAL_SECONDS: Final = 3.0


class ReplicaLogs:
    """The logs of one job's replicas, apart from the one that is the attempt's."""

    def __init__(self, paths: Sequence[Path], bound: LogBound) -> None:
        self._tails = [LogTail(path, bound=bound) for path in paths]
        self.next_read = 0.0
        """When to look again."""

    def read(self, now: float) -> None:
        """Frees what was written beyond the bound; a slice of each log a step."""
        for tail in self._tails:
            tail.read()
        is_behind = any(not tail.caught_up for tail in self._tails)
        self.next_read = now if is_behind else now + INTERVAL_SECONDS

    def close(self) -> None:
        """Lets go."""
        for tail in self._tails:
            tail.close()
