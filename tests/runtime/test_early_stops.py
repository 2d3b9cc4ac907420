"""Early stopping on the control plane: reports that pass by, and reports that are read from elsewhere."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.conditions import find_condition, is_true
from pykatib.api.errors import Conflict, Unavailable
from pykatib.api.experiment import (
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    ParameterSpec,
    RetryPolicy,
    TrialParameterSpec,
    TrialTemplate,
)
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import Object, WorkerJob
from pykatib.api.shared import (
    AlgorithmSpec,
    EarlyStoppingRule,
    EarlyStoppingSpec,
    MetricLog,
    MetricStrategy,
    ObjectiveSpec,
    Setting,
)
from pykatib.api.trial import Trial
from pykatib.control.view import is_finished, trial_state
from pykatib.runtime.algorithm_host import AlgorithmHost
from pykatib.runtime.clock import ManualClock
from pykatib.runtime.control_plane import ControlPlane
from pykatib.runtime.curve_reading import INTERVAL_SECONDS, CurveReader
from pykatib.runtime.early_stops import EarlyStops, HeardObservations
from pykatib.store.contract import ObservationStore
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore
from pykatib.workers import jobstatus

BODY = b'{"apiVersion": "batch/v1", "kind": "Job", "spec": {"x": "${trialParameters.x}"}}'
MEDIAN = EarlyStoppingSpec("medianstop", (Setting("min_trials_required", "1"), Setting("start_step", "2")))
PATIENCE = EarlyStoppingSpec("patience", (Setting("patience", "2"),))
GOOD, BAD = (4.0, 2.0, 1.0), (9.0, 8.0, 7.0)


class Scene:
    """A control plane over a memory store whose jobs report when the test says so. `lives` anew on what it has kept."""

    def __init__(self, *, reads: bool) -> None:
        self.reads = reads
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock.now)
        self.kept = MemoryObservationStore()
        self.delayed: list[Callable[[], None]] | None = None
        self.live()

    def live(self) -> None:
        """A new process on the same stores."""
        self.stops = EarlyStops(self.store, self.kept, self.clock, hears_all=not self.reads)
        self.observations: ObservationStore = self.kept if self.reads else HeardObservations(self.kept, self.stops)
        host = AlgorithmHost(registry.create)
        self.plane = ControlPlane(self.store, self.observations, self.clock, host)
        self.reader = CurveReader(self.stops, self.kept, self.clock, executor=self.execute) if self.reads else None
        self.plane.start()
        self.stops.start()

    def die(self) -> None:
        self.plane.stop()
        self.stops.stop()

    def execute(self, act: Callable[[], None]) -> None:
        if self.delayed is None:
            act()
        else:
            self.delayed.append(act)

    def create(self, stopping: EarlyStoppingSpec | None = MEDIAN, *, name: str = "e", parallel: int = 2) -> None:
        self.store.create(
            Experiment(
                metadata=ObjectMeta(name=name, namespace="ns"),
                spec=ExperimentSpec(
                    parameters=(ParameterSpec("x", names.INT, FeasibleSpace(min="1", max="9")),),
                    objective=ObjectiveSpec(
                        "minimize",
                        None,
                        "loss",
                        ("norm",),
                        (MetricStrategy("loss", "min"), MetricStrategy("norm", "min")),
                    ),
                    algorithm=AlgorithmSpec("random", (Setting("random_state", "1"),)),
                    early_stopping=stopping,
                    parallel_trial_count=parallel,
                    max_trial_count=6,
                    resume_policy=names.LONG_RUNNING,
                    trial_template=TrialTemplate(
                        trial_spec=msgspec.Raw(BODY),
                        trial_parameters=(TrialParameterSpec("x", "", "x"),),
                        primary_container_name="main",
                        success_condition='status.conditions.#(type=="Complete")#|#(status=="True")#',
                        failure_condition='status.conditions.#(type=="Failed")#|#(status=="True")#',
                        retries=RetryPolicy(crash=1),
                    ),
                ),
            )
        )
        self.run()

    def run(self) -> None:
        """Lets everything work, and two readings pass."""
        for _ in range(4):
            self.plane.run_to_rest()
            if self.reader is not None:
                self.clock.advance(INTERVAL_SECONDS)
                self.reader.tick()
        self.plane.run_to_rest()

    def report(self, trial: Trial, losses: Sequence[float], *, name: str = "loss") -> None:
        for loss in losses:
            self.clock.advance(1.0)
            log = MetricLog(self.clock.now(), name, repr(loss))
            self.observations.report("ns", trial.metadata.name, [log])
        self.run()

    def end(self, trial: Trial, status: msgspec.Raw = jobstatus.COMPLETE) -> None:
        self.store.update_status(msgspec.structs.replace(self.job(trial), status=status))
        self.run()

    def job(self, trial: Trial) -> WorkerJob:
        found = self.store.get(Reference(names.JOB, "ns", trial.metadata.name, "batch/v1"))
        assert isinstance(found, WorkerJob)
        return found

    def trials(self) -> list[Trial]:
        return [trial for trial in self.store.list(names.TRIAL) if isinstance(trial, Trial)]

    def running(self) -> list[Trial]:
        return [trial for trial in self.trials() if trial_state(trial) == names.RUNNING]

    def state(self, trial: Trial) -> str:
        return trial_state(self.now(trial))

    def now(self, trial: Trial) -> Trial:
        found = self.store.get(trial.reference)
        assert isinstance(found, Trial)
        return found


@pytest.fixture(params=["heard", "read"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(reads=request.param == "read")


def test_a_trial_that_is_worse_than_the_median_is_stopped_and_says_why(scene: Scene) -> None:
    scene.create()
    good, bad = scene.running()
    scene.report(good, GOOD)
    scene.end(good)
    scene.report(bad, BAD[:1])
    assert scene.state(bad) == names.RUNNING

    scene.report(bad, BAD[1:2])

    ended = scene.now(bad)
    said = find_condition(ended.status.conditions, names.EARLY_STOPPED)
    assert said is not None
    assert (trial_state(ended), said.reason, said.message) == (
        names.EARLY_STOPPED,
        names.TRIAL_EARLY_STOPPED,
        "Trial is early stopped: at report 2 its best loss is 8, above 3, "
        "the median of the running averages of 1 ended Trials",
    )
    assert ended.status.observation is not None
    metric = ended.status.observation.metric("loss")
    assert metric is not None
    assert (metric.min, metric.latest) == ("8.0", "8.0")
    assert ended.status.completion_time is not None
    assert scene.store.find(Reference(names.JOB, "ns", bad.metadata.name, "batch/v1")) is None


def test_its_place_is_free_at_once_and_it_is_counted(scene: Scene) -> None:
    scene.create()
    good, bad = scene.running()
    scene.report(good, GOOD)
    scene.end(good)
    scene.report(bad, BAD)

    experiment = scene.store.get(Reference(names.EXPERIMENT, "ns", "e"))
    assert isinstance(experiment, Experiment)
    status = experiment.status
    assert (status.trials_early_stopped, status.trials_succeeded, status.trials_running) == (1, 1, 2)
    assert list(status.early_stopped_trial_list) == [bad.metadata.name]


def test_a_trial_that_does_well_goes_on(scene: Scene) -> None:
    scene.create()
    good, better = scene.running()
    scene.report(good, GOOD)
    scene.end(good)
    scene.report(better, [3.0, 2.0, 0.5])
    assert scene.state(better) == names.RUNNING


def test_without_early_stopping_nobody_is_stopped(scene: Scene) -> None:
    scene.create(None)
    good, bad = scene.running()
    scene.report(good, GOOD)
    scene.end(good)
    scene.report(bad, BAD)
    assert scene.state(bad) == names.RUNNING


def test_experiments_do_not_judge_each_others_trials(scene: Scene) -> None:
    scene.create(name="e")
    scene.create(name="f")
    good = scene.running()[0]
    bad = next(trial for trial in scene.running() if trial.metadata.name.startswith("f-"))
    scene.report(good, GOOD)
    scene.end(good)
    scene.report(bad, BAD)
    assert scene.state(bad) == names.RUNNING


def test_what_is_stopped_early_counts_for_others_as_far_as_it_came(scene: Scene) -> None:
    scene.create(EarlyStoppingSpec("medianstop", (Setting("min_trials_required", "2"), Setting("start_step", "2"))))
    first, second = scene.running()
    for trial in (first, second):
        scene.report(trial, GOOD)
        scene.end(trial)
    third, fourth = scene.running()
    scene.report(third, BAD)
    assert scene.state(third) == names.EARLY_STOPPED
    # The median of 3, 3 and 8.5 is still 3; one more that is bad, and it lies between.
    scene.report(fourth, BAD)
    assert scene.state(fourth) == names.EARLY_STOPPED
    fifth = scene.running()[0]
    scene.report(fifth, [5.0, 5.0])
    assert scene.state(fifth) == names.RUNNING


def test_failed_trials_count_for_nobody(scene: Scene) -> None:
    scene.create()
    failing, bad = scene.running()
    scene.report(failing, GOOD)
    for _ in range(2):  # the first time it is run again
        failed = jobstatus.failed(reason="x", message="", started_at=None, ended_at=scene.clock.now())
        scene.end(failing, failed)
    assert scene.state(failing) == names.FAILED
    scene.report(bad, BAD)
    assert scene.state(bad) == names.RUNNING


def test_a_trial_that_has_ended_by_itself_has_succeeded_however_bad_it_was(scene: Scene) -> None:
    scene.create()
    good, bad = scene.running()
    scene.report(good, GOOD)
    scene.end(good)
    for loss in BAD:
        log = MetricLog(scene.clock.now(), "loss", repr(loss))
        scene.observations.report("ns", bad.metadata.name, [log])
    scene.store.update_status(msgspec.structs.replace(scene.job(bad), status=jobstatus.COMPLETE))
    scene.run()
    assert scene.state(bad) == names.SUCCEEDED


def test_a_process_that_dies_knows_the_same_when_it_lives_again(scene: Scene) -> None:
    scene.create()
    good, bad = scene.running()
    scene.report(good, GOOD)
    scene.end(good)
    scene.report(bad, BAD[:1])
    scene.die()

    scene.live()
    if scene.reads:  # a job of a cluster has run on meanwhile
        scene.report(bad, BAD[1:2])
    else:  # a job of this machine is run anew
        scene.observations.delete("ns", bad.metadata.name)
        scene.report(bad, BAD[:1])
        assert scene.state(bad) == names.RUNNING
        scene.report(bad, BAD[1:2])

    assert scene.state(bad) == names.EARLY_STOPPED
    assert len(scene.trials()) == 4  # one more for each that has ended


def test_a_stop_that_was_announced_before_the_process_died_is_carried_out_once(scene: Scene) -> None:
    scene.create()
    good, bad = scene.running()
    scene.report(good, GOOD)
    scene.end(good)
    for loss in BAD:
        scene.observations.report("ns", bad.metadata.name, [MetricLog(scene.clock.now(), "loss", repr(loss))])
    if scene.reader is not None:  # it reads and announces, and nothing more
        for _ in range(3):
            scene.clock.advance(INTERVAL_SECONDS)
            scene.reader.tick()
    announced = scene.now(bad)
    assert is_true(announced.status.conditions, names.EARLY_STOPPED)
    assert not is_finished(announced)
    scene.die()

    scene.live()
    scene.run()

    assert scene.state(bad) == names.EARLY_STOPPED
    ended = scene.now(bad).status
    scene.run()
    assert scene.now(bad).status == ended
    assert [trial_state(trial) for trial in scene.trials()].count(names.EARLY_STOPPED) == 1


def test_a_trial_that_is_run_again_begins_its_curve_anew() -> None:
    scene = Scene(reads=False)
    scene.create(PATIENCE, parallel=1)
    [trial] = scene.running()
    scene.report(trial, [3.0, 3.0])
    scene.end(trial, jobstatus.failed(reason="x", message="", started_at=None, ended_at=scene.clock.now()))
    scene.observations.delete("ns", trial.metadata.name)  # as runners do
    scene.report(trial, [3.0, 3.0])
    assert scene.state(trial) == names.RUNNING
    scene.report(trial, [3.0])
    assert scene.state(trial) == names.EARLY_STOPPED


def test_other_metrics_and_texts_are_no_reports_of_the_objective(scene: Scene) -> None:
    scene.create(PATIENCE, parallel=1)
    [trial] = scene.running()
    scene.report(trial, [3.0, 3.0, 3.0, 3.0], name="norm")
    scene.observations.report("ns", trial.metadata.name, [MetricLog(scene.clock.now(), "loss", "n/a")] * 4)
    scene.report(trial, [3.0, 3.0])
    assert scene.state(trial) == names.RUNNING


def test_rules_that_a_trial_carries_are_held_against_it_too(scene: Scene) -> None:
    scene.create(PATIENCE, parallel=1)
    [trial] = scene.running()
    rules = (EarlyStoppingRule("norm", "5", names.GREATER, 0),)
    spec = msgspec.structs.replace(scene.now(trial).spec, early_stopping_rules=rules)
    scene.store.update(msgspec.structs.replace(scene.now(trial), spec=spec))
    scene.report(trial, [6.0], name="norm")
    said = find_condition(scene.now(trial).status.conditions, names.EARLY_STOPPED)
    assert said is not None
    assert said.message == "Trial is early stopped: norm up to report 1 is 6, greater than 5"


def test_settings_that_admission_did_not_see_are_told_and_stop_nobody(scene: Scene) -> None:
    scene.create(EarlyStoppingSpec("medianstop", (Setting("start_step", "0"),)))
    for trial in scene.running():
        scene.report(trial, BAD)
    events = [event.message for event in scene.store.events(namespace="ns", name="e")]
    assert [text for text in events if "early stopping" in text] == [
        "early stopping does nothing: spec.earlyStopping.algorithmSettings[0].value: "
        "start_step must be a whole number at least 1, found '0'"
    ]
    assert {trial_state(trial) for trial in scene.trials()} == {names.RUNNING}


def test_an_experiment_that_is_over_is_remembered_no_longer_and_learnt_again_when_it_goes_on(scene: Scene) -> None:
    scene.create()
    while scene.running():
        for trial in scene.running():
            scene.report(trial, GOOD)
            scene.end(trial)
    assert list(scene.stops.experiments()) == []

    experiment = scene.store.get(Reference(names.EXPERIMENT, "ns", "e"))
    assert isinstance(experiment, Experiment)
    spec = msgspec.structs.replace(experiment.spec, max_trial_count=8)
    scene.store.update(msgspec.structs.replace(experiment, spec=spec))
    scene.run()
    bad = scene.running()[0]
    scene.report(bad, BAD)

    said = find_condition(scene.now(bad).status.conditions, names.EARLY_STOPPED)
    assert said is not None
    assert said.message.endswith("the median of the running averages of 6 ended Trials")


# Reading


class Away:
    """A DB manager that is away for a while."""

    def __init__(self, store: ObservationStore) -> None:
        self.report, self.latest, self.delete = store.report, store.latest, store.delete
        self._logs = store.logs
        self.is_away = False
        self.questions: list[tuple[str, float | None]] = []

    def logs(
        self,
        namespace: str,
        trial_name: str,
        *,
        metric_name: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> list[MetricLog]:
        self.questions.append((trial_name, start))
        if self.is_away:
            raise Unavailable("it is away")
        return list(self._logs(namespace, trial_name, metric_name=metric_name, start=start, end=end))


@pytest.fixture
def away() -> tuple[Scene, Away]:
    scene = Scene(reads=True)
    db = Away(scene.kept)
    scene.reader = CurveReader(scene.stops, db, scene.clock, executor=scene.execute)
    return scene, db


def test_a_curve_is_read_from_where_it_was_left(away: tuple[Scene, Away]) -> None:
    scene, db = away
    scene.create(PATIENCE, parallel=1)
    [trial] = scene.running()
    scene.report(trial, [3.0])
    last = scene.clock.now()
    scene.observations.report("ns", trial.metadata.name, [MetricLog(last, "loss", "2"), MetricLog(last, "loss", "1")])
    scene.run()
    db.questions.clear()
    scene.run()
    assert {start for _, start in db.questions} == {last}
    # The very same moment again, and each report is heard once: 3, 2, 1, 0.5, and so no reason to stop.
    scene.observations.report("ns", trial.metadata.name, [MetricLog(last, "loss", "0.5")])
    scene.run()
    assert scene.state(trial) == names.RUNNING
    scene.report(trial, [3.0, 3.0])
    assert scene.state(trial) == names.EARLY_STOPPED


def test_while_metrics_cannot_be_read_nobody_is_stopped_and_then_all_goes_on(
    away: tuple[Scene, Away], caplog: pytest.LogCaptureFixture
) -> None:
    scene, db = away
    scene.create()
    good, bad = scene.running()
    scene.report(good, GOOD)
    scene.end(good)
    db.is_away = True
    scene.report(bad, BAD)
    assert scene.state(bad) == names.RUNNING
    assert "curves of running Trials cannot be read: it is away" in caplog.text
    db.is_away = False
    scene.run()
    assert scene.state(bad) == names.EARLY_STOPPED


def test_a_stop_that_could_not_be_written_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(reads=True)
    scene.create()
    good, bad = scene.running()
    scene.report(good, GOOD)
    scene.end(good)
    write, failures = (
        scene.store.update_status,
        [Conflict("somebody was faster"), Unavailable("the API server is away")],
    )

    def failing(obj: Object) -> Object:
        if failures and isinstance(obj, Trial):
            raise failures.pop()
        return write(obj)

    monkeypatch.setattr(scene.store, "update_status", failing)
    scene.report(bad, BAD)
    scene.run()
    assert failures == []
    assert scene.state(bad) == names.EARLY_STOPPED


def test_ended_trials_are_read_once_and_before_running_ones_are_judged(away: tuple[Scene, Away]) -> None:
    scene, db = away
    scene.create()
    good = scene.running()[0]
    scene.report(good, GOOD)
    scene.end(good)
    assert (good.metadata.name, None) in db.questions
    db.questions.clear()
    scene.run()
    assert good.metadata.name not in {name for name, _ in db.questions}


def test_what_was_asked_of_a_trial_that_ended_meanwhile_is_asked_again_in_whole() -> None:
    scene = Scene(reads=True)
    assert scene.reader is not None
    scene.create()
    good, bad = scene.running()
    scene.report(good, GOOD[:1])
    scene.delayed = []
    scene.clock.advance(INTERVAL_SECONDS)
    scene.reader.tick()  # asks for both, which takes its time
    [read] = scene.delayed
    for loss in GOOD[1:]:
        scene.observations.report("ns", good.metadata.name, [MetricLog(scene.clock.now(), "loss", repr(loss))])
    scene.store.update_status(msgspec.structs.replace(scene.job(good), status=jobstatus.COMPLETE))
    scene.plane.run_to_rest()
    scene.delayed = None
    read()
    scene.run()
    scene.report(bad, BAD[:2])
    said = find_condition(scene.now(bad).status.conditions, names.EARLY_STOPPED)
    assert said is not None
    assert "at report 2 its best loss is 8, above 3" in said.message
