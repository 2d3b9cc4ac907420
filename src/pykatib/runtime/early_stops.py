"""Stops Trials early: hears what they report, and announces on a Trial that it is to be stopped, and why.

The announcement is Katib's condition `EarlyStopped`, written as Katib's service writes it; the Trial's own reconcile
then keeps the observation and ends the job. So nothing has to be remembered here: an announcement that was written is
carried out whoever dies, and one that was not is made again as soon as the Trial reports again or is read again.

What Experiments with early stopping have reported is known here once it is needed. On one machine reports pass by as
they come (`hear`); in a cluster they are read from the DB manager (`runtime.curve_reading`). A Trial's own rules
(`spec.earlyStoppingRules`, which a service of Katib's may have given it) are held against its reports too.

One thread owns it: the one that owns the control plane.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from pykatib.algorithms.stopping import registry
from pykatib.algorithms.stopping.monitor import StopMonitor
from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.errors import Conflict, InvalidInput, NotFound, Unavailable
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.meta import Reference
from pykatib.api.objects import Event
from pykatib.api.shared import MetricLog, ObjectiveSpec
from pykatib.api.trial import Trial
from pykatib.control.observation import number_of
from pykatib.control.stop_rules import StopRules
from pykatib.control.trial_plan import announced
from pykatib.control.view import is_finished, trial_state
from pykatib.runtime.clock import Clock
from pykatib.store.contract import Change, ObservationStore, Store, Subscription

logger = logging.getLogger(__name__)

COMPARED = (names.SUCCEEDED, names.EARLY_STOPPED)
"""How Trials end whose curves others are compared with."""


class StoppedExperiment:
    """What is known of one Experiment's Trials. `monitor` is None where its early stopping cannot be made."""

    def __init__(self, experiment: Experiment, monitor: StopMonitor | None, *, hears_all: bool) -> None:
        self.reference = experiment.reference
        self._hears_all = hears_all
        self.objective = experiment.spec.objective or ObjectiveSpec()
        self.monitor = monitor
        self.active: dict[str, Trial] = {}
        self.unlearned: dict[str, Trial] = {}  # ended Trials whose curves have not been read
        self.rules: dict[str, StopRules] = {}

    def metric_of(self, trial: Trial) -> str | None:
        """The one metric that matters of a Trial; None where all do."""
        return self.monitor.metric if self.monitor is not None and not trial.spec.early_stopping_rules else None

    def hear(self, trial: Trial, logs: Iterable[MetricLog], *, catching_up: bool = False) -> str | None:
        """Takes what a Trial has reported; why to stop it, or None."""
        name = trial.metadata.name
        logs = tuple(logs)
        reason: str | None = None
        if self.monitor is not None:
            reason = self.monitor.hear(name, points_of(logs, self.monitor.metric), catching_up=catching_up)
        if trial.spec.early_stopping_rules:
            rules = self.rules.get(name)
            if rules is None:
                rules = self.rules[name] = StopRules(trial.spec.early_stopping_rules, objective=self.objective)
            for log in logs:
                if rules.hear(log) and reason is None:
                    reason = rules.reason
        return reason

    def ended(self, trial: Trial) -> None:
        """A Trial has come to its end. Where not all of its reports were heard, its curve is to be learnt."""
        name = trial.metadata.name
        self.rules.pop(name, None)
        if self.monitor is None:
            return
        if trial_state(trial) not in COMPARED:
            self.monitor.forget(name)
        elif self._hears_all and name in self.monitor:
            self.monitor.ended(name)
        else:
            self.unlearned[name] = trial

    def learn(self, name: str, logs: Iterable[MetricLog]) -> None:
        """Takes the whole curve of a Trial that has ended."""
        if self.unlearned.pop(name, None) is not None and self.monitor is not None:
            self.monitor.forget(name)
            self.monitor.hear(name, points_of(logs, self.monitor.metric), catching_up=True)
            self.monitor.ended(name)

    def forget(self, name: str) -> None:
        """Takes back what a Trial has reported."""
        self.rules.pop(name, None)
        if self.monitor is not None:
            self.monitor.forget(name)


class EarlyStops:
    """The early stopping of all Experiments of a store.

    `hears_all` says that every report passes by as it comes, so that the curve of a Trial that ends is known.
    """

    def __init__(self, store: Store, observations: ObservationStore, clock: Clock, *, hears_all: bool = True) -> None:
        self._store = store
        self._hears_all = hears_all
        self._observations = observations
        self._clock = clock
        # By namespace and uid, for a Trial may claim an Experiment of another namespace; None where nothing is stopped.
        self._known: dict[tuple[str, str], StoppedExperiment | None] = {}
        self._due: dict[Reference, str] = {}  # announcements that could not be written
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Learns of the Trials in the store and follows them from now on."""
        self._subscription = self._store.subscribe((names.EXPERIMENT, names.TRIAL), self._on_change)

    def stop(self) -> None:
        """Follows the store no more."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    # What is in the store

    def _on_change(self, change: Change) -> None:
        old, new = change.old, change.new
        if isinstance(new, Trial):
            self._on_trial(new, old if isinstance(old, Trial) else None)
        elif isinstance(old, Trial):
            of = self._of(old)
            self._due.pop(old.reference, None)
            if of is not None:
                of.active.pop(old.metadata.name, None)
                of.unlearned.pop(old.metadata.name, None)
                of.forget(old.metadata.name)
        elif isinstance(new, Experiment):
            if is_completed(new):  # what it needs is read again if it goes on some day
                self._known.pop((new.metadata.namespace, new.metadata.uid), None)
        elif isinstance(old, Experiment):
            self._known.pop((old.metadata.namespace, old.metadata.uid), None)

    def _on_trial(self, trial: Trial, old: Trial | None) -> None:
        of = self._of(trial)
        if of is None:
            return
        name = trial.metadata.name
        if not is_finished(trial):
            if old is not None and old.status.retry_counts != trial.status.retry_counts:
                of.forget(name)
            of.active[name] = trial
        elif old is not None and not is_finished(old):
            of.active.pop(name, None)
            self._due.pop(trial.reference, None)
            of.ended(trial)

    def _of(self, trial: Trial) -> StoppedExperiment | None:
        """What is known of a Trial's Experiment; None where it stops no Trials, or no longer."""
        owner = trial.metadata.controller
        if owner is None or owner.kind != names.EXPERIMENT:
            return None
        key = (trial.metadata.namespace, owner.uid)
        if key not in self._known:
            found = self._store.find(Reference(names.EXPERIMENT, trial.metadata.namespace, owner.name))
            if not isinstance(found, Experiment) or found.metadata.uid != owner.uid or is_completed(found):
                return None
            self._known[key] = self._made(found)
        return self._known[key]

    def _made(self, experiment: Experiment) -> StoppedExperiment | None:
        spec, meta = experiment.spec, experiment.metadata
        if spec.early_stopping is None:
            return None
        monitor: StopMonitor | None = None
        try:
            monitor = StopMonitor(registry.create(spec.early_stopping, spec.objective or ObjectiveSpec()))
        except InvalidInput as error:  # admission was not asked, or is of another release
            about, text = experiment.reference, f"early stopping does nothing: {error}"
            now = self._clock.now()
            self._store.record(
                Event(about.kind, about.namespace, about.name, names.WARNING, names.RECONCILE_ERROR, text, now)
            )
        of = StoppedExperiment(experiment, monitor, hears_all=self._hears_all)
        for trial in self._store.list(
            names.TRIAL, namespace=meta.namespace, labels={names.LABEL_EXPERIMENT: meta.name}
        ):
            if isinstance(trial, Trial) and trial.metadata.is_controlled_by(meta.uid):
                if is_finished(trial):
                    of.ended(trial)
                else:
                    of.active[trial.metadata.name] = trial
        return of

    def experiments(self) -> Iterator[StoppedExperiment]:
        """Those that stop Trials."""
        return (of for of in self._known.values() if of is not None)

    # What Trials report

    def hear(self, namespace: str, trial_name: str, logs: Sequence[MetricLog]) -> None:
        """Takes what a Trial has just reported and, if that is a reason to stop it, announces so."""
        trial = self._active(namespace, trial_name)
        of = self._of(trial) if trial is not None else None
        if of is None or trial is None or trial_name not in of.active:
            return
        for name, ended in list(of.unlearned.items()):
            of.learn(name, self._logs(ended, of))
        reason = of.hear(trial, logs)
        stoppable = self._stoppable(trial.reference) if reason is not None else None
        if reason is not None and stoppable is not None:
            self._write(announced(stoppable, reason, self._clock.now()))

    def forget(self, namespace: str, trial_name: str) -> None:
        """What a Trial has reported is deleted: it runs anew, or is gone."""
        trial = self._active(namespace, trial_name)
        of = self._of(trial) if trial is not None else None
        if of is not None:
            of.forget(trial_name)

    def _active(self, namespace: str, trial_name: str) -> Trial | None:
        found = self._store.find(Reference(names.TRIAL, namespace, trial_name))
        return found if isinstance(found, Trial) and not is_finished(found) else None

    def _logs(self, trial: Trial, of: StoppedExperiment) -> Iterable[MetricLog]:
        meta = trial.metadata
        return self._observations.logs(meta.namespace, meta.name, metric_name=of.metric_of(trial))

    # Announcing

    def to_stop(self, trial: Reference, reason: str) -> None:
        """Has a Trial announced by `announce_due`."""
        self._due[trial] = reason

    def announce_due(self, carry_out: Callable[[Callable[[], None]], None]) -> None:
        """Has announcements written, on whichever thread. They stay due until the store tells that they are there."""
        for reference, reason in list(self._due.items()):
            trial = self._stoppable(reference)
            if trial is None:
                del self._due[reference]
            else:
                carry_out(partial(self._write, announced(trial, reason, self._clock.now())))

    def _stoppable(self, reference: Reference) -> Trial | None:
        trial = self._store.find(reference)
        if not isinstance(trial, Trial) or is_finished(trial) or trial.spec.stop:
            return None
        return None if is_true(trial.status.conditions, names.EARLY_STOPPED) else trial

    def _write(self, trial: Trial) -> None:
        try:
            self._store.update_status(trial)
        except (Conflict, NotFound):
            pass  # somebody was faster; what is due is looked at again
        except Unavailable as error:
            logger.warning("the Trial %s cannot be stopped yet: %s", trial.metadata.name, error)


def points_of(logs: Iterable[MetricLog], metric: str) -> Iterator[tuple[float, float]]:
    """Time and value of what was reported of a metric; what is no number is no report of it."""
    for log in logs:
        if log.name == metric:
            value = number_of(log.value)
            if value is not None:
                yield log.time, value


class HeardObservations:
    """An observation store whose reports are heard as they come."""

    def __init__(self, observations: ObservationStore, stops: EarlyStops) -> None:
        self._observations = observations
        self._stops = stops
        self.logs = observations.logs
        self.latest = observations.latest

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog]) -> None:
        """Adds logs in their order, and has them heard."""
        self._observations.report(namespace, trial_name, logs)
        if logs:
            self._stops.hear(namespace, trial_name, logs)

    def delete(self, namespace: str, trial_name: str) -> None:
        """Forgets the logs of a Trial; there may be none."""
        self._observations.delete(namespace, trial_name)
        self._stops.forget(namespace, trial_name)
