"""The loop of a control plane on one machine: work while there is work, then wait for the earliest reason not to.

Everything happens on the thread that runs the loop. Other threads and signal handlers only wake it.
"""

import os
import selectors
from collections.abc import Callable, Sequence
from typing import Protocol

from pykatib.runtime.clock import Clock
from pykatib.runtime.control_plane import ControlPlane
from pykatib.workers.runner import Runner

LONGEST_WAIT_SECONDS = 1.0


class Waiter(Protocol):
    """Waits for something to happen."""

    def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or as soon as somebody wakes it or a watched file can be read."""
        ...

    def wake(self) -> None:
        """Ends a wait, from any thread or signal handler."""
        ...


class SelectorWaiter:
    """Waits on file descriptors and a pipe that wakes it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._is_open = True

    def watch(self, fileno: int) -> None:
        """Also wakes when that file can be read."""
        self._selector.register(fileno, selectors.EVENT_READ)

    def unwatch(self, fileno: int) -> None:
        """Forgets a file."""
        try:
            self._selector.unregister(fileno)
        except (KeyError, ValueError):
            pass

    def wait(self, seconds: float) -> None:
        """Returns when something happens, or after `seconds`."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.fd == self._reader:
                try:
                    while len(os.read(self._reader, 4096)) == 4096:
                        pass
                except BlockingIOError:
                    pass

    def wake(self) -> None:
        """Ends a wait."""
        try:
            os.write(self._writer, b"\0")
        except (BlockingIOError, OSError):
            pass  # the pipe is full, so it will wake; or closed, so nobody waits

    def close(self) -> None:
        """Gives the descriptors back."""
        if self._is_open:
            self._is_open = False
            self._selector.close()
            os.close(self._reader)
            # A thread that outlives us must not write into a file that gets this number next.
            writer, self._writer = self._writer, -1
            os.close(writer)


class Periodic(Protocol):
    """Something that wants a look now and then: commits, mail, the screen."""

    def tick(self, now: float) -> None:
        """Does what is due."""
        ...

    def rest(self) -> None:
        """The loop is about to wait for news."""
        ...

    def next_moment(self) -> float | None:
        """When something will be due."""
        ...


class Loop:
    """Runs a control plane and its runners until somebody has seen enough."""

    def __init__(
        self,
        control_plane: ControlPlane,
        runners: Sequence[Runner],
        clock: Clock,
        waiter: Waiter,
        *,
        periodics: Sequence[Periodic] = (),
    ) -> None:
        self._control_plane = control_plane
        self._runners = tuple(runners)
        self._clock = clock
        self._waiter = waiter
        self._periodics = tuple(periodics)

    def run(self, until: Callable[[], bool]) -> None:
        """Works until `until()` holds; it is asked whenever the control plane is at rest."""
        while True:
            self._control_plane.run_to_rest()
            if until():
                return
            did = False
            for runner in self._runners:
                did |= runner.advance()
            now = self._clock.now()
            for periodic in self._periodics:
                periodic.tick(now)
            if not did and not self._control_plane.has_work():
                for periodic in self._periodics:
                    periodic.rest()
                self._waiter.wait(self._wait_seconds(now))

    def _wait_seconds(self, now: float) -> float:
        moments = [self._control_plane.next_moment()]
        moments.extend(runner.next_moment() for runner in self._runners)
        moments.extend(periodic.next_moment() for periodic in self._periodics)
        earliest = min((moment for moment in moments if moment is not None), default=now + LONGEST_WAIT_SECONDS)
        return max(0.0, min(earliest - now, LONGEST_WAIT_SECONDS))
