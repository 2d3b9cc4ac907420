"""The loop works while there is work, then waits for the earliest reason not to."""

import os
import threading
from collections.abc import Iterator

import pytest

from pykatib.api import names
from pykatib.api.meta import Reference
from pykatib.embedded.loop import LONGEST_WAIT_SECONDS, Loop, SelectorWaiter
from pykatib.runtime.algorithm_host import AlgorithmHost
from pykatib.runtime.clock import ManualClock
from pykatib.runtime.control_plane import ControlPlane
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore


class JumpingWaiter:
    """Waits by moving the clock on."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._clock.advance(max(seconds, 0.001))

    def wake(self) -> None:
        """Nobody sleeps."""


class Timer:
    """A periodic that is due at one moment."""

    def __init__(self, clock: ManualClock, due: float | None) -> None:
        self.clock = clock
        self.due = due
        self.calls: list[str] = []

    def tick(self, now: float) -> None:
        self.calls.append("tick")
        if self.due is not None and now >= self.due:
            self.due = None

    def rest(self) -> None:
        self.calls.append("rest")

    def next_moment(self) -> float | None:
        return self.due


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.store = MemoryStore(self.clock.now)

        def create(*_: object, **__: object) -> None:
            raise AssertionError("nobody asks")

        self.plane = ControlPlane(
            self.store,
            MemoryObservationStore(),
            self.clock,
            AlgorithmHost(create),  # type: ignore[arg-type]
        )
        self.waiter = JumpingWaiter(self.clock)

    def loop(self, *timers: Timer) -> Loop:
        return Loop(self.plane, (), self.clock, self.waiter, periodics=timers)


def test_it_returns_at_once_when_there_is_nothing_to_wait_for() -> None:
    scene = Scene()
    scene.loop().run(lambda: True)
    assert scene.waiter.waits == []


@pytest.mark.parametrize(
    ("due", "waits"),
    [
        pytest.param(1000.25, [0.25], id="until it is due"),
        pytest.param(1002.5, [1.0, 1.0, 0.5], id="never longer than a second"),
    ],
)
def test_it_waits_for_the_earliest_moment(due: float, waits: list[float]) -> None:
    scene = Scene()
    timer = Timer(scene.clock, due)
    scene.loop(timer, Timer(scene.clock, None)).run(lambda: timer.due is None)
    assert scene.waiter.waits[: len(waits)] == waits


def test_without_any_moment_it_waits_its_longest() -> None:
    scene = Scene()
    scene.loop().run(lambda: len(scene.waiter.waits) == 2)
    assert scene.waiter.waits == [LONGEST_WAIT_SECONDS] * 2


def test_delayed_keys_end_a_wait() -> None:
    scene = Scene()
    scene.plane._queue.add_at(Reference(names.TRIAL, "ns", "t"), 1000.125)
    scene.loop().run(lambda: bool(scene.waiter.waits))
    assert scene.waiter.waits == [0.125]


def test_periodics_tick_each_round_and_rest_before_each_wait() -> None:
    scene = Scene()
    timer = Timer(scene.clock, None)
    scene.loop(timer).run(lambda: len(scene.waiter.waits) == 2)
    assert timer.calls == ["tick", "rest", "tick", "rest"]


# Waiting for real


@pytest.fixture
def waiter() -> Iterator[SelectorWaiter]:
    made = SelectorWaiter()
    yield made
    made.close()


def test_a_wake_from_another_thread_ends_a_wait(waiter: SelectorWaiter) -> None:
    thread = threading.Thread(target=waiter.wake)
    thread.start()
    waiter.wait(600)
    thread.join()


def test_a_wake_before_the_wait_is_not_lost_and_many_are_one(waiter: SelectorWaiter) -> None:
    for _ in range(200_000):
        waiter.wake()
    waiter.wait(600)
    assert not waiter._selector.select(0), "all wakes have been taken in"


def test_a_watched_file_ends_a_wait_until_it_is_unwatched(waiter: SelectorWaiter) -> None:
    reader, writer = os.pipe()
    try:
        waiter.watch(reader)
        os.write(writer, b"x")
        waiter.wait(600)
        waiter.unwatch(reader)
        waiter.unwatch(reader)
        waiter.wait(0)
    finally:
        os.close(reader)
        os.close(writer)


def test_a_late_wake_does_not_write_into_a_file_that_got_the_number(tmp_path: os.PathLike[str]) -> None:
    waiter = SelectorWaiter()
    number = waiter._writer
    waiter.close()
    waiter.close()
    opened: list[int] = []
    path = os.path.join(tmp_path, "file")
    while number not in opened:
        opened.append(os.open(path, os.O_RDWR | os.O_CREAT))
    waiter.wake()
    for fd in opened:
        os.close(fd)
    assert os.path.getsize(path) == 0
