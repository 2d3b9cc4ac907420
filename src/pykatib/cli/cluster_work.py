"""Following Experiments of a cluster in the foreground: for `run` and `resume`, as `following` does on one machine.

The operator runs them; this process only watches. So a signal ends the watching and nothing else, and while the
cluster does not answer it waits and goes on.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import click

from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.meta import Reference
from pykatib.api.objects import Object
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.cli.cluster_place import ClusterPlace, open_cluster
from pykatib.cli.judging import tell_refusals
from pykatib.cli.lookup import find_one
from pykatib.cli.main import INTERRUPTED
from pykatib.cli.news import NewsDesk
from pykatib.cli.options import Where
from pykatib.cli.place import addressed, cluster_of
from pykatib.cli.presenting import Presenter, Screen, is_settled, status_of
from pykatib.cli.refusals import warn
from pykatib.cli.signals import Signals
from pykatib.cli.sources import read_sources
from pykatib.cluster.following import Followed
from pykatib.cluster.judging import ClusterJudge, ClusterSubmission
from pykatib.control.view import ExperimentView
from pykatib.embedded.overrides import parse_overrides
from pykatib.embedded.submission import Refusal
from pykatib.runtime.clock import SystemClock

Beginning: TypeAlias = Literal["started", "resumed", "followed"]

LAST_LINES = 10
LOOK_SECONDS = 0.5
UNHEARD_SECONDS = 10.0
"""How long an Experiment may be without a condition before one wonders whether there is an operator."""


class ClusterWork:
    """Experiments of a cluster that are followed."""

    def __init__(self, place: ClusterPlace, where: Where, references: Sequence[tuple[Reference, Beginning]]) -> None:
        """Begins to follow Experiments; with each, what has happened to it."""
        self._place = place
        self._where = where
        self._clock = SystemClock()
        self._followed = Followed(place.server)
        self._asked_for = [reference for reference, _ in references]
        self._outage = ""
        self._unheard_since: dict[Reference, float] = {}
        found = [(self._followed.add(reference), what) for reference, what in references]
        self.desk = NewsDesk(self._followed, self._followed.view, self._clock, self._last_output)
        for experiment, what in found:
            self.desk.follow(experiment, what)
            if not experiment.status.conditions:
                self._unheard_since[experiment.reference] = self._clock.now()

    def now(self) -> float:
        """The moment."""
        return self._clock.now()

    def find(self, reference: Reference) -> Object | None:
        """An Experiment or Trial, or None."""
        return self._followed.find(reference)

    def view(self, namespace: str, name: str) -> ExperimentView:
        """What is known of an Experiment's Trials."""
        return self._followed.view(namespace, name)

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """None: values before a Trial's end are at the DB manager, within the cluster."""
        return {}

    def output_of(self, experiment: Experiment) -> str:
        """Nothing: it goes with the Pods."""
        return ""

    def _last_output(self, trial: Trial) -> str:
        return self._place.last_output(trial, LAST_LINES).text

    def results(self) -> list[Experiment]:
        """What was asked for, as it stands; deleted Experiments are left out."""
        found = (self.find(reference) for reference in self._asked_for)
        return [one for one in found if isinstance(one, Experiment)]

    def run(self, presenter: Presenter) -> int:
        """Follows until everything is over, or somebody has had enough; answers the exit status."""
        with Signals(self._followed.wake) as signals:
            screen = Screen(self.desk, presenter, signals.ask)
            try:
                while True:
                    self._followed.pump()
                    now = self.now()
                    self._look_around(now)
                    screen.tick(now)
                    if signals.count or all(self._is_settled(reference) for reference in self._asked_for):
                        break
                    due = screen.next_moment()
                    self._followed.wait(LOOK_SECONDS if due is None else max(0.0, min(LOOK_SECONDS, due - now)))
            finally:
                with contextlib.suppress(BrokenPipeError):
                    presenter.close()
                self.desk.close()
                self._followed.close()
        if signals.count:
            self._tell_how_to_go_on()
            return INTERRUPTED
        self._tell_what_is_stopped()
        return status_of([self.find(reference) for reference in self._asked_for])

    def _is_settled(self, reference: Reference) -> bool:
        return is_settled(self.find(reference), self.view(reference.namespace, reference.name))

    def _look_around(self, now: float) -> None:
        """Tells what keeps anything from happening."""
        outage = self._followed.outage
        if bool(outage) != bool(self._outage):
            text = f"{outage}; waiting for it" if outage else "the API server answers again"
            self.desk.warn(self._asked_for[0], text)
        self._outage = outage
        for reference, since in [*self._unheard_since.items()]:
            found = self.find(reference)
            if not isinstance(found, Experiment) or found.status.conditions:
                del self._unheard_since[reference]
            elif now - since >= UNHEARD_SECONDS:
                del self._unheard_since[reference]
                self.desk.warn(
                    reference,
                    f"no operator has taken it up for {UNHEARD_SECONDS:.0f} s; is one running, and for namespace "
                    f"{reference.namespace}? kubectl -n kubeflow get pods",
                )

    def _tell_how_to_go_on(self) -> None:
        for experiment in self.results():
            if is_completed(experiment):
                continue
            what = addressed(self._where, self._place, experiment.reference)
            with contextlib.suppress(BrokenPipeError):
                click.echo(f"Experiment {experiment.metadata.name} goes on in the cluster.", err=True)
                click.echo(f"  to follow it again: katib resume {what}", err=True)
                click.echo(f"  to stop it:         katib stop {what}", err=True)
                click.echo(f"  to delete it:       katib delete {what}", err=True)

    def _tell_what_is_stopped(self) -> None:
        for experiment in self.results():
            if not is_completed(experiment):
                what = addressed(self._where, self._place, experiment.reference)
                with contextlib.suppress(BrokenPipeError):
                    click.echo(f"Stopped. To go on: katib resume {what}", err=True)


def read_for_cluster(
    place: ClusterPlace, files: Sequence[str], *, settings: tuple[str, ...], namespace: str, replaces: bool
) -> ClusterSubmission | None:
    """What the files ask for; None, and all mistakes told on standard error, where there are any."""
    refusals: list[Refusal] = []
    overrides = []
    try:
        overrides = parse_overrides(settings)
    except InvalidInput as error:
        refusals.append(Refusal(error.source, error.errors))
    sources, unreadable = read_sources(list(files))
    refusals.extend(unreadable)
    submission = ClusterSubmission()
    if sources:
        judge = ClusterJudge(place.reader, place.wishes, namespace=place.default_namespace)
        submission, found = judge.read(sources, overrides=overrides, namespace=namespace, replaces=replaces)
        refusals.extend(found)
    tell_refusals(refusals)
    return None if refusals else submission


@contextlib.contextmanager
def run_there(
    where: Where, files: Sequence[str], *, settings: tuple[str, ...], namespace: str, replaces: bool
) -> Iterator[ClusterWork | None]:
    """Hands the Experiments of files in and follows them; None, and all mistakes told, where they are refused."""
    with _opened(where) as place:
        submission = read_for_cluster(place, files, settings=settings, namespace=namespace, replaces=replaces)
        if submission is None:
            yield None
            return
        for remark in submission.remarks:
            warn(remark)
        if replaces:
            place.delete([one.reference for one in submission.new if one.metadata.name and place.find(one.reference)])
        for item in submission.beside:
            place.wishes.keep(item)
        created = [place.wishes.create(experiment) for experiment in submission.new]
        order = {reference: index for index, reference in enumerate(submission.in_order)}
        references: list[tuple[Reference, Beginning]] = [(one.reference, "started") for one in created]
        references += [(one.reference, "followed") for one in submission.attached]
        references.sort(key=lambda one: order.get(one[0], len(order)))
        yield ClusterWork(place, where, references)


@contextlib.contextmanager
def resume_there(where: Where, name: str, namespace: str, *, max_trial_count: int | None) -> Iterator[ClusterWork]:
    """Has an Experiment taken up again, and follows it."""
    with _opened(where) as place:
        found = find_one(place, Experiment, name, namespace)
        place.wishes.resume(found.reference, max_trial_count=max_trial_count)
        yield ClusterWork(place, where, [(found.reference, "resumed")])


@contextlib.contextmanager
def _opened(where: Where) -> Iterator[ClusterPlace]:
    if os.environ.get("KATIB_DEBUG", "") in ("", "0"):
        # What goes wrong in a watch is told as a warning; its log is for --debug.
        logging.getLogger("pykatib").addHandler(logging.NullHandler())
        logging.getLogger("pykatib").propagate = False
    cluster = cluster_of(where)
    assert cluster is not None
    with open_cluster(*cluster) as place:
        yield place
