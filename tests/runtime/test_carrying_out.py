"""Plans that are carried out some time later, several at a time and in any order, come to the same end."""

import random
from collections.abc import Callable

import msgspec
import pytest

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.experiment import (
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    ParameterSpec,
    TrialParameterSpec,
    TrialTemplate,
)
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import WorkerJob
from pykatib.api.shared import AlgorithmSpec, MetricLog, MetricStrategy, ObjectiveSpec
from pykatib.api.trial import Trial
from pykatib.control.view import trial_state
from pykatib.runtime.algorithm_host import AlgorithmHost
from pykatib.runtime.clock import ManualClock
from pykatib.runtime.control_plane import ControlPlane
from pykatib.store.contract import Change
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore

JOB = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"arguments": ["${trialParameters.x}"]}}
COMPLETE = msgspec.Raw(b'{"conditions":[{"type":"Complete","status":"True"}]}')
TRIALS, PARALLEL = 20, 4


class Scene:
    """A control plane whose plans wait until the scene carries one out."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock.now)
        self.observations = MemoryObservationStore()
        self.waiting: list[Callable[[], None]] = []
        self.plane = ControlPlane(
            self.store,
            self.observations,
            self.clock,
            AlgorithmHost(registry.create),
            executor=self.waiting.append,
        )
        self.jobs_made: list[str] = []
        self.most_active = 0
        self.store.subscribe([names.JOB], self._hear)
        self.plane.start()

    def _hear(self, change: Change) -> None:
        if change.old is None and change.new is not None:
            self.jobs_made.append(change.new.metadata.name)
        self.most_active = max(self.most_active, len(self.store.list(names.JOB)))

    def create(self) -> None:
        """Creates the Experiment."""
        self.store.create(
            Experiment(
                metadata=ObjectMeta(name="e", namespace="ns"),
                spec=ExperimentSpec(
                    algorithm=AlgorithmSpec("random"),
                    parameters=(ParameterSpec("x", "double", FeasibleSpace(min="1", max="9")),),
                    objective=ObjectiveSpec("minimize", None, "loss", (), (MetricStrategy("loss", "min"),)),
                    parallel_trial_count=PARALLEL,
                    max_trial_count=TRIALS,
                    trial_template=TrialTemplate(
                        trial_spec=msgspec.Raw(msgspec.json.encode(JOB)),
                        trial_parameters=(TrialParameterSpec("x", "", "x"),),
                        success_condition='status.conditions.#(type=="Complete")#|#(status=="True")#',
                        failure_condition='status.conditions.#(type=="Failed")#|#(status=="True")#',
                    ),
                ),
            )
        )

    def end_a_job(self, chance: random.Random) -> None:
        """Completes one of the Jobs that run."""
        running = [
            job
            for job in self.store.list(names.JOB)
            if isinstance(job, WorkerJob) and bytes(job.status) != bytes(COMPLETE)
        ]
        if running:
            job = chance.choice(running)
            self.observations.report("ns", job.metadata.name, [MetricLog(1.0, "loss", "0.5")])
            self.store.update_status(msgspec.structs.replace(job, status=COMPLETE))

    @property
    def is_over(self) -> bool:
        """Whether the Experiment has ended, and all that was to be done is done."""
        found = self.store.get(Reference(names.EXPERIMENT, "ns", "e"))
        assert isinstance(found, Experiment)
        ended = is_true(found.status.conditions, names.SUCCEEDED) or is_true(found.status.conditions, names.FAILED)
        return ended and not self.waiting and not self.plane.has_work() and not self.store.list(names.JOB)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_carrying_out_comes_to_the_same_end(seed: int) -> None:
    scene, chance = Scene(), random.Random(seed)
    scene.create()
    for _ in range(20_000):
        if scene.is_over:
            break
        match chance.randrange(4):
            case 0:
                if scene.waiting:
                    scene.waiting.pop(chance.randrange(len(scene.waiting)))()
            case 1:
                scene.plane.collect()
            case 2:
                scene.plane.step()
            case 3:
                scene.end_a_job(chance)
                scene.clock.advance(0.1)
    assert scene.is_over, "it never came to its end"
    trials = [trial for trial in scene.store.list(names.TRIAL) if isinstance(trial, Trial)]
    assert [trial_state(trial) for trial in trials] == [names.SUCCEEDED] * TRIALS
    assert sorted(scene.jobs_made) == sorted(trial.metadata.name for trial in trials)
    assert scene.most_active <= PARALLEL
