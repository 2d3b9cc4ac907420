"""The one control loop: observe, plan, apply, for Experiments, Suggestions and Trials.

Changes of the store put keys into the queue and keep the views; a step takes a key, reads what its planner needs,
and does what the plan says. The loop neither sleeps nor starts threads: whoever owns it calls `step` while there is
work and waits until `next_moment` when there is none. The same class serves the laptop, the tests' simulation and,
with a store that speaks to an API server, the cluster.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from pykatib.algorithms.choosing import PICK, PICK_REASON
from pykatib.api import names
from pykatib.api.errors import Conflict, InvalidInput, NotFound, PykatibError, StorageFailed, Unavailable
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.meta import Reference
from pykatib.api.objects import ConfigMap, Event, Object, WorkerJob
from pykatib.api.shared import Observation
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.api.validation import Templates
from pykatib.control.blueprint import Blueprint
from pykatib.control.experiment_plan import plan_experiment
from pykatib.control.observation import observe
from pykatib.control.plan import Plan
from pykatib.control.suggestion_plan import (
    deployment_status,
    failed_status,
    is_settled,
    missing_count,
    settled_status,
    with_proposals,
)
from pykatib.control.trial_plan import JobView, is_being_stopped, plan_trial, worker_reference
from pykatib.control.verdict import judge
from pykatib.control.view import ExperimentView, is_finished
from pykatib.runtime.algorithm_host import AlgorithmGateway, StillThinking
from pykatib.runtime.apply import Applier
from pykatib.runtime.clock import Clock
from pykatib.runtime.queue import WorkQueue
from pykatib.store.contract import Change, ObservationStore, Store, Subscription

logger = logging.getLogger(__name__)

Executor: TypeAlias = Callable[[Callable[[], None]], None]
"""Runs what it is given, some time, on whichever thread."""

MAX_ALGORITHM_FAILURES = 5
"""An algorithm that fails this often in a row has failed for good; its Experiment says why."""

TEMPLATE_SECONDS = 5.0
"""How long to wait before looking again for a template that is missing."""


class ControlPlane:
    """Reconciles everything in a store. One thread owns it.

    With an `executor`, plans are carried out on its threads, several at a time, and `wake` is called when one has been,
    for the owner to `collect`; the store must then take writes from any thread, and tell of them on the owner's. A key
    whose plan is being carried out is not looked at before that is done.

    `trials_at_once` limits how many Trials of an Experiment are created before it is the turn of others. Where creating
    takes time, of a hundred Experiments that come together the last would wait for all others else.

    `templates_for` says where the Experiments of a namespace find ConfigMaps with Trial templates; by default that is
    the whole store.
    """

    def __init__(
        self,
        store: Store,
        observations: ObservationStore,
        clock: Clock,
        host: AlgorithmGateway,
        *,
        executor: Executor | None = None,
        wake: Callable[[], None] = lambda: None,
        templates_for: Callable[[str], Templates] | None = None,
        trials_at_once: int | None = None,
    ) -> None:
        self._store = store
        self._templates_for = templates_for or (lambda namespace: self._any_template)
        self._trials_at_once = trials_at_once
        self._executor = executor
        self._wake = wake
        self._in_flight: set[Reference] = set()
        self._wanted_again: set[Reference] = set()
        self._carried_out: deque[tuple[Reference, float | None, BaseException | None]] = deque()
        self._observations = observations
        self._clock = clock
        self._host = host
        self._applier = Applier(store, observations)
        self._queue = WorkQueue((names.TRIAL, names.SUGGESTION, names.EXPERIMENT))
        self._views: dict[tuple[str, str], ExperimentView] = {}  # by the Experiment's namespace and uid
        self._blueprints: dict[str, tuple[int, Blueprint]] = {}
        self._algorithm_failures: dict[str, int] = {}
        self._asked: dict[str, int] = {}  # by the Experiment's uid: proposals that an algorithm is thinking about
        self._current: Reference | None = None
        self._reconcilers: dict[str, Callable[[Reference], None]] = {
            names.EXPERIMENT: self._reconcile_experiment,
            names.SUGGESTION: self._reconcile_suggestion,
            names.TRIAL: self._reconcile_trial,
        }
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Learns what is in the store and follows it from now on."""
        self._subscription = self._store.subscribe(None, self._on_change)

    def stop(self) -> None:
        """Follows the store no more."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    def view(self, namespace: str, experiment_name: str) -> ExperimentView:
        """What is known of an Experiment's Trials; nothing where there is no such Experiment."""
        experiment = self._store.find(Reference(names.EXPERIMENT, namespace, experiment_name))
        return self._view(namespace, experiment.metadata.uid) if experiment is not None else ExperimentView()

    def _view(self, namespace: str, uid: str) -> ExperimentView:
        # The uid alone would do, did nobody write Trials that claim an Experiment of another namespace.
        view = self._views.get((namespace, uid))
        if view is None:
            view = self._views[namespace, uid] = ExperimentView()
        return view

    def next_moment(self) -> float | None:
        """When there will be work though nothing changes; None where there will be none."""
        return self._queue.next_moment()

    def look_at(self, key: Reference) -> None:
        """Has a key reconciled though nothing of it has changed in the store."""
        self._queue.add(key)

    def has_work(self) -> bool:
        """True when a step would do something now."""
        return len(self._queue) > 0 or bool(self._carried_out)

    def step(self) -> bool:
        """Reconciles one key; False when there is nothing to do now."""
        found = self._queue.pop(self._clock.now())
        if found is None:
            return False
        if found in self._in_flight:
            self._wanted_again.add(found)
            return True
        self._current = found
        failure = None
        try:
            self._reconcilers[found.kind](found)
        except BaseException as error:
            failure = error
        finally:
            self._current = None
        if failure is not None or found not in self._in_flight:
            self._settle(found, failure)
        return True

    def _settle(self, key: Reference, failure: BaseException | None) -> None:
        """What becomes of a key that has been reconciled."""
        if failure is None:
            self._queue.succeeded(key)
        elif isinstance(failure, Conflict | NotFound):  # stale: read again
            self._queue.failed(key, self._clock.now())
        elif isinstance(failure, StorageFailed) or not isinstance(failure, Exception):
            self._queue.add(key)  # nothing more can be kept, or Ctrl-C: whoever goes on finds it undone
            raise failure
        else:
            if not isinstance(failure, PykatibError):
                logger.error("reconciling %s failed", key, exc_info=failure)
            self._report(key, failure)

    def _carry_out(self, key: Reference, act: Callable[[], float | None]) -> None:
        """Has something done to the stores, at once or by the executor; answers when to look at the key again."""
        if self._executor is None:
            self._look_again(key, act())
            return

        def run() -> None:
            seconds: float | None = None
            failure: BaseException | None = None
            try:
                seconds = act()
            except BaseException as error:  # it is told where the key was taken
                failure = error
            self._carried_out.append((key, seconds, failure))
            self._wake()

        self._in_flight.add(key)
        self._executor(run)

    def _look_again(self, key: Reference, seconds: float | None) -> None:
        if seconds is not None:
            self._queue.add_at(key, self._clock.now() + seconds)

    def collect(self) -> None:
        """Takes note of plans that the executor has carried out; to be called before the store tells what they did.

        In this order a key is never planned again on what was known before its plan was carried out.
        """
        while self._carried_out:
            key, seconds, failure = self._carried_out.popleft()
            self._in_flight.discard(key)
            self._look_again(key, seconds)
            if key in self._wanted_again:
                self._wanted_again.discard(key)
                self._queue.add(key)
            self._settle(key, failure)

    def run_to_rest(self) -> None:
        """Steps until nothing is to be done now."""
        while self.step():
            pass

    def _report(self, key: Reference, error: Exception) -> None:
        now = self._clock.now()
        self._queue.failed(key, now)
        self._tell_error(key, error, now)

    def _tell_error(self, key: Reference, error: Exception, now: float) -> None:
        text = str(error) if key.kind == names.SUGGESTION else f"Failed to reconcile: {error}"
        self._store.record(Event(key.kind, key.namespace, key.name, names.WARNING, names.RECONCILE_ERROR, text, now))

    # Changes of the store

    def _on_change(self, change: Change) -> None:
        obj = change.new if change.new is not None else change.old
        if isinstance(obj, Trial):
            self._on_trial(change, obj)
        elif isinstance(obj, WorkerJob):
            controller = obj.metadata.controller
            if controller is not None and controller.kind == names.TRIAL:
                self._enqueue(Reference(names.TRIAL, obj.metadata.namespace, controller.name))
        elif isinstance(obj, Suggestion):
            self._enqueue(obj.reference)
            self._enqueue(Reference(names.EXPERIMENT, obj.metadata.namespace, obj.metadata.name))
        elif isinstance(obj, Experiment):
            self._on_experiment(change, obj)

    def _enqueue(self, key: Reference) -> None:
        # What a reconcile writes itself is no news to it: planning again after acting plans nothing new.
        if key != self._current:
            self._queue.add(key)

    def _on_trial(self, change: Change, trial: Trial) -> None:
        if change.new is not None:
            self._enqueue(trial.reference)
        old = change.old if isinstance(change.old, Trial) else None
        new = change.new if isinstance(change.new, Trial) else None
        owner = trial.metadata.controller
        if owner is None or owner.kind != names.EXPERIMENT:
            return
        # By uid: Trials of a deleted Experiment may linger, and are nothing to a new one of the same name.
        key = Reference(names.EXPERIMENT, trial.metadata.namespace, owner.name)
        view = self._view(key.namespace, owner.uid)
        view.apply(old, new)
        if not view.trial_count:
            self._let_go(key.namespace, owner.uid, self._store.find(key))
        self._enqueue(key)

    def _on_experiment(self, change: Change, experiment: Experiment) -> None:
        self._enqueue(experiment.reference)
        if change.new is None:
            self._forget(experiment)
            return
        old = change.old
        if (
            not isinstance(old, Experiment)
            or old.spec is not experiment.spec
            or old.status.conditions is not experiment.status.conditions
        ):
            self._queue.add(Reference(names.SUGGESTION, experiment.metadata.namespace, experiment.metadata.name))

    def _forget(self, experiment: Experiment) -> None:
        meta = experiment.metadata
        self._blueprints.pop(meta.uid, None)
        self._algorithm_failures.pop(meta.uid, None)
        self._asked.pop(meta.uid, None)
        self._host.forget(experiment.reference, meta.uid)
        if not self._view(meta.namespace, meta.uid).trial_count:
            self._let_go(meta.namespace, meta.uid, None)

    def _let_go(self, namespace: str, uid: str, experiment: Object | None) -> None:
        """Drops the empty view of an Experiment that is there no more."""
        if experiment is None or experiment.metadata.uid != uid:
            self._views.pop((namespace, uid), None)

    # Reconcilers

    def _find(self, key: Reference) -> Object | None:
        return self._store.find(key)

    def _reconcile_experiment(self, key: Reference) -> None:
        experiment = self._find(key)
        if not isinstance(experiment, Experiment):
            return
        now = self._clock.now()
        uid = experiment.metadata.uid
        suggestion = self._find(Reference(names.SUGGESTION, key.namespace, key.name))
        if suggestion is not None and not suggestion.metadata.is_controlled_by(uid):
            suggestion = None  # of an earlier Experiment of that name; its going will be told
        blueprint: Blueprint | None = None
        try:
            blueprint = self._blueprint(experiment)
        except InvalidInput as error:  # the rest of the Experiment goes on; its template may come, or be mended
            if experiment.metadata.deletion_timestamp is None and not is_completed(experiment):
                self._tell_error(key, error, now)
                self._queue.add_at(key, now + TEMPLATE_SECONDS)
        plan = plan_experiment(
            experiment,
            suggestion if isinstance(suggestion, Suggestion) else None,
            self._view(key.namespace, uid),
            blueprint,
            now,
            at_once=self._trials_at_once,
        )
        self._apply(key, plan, now)

    def _apply(self, key: Reference, plan: Plan, now: float) -> None:
        if plan.actions:
            self._carry_out(key, lambda: self._applied(plan, now))
        else:
            self._look_again(key, plan.look_again_seconds)

    def _applied(self, plan: Plan, now: float) -> float | None:
        self._applier.apply(plan, now)
        return plan.look_again_seconds

    def _any_template(self, namespace: str, name: str) -> ConfigMap | None:
        found = self._find(Reference(names.CONFIG_MAP, namespace, name))
        return found if isinstance(found, ConfigMap) else None

    def _blueprint(self, experiment: Experiment) -> Blueprint:
        meta = experiment.metadata
        known = self._blueprints.get(meta.uid)
        if known is not None and known[0] == meta.generation:
            return known[1]
        source = experiment.spec.trial_template.config_map if experiment.spec.trial_template is not None else None
        config_map: ConfigMap | None = None
        if source is not None:
            find = self._templates_for(meta.namespace)
            config_map = find(source.config_map_namespace, source.config_map_name)
        blueprint = Blueprint(experiment, config_map)
        self._blueprints[meta.uid] = (meta.generation, blueprint)
        return blueprint

    def _reconcile_suggestion(self, key: Reference) -> None:
        suggestion = self._find(key)
        experiment = self._find(Reference(names.EXPERIMENT, key.namespace, key.name))
        if not isinstance(suggestion, Suggestion) or not isinstance(experiment, Experiment):
            return
        if suggestion.metadata.deletion_timestamp is not None:
            return
        if not suggestion.metadata.is_controlled_by(experiment.metadata.uid):
            return
        now = self._clock.now()
        status = settled_status(suggestion, experiment, now)
        if status is not suggestion.status:
            suggestion = msgspec.structs.replace(suggestion, status=status)
        wanted = missing_count(suggestion, experiment)
        uid = experiment.metadata.uid
        if wanted:
            view = self._view(key.namespace, uid)
            wanted = self._asked.pop(uid, wanted)  # a question that is being thought about stays as it is
            try:
                answer = self._host.propose(experiment, suggestion, view, wanted)
            except StillThinking as thinking:
                self._asked[uid] = wanted
                if thinking.is_ready is not None:
                    status = deployment_status(status, is_ready=thinking.is_ready, now=now)
            except InvalidInput as error:
                status = failed_status(suggestion, f"Validation failed: {error}", now)
            except Unavailable:  # a service that does not answer now may do so later, and has not failed
                raise
            except Exception as error:
                self._host.forget(experiment.reference, uid)
                count = self._algorithm_failures.get(uid, 0) + 1
                self._algorithm_failures[uid] = count
                if count < MAX_ALGORITHM_FAILURES:
                    raise
                logger.exception("the algorithm of %s failed %d times in a row", key, count)
                status = failed_status(
                    suggestion, f"the algorithm failed {count} times in a row: {type(error).__name__}: {error}", now
                )
            else:
                self._algorithm_failures.pop(uid, None)
                status = with_proposals(
                    suggestion,
                    experiment,
                    answer.proposals,
                    wanted=wanted,
                    settings=answer.settings,
                    rules=answer.rules,
                )
                picked = {setting.name: setting.value for setting in answer.settings}
                if PICK in picked:
                    text = f"The algorithm is {picked[PICK]}: {picked.get(PICK_REASON, '')}"
                    about = experiment.reference
                    self._store.record(
                        Event(about.kind, about.namespace, about.name, names.NORMAL, names.ALGORITHM_PICKED, text, now)
                    )
                if answer.is_deployed:
                    status = deployment_status(status, is_ready=True, now=now)
                if suggestion.spec.requests > status.suggestion_count and not status.exhausted:
                    self._queue.add(key)  # more has been asked for in the meantime
            suggestion = msgspec.structs.replace(suggestion, status=status)
        elif status is suggestion.status and self._find(key) is suggestion:
            return
        decided, before = suggestion, self._find(key)
        ends = is_settled(decided.status) and not (isinstance(before, Suggestion) and is_settled(before.status))

        def write() -> None:
            if ends:  # first, so that whoever dies here does it again
                self._host.retire(decided)
            self._store.update_status(decided)

        self._carry_out(key, write)

    def _reconcile_trial(self, key: Reference) -> None:
        trial = self._find(key)
        if not isinstance(trial, Trial):
            return
        now = self._clock.now()
        view = self._job_view(trial)
        ends = view is not None and view.verdict.state == "succeeded" and not is_finished(trial)
        if not ends and not is_being_stopped(trial):
            self._apply(key, plan_trial(trial, view, now), now)
            return

        def read_and_apply() -> float | None:
            reported = self._observation(trial)
            seen = msgspec.structs.replace(view, observation=reported) if view is not None and ends else view
            plan = plan_trial(trial, seen, now, reported=reported if is_being_stopped(trial) else None)
            return self._applied(plan, now)

        self._carry_out(key, read_and_apply)  # whoever keeps the metrics may take its time

    def _job_view(self, trial: Trial) -> JobView | None:
        if trial.metadata.deletion_timestamp is not None:
            return None
        job = self._find(worker_reference(trial))
        if not isinstance(job, WorkerJob):
            return None
        spec = trial.spec
        return JobView(
            job, judge(job, success_condition=spec.success_condition, failure_condition=spec.failure_condition)
        )

    def _observation(self, trial: Trial) -> Observation | None:
        if trial.spec.objective is None:
            return None
        logs = self._observations.logs(trial.metadata.namespace, trial.metadata.name)
        return observe(logs, trial.spec.objective)
