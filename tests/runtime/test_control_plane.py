"""The one loop over a store: what it follows, what it retries, what it says, what it forgets."""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Proposal
from pykatib.algorithms.space import SearchSpace
from pykatib.api import names
from pykatib.api.conditions import find_condition, set_condition
from pykatib.api.errors import InvalidInput, StorageFailed, Unavailable
from pykatib.api.experiment import (
    ConfigMapSource,
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    ParameterSpec,
    RetryPolicy,
    TrialParameterSpec,
    TrialTemplate,
)
from pykatib.api.meta import ObjectMeta, OwnerReference, Reference
from pykatib.api.objects import ConfigMap, Object, WorkerJob
from pykatib.api.shared import AlgorithmSpec, MetricLog, MetricStrategy, ObjectiveSpec, Setting
from pykatib.api.suggestion import Suggestion, SuggestionSpec
from pykatib.api.trial import Trial, TrialSpec
from pykatib.control.suggestion_plan import trial_name
from pykatib.control.trial_plan import attempt_of
from pykatib.control.view import trial_state
from pykatib.runtime.algorithm_host import AlgorithmHost
from pykatib.runtime.clock import ManualClock
from pykatib.runtime.control_plane import MAX_ALGORITHM_FAILURES, TEMPLATE_SECONDS, ControlPlane
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore
from pykatib.workers import jobstatus

BODY: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "spec": {"template": {"spec": {"containers": [{"name": "main", "args": ["${trialParameters.x}"]}]}}},
}
DOUBLE = ParameterSpec("x", "double", FeasibleSpace(min="0", max="1"))
TEMPLATE_TEXT = msgspec.json.encode(BODY).decode()


class Troubled:
    """An algorithm that raises what it is given before it answers."""

    def __init__(self, algorithm: Algorithm, troubles: list[BaseException]) -> None:
        self._algorithm = algorithm
        self._troubles = troubles

    def ask(self, request: Ask) -> Sequence[Proposal]:
        if self._troubles:
            raise self._troubles.pop(0)
        return self._algorithm.ask(request)

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        self._algorithm.tell(finished)


class Scene:
    """A control plane over a memory store; jobs end when the test says so."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock.now)
        self.observations = MemoryObservationStore()
        self.troubles: list[BaseException] = []
        self.plane = self.new_plane()

    def new_plane(self) -> ControlPlane:
        plane = ControlPlane(self.store, self.observations, self.clock, AlgorithmHost(self.create_algorithm))
        plane.start()
        return plane

    def create_algorithm(self, experiment: Experiment, *, seed: int) -> tuple[SearchSpace, Algorithm]:
        space, algorithm = registry.create(experiment, seed=seed)
        return space, Troubled(algorithm, self.troubles)

    def create(self, *, template: dict[str, Any] | None = None, **spec: Any) -> Experiment:
        given: dict[str, Any] = {
            "parameters": (ParameterSpec("x", "int", FeasibleSpace(min="1", max="9")),),
            "algorithm": AlgorithmSpec("random", (Setting("random_state", "1"),)),
            "parallel_trial_count": 2,
            "max_trial_count": 4,
            "resume_policy": "LongRunning",
        }
        inline = {"trial_spec": msgspec.Raw(msgspec.json.encode(BODY))}
        return self.store.create(
            Experiment(
                metadata=ObjectMeta(name="e", namespace="ns"),
                spec=ExperimentSpec(
                    objective=ObjectiveSpec("minimize", None, "loss", (), (MetricStrategy("loss", "min"),)),
                    trial_template=TrialTemplate(
                        trial_parameters=(TrialParameterSpec("x", "", "x"),),
                        primary_container_name="main",
                        success_condition='status.conditions.#(type=="Complete")#|#(status=="True")#',
                        failure_condition='status.conditions.#(type=="Failed")#|#(status=="True")#',
                        **(inline if template is None else template),
                    ),
                    **{**given, **spec},
                ),
            )
        )

    @property
    def experiment(self) -> Experiment:
        found = self.store.get(Reference(names.EXPERIMENT, "ns", "e"))
        assert isinstance(found, Experiment)
        return found

    @property
    def suggestion(self) -> Suggestion:
        found = self.store.get(Reference(names.SUGGESTION, "ns", "e"))
        assert isinstance(found, Suggestion)
        return found

    @property
    def trials(self) -> list[Trial]:
        return [trial for trial in self.store.list(names.TRIAL) if isinstance(trial, Trial)]

    @property
    def jobs(self) -> list[WorkerJob]:
        return [job for job in self.store.list(names.JOB) if isinstance(job, WorkerJob)]

    def states(self) -> list[str]:
        return [trial_state(trial) for trial in self.trials]

    def end(self, job: WorkerJob, value: float | None = 1.0, *, reason: str = "") -> None:
        if value is not None:
            self.observations.report("ns", job.metadata.name, [MetricLog(1.0, "loss", repr(value))])
        status = jobstatus.COMPLETE
        if reason:
            status = jobstatus.failed(reason=reason, message="", started_at=None, ended_at=self.clock.now())
        self.store.update_status(msgspec.structs.replace(job, status=status))

    def run(self) -> None:
        """Lets the loop work, and time pass for what it puts off, but for no longer than a second at a time."""
        self.plane.run_to_rest()
        while (moment := self.plane.next_moment()) is not None and moment - self.clock.now() <= 1.0:
            self.clock.advance(max(0.0, moment - self.clock.now()))
            self.plane.run_to_rest()

    def run_to_the_end(self) -> None:
        self.run()
        while self.jobs:
            for job in self.jobs:
                self.end(job, float(len(self.trials)))
            self.run()

    def events(self, kind: str) -> list[tuple[str, str]]:
        return [(event.reason, event.message) for event in self.store.events(namespace="ns", name="e", kind=kind)]


@pytest.fixture
def scene() -> Scene:
    logging.getLogger("pykatib.runtime.control_plane").setLevel(logging.CRITICAL)
    return Scene()


# The whole way


def test_an_experiment_runs_to_its_end_with_as_many_trials_at_a_time_as_allowed(scene: Scene) -> None:
    scene.create()
    scene.run()
    assert scene.states() == ["Running", "Running"]
    assert [job.metadata.name for job in scene.jobs] == [trial.metadata.name for trial in scene.trials]
    scene.run_to_the_end()
    assert scene.states() == ["Succeeded"] * 4
    status = scene.experiment.status
    assert status.conditions[-1].reason == names.EXPERIMENT_MAX_TRIALS_REACHED
    assert status.current_optimal_trial.observation.metrics[0].min == "2.0"
    assert (status.trials, status.trials_succeeded) == (4, 4)
    assert not scene.plane.has_work()


def test_a_trial_costs_the_same_few_looks_however_many_there_are(scene: Scene) -> None:
    def steps_of(count: int) -> int:
        mine = Scene()
        mine.create(max_trial_count=count, parallel_trial_count=1, parameters=(DOUBLE,))
        steps = 0
        while True:
            while mine.plane.step():
                steps += 1
            if not mine.jobs:
                return steps
            for job in mine.jobs:
                mine.end(job)

    few, many = steps_of(5), steps_of(25)
    assert (many - few) / 20 == 6.0  # Trial: start, end; Suggestion: ask; Experiment: ask, create, count


def test_an_early_stop_from_outside_is_completed_with_its_observation(scene: Scene) -> None:
    scene.create(parallel_trial_count=1)
    scene.run()
    [trial] = scene.trials
    scene.observations.report("ns", trial.metadata.name, [MetricLog(1.0, "loss", "0.5")])
    conditions = set_condition(
        trial.status.conditions, names.EARLY_STOPPED, reason="TrialEarlyStopped", message="", now=scene.clock.now()
    )
    status = msgspec.structs.replace(trial.status, conditions=conditions)
    scene.store.update_status(msgspec.structs.replace(trial, status=status))
    scene.run()
    assert scene.states() == ["EarlyStopped", "Running"]
    assert scene.experiment.status.current_optimal_trial.best_trial_name == trial.metadata.name
    scene.run_to_the_end()
    assert scene.experiment.status.conditions[-1].reason == names.EXPERIMENT_MAX_TRIALS_REACHED


def test_events_of_a_trial_are_katibs(scene: Scene) -> None:
    scene.create(max_trial_count=1, parallel_trial_count=1)
    scene.run_to_the_end()
    [trial] = scene.trials
    name = trial.metadata.name
    assert [(e.type, e.reason, e.message) for e in scene.store.events(namespace="ns", name=name)] == [
        ("Normal", "JobCreated", f"Job {name} has been created"),
        ("Normal", "JobSucceeded", f"Job {name} has succeeded"),
        ("Normal", "JobDeleted", f"Job {name} has been deleted"),
    ]


def test_a_retry_begins_at_once_and_counts_up(scene: Scene) -> None:
    scene.create(
        max_trial_count=1,
        parallel_trial_count=1,
        template={"trial_spec": msgspec.Raw(msgspec.json.encode(BODY)), "retries": RetryPolicy(crash=2)},
    )
    for attempt in range(3):
        scene.plane.run_to_rest()
        [job] = scene.jobs
        assert attempt_of(job) == attempt
        scene.end(job, None, reason="BackoffLimitExceeded")
    scene.plane.run_to_rest()
    assert scene.states() == ["Failed"]
    assert scene.jobs == []


def test_a_job_that_somebody_deleted_is_made_again(scene: Scene) -> None:
    scene.create()
    scene.run()
    first = scene.jobs[0]
    scene.store.delete(first.reference)
    scene.run()
    again = next(job for job in scene.jobs if job.metadata.name == first.metadata.name)
    assert again.metadata.uid != first.metadata.uid


def test_a_job_that_somebody_elses_trial_left_is_waited_for(scene: Scene) -> None:
    name = trial_name("e", scene.create(parallel_trial_count=1).metadata.uid, 0)
    stranger = scene.store.create(
        WorkerJob(api_version="batch/v1", kind="Job", metadata=ObjectMeta(name=name, namespace="ns"))
    )
    scene.end(stranger)
    scene.run()
    assert scene.states() == ["Pending"]
    events = [event.message for event in scene.store.events(namespace="ns", name=name)]
    assert events == [f"There is a Job {name} that is not this Trial's; it waits until that is gone"]
    scene.store.delete(stranger.reference)
    scene.clock.advance(10)
    scene.run()
    assert scene.states() == ["Running"]


def test_a_suggestion_that_somebody_deleted_comes_back_with_the_same_assignments(scene: Scene) -> None:
    scene.create(max_trial_count=6)
    scene.run()
    before = scene.suggestion.status.suggestions.since(0)
    scene.store.delete(scene.suggestion.reference)
    scene.run_to_the_end()
    assert scene.suggestion.status.suggestions.since(0)[:2] == before
    assert len(scene.trials) == 6
    assert len({trial.spec.parameter_assignments for trial in scene.trials}) == 6


def test_trials_by_hand_without_an_experiment_or_a_job_spec_harm_nobody(scene: Scene) -> None:
    scene.store.create(Trial(metadata=ObjectMeta(name="t", namespace="ns"), spec=TrialSpec()))
    finalizers = (names.FINALIZER_TRIAL,)
    owned = (OwnerReference("v1", "Other", "o", "uid", True),)
    scene.store.create(Trial(metadata=ObjectMeta(name="u", namespace="ns", finalizers=finalizers), spec=TrialSpec()))
    scene.store.create(
        WorkerJob(api_version="v1", kind="Job", metadata=ObjectMeta(name="j", namespace="ns", owner_references=owned))
    )
    scene.create(max_trial_count=1)
    scene.run_to_the_end()
    assert scene.experiment.status.trials == 1
    scene.store.delete(Reference(names.TRIAL, "ns", "u"))
    scene.run()
    assert scene.store.find(Reference(names.TRIAL, "ns", "u")) is None, "what cannot run can still be deleted"


# Deletion


def test_a_deleted_experiment_takes_everything_with_it(scene: Scene) -> None:
    created = scene.create()
    scene.run()
    logged = scene.trials[0].metadata.name
    scene.observations.report("ns", logged, [MetricLog(1.0, "loss", "1")])
    scene.store.delete(created.reference)
    scene.run()
    kinds = (names.EXPERIMENT, names.SUGGESTION, names.TRIAL, names.JOB)
    assert [scene.store.list(kind) for kind in kinds] == [[]] * 4
    assert list(scene.observations.logs("ns", logged)) == []
    assert scene.plane._views == {}
    assert scene.plane._blueprints == {}


def test_an_experiment_of_the_same_name_has_nothing_to_do_with_the_one_before(scene: Scene) -> None:
    first = scene.create(max_trial_count=2)
    scene.run_to_the_end()
    scene.store.delete(first.reference)
    scene.create(max_trial_count=2)  # the Trials of the first are still there, on their way out
    scene.plane._queue.add(scene.experiment.reference)
    scene.run_to_the_end()
    assert {trial.metadata.controller.uid for trial in scene.trials if trial.metadata.controller} == {
        scene.experiment.metadata.uid
    }
    assert scene.experiment.status.trials_succeeded == 2


def test_a_suggestion_of_an_earlier_experiment_is_not_taken_for_ones_own(scene: Scene) -> None:
    holder = scene.store.create(ConfigMap(metadata=ObjectMeta(name="holder", namespace="ns")))
    owner = OwnerReference("v1", "Experiment", "e", holder.metadata.uid, True)
    stale = scene.store.create(
        Suggestion(
            metadata=ObjectMeta(name="e", namespace="ns", owner_references=(owner,)), spec=SuggestionSpec(requests=2)
        )
    )
    scene.create(max_trial_count=2)
    scene.run()
    assert scene.trials == []
    assert scene.suggestion == stale
    scene.store.delete(stale.reference)
    scene.run_to_the_end()
    assert scene.states() == ["Succeeded"] * 2


# Restarts of the process


def test_a_new_process_goes_on_where_the_old_one_was(scene: Scene) -> None:
    scene.create()
    scene.run()
    scene.end(scene.jobs[0])
    scene.plane.stop()
    scene.plane = scene.new_plane()
    scene.run_to_the_end()
    assert scene.states() == ["Succeeded"] * 4


def test_a_stopped_plane_hears_nothing(scene: Scene) -> None:
    scene.plane.stop()
    scene.plane.stop()
    scene.create()
    assert not scene.plane.has_work()


# Trouble


def test_an_algorithm_may_fail_a_few_times_in_a_row(scene: Scene) -> None:
    scene.troubles = [RuntimeError("boom")] * (MAX_ALGORITHM_FAILURES - 1)
    scene.create()
    scene.run_to_the_end()
    assert scene.states() == ["Succeeded"] * 4
    assert scene.events(names.SUGGESTION) == [("ReconcileError", "boom")]


def test_an_algorithm_that_keeps_failing_fails_its_experiment_with_its_words(scene: Scene) -> None:
    scene.troubles = [RuntimeError("boom")] * MAX_ALGORITHM_FAILURES
    scene.create()
    scene.run()
    condition = scene.experiment.status.conditions[-1]
    assert (condition.type, condition.reason) == ("Failed", names.EXPERIMENT_FAILED)
    assert condition.message == ("Suggestion has failed: the algorithm failed 5 times in a row: RuntimeError: boom")


def test_a_success_in_between_forgives(scene: Scene) -> None:
    scene.create(max_trial_count=20)
    for _ in range(4):
        scene.troubles += [RuntimeError("boom")] * 3
        scene.run()
        for job in scene.jobs:
            scene.end(job)
    scene.run_to_the_end()
    assert scene.experiment.status.conditions[-1].reason == names.EXPERIMENT_SUGGESTION_END_REACHED


def test_a_service_that_does_not_answer_is_asked_again_for_as_long_as_it_takes(scene: Scene) -> None:
    scene.troubles = [Unavailable("connection refused")] * 6
    scene.create()
    scene.run_to_the_end()
    assert scene.states() == ["Succeeded"] * 4


def test_what_the_algorithm_does_not_take_fails_the_experiment_at_once(scene: Scene) -> None:
    scene.create(algorithm=AlgorithmSpec("random", (Setting("no_such", "1"),)))
    scene.run()
    failed = find_condition(scene.suggestion.status.conditions, names.FAILED)
    assert failed is not None
    assert failed.message.startswith("Validation failed: spec.algorithm.algorithmSettings")
    assert scene.experiment.status.conditions[-1].type == names.FAILED


def test_a_template_that_is_missing_is_said_and_waited_for(scene: Scene) -> None:
    source = ConfigMapSource("templates", "ns", "job.yaml")
    scene.create(template={"config_map": source})
    scene.run()
    assert scene.trials == []
    assert find_condition(scene.experiment.status.conditions, names.CREATED) is not None
    [(reason, message)] = scene.events(names.EXPERIMENT)
    assert reason == names.RECONCILE_ERROR
    assert message == (
        "Failed to reconcile: spec.trialTemplate.configMap: ConfigMap ns/templates with the key 'job.yaml' is not there"
    )
    scene.store.create(
        ConfigMap(metadata=ObjectMeta(name="templates", namespace="ns"), data={"job.yaml": TEMPLATE_TEXT})
    )
    scene.clock.advance(TEMPLATE_SECONDS)
    scene.run_to_the_end()
    assert scene.states() == ["Succeeded"] * 4


def test_a_template_that_is_gone_stops_nothing_that_runs(scene: Scene) -> None:
    source = ConfigMapSource("templates", "ns", "job.yaml")
    kept = scene.store.create(
        ConfigMap(metadata=ObjectMeta(name="templates", namespace="ns"), data={"job.yaml": TEMPLATE_TEXT})
    )
    scene.create(template={"config_map": source}, max_trial_count=2)
    scene.run()
    scene.store.delete(kept.reference)
    scene.plane.stop()
    scene.plane = scene.new_plane()
    scene.run_to_the_end()
    assert scene.experiment.status.conditions[-1].reason == names.EXPERIMENT_MAX_TRIALS_REACHED


class Failing(MemoryStore):
    """Raises once what it is given, in the middle of a reconcile."""

    trouble: BaseException | None = None

    def _changing(self, reference: Reference, old: Object | None, new: Object | None) -> None:
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble


@pytest.mark.parametrize(
    ("trouble", "comes_out"),
    [
        pytest.param(StorageFailed("disk full"), True, id="disk full"),
        pytest.param(KeyboardInterrupt(), True, id="Ctrl-C"),
        pytest.param(RuntimeError("a bug"), False, id="a bug"),
        pytest.param(InvalidInput([]), False, id="an error of ours"),
    ],
)
def test_whoever_goes_on_after_an_error_finds_the_key_undone(
    scene: Scene, trouble: BaseException, *, comes_out: bool
) -> None:
    store = Failing(scene.clock.now)
    scene.store = store
    scene.plane = scene.new_plane()
    scene.create(max_trial_count=2)
    store.trouble = trouble
    if comes_out:
        with pytest.raises(type(trouble)):
            scene.run()
    scene.run_to_the_end()
    assert scene.states() == ["Succeeded"] * 2
    told = [reason for reason, _ in scene.events(names.EXPERIMENT)]
    assert told == ([] if comes_out else [names.RECONCILE_ERROR])
