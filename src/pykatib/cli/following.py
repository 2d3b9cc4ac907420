"""Running Experiments in the foreground: the same for `run` and `resume`.

The process owns the home folder while it works. What it was not asked to run and a killed process left unfinished is
stopped first, so that a command runs what it names and nothing else. A signal sets a flag and wakes the loop; the first
stops everything so that it can be resumed, the second ends at once.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import click
import msgspec

from pykatib.api import names
from pykatib.api.errors import Conflict, StorageFailed
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.meta import Reference
from pykatib.api.objects import Object
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.cli.main import INTERRUPTED
from pykatib.cli.news import NewsDesk
from pykatib.cli.outputs import last_output
from pykatib.cli.presenting import Presenter, Screen, is_settled, status_of
from pykatib.cli.signals import Hurry, Signals
from pykatib.control.view import ExperimentView, is_finished
from pykatib.embedded.cleaning import FolderCleaner
from pykatib.embedded.folders import HomeFolders
from pykatib.embedded.home import Home, open_home
from pykatib.embedded.mail import Mailman
from pykatib.workers.attempts import attempts_in

_LAST_LINES = 10


def _experiment_of(trial: Trial) -> Reference:
    meta = trial.metadata
    return Reference(names.EXPERIMENT, meta.namespace, meta.labels.get(names.LABEL_EXPERIMENT, ""))


class Foreground:
    """An open home with its mail, its news and its folders looked after."""

    desk: NewsDesk

    def __init__(self, home: Home) -> None:
        self.home = home
        self.plane = home.plane
        self.door = home.plane.front_door
        self.store = home.store
        self.mailman = Mailman(home.store, home.plane, on_resume=self._resumed)
        self.plane.add_periodic(self.mailman)
        self.plane.on_close(FolderCleaner(home.store, home.folders).close)
        self._asked_for: list[Reference] = []
        self.is_closed = False

    def start(self, *, but: Sequence[Reference] = ()) -> list[Experiment]:
        """Starts the control plane; answers what an owner that was killed left unfinished, which is stopped now."""
        left = self._set_aside(but)
        self.plane.start()
        self.desk = NewsDesk(self.store, self.plane.control_plane.view, self.plane.clock, self._output_of)
        return left

    def now(self) -> float:
        """The moment."""
        return self.plane.clock.now()

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        return self.store.find(reference)

    def view(self, namespace: str, name: str) -> ExperimentView:
        """What is known of an Experiment's Trials."""
        return self.plane.control_plane.view(namespace, name)

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial."""
        return self.store.observations.latest(namespace, trial_name)

    def output_of(self, experiment: Experiment) -> str:
        """The file of the best Trial's output."""
        meta, best = experiment.metadata, experiment.status.current_optimal_trial.best_trial_name
        attempts = attempts_in(self.home.folders.trial(meta.namespace, meta.name, best)) if best else []
        return str(attempts[-1].log) if attempts else ""

    def _output_of(self, trial: Trial) -> str:
        return last_output(self.home.folders, trial, _LAST_LINES)

    def _set_aside(self, but: Sequence[Reference]) -> list[Experiment]:
        found = [one for one in self.store.list(names.EXPERIMENT) if isinstance(one, Experiment)]
        left = [one for one in found if one.reference not in but]
        unfinished = [one for one in left if not is_completed(one) and not one.spec.suspend]
        for experiment in unfinished:
            self.door.suspend(experiment.metadata.namespace, experiment.metadata.name)
        ended = {one.reference for one in left if is_completed(one)}
        for trial in self.store.list(names.TRIAL):
            if isinstance(trial, Trial) and not is_finished(trial) and _experiment_of(trial) in ended:
                self._kill(trial)
        return unfinished

    def _kill(self, trial: Trial) -> None:
        """Ends a Trial for good: its Experiment has ended already."""
        spec = msgspec.structs.replace(trial.spec, stop=names.STOP_KILL)
        with contextlib.suppress(Conflict):
            self.store.update(msgspec.structs.replace(trial, spec=spec))

    def follow(self, experiment: Experiment, *, resumed: bool = False) -> None:
        """Runs it to its end, tells of it, and counts it for the exit status."""
        self._asked_for.append(experiment.reference)
        self.desk.follow(experiment, "resumed" if resumed else "started")

    def remove(self, references: Iterable[Reference]) -> None:
        """Deletes Experiments that are there, and returns when they are gone."""
        there = [one for one in references if self.store.find(one) is not None]
        for reference in there:
            self.door.delete(reference.namespace, reference.name)
        self.plane.run(lambda: all(self.store.find(one) is None for one in there))

    def results(self) -> list[Experiment]:
        """What was asked for, as it stands; deleted Experiments are left out. May be called when all is closed."""
        found = (self.store.find(reference) for reference in self._asked_for)
        return [one for one in found if isinstance(one, Experiment)]

    def _resumed(self, reference: Reference) -> None:
        found = self.store.find(reference)
        if isinstance(found, Experiment):
            self.desk.follow(found, "resumed")

    def run(self, presenter: Presenter) -> int:
        """Works until everything that is followed is over, or somebody has had enough; answers the exit status."""
        hurried = False
        with Signals(self.plane.waiter.wake) as signals:
            screen = Screen(self.desk, presenter, signals.ask)
            self.plane.add_periodic(screen)
            try:
                self.plane.run(lambda: self._is_over(signals))
                hurried = signals.count > 1
                screen.tick(self.plane.clock.now())
            finally:
                with contextlib.suppress(BrokenPipeError):
                    presenter.close()
                self._close(signals)
        self._tell_how_to_resume("Ended at once" if hurried or signals.count > 1 else "Stopped")
        return INTERRUPTED if signals.count else status_of([self.find(one) for one in self._asked_for])

    def _close(self, signals: Signals) -> None:
        self.is_closed = True
        try:
            with contextlib.suppress(StorageFailed):  # closing says so again
                self.store.flush()  # others shall see where things stand while processes take their time to end
            signals.may_break_in = True
            if signals.count > 1:
                raise Hurry
            self.plane.close()
        except Hurry:
            self.plane.close(now=True)
        finally:
            signals.may_break_in = False
            self.desk.close()

    def _is_over(self, signals: Signals) -> bool:
        if signals.count:
            self._stop_all()
        return signals.count > 1 or all(self._is_settled(reference) for reference in self.desk.followed)

    def _stop_all(self) -> None:
        for reference in self.desk.followed:
            found = self.store.find(reference)
            if not isinstance(found, Experiment):
                continue
            if is_completed(found):
                for trial in self.plane.control_plane.view(reference.namespace, reference.name).active_trials():
                    if trial.spec.stop != names.STOP_KILL:
                        self._kill(trial)
            elif not found.spec.suspend:
                with contextlib.suppress(Conflict):
                    self.door.suspend(reference.namespace, reference.name)

    def _is_settled(self, reference: Reference) -> bool:
        return is_settled(self.find(reference), self.view(reference.namespace, reference.name))

    def _tell_how_to_resume(self, how: str) -> None:
        for reference in self.desk.followed:
            found = self.store.find(reference)
            if isinstance(found, Experiment) and not is_completed(found):
                where = "" if reference.namespace == names.DEFAULT_NAMESPACE else f" -n {reference.namespace}"
                with contextlib.suppress(BrokenPipeError):
                    click.echo(f"{how}. To go on: katib resume {reference.name}{where}", err=True)


@contextlib.contextmanager
def foreground(folders: HomeFolders) -> Iterator[Foreground]:
    """Opens a home to work in; closes it where the work does not come to `Foreground.run`.

    Raises:
        HomeLocked: another process owns it.
        StorageFailed: it cannot be kept there, or what is there cannot be read.
    """
    if os.environ.get("KATIB_DEBUG", "") in ("", "0"):
        # What goes wrong in the loop is told as an event; its traceback is for --debug.
        logging.getLogger("pykatib").addHandler(logging.NullHandler())
        logging.getLogger("pykatib").propagate = False
    work = Foreground(open_home(folders.root))
    try:
        yield work
    finally:
        if not work.is_closed:
            work.plane.close(now=True)
