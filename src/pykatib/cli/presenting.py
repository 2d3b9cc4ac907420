"""Showing what happens to Experiments that somebody follows, wherever they run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.meta import Reference
from pykatib.api.objects import Object
from pykatib.api.shared import MetricLog
from pykatib.cli.main import FAILED, INTERRUPTED, SUCCEEDED
from pykatib.cli.news import News, NewsDesk
from pykatib.control.view import ExperimentView


class Work(Protocol):
    """Experiments that are followed to their ends, here or in a cluster."""

    @property
    def desk(self) -> NewsDesk:
        """What has happened to them."""
        ...

    def now(self) -> float:
        """The moment."""
        ...

    def find(self, reference: Reference) -> Object | None:
        """An Experiment or Trial, or None."""
        ...

    def view(self, namespace: str, name: str) -> ExperimentView:
        """What is known of an Experiment's Trials."""
        ...

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial, where they can be read."""
        ...

    def run(self, presenter: "Presenter") -> int:
        """Follows until everything is over, or somebody has had enough; answers the exit status."""
        ...

    def results(self) -> list[Experiment]:
        """What was asked for, as it stands."""
        ...

    def output_of(self, experiment: Experiment) -> str:
        """Where the output of the best Trial is; empty where there is nothing to say."""
        ...


class Presenter(Protocol):
    """Shows what happens."""

    def show(self, news: list[News], now: float) -> None:
        """Tells news, in order."""
        ...

    def draw(self, now: float) -> None:
        """Brings a picture up to date, if there is one."""
        ...

    def next_draw(self) -> float | None:
        """When the picture is out of date."""
        ...

    def close(self) -> None:
        """Leaves the terminal in order."""
        ...


class Silence:
    """Shows nothing (`--quiet`)."""

    def show(self, news: list[News], now: float) -> None:
        """Says nothing."""

    def draw(self, now: float) -> None:
        """Draws nothing."""

    def next_draw(self) -> float | None:
        """Never."""
        return None

    def close(self) -> None:
        """Nothing is open."""


class Screen:
    """The periodic that brings news to a presenter. An output that nobody reads any more is a wish to stop."""

    def __init__(self, desk: NewsDesk, presenter: Presenter, on_broken: Callable[[], None]) -> None:
        self._desk = desk
        self._presenter = presenter
        self._on_broken = on_broken
        self.is_broken = False

    def tick(self, now: float) -> None:
        """Shows what is new."""
        if self.is_broken:
            return
        try:
            self._presenter.show(self._desk.take(now), now)
            due = self._presenter.next_draw()
            if due is not None and due <= now:
                self._presenter.draw(now)
        except BrokenPipeError:
            self.is_broken = True
            self._on_broken()

    def rest(self) -> None:
        """Everything has been shown."""

    def next_moment(self) -> float | None:
        """When the picture is out of date."""
        return None if self.is_broken else self._presenter.next_draw()


def is_settled(found: Object | None, view: ExperimentView) -> bool:
    """Whether nothing more is to be expected of an Experiment: ended with all its Trials, stopped, or deleted."""
    if not isinstance(found, Experiment):
        return True
    if is_completed(found):
        return view.active_count == 0
    if found.spec.suspend:
        return is_true(found.status.conditions, names.SUSPENDED) and view.count(names.RUNNING) == 0
    return False


def status_of(found: Sequence[Object | None]) -> int:
    """The exit status that Experiments mean, None being one that was deleted."""
    status = SUCCEEDED
    for one in found:
        if not isinstance(one, Experiment) or not is_completed(one):
            return INTERRUPTED
        if is_true(one.status.conditions, names.FAILED):
            status = FAILED
    return status
