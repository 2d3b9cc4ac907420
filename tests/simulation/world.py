"""A whole control plane on one thread in simulated time, and everything that can go wrong with it.

A `World` holds what outlives the process (the store), what dies with it (control plane, algorithms, runner), and the
laws that hold at every moment. One seed decides everything, so a seed that breaks a law breaks it again.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from faulty_stores import (
    Crash,
    Faults,
    FaultyStore,
    LateStore,
    MortalSqliteStore,
    experiments_in,
    is_over,
    opened,
    suggestion_of,
    trials_of,
)
from scripted_runner import ScriptedRunner

from pykatib.algorithms import registry
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Proposal
from pykatib.algorithms.space import SearchSpace
from pykatib.api import names
from pykatib.api.errors import Conflict, InvalidInput, NotFound
from pykatib.api.experiment import (
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    OptimalTrial,
    ParameterSpec,
    RetryPolicy,
    TrialParameterSpec,
    TrialTemplate,
)
from pykatib.api.meta import Condition, ObjectMeta, Reference
from pykatib.api.objects import Object, WorkerJob
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, ParameterAssignment, Setting
from pykatib.api.trial import Trial
from pykatib.control.experiment_plan import plan_experiment
from pykatib.control.view import ExperimentView, is_finished, trial_state
from pykatib.embedded.front_door import FrontDoor
from pykatib.runtime.algorithm_host import AlgorithmHost
from pykatib.runtime.clock import ManualClock
from pykatib.runtime.control_plane import ControlPlane
from pykatib.store.contract import ObservationStore
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore

Kind = Literal["memory", "sqlite", "late"]
MOST_STEPS_TO_REST = 5_000
GRID_SIZE = 12


def experiment(name: str, algorithm: str, random_state: int, *, retain: bool = False, **spec: Any) -> Experiment:
    """An Experiment over a grid of twelve points, or over a line where the algorithm does not need a grid."""
    second = (
        ParameterSpec("y", names.DISCRETE, FeasibleSpace(values=("1", "2", "3")))
        if algorithm == "grid" or random_state % 2
        else ParameterSpec("y", names.DOUBLE, FeasibleSpace(min="0", max="1"))
    )
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [
                        {
                            "name": "main",
                            "image": "example",
                            "args": ["--x=${trialParameters.x}", "--y=${trialParameters.y}"],
                        }
                    ],
                }
            }
        },
    }
    template = TrialTemplate(
        retain=retain,
        trial_spec=msgspec.Raw(msgspec.json.encode(body)),
        trial_parameters=(TrialParameterSpec("x", "", "x"), TrialParameterSpec("y", "", "y")),
        primary_container_name="main",
        active_deadline_seconds=20,
        retries=RetryPolicy(crash=1, timeout=1),
    )
    return Experiment(
        metadata=ObjectMeta(name=name, namespace="ns"),
        spec=ExperimentSpec(
            parameters=(ParameterSpec("x", names.INT, FeasibleSpace(min="1", max="4")), second),
            objective=ObjectiveSpec("minimize", spec.pop("goal", None), "loss"),
            algorithm=AlgorithmSpec(algorithm, (Setting("random_state", str(random_state)),)),
            trial_template=template,
            resume_policy=names.LONG_RUNNING,
            **spec,
        ),
    )


class _FailingAlgorithm:
    """Fails a few times in a row now and then, as a service does that is started anew."""

    def __init__(self, algorithm: Algorithm, world: "World") -> None:
        self._algorithm = algorithm
        self._world = world

    def ask(self, request: Ask) -> Sequence[Proposal]:
        if self._world.is_calm or not self._world.algorithm_fails():
            return self._algorithm.ask(request)
        raise RuntimeError("the algorithm fails, says the simulation")

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        self._algorithm.tell(finished)


class World:
    """One simulated world. `check` raises AssertionError when a law is broken."""

    def __init__(self, seed: int, kind: Kind, folder: Path) -> None:
        self.rng = random.Random(f"{kind} {seed}")
        self.kind = kind
        self.clock = ManualClock()
        self.faults = Faults(self.rng)
        self.is_calm = False
        self._path = folder / "katib.db"
        self._uid_count = 0
        self._failures_left = 0
        self._starts: dict[str, int] = {}
        self.completions: dict[str, int] = {}
        self.ends: dict[str, str] = {}
        self._flushed: tuple[dict[str, int], dict[str, str]] = ({}, {})
        self.meddled: set[str] = set()  # names of Experiments whose Trials a person has stopped or deleted
        self.store: MemoryStore = self._opened()
        self.observations: ObservationStore = (
            self.store.observations if isinstance(self.store, MortalSqliteStore) else MemoryObservationStore()
        )
        self._begin()

    # The process

    def _uid(self) -> str:
        self._uid_count += 1
        return f"uid-{self._uid_count}"

    def _opened(self) -> MemoryStore:
        now = self.clock.now
        return opened(self._path, now, self._uid) if self.kind == "sqlite" else MemoryStore(now, self._uid)

    def _begin(self) -> None:
        """A new process takes up what the store holds."""
        make = LateStore if self.kind == "late" else FaultyStore
        self.seen = make(self.store, self.faults, self._on_create)
        self.plane = ControlPlane(self.seen, self.observations, self.clock, AlgorithmHost(self._create_algorithm))
        self.runner = ScriptedRunner(
            self.store,
            self.observations,
            self.clock,
            self.rng,
            starts=self._starts,
            on_completion=self._on_completion,
        )
        self.door = FrontDoor(self.store, lambda: [self.runner])
        self.plane.start()
        self.runner.start()

    def restart(self) -> None:
        """The process dies and another one takes over."""
        self.faults.crash_after = None
        if isinstance(self.store, MortalSqliteStore):
            self.store.die()
            completions, ends = self._flushed
            self.completions, self.ends = {**completions}, {**ends}
            self.store = self._opened()
            assert isinstance(self.store, MortalSqliteStore)
            self.observations = self.store.observations
        else:
            self.store.close()  # nobody of the old process listens any more
            self.plane.stop()
        self._begin()

    def flush(self) -> None:
        """What has been written outlives the process from here on."""
        self.store.flush()
        self._flushed = ({**self.completions}, {**self.ends})

    def close(self) -> None:
        self.store.close()

    # Algorithms

    def _create_algorithm(self, experiment: Experiment, *, seed: int) -> tuple[SearchSpace, Algorithm]:
        space, algorithm = registry.create(experiment, seed=seed)
        return space, _FailingAlgorithm(algorithm, self)

    def algorithm_fails(self) -> bool:
        """At most three times in a row: five are for good."""
        if self._failures_left:
            self._failures_left -= 1
            return self._failures_left > 0
        if self.rng.random() < 0.15:
            self._failures_left = self.rng.randint(1, 3)
            return True
        return False

    # What happens

    def do_something(self) -> None:
        """One thing that happens in a world with faults; a Crash ends the process and starts another."""
        try:
            self._something()
        except Crash:
            self.restart()

    def _something(self) -> None:
        rng = self.rng
        chance = rng.random()
        if chance < 0.60:
            for _ in range(rng.randint(1, 6)):
                self.plane.step()
        elif chance < 0.75:
            self.runner.advance()
        elif chance < 0.87:
            self.clock.advance(rng.choice((0.01, 0.1, 1.0, 5.0)))
        elif chance < 0.91:
            self._meddle()
        elif chance < 0.93:
            self.faults.crash_after = rng.randint(1, 8)
        elif chance < 0.94:
            raise Crash
        elif chance < 0.97:
            self.flush()
        else:
            self.faults.conflict_chance = rng.choice((0.0, 0.0, 0.3))
        if isinstance(self.seen, LateStore):
            self.seen.pump(rng, rng.randint(0, 4))

    def _meddle(self) -> None:
        """A person does something."""
        rng = self.rng
        there = experiments_in(self.store)
        if not there:
            return
        of = rng.choice(there)
        meta, spec = of.metadata, of.spec
        jobs = self.store.list(names.JOB)
        trials = trials_of(self.store, of)
        what: Sequence[Callable[[], object]] = (
            lambda: self.door.edit(meta.namespace, meta.name, parallel_trial_count=rng.randint(1, 4)),
            lambda: self.door.edit(meta.namespace, meta.name, max_trial_count=(spec.max_trial_count or 0) + 2),
            lambda: self._suspend(meta.namespace, meta.name),
            lambda: self.door.resume(meta.namespace, meta.name),
            lambda: self.door.resume(meta.namespace, meta.name),
            lambda: self._delete(rng.choice(trials), meta.name) if trials else None,
            lambda: self._delete(rng.choice(jobs), meta.name) if jobs else None,
            lambda: self.store.delete(Reference(names.SUGGESTION, meta.namespace, meta.name)),
            lambda: self._make_anew(of) if rng.random() < 0.3 else None,
        )
        try:
            rng.choice(what)()
        except (InvalidInput, Conflict, NotFound):
            pass  # what the front door refuses does not happen

    def _delete(self, obj: Object, experiment_name: str) -> None:
        self.meddled.add(experiment_name)
        owner = obj.metadata.controller
        if isinstance(obj, WorkerJob) and owner is not None:
            self.completions.pop(owner.uid, None)
        self.store.delete(obj.reference)

    def _suspend(self, namespace: str, name: str) -> None:
        self.meddled.add(name)
        self.door.suspend(namespace, name)

    def _make_anew(self, of: Experiment) -> None:
        """The Experiment is deleted, and another of its name takes its place at once."""
        meta = of.metadata
        self.meddled.add(meta.name)
        self.door.delete(meta.namespace, meta.name)
        spec = msgspec.structs.replace(of.spec, suspend=False)
        self.door.create(Experiment(metadata=ObjectMeta(name=meta.name, namespace=meta.namespace), spec=spec))

    # Calm

    def run_calmly_to_the_end(self) -> None:
        """No more faults; whoever was stopped goes on. Everything must come to its end, and then to rest."""
        self.is_calm = True
        self.faults.crash_after = None
        self.faults.conflict_chance = 0.0
        for of in experiments_in(self.store):
            if of.spec.suspend:
                self.door.edit(of.metadata.namespace, of.metadata.name, suspend=False)
        for _ in range(2_000):
            self.rest()
            self.check()
            is_all_over = all(is_over(self.store, of) for of in experiments_in(self.store))
            if is_all_over and not self.runner.processes and self.plane.next_moment() is None:
                return
            self._wait()
        raise AssertionError("an Experiment does not come to its end")

    def rest(self) -> None:
        """Works until nothing is to be done at this moment."""
        for _ in range(MOST_STEPS_TO_REST):
            did = self.plane.step()
            if isinstance(self.seen, LateStore) and self.seen.news_count:
                self.seen.pump(self.rng, 1_000)
                did = True
            if not did and not self.runner.advance():
                return
        raise AssertionError("the control plane does not come to rest")

    def _wait(self) -> None:
        moments = [self.plane.next_moment(), self.runner.next_moment()]
        nearest = min((moment for moment in moments if moment is not None), default=None)
        assert nearest is not None, "nothing is to come, and not everything has ended"
        self.clock.advance(max(0.001, nearest - self.clock.now()))

    # Laws

    def _on_create(self, obj: Object) -> None:
        if isinstance(obj, Trial):
            owner = obj.metadata.controller
            assert owner is not None
            of = self.store.find(Reference(names.EXPERIMENT, obj.metadata.namespace, owner.name))
            if not isinstance(of, Experiment) or of.metadata.uid != owner.uid:
                return  # its Experiment is gone: the store collects it
            suggestion = suggestion_of(self.store, of)
            if self.kind != "late":
                assert suggestion is not None, "a name is used before it is recorded"
                [recorded] = [each for each in suggestion.status.suggestions if each.name == obj.metadata.name]
                assert recorded.parameter_assignments == obj.spec.parameter_assignments
            active = [trial for trial in trials_of(self.store, of) if not is_finished(trial)]
            limit = of.spec.parallel_trial_count or 0
            seen = self.seen.find(of.reference)
            if isinstance(seen, Experiment):
                limit = max(limit, seen.spec.parallel_trial_count or 0)
            if self.kind != "late" or of.metadata.name not in self.meddled:
                assert len(active) <= limit, "a creation lifted the active Trials above parallelTrialCount"

    def _on_completion(self, job: WorkerJob) -> None:
        owner = job.metadata.controller
        assert owner is not None
        if self.kind == "late" and owner.name.rpartition("-")[0] in self.meddled:
            return  # whoever decides on old news may stop a job that has just completed
        count = self.completions[owner.uid] = self.completions.get(owner.uid, 0) + 1
        assert count == 1, f"{job.metadata.name} was run to completion twice"

    def check(self) -> None:
        """The laws that hold at every moment."""
        for of in experiments_in(self.store):
            trials = trials_of(self.store, of)
            limit = of.spec.max_trial_count
            assert limit is None or len(trials) <= limit, f"{len(trials)} Trials where {limit} are allowed"
            _check_conditions(of.status.conditions)
            for trial in trials:
                _check_conditions(trial.status.conditions)
                state = trial_state(trial)
                known = self.ends.get(trial.metadata.uid)
                assert known is None or known == state, f"{trial.metadata.name} was {known} and is {state}"
                if is_finished(trial):
                    self.ends[trial.metadata.uid] = state

    def check_the_end(self) -> None:
        """The laws that hold when everything has ended."""
        kept = {job.metadata.name for job in self.store.list(names.JOB)}
        for of in experiments_in(self.store):
            template = of.spec.trial_template
            trials = trials_of(self.store, of)
            if template is not None and template.retain:
                kept -= {trial.metadata.name for trial in trials}
            suggestion = suggestion_of(self.store, of)
            recorded = [] if suggestion is None else [each.name for each in suggestion.status.suggestions]
            assert len({*recorded}) == len(recorded)
            view = ExperimentView()
            for trial in trials:
                view.apply(None, trial)
            status = of.status
            assert status.trials == len(trials)
            counted = {
                names.SUCCEEDED: (status.trials_succeeded, status.succeeded_trial_list),
                names.FAILED: (status.trials_failed, status.failed_trial_list),
                names.KILLED: (status.trials_killed, status.killed_trial_list),
                names.EARLY_STOPPED: (status.trials_early_stopped, status.early_stopped_trial_list),
                names.METRICS_UNAVAILABLE: (status.trial_metrics_unavailable, status.metrics_unavailable_trial_list),
            }
            for state, (count, listed) in counted.items():
                assert {*listed} == {*view.finished_names(state)}
                assert (count, len(listed)) == (view.count(state),) * 2
            assert (status.trials_running, status.trials_pending) == (0, 0)
            optimal = view.optimal_trial()
            shown = status.current_optimal_trial
            if optimal is not None and self.kind == "late":  # of equal Trials the one that was heard of first
                assert _least_loss(shown) == _least_loss(optimal)
            else:
                assert optimal is None or shown == optimal
            plan = plan_experiment(of, suggestion, self.plane.view("ns", of.metadata.name), None, self.clock.now())
            assert plan.actions == (), "planning again plans something new"
            for trial in trials:
                assert trial.status.completion_time is not None
                if trial_state(trial) in (names.SUCCEEDED, names.EARLY_STOPPED):
                    assert trial.status.observation is not None
        assert not kept, f"jobs are left: {kept}"
        assert not self.runner.processes

    def proposals(self, of: Experiment) -> list[tuple[ParameterAssignment, ...]]:
        """What was proposed to an Experiment, in order."""
        suggestion = suggestion_of(self.store, of)
        return [] if suggestion is None else [each.parameter_assignments for each in suggestion.status.suggestions]


def _least_loss(best: OptimalTrial) -> str:
    metric = best.observation.metric("loss")
    assert metric is not None
    return metric.min


def _check_conditions(conditions: tuple[Condition, ...]) -> None:
    kinds = [condition.type for condition in conditions]
    assert len({*kinds}) == len(kinds)
    times = [condition.last_update_time or "" for condition in conditions]
    assert times == sorted(times), "the last condition is not the latest news"
    true = {condition.type for condition in conditions if condition.status == names.TRUE}
    assert not (true & {names.SUCCEEDED, names.FAILED} and names.RUNNING in true)
