"""Tree-structured Parzen estimators find better values than chance, and heed what runs, fails and was tried."""

import math
import statistics
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import choice, double, integer
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Outcome, ProposedTrial
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.sobol import SobolSearch
from pykatib.algorithms.space import Point, SearchSpace
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

NAMES = ("tpe", "multivariate-tpe")
PLANE = SearchSpace.from_specs([double("x", "0", "1"), double("y", "0", "1")])
MIXED = SearchSpace.from_specs(
    [
        double("lr", "1e-6", "1", "", "logUniform"),
        integer("layers", "1", "20"),
        choice("batch", "discrete", "128", "32", "64", "256"),
        choice("optimizer", "categorical", "sgd", "adam", "ftrl", "rmsprop"),
    ]
)


def made(
    name: str, space: SearchSpace, *, seed: int = 1, maximise: bool = False, settings: dict[str, str] | None = None
) -> Algorithm:
    info = registry.info(name)
    stated = [Setting(key, value) for key, value in (settings or {}).items()]
    objective = ObjectiveSpec(type="maximize" if maximise else "minimize", objective_metric_name="loss")
    problem = Problem(space=space, objective=objective)
    return info.create(problem, info.read_settings(stated, path="settings"), seed=seed)


def told(
    index: int, values: Point, objective: float | None, outcome: Outcome = "succeeded", name: str = "t"
) -> FinishedTrial:
    return FinishedTrial(index, f"{name}{index}", values, outcome, objective)


def running(points: Sequence[Point], first: int) -> tuple[ProposedTrial, ...]:
    return tuple(ProposedTrial(first + k, f"t{first + k}", point) for k, point in enumerate(points))


def best(algorithm: Algorithm, function: Callable[[Point], float], count: int) -> float:
    """The least value of so many Trials, one after the other."""
    found = math.inf
    for index in range(count):
        (proposal,) = algorithm.ask(Ask(1, index))
        value = function(proposal.values)
        found = min(found, value)
        algorithm.tell([told(index, proposal.values, value)])
    return found


def bowl(point: Point) -> float:
    return (float(point[0]) - 0.3) ** 2 + (float(point[1]) - 0.8) ** 2


def training(point: Point) -> float:
    rate = (math.log10(float(point[0])) + 2.5) ** 2
    return rate + abs(int(point[1]) - 13) / 3 + abs(math.log2(float(point[2])) - 6) + (point[3] != "adam")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("space", "function"), [(PLANE, bowl), (MIXED, training)], ids=["doubles", "mixed"])
def test_it_finds_far_better_values_than_chance(
    name: str, space: SearchSpace, function: Callable[[Point], float]
) -> None:
    ours = [best(made(name, space, seed=seed), function, 60) for seed in range(10)]
    chance = [best(made("random", space, seed=seed), function, 60) for seed in range(10)]

    assert statistics.median(ours) < 0.4 * statistics.median(chance)
    assert sum(a < b for a, b in zip(ours, chance, strict=True)) >= 8


def history(count: int = 40, *, function: Callable[[Point], float] = bowl, sign: float = 1.0) -> list[FinishedTrial]:
    generator = np.random.default_rng(5)
    points = [PLANE.sample(generator) for _ in range(count)]
    return [told(index, point, sign * function(point)) for index, point in enumerate(points)]


def proposals(
    name: str, trials: Sequence[FinishedTrial], *, active: Sequence[Point] = (), seeds: int = 30, maximise: bool = False
) -> list[Point]:
    """What so many seeds propose after a history."""
    found = []
    for seed in range(seeds):
        algorithm = made(name, PLANE, seed=seed, maximise=maximise)
        algorithm.tell(trials)
        first = len(trials)
        found.append(algorithm.ask(Ask(1, first + len(active), running(active, first)))[0].values)
    return found


def distance(point: Point, x: float, y: float) -> float:
    return math.hypot(float(point[0]) - x, float(point[1]) - y)


@pytest.mark.parametrize("name", NAMES)
def test_what_runs_keeps_others_at_a_distance(name: str) -> None:
    alone = proposals(name, history())
    place = (statistics.median(float(p[0]) for p in alone), statistics.median(float(p[1]) for p in alone))
    beside = proposals(name, history(), active=[(place[0] + k / 1000, place[1] - k / 1000) for k in range(8)])

    assert statistics.median(distance(point, *place) for point in beside) > 1.2 * statistics.median(
        distance(point, *place) for point in alone
    )


def test_a_batch_lies_wider_apart_than_proposals_that_do_not_know_of_each_other() -> None:
    def spread(points: Sequence[Point]) -> float:
        nearest = [
            min(distance(p, float(q[0]), float(q[1])) for k, q in enumerate(points) if k != place)
            for place, p in enumerate(points)
        ]
        return statistics.median(nearest)

    together, apart = [], []
    for seed in range(10):
        algorithm = made("multivariate-tpe", PLANE, seed=seed)
        algorithm.tell(history())
        together.append(spread([proposal.values for proposal in algorithm.ask(Ask(8, 40))]))
        apart.append(spread([algorithm.ask(Ask(1, 40 + k))[0].values for k in range(8)]))

    assert statistics.mean(together) > 1.15 * statistics.mean(apart)


@pytest.mark.parametrize("name", NAMES)
def test_where_trials_fail_it_goes_less(name: str) -> None:
    trials = history()
    around = [told(40 + k, (0.3 + 0.02 * (k % 3), 0.8 + 0.02 * (k // 3)), None, "failed") for k in range(9)]

    def near(points: Sequence[Point]) -> int:
        return sum(distance(point, 0.32, 0.82) < 0.08 for point in points)

    assert near(proposals(name, [*trials, *around])) < 0.6 * near(proposals(name, trials))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf], ids=str)
def test_an_objective_that_is_not_finite_counts_as_failed(name: str, odd: float) -> None:
    trials = history()
    assert proposals(name, [*trials, told(40, (0.9, 0.1), odd)], seeds=3) == proposals(
        name, [*trials, told(40, (0.9, 0.1), None, "failed")], seeds=3
    )


@pytest.mark.parametrize("name", NAMES)
def test_early_stopped_trials_count_with_their_value(name: str) -> None:
    trials = history()
    stopped = [told(t.index, t.values, t.objective, "early-stopped") for t in trials]

    assert proposals(name, stopped, seeds=3) == proposals(name, trials, seeds=3)


@pytest.mark.parametrize("name", NAMES)
def test_maximising_is_minimising_the_opposite(name: str) -> None:
    assert proposals(name, history(sign=-1.0), seeds=3, maximise=True) == proposals(name, history(), seeds=3)


@pytest.mark.parametrize("name", NAMES)
def test_a_history_in_which_all_failed_is_no_obstacle(name: str) -> None:
    trials = [told(t.index, t.values, None, "failed") for t in history(20)]

    assert len(set(proposals(name, trials, seeds=5))) == 5


@pytest.mark.parametrize("name", NAMES)
def test_doubles_with_room_for_two_numbers_are_proposed_again(name: str) -> None:
    space = SearchSpace.from_specs([double("x", "1", "1.0000000000000002")])
    algorithm = made(name, space, settings={"n_startup_trials": "2"})
    for index in range(8):
        (proposal,) = algorithm.ask(Ask(1, index))
        assert space.contains(proposal.values)
        algorithm.tell([told(index, proposal.values, 0.0)])


@pytest.mark.parametrize("name", NAMES)
def test_the_first_points_are_those_of_the_sobol_sequence(name: str) -> None:
    sobol = SobolSearch(Problem(space=PLANE, objective=ObjectiveSpec()), {}, seed=1)

    assert list(made(name, PLANE).ask(Ask(10, 0))) == list(sobol.ask(Ask(10, 0)))


@pytest.mark.parametrize("name", NAMES)
def test_a_long_history_in_another_order_gives_the_same_proposals(name: str) -> None:
    trials = history(3000)
    shuffled = [trials[k] for k in np.random.default_rng(1).permutation(3000)]
    straight, other = made(name, PLANE), made(name, PLANE)
    straight.tell(trials)
    for start in range(0, 3000, 7):
        other.tell(shuffled[start : start + 7])
        if start % 700 == 0:
            other.ask(Ask(1, start + 7))

    assert straight.ask(Ask(3, 3000)) == other.ask(Ask(3, 3000))


@pytest.mark.parametrize("name", NAMES)
def test_64_at_once_are_64_different_points(name: str) -> None:
    algorithm = made(name, MIXED)
    algorithm.tell([told(k, p.values, 1.0) for k, p in enumerate(algorithm.ask(Ask(12, 0)))])

    assert len({proposal.values for proposal in algorithm.ask(Ask(64, 12))}) == 64


@pytest.mark.parametrize("name", NAMES)
def test_katibs_two_spellings_of_a_setting_mean_the_same(name: str) -> None:
    def next_point(settings: dict[str, str]) -> Point:
        algorithm = made(name, PLANE, settings=settings)
        algorithm.tell(history())
        return algorithm.ask(Ask(1, 40))[0].values

    assert next_point({"n_EI_candidates": "3"}) == next_point({"n_ei_candidates": "3"}) != next_point({})


@pytest.mark.parametrize("setting", [{"gamma": "0.3"}, {"prior_weight": "50"}, {"n_startup_trials": "99"}], ids=str)
def test_settings_make_a_difference(setting: dict[str, str]) -> None:
    def run(settings: dict[str, str]) -> list[Point]:
        algorithm = made("tpe", PLANE, settings=settings)
        algorithm.tell(history())
        return [proposal.values for proposal in algorithm.ask(Ask(5, 40))]

    assert run(setting) != run({})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": "1.5"}, "gamma must be a number above 0 and below 1, found '1.5'"),
        ({"prior_weight": "aaa"}, "prior_weight must be a number above 0, found 'aaa'"),
        ({"n_EI_candidates": "0"}, "n_EI_candidates must be a whole number at least 1, found '0'"),
        ({"n_startup_trials": "-1"}, "n_startup_trials must be a whole number at least 0, found '-1'"),
        ({"n_ei_candidate": "3"}, "unknown setting 'n_ei_candidate' of the algorithm tpe; did you mean"),
        ({"n_EI_candidates": "3", "n_ei_candidates": "4"}, "n_EI_candidates and n_ei_candidates are the same"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_wrong_settings_are_told_with_what_would_do(settings: dict[str, str], message: str) -> None:
    stated = tuple(Setting(name, value) for name, value in settings.items())
    experiment = Experiment(
        metadata=ObjectMeta(name="x"),
        spec=ExperimentSpec(
            parameters=(double("x", "0", "1"),),
            objective=ObjectiveSpec(type="minimize", objective_metric_name="loss"),
            algorithm=AlgorithmSpec("tpe", stated),
        ),
    )
    with pytest.raises(InvalidInput) as caught:
        registry.create(experiment, seed=1)

    assert message in str(caught.value)
