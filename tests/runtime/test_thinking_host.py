"""Algorithms that think for long hold up their own Experiment, and nothing else."""

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue

import msgspec
import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Proposal
from pykatib.algorithms.space import SearchSpace
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
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec
from pykatib.api.suggestion import Suggestion
from pykatib.runtime.algorithm_host import AlgorithmHost
from pykatib.runtime.clock import ManualClock
from pykatib.runtime.control_plane import ControlPlane
from pykatib.runtime.thinking import ThinkingHost
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore

JOB = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"arguments": ["${trialParameters.x}"]}}


class Slow:
    """An algorithm that answers when it is let."""

    def __init__(self, algorithm: Algorithm, may_answer: threading.Event) -> None:
        self._algorithm = algorithm
        self._may_answer = may_answer

    def ask(self, request: Ask) -> Sequence[Proposal]:
        assert self._may_answer.wait(60)
        return self._algorithm.ask(request)

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        self._algorithm.tell(finished)


class Scene:
    """A control plane in which the algorithm of `slow` waits to be let, and that of `quick` does not."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock.now)
        self.may_answer = threading.Event()
        self.answered: SimpleQueue[Reference] = SimpleQueue()
        self.failure: Exception | None = None
        host = ThinkingHost(AlgorithmHost(self.create_algorithm), done=self.answered.put, patience_seconds=0.0)
        self.plane = ControlPlane(self.store, MemoryObservationStore(), self.clock, host)
        self.plane.start()

    def create_algorithm(self, experiment: Experiment, *, seed: int) -> tuple[SearchSpace, Algorithm]:
        if self.failure is not None:
            raise self.failure
        space, algorithm = registry.create(experiment, seed=seed)
        return (space, Slow(algorithm, self.may_answer)) if experiment.metadata.name == "slow" else (space, algorithm)

    def create(self, name: str, *, parallel: int = 2) -> Reference:
        """Creates an Experiment; answers the key of its Suggestion."""
        self.store.create(
            Experiment(
                metadata=ObjectMeta(name=name, namespace="ns"),
                spec=ExperimentSpec(
                    algorithm=AlgorithmSpec("random"),
                    parameters=(ParameterSpec("x", "int", FeasibleSpace(min="1", max="9")),),
                    objective=ObjectiveSpec("minimize", None, "loss"),
                    parallel_trial_count=parallel,
                    trial_template=TrialTemplate(
                        trial_spec=msgspec.Raw(msgspec.json.encode(JOB)),
                        trial_parameters=(TrialParameterSpec("x", "", "x"),),
                    ),
                ),
            )
        )
        return Reference(names.SUGGESTION, "ns", name)

    def hear(self) -> None:
        """Waits a little for an algorithm, and lets the control plane know; time passes, so that it tries again."""
        try:
            answered = self.answered.get(timeout=0.02)
        except Empty:  # it thinks, or was so quick that there was no need to tell
            pass
        else:
            self.plane.look_at(Reference(names.SUGGESTION, answered.namespace, answered.name))
        self.clock.advance(60.0)
        self.plane.run_to_rest()

    def count(self, reference: Reference) -> int:
        """How many assignments a Suggestion has."""
        found = self.store.get(reference)
        assert isinstance(found, Suggestion)
        return found.status.suggestion_count


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene whose threads end."""
    made = Scene()
    yield made
    made.may_answer.set()


def until(scene: Scene, reached: Callable[[], bool]) -> None:
    """Goes on until `reached()`, an answer at a time."""
    for _ in range(1000):
        if reached():
            return
        scene.hear()
    raise AssertionError("it never came to that")


def test_another_experiment_goes_on_while_one_thinks(scene: Scene) -> None:
    slow, quick = scene.create("slow"), scene.create("quick")
    scene.plane.run_to_rest()
    until(scene, lambda: scene.count(quick) == 2)
    assert scene.count(slow) == 0
    found = scene.store.get(slow)
    assert isinstance(found, Suggestion)
    assert is_true(found.status.conditions, names.RUNNING)
    scene.may_answer.set()
    until(scene, lambda: scene.count(slow) == 2)
    assert len(scene.store.list(names.TRIAL)) == 4
    assert not [event for event in scene.store.events(namespace="ns") if event.type == names.WARNING]


def test_what_is_asked_for_while_it_thinks_is_asked_for_next(scene: Scene) -> None:
    slow = scene.create("slow")
    scene.plane.run_to_rest()
    experiment = scene.store.get(Reference(names.EXPERIMENT, "ns", "slow"))
    assert isinstance(experiment, Experiment)
    wider = msgspec.structs.replace(experiment.spec, parallel_trial_count=5)
    scene.store.update(msgspec.structs.replace(experiment, spec=wider))
    scene.plane.run_to_rest()
    scene.may_answer.set()
    scene.hear()
    until(scene, lambda: scene.count(slow) == 5)
    found = scene.store.get(slow)
    assert isinstance(found, Suggestion)
    assert not found.status.exhausted


def test_what_an_algorithm_raises_fails_its_suggestion_as_it_does_without_a_thread(scene: Scene) -> None:
    scene.failure = ZeroDivisionError("by nought")
    quick = scene.create("quick")
    scene.plane.run_to_rest()

    def has_failed() -> bool:
        found = scene.store.get(quick)
        return isinstance(found, Suggestion) and is_true(found.status.conditions, names.FAILED)

    until(scene, has_failed)
    found = scene.store.get(quick)
    assert isinstance(found, Suggestion)
    assert "by nought" in found.status.conditions[-1].message


def test_an_experiment_that_is_deleted_while_it_thinks_is_forgotten(scene: Scene) -> None:
    scene.create("slow")
    scene.plane.run_to_rest()
    scene.store.delete(Reference(names.EXPERIMENT, "ns", "slow"))
    scene.plane.run_to_rest()
    scene.may_answer.set()
    scene.hear()
    slow = scene.create("slow")
    scene.plane.run_to_rest()
    until(scene, lambda: scene.count(slow) == 2)


def test_proposals_are_those_of_a_host_that_waits(scene: Scene) -> None:
    quick = scene.create("quick", parallel=4)
    scene.plane.run_to_rest()
    until(scene, lambda: scene.count(quick) == 4)
    experiment = scene.store.get(Reference(names.EXPERIMENT, "ns", "quick"))
    suggestion = scene.store.get(quick)
    assert isinstance(experiment, Experiment)
    assert isinstance(suggestion, Suggestion)
    fresh = Suggestion(metadata=suggestion.metadata, spec=suggestion.spec)
    waiting = AlgorithmHost(registry.create)
    proposed = waiting.propose(experiment, fresh, scene.plane.view("other", "quick"), 4)
    assert [entry.parameter_assignments for entry in suggestion.status.suggestions] == [
        proposal.assignments for proposal in proposed.proposals
    ]
