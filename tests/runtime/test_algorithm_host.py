"""Algorithms are told each end once, told everything anew when they must be, and asked with what still runs."""

from collections.abc import Sequence

import msgspec
import pytest

from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Proposal
from pykatib.algorithms.space import SearchSpace
from pykatib.api import names
from pykatib.api.conditions import set_terminal
from pykatib.api.experiment import Experiment, ExperimentSpec, FeasibleSpace, ParameterSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.sequences import AppendLog
from pykatib.api.shared import Metric, MetricStrategy, ObjectiveSpec, Observation, ParameterAssignment
from pykatib.api.suggestion import Suggestion, SuggestionSpec, SuggestionStatus, TrialAssignment
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.control.view import ExperimentView
from pykatib.runtime.algorithm_host import AlgorithmHost, seed_of

OBJECTIVE = ObjectiveSpec("minimize", None, "loss", ("acc",), (MetricStrategy("loss", "min"),))


class Recorder:
    """An algorithm that writes down what it hears and proposes 0, 1, 2, …"""

    def __init__(self) -> None:
        self.told: list[FinishedTrial] = []
        self.asked: list[Ask] = []

    def ask(self, request: Ask) -> Sequence[Proposal]:
        self.asked.append(request)
        end = request.issued + request.count
        return [Proposal((index % 9,), {"n": "x"} if index == 0 else None) for index in range(request.issued, end)]

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        self.told.extend(finished)


class Scene:
    def __init__(self) -> None:
        self.made: list[tuple[Recorder, int]] = []
        self.host = AlgorithmHost(self.create)
        self.view = ExperimentView()
        parameters = (ParameterSpec("x", "int", FeasibleSpace(min="0", max="9")),)
        self.experiment = Experiment(
            metadata=ObjectMeta(name="e", namespace="ns", uid="u"),
            spec=ExperimentSpec(parameters=parameters, objective=OBJECTIVE),
        )
        known = AppendLog(TrialAssignment(f"t{i}", (ParameterAssignment("x", str(i)),)) for i in range(6))
        self.suggestion = Suggestion(
            metadata=ObjectMeta(name="e", namespace="ns"),
            spec=SuggestionSpec(requests=6),
            status=SuggestionStatus(suggestion_count=6, suggestions=known),
        )

    def create(self, experiment: Experiment, *, seed: int) -> tuple[SearchSpace, Algorithm]:
        recorder = Recorder()
        self.made.append((recorder, seed))
        return SearchSpace.from_specs(experiment.spec.parameters), recorder

    def trial(self, index: int, state: str | None = None, value: str = "1") -> Trial:
        conditions = () if state is None else set_terminal((), state, reason="r", message="", now=0)
        return Trial(
            metadata=ObjectMeta(name=f"t{index}", namespace="ns", uid=f"u{index}", labels={"a": "b"}),
            spec=TrialSpec(objective=OBJECTIVE, parameter_assignments=(ParameterAssignment("x", str(index)),)),
            status=TrialStatus(
                conditions=conditions,
                completion_time=None if state is None else "now",
                observation=Observation((Metric("loss", value, value, value),)),
            ),
        )

    def propose(self, count: int = 1) -> None:
        self.host.propose(self.experiment, self.suggestion, self.view, count)


def test_each_end_is_told_once_and_the_active_ones_are_shown() -> None:
    scene = Scene()
    scene.view.apply(None, scene.trial(0, names.SUCCEEDED))
    scene.view.apply(None, scene.trial(1))
    scene.propose(2)
    scene.view.apply(None, scene.trial(1, names.FAILED))
    scene.propose()
    [(recorder, _)] = scene.made
    assert [(t.index, t.name, t.values, t.outcome) for t in recorder.told] == [
        (0, "t0", (0,), "succeeded"),
        (1, "t1", (1,), "failed"),
    ]
    assert [(a.count, a.issued, [(t.index, t.name, t.values) for t in a.active]) for a in recorder.asked] == [
        (2, 6, [(1, "t1", (1,))]),
        (1, 6, []),
    ]
    assert recorder.told[0].labels == {"a": "b"}


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (names.SUCCEEDED, "succeeded"),
        (names.EARLY_STOPPED, "early-stopped"),
        (names.FAILED, "failed"),
        (names.KILLED, "killed"),
        (names.METRICS_UNAVAILABLE, "metrics-unavailable"),
    ],
)
def test_every_end_has_its_outcome(state: str, outcome: str) -> None:
    scene = Scene()
    scene.view.apply(None, scene.trial(0, state))
    scene.propose()
    assert scene.made[0][0].told[0].outcome == outcome


@pytest.mark.parametrize(
    ("value", "objective"), [("0.5", 0.5), ("cell", None), ("unavailable", None), ("inf", float("inf"))]
)
def test_metrics_are_told_as_numbers_where_they_are(value: str, objective: float | None) -> None:
    scene = Scene()
    scene.view.apply(None, scene.trial(0, names.SUCCEEDED, value))
    scene.propose()
    [finished] = scene.made[0][0].told
    assert finished.objective == objective
    assert finished.metrics == ({} if objective is None else {"loss": objective})


def test_the_answer_is_in_words_of_the_wire() -> None:
    scene = Scene()
    empty = msgspec.structs.replace(scene.suggestion, status=SuggestionStatus())
    proposed = scene.host.propose(scene.experiment, empty, scene.view, 2)
    assert [(p.assignments, p.labels) for p in proposed.proposals] == [
        ((ParameterAssignment("x", "0"),), {"n": "x"}),
        ((ParameterAssignment("x", "1"),), None),
    ]


def test_history_that_was_rewritten_is_told_to_a_fresh_algorithm() -> None:
    scene = Scene()
    for index in range(3):
        scene.view.apply(None, scene.trial(index, names.SUCCEEDED))
    scene.propose()
    scene.view.apply(scene.trial(1, names.SUCCEEDED), None)
    scene.propose()
    assert [[t.name for t in recorder.told] for recorder, _ in scene.made] == [["t0", "t1", "t2"], ["t0", "t2"]]
    assert [t.index for t in scene.made[1][0].told] == [0, 2]


def test_an_algorithm_that_was_let_go_is_made_again_with_the_same_seed() -> None:
    scene = Scene()
    scene.propose()
    scene.host.forget(scene.experiment.reference, "u")
    scene.propose()
    assert [seed for _, seed in scene.made] == [seed_of(scene.experiment)] * 2


def test_seeds_of_experiments_differ_whatever_their_uids_have_in_common() -> None:
    def seed(uid: str) -> int:
        return seed_of(Experiment(metadata=ObjectMeta(name="e", uid=uid), spec=ExperimentSpec()))

    seeds = {seed(f"{prefix:016x}-1") for prefix in range(5_000)} | {seed(f"same-{count:x}") for count in range(5_000)}
    assert len(seeds) > 9_990
    assert all(0 <= value < 2**31 for value in seeds)
