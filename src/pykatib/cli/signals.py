"""Signals that end what runs in the foreground: the first is a wish, the second is in a hurry."""

import signal
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Hurry(BaseException):
    """The second signal, while what the first one asked for is under way."""


class Signals:
    """Counts signals, wakes the loop, and lets the second one break into a wait that allows it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.count = 0
        self.may_break_in = False
        self._wake = wake
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Signals":
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it came from there

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.ask()
        if self.count > 1 and self.may_break_in:
            self.may_break_in = False
            raise Hurry

    def ask(self) -> None:
        """As a signal does."""
        self.count += 1
        self._wake()
