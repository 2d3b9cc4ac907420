"""A whole control plane in one process: store, loop, runners, front door."""

from collections.abc import Callable
from contextlib import ExitStack

from pykatib.embedded.algorithm_services import LocalAlgorithms
from pykatib.embedded.front_door import FrontDoor
from pykatib.embedded.loop import Loop, Periodic, SelectorWaiter
from pykatib.runtime.clock import Clock, SystemClock
from pykatib.runtime.control_plane import ControlPlane
from pykatib.runtime.early_stops import EarlyStops, HeardObservations
from pykatib.store.contract import ObservationStore, Store
from pykatib.workers.runner import Runner


class EmbeddedControlPlane:
    """Reconciles a store on the thread that calls `run`. Add runners, `start`, hand Experiments in, `run`, `close`."""

    def __init__(self, store: Store, observations: ObservationStore, clock: Clock | None = None) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        self._stops = EarlyStops(store, observations, self.clock)
        self.observations: ObservationStore = HeardObservations(observations, self._stops)
        """Where runners report to: what comes by is heard for early stopping."""
        self.waiter = SelectorWaiter()
        algorithms = LocalAlgorithms(self.waiter.wake)
        self.control_plane = ControlPlane(store, self.observations, self.clock, algorithms.gateway)
        algorithms.on_answer(self.control_plane.look_at)
        self._runners: list[Runner] = []
        self._periodics: list[Periodic] = [algorithms]
        self._closers: list[Callable[[], None]] = [algorithms.close]
        self.front_door = FrontDoor(store, lambda: self._runners)

    def add_runner(self, runner: Runner) -> None:
        """Lets a runner see to the worker jobs that it accepts."""
        self._runners.append(runner)

    def add_periodic(self, periodic: Periodic) -> None:
        """Lets something have a look between two steps."""
        self._periodics.append(periodic)

    def on_close(self, closer: Callable[[], None]) -> None:
        """Has something done when the control plane is closed, before the store is."""
        self._closers.append(closer)

    def start(self) -> None:
        """Takes up what is in the store."""
        self.control_plane.start()
        self._stops.start()
        for runner in self._runners:
            runner.start()

    def run(self, until: Callable[[], bool]) -> None:
        """Works until `until()` holds."""
        loop = Loop(self.control_plane, self._runners, self.clock, self.waiter, periodics=self._periodics)
        loop.run(until)

    def close(self, *, now: bool = False) -> None:
        """Ends all worker jobs that run, keeps everything, and lets go; the rest of it even where a part fails."""
        with ExitStack() as ending:  # what is pushed last goes first
            ending.callback(self.waiter.close)
            ending.callback(self.store.close)
            for closer in reversed(self._closers):
                ending.callback(closer)
            ending.callback(self.control_plane.stop)
            ending.callback(self._stops.stop)
            for runner in reversed(self._runners):
                ending.callback(runner.close, now=now)
