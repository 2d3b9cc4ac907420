"""Algorithms for several objectives: the conformance suites, and what fronts and hypervolumes have to do with it."""

import math
from itertools import product
from typing import ClassVar

import msgspec
import numpy as np
import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import SPACES, AlgorithmConformance, ExhaustionConformance, History
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, ProposedTrial
from pykatib.algorithms.dominance import best_first, crowding, dominator_counts, front_numbers
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import unit_of, words
from pykatib.algorithms.space import SearchSpace
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.objectives import read_directions
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

OBJECTIVE = ObjectiveSpec(
    type="maximize", objective_metric_name="objective", additional_metric_names=("latency", "size", "note")
)


class SeveralHistory(History):
    """Trials have further metrics; now and then one is missing or NaN."""

    def _result(self, trial: ProposedTrial) -> FinishedTrial:
        found = super()._result(trial)
        if found.objective is None:
            return found
        first, second = (unit_of(word) for word in words(23, trial.index, 2))
        metrics = {**found.metrics, "latency": round(first, 1), "size": math.nan if second > 0.9 else second}
        return msgspec.structs.replace(found, metrics=metrics)


class _Several(ExhaustionConformance, AlgorithmConformance):
    settings: ClassVar = {"objectives": "latency:minimize"}
    spaces: ClassVar = {name: specs for name, specs in SPACES.items() if name not in ("huge", "negative")}

    def problem(self, space: SearchSpace) -> Problem:
        return msgspec.structs.replace(super().problem(space), objective=OBJECTIVE)

    def live(self, algorithm: Algorithm, *, rounds: int, odd: bool = False) -> History:
        history = SeveralHistory(odd=odd)
        for turn in range(rounds):
            history.ask(algorithm, 1 + turn % 3)
            history.finish(algorithm, 1 + (turn + 1) % 3)
        return history


class TestMotpe(_Several):
    info = registry.info("motpe")
    settings: ClassVar = {"objectives": "latency:minimize", "n_startup_trials": "4"}


class TestMotpeOfThree(_Several):
    info = registry.info("motpe")
    settings: ClassVar = {"objectives": "latency:minimize, size:maximize", "n_startup_trials": "4"}
    spaces: ClassVar = {name: SPACES[name] for name in ("two doubles", "manifest", "one point")}


class TestNsga2(_Several):
    info = registry.info("nsga2")
    settings: ClassVar = {"objectives": "latency:minimize", "population_size": "4"}


class TestNsga2OfThree(_Several):
    info = registry.info("nsga2")
    settings: ClassVar = {"objectives": "latency:minimize, size:maximize", "population_size": "3"}
    spaces: ClassVar = {name: SPACES[name] for name in ("two doubles", "manifest", "every kind")}
    rounds = 30


def dominates(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one <= other).all() and (one < other).any())


@pytest.mark.parametrize(("count", "seed"), list(product([2, 3, 4], range(5))))
def test_fronts_are_what_is_left_when_the_ones_before_are_taken_away(count: int, seed: int) -> None:
    losses = np.random.default_rng(seed).integers(0, 5, size=(40, count)).astype(float)
    numbers = front_numbers(losses, needed=40)

    left = list(range(len(losses)))
    number = 0
    while left:
        front = [one for one in left if not any(dominates(losses[other], losses[one]) for other in left)]
        assert set(numbers[front].tolist()) == {number}
        left = [one for one in left if one not in front]
        number += 1
    assert dominator_counts(losses).tolist() == [sum(dominates(a, b) for a in losses) for b in losses]


def test_with_more_points_than_are_compared_the_first_fronts_are_right() -> None:
    losses = np.random.default_rng(1).random((2500, 3))
    exact, fast = front_numbers(losses[:2000], needed=2000), front_numbers(losses, needed=30)
    dominated = dominator_counts(losses) > 0

    assert ((fast == 0) == ~dominated).all()
    assert fast.max() < exact.max()


def area(points: np.ndarray, reference: float) -> float:
    total, least = 0.0, reference
    for first, second in sorted(map(tuple, points)):
        if second < least:
            total += (reference - first) * (least - second)
            least = second
    return total


def test_of_two_objectives_each_next_one_adds_the_greatest_area() -> None:
    numbers = np.random.default_rng(3)
    firsts = np.sort(numbers.random(30))
    losses = np.column_stack([firsts, np.sort(numbers.random(30))[::-1]])
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / (high - low)
    order = best_first(losses, np.zeros(30, dtype=np.intp), needed=8)

    for count in range(8):
        gains = [area(scaled[[*order[:count], place]], 1.1) for place in range(30)]
        assert gains[order[count]] == pytest.approx(max(gains))


def test_of_three_objectives_the_ends_and_the_middle_are_taken_before_their_neighbours() -> None:
    corners = np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0], [0.4, 0.4, 0.4]])
    beside = corners + np.array([0.001, 0.002, 0.003]) * np.array([[-1.0], [1], [1], [1]])
    losses = np.vstack([beside, corners])
    order = best_first(losses, np.zeros(8, dtype=np.intp), needed=4)

    assert {place % 4 for place in order[:4].tolist()} == {0, 1, 2, 3}


def test_crowding_is_the_width_between_neighbours_and_endless_at_the_ends() -> None:
    losses = np.array([[0.0, 4], [1, 3], [3, 1], [4, 0]])
    assert crowding(losses).tolist() == [math.inf, 0.75 + 0.75, 0.75 + 0.75, math.inf]


@pytest.mark.parametrize("name", ["motpe", "nsga2"])
def test_it_finds_the_compromises_and_not_one_end(name: str) -> None:
    """Of (x − 0.2)² and (x − 0.6)² every x between is a compromise; y should be 0."""
    problem = Problem(
        space=SearchSpace.from_specs(SPACES["two doubles"]),
        objective=msgspec.structs.replace(OBJECTIVE, type="minimize"),
    )
    info = registry.info(name)
    stated = [Setting("objectives", "size:minimize"), Setting("random_state", "1")]
    algorithm = info.create(problem, info.read_settings(stated, path=""), seed=1)
    late = []
    for index in range(120):
        [proposal] = algorithm.ask(Ask(1, index))
        x, y = problem.space.to_unit(proposal.values)
        metrics = {"objective": (x - 0.2) ** 2 + y**2, "size": (x - 0.6) ** 2 + y**2}
        algorithm.tell([FinishedTrial(index, "", proposal.values, "succeeded", metrics["objective"], metrics)])
        late.append((x, y))
    late = late[80:]

    assert sum(0.1 < x < 0.7 for x, _ in late) >= 30
    assert min(x for x, _ in late) < 0.3
    assert max(x for x, _ in late) > 0.5
    assert np.median([y for _, y in late]) < 0.15


@pytest.mark.parametrize("name", ["motpe", "nsga2"])
def test_trials_that_lack_a_metric_are_as_good_as_failed(name: str) -> None:
    problem = Problem(space=SearchSpace.from_specs(SPACES["two doubles"]), objective=OBJECTIVE)
    info = registry.info(name)
    settings = info.read_settings([Setting("objectives", "size:minimize")], path="")

    def proposals(metrics: dict[str, float], outcome: str) -> list[tuple[object, ...]]:
        algorithm = info.create(problem, settings, seed=1)
        points = [problem.space.from_unit((unit_of(a), unit_of(b))) for a, b in (words(5, i, 2) for i in range(30))]
        good = {"objective": 1.0, "size": 1.0}
        algorithm.tell(
            [
                FinishedTrial(index, "", point, "succeeded", 1.0, {**good, "size": index % 7})
                if index % 2
                else FinishedTrial(index, "", point, outcome, metrics.get("objective"), metrics)  # type: ignore[arg-type]
                for index, point in enumerate(points)
            ]
        )
        return [each.values for each in algorithm.ask(Ask(3, 30))]

    failed = proposals({}, "failed")
    assert proposals({"objective": 9.0}, "succeeded") == failed
    assert proposals({"objective": 9.0, "size": math.nan}, "succeeded") == failed
    assert proposals({"objective": 9.0, "size": 0.0}, "failed") == failed
    assert proposals({"objective": 9.0, "size": -9.0}, "succeeded") != failed


# The setting


def stated(name: str, *settings: tuple[str, str], objective: ObjectiveSpec = OBJECTIVE) -> Experiment:
    spec = ExperimentSpec(
        parameters=SPACES["two doubles"],
        objective=objective,
        algorithm=AlgorithmSpec(name, tuple(Setting(*each) for each in settings)),
    )
    return Experiment(metadata=ObjectMeta(name="e"), spec=spec)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("latency", "must name metrics with their directions", id="no direction"),
        pytest.param("latency:minimise", "did you mean minimize?", id="another spelling"),
        pytest.param("latency:up", "must say minimize or maximize of latency, found 'up'", id="no direction at all"),
        pytest.param("latence:minimize", "did you mean latency?", id="a metric misspelt"),
        pytest.param(
            "speed:maximize", "not in spec.objective.additionalMetricNames (latency, size, note)", id="unknown"
        ),
        pytest.param("latency:minimize,latency:maximize", "more than once", id="twice"),
        pytest.param("objective:minimize, size:minimize", "the objective's type is maximize", id="turned around"),
        pytest.param("objective:maximize", "names no metric beside the objective", id="one"),
        pytest.param("", "must name metrics", id="empty"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_was_expected(text: str, told: str) -> None:
    [error] = registry.check(stated("nsga2", ("objectives", text)))
    assert (error.path, told in error.message) == ("spec.algorithm.algorithmSettings", True), error.message


def test_without_the_setting_it_says_what_is_needed() -> None:
    [error] = registry.check(stated("motpe"))
    assert "objectives is needed: which of additionalMetricNames count beside objective" in error.message


@pytest.mark.parametrize("name", ["tpe", "random", "bayesianoptimization", "asha"])
def test_an_algorithm_for_one_objective_says_which_take_several(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        registry.create(stated(name, ("objectives", "size:minimize")), seed=1)
    assert "looks at one metric; motpe, nsga2 and default take several" in str(caught.value)


def test_that_sentence_names_the_algorithms_that_have_the_setting() -> None:
    having = [name for name in registry.names() if any(s.name == "objectives" for s in registry.info(name).settings)]
    assert having == ["motpe", "nsga2", "default"]


def test_metric_names_may_have_colons_and_the_objective_may_be_named() -> None:
    objective = msgspec.structs.replace(OBJECTIVE, additional_metric_names=("val:loss",))
    found = read_directions("val:loss:minimize, objective : maximize", objective)
    assert found == (("objective", True), ("val:loss", False))
