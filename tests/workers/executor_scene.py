"""A sink that writes down what executors tell, and a loop that lets them work until something has been told."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from pykatib.embedded.loop import SelectorWaiter
from pykatib.workers.callables import Executor
from pykatib.workers.objective import Outcome

PATIENCE_SECONDS = 60.0  # how long until a condition counts as never to come


class Scene:
    """Takes everything that comes of jobs, in order."""

    def __init__(self) -> None:
        self.waiter = SelectorWaiter()
        self.reported: list[tuple[str, dict[str, str], float | None]] = []
        self.outcomes: dict[str, Outcome] = {}
        self.losses: dict[str, tuple[str, str]] = {}

    def metrics(self, job_name: str, metrics: Mapping[str, str], *, timestamp: float | None) -> bool:
        self.reported.append((job_name, dict(metrics), timestamp))
        return True

    def outcome(self, job_name: str, outcome: Outcome) -> None:
        assert job_name not in self.outcomes, "a job ends once"
        self.outcomes[job_name] = outcome

    def lost(self, job_name: str, message: str, *, reason: str) -> None:
        self.losses[job_name] = (reason, message)

    def work(self, executor: Executor, until: Callable[[], bool]) -> None:
        """Lets the executor work until `until()` holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not until():
            assert time.monotonic() < deadline, "the condition never came"
            if not executor.advance():
                self.waiter.wait(0.05)

    def run(self, executor: Executor, *names: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Runs jobs to their ends, as many at a time as the executor takes."""
        waiting = [*names]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(name in self.outcomes or name in self.losses for name in names):
            assert time.monotonic() < deadline, "a job never ended"
            while waiting and executor.capacity() > 0:
                executor.submit(waiting.pop(0), dict(parameters or {"x": 3}))
            if not executor.advance():
                self.waiter.wait(0.05)


def runs(pid: int) -> bool:
    """Whether a process is alive."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for something that another process does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        time.sleep(0.01)
