"""The only door to time. What waits takes a Clock, so that an hour's time limit takes a millisecond in a test."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in seconds since the Unix epoch."""

    def now(self) -> float:
        """The moment, in seconds since the epoch; never goes back within one process."""
        ...


class SystemClock:
    """The machine's clock, kept from going backwards when the system time is set."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._offset + time.monotonic()


class ManualClock:
    """A clock that stands still until it is told otherwise: for tests and simulations."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Moves the clock forward."""
        self._now += seconds
