"""CMA-ES: generations by the number of the proposal, restarts, and that it finds what random search does not."""

import math
from collections.abc import Callable, Sequence

import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.cma_es import GENERATION_LABEL, CmaEsSearch
from pykatib.algorithms.conformance import choice, double, integer
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Outcome, ParameterValue, Proposal, ProposedTrial
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import SearchSpace
from pykatib.api.shared import ObjectiveSpec, Setting

Objective = Callable[[Sequence[ParameterValue]], float]

FIVE_DOUBLES = SearchSpace.from_specs([double(f"x{index}", "-5", "5") for index in range(5)])
ONE_DOUBLE = SearchSpace.from_specs([double("x", "-5", "5")])
INTS = SearchSpace.from_specs([integer(f"k{index}", "-10", "10") for index in range(4)])
MIXED = SearchSpace.from_specs(
    [
        double("x", "-5", "5"),
        integer("k", "1", "9"),
        choice("size", "discrete", "8", "16", "32", "64"),
        choice("word", "categorical", "a", "b", "c", "d"),
    ]
)


def problem_of(space: SearchSpace) -> Problem:
    return Problem(space=space, objective=ObjectiveSpec(type="minimize", objective_metric_name="loss"))


def create(name: str, space: SearchSpace, *, seed: int = 1, **settings: str) -> Algorithm:
    info = registry.info(name)
    stated = [Setting(key, value) for key, value in settings.items()]
    return info.create(problem_of(space), info.read_settings(stated, path="settings"), seed=seed)


def ended(index: int, proposal: Proposal, loss: float | None) -> FinishedTrial:
    outcome: Outcome = "failed" if loss is None else "succeeded"
    return FinishedTrial(index, f"t{index}", proposal.values, outcome, loss, {}, proposal.labels)


def running(index: int, proposal: Proposal) -> ProposedTrial:
    return ProposedTrial(index, f"t{index}", proposal.values, proposal.labels)


def best_of(algorithm: Algorithm, objective: Objective, count: int) -> float:
    best = math.inf
    for index in range(count):
        proposals = algorithm.ask(Ask(1, index))
        if not proposals:
            break
        loss = objective(proposals[0].values)
        best = min(best, loss)
        algorithm.tell([ended(index, proposals[0], loss)])
    return best


def sphere(values: Sequence[ParameterValue]) -> float:
    return sum((float(value) - 1.7) ** 2 for value in values)


def ellipsoid(values: Sequence[ParameterValue]) -> float:
    return sum(math.pow(100, place / 4) * (float(value) - 1.7) ** 2 for place, value in enumerate(values))


def mixed(values: Sequence[ParameterValue]) -> float:
    x, k, size, word = values
    return (float(x) - 2) ** 2 + (int(k) - 7) ** 2 + math.log2(int(size) / 32) ** 2 + "cabd".index(str(word))


@pytest.mark.parametrize(
    ("space", "objective", "count"),
    [
        pytest.param(FIVE_DOUBLES, sphere, 120, id="sphere"),
        pytest.param(FIVE_DOUBLES, ellipsoid, 160, id="ellipsoid"),
        pytest.param(ONE_DOUBLE, sphere, 60, id="one double"),
        pytest.param(INTS, sphere, 120, id="ints"),
        pytest.param(MIXED, mixed, 120, id="mixed"),
    ],
)
def test_it_ends_far_below_random_search(space: SearchSpace, objective: Objective, count: int) -> None:
    found = sorted(best_of(create("cmaes", space, seed=seed), objective, count) for seed in range(3))
    random = sorted(best_of(create("random", space, seed=seed), objective, count) for seed in range(3))

    assert found[1] < random[1] / 3


def generations(proposals: Sequence[Proposal]) -> list[str]:
    return [(proposal.labels or {})[GENERATION_LABEL] for proposal in proposals]


def test_the_distribution_moves_when_all_of_a_generation_have_ended_in_whatever_order() -> None:
    algorithm = create("cmaes", FIVE_DOUBLES)
    first = algorithm.ask(Ask(8, 0))
    for index in (5, 3, 0, 7, 1, 2, 6):
        algorithm.tell([ended(index, first[index], float(index))])
    waiting = algorithm.ask(Ask(1, 8, (running(4, first[4]),)))
    algorithm.tell([ended(4, first[4], 4.0)])
    after = algorithm.ask(Ask(1, 9, (running(8, waiting[0]),)))

    assert generations([*first, *waiting, *after]) == ["0"] * 9 + ["1"]


def test_a_failed_trial_does_not_hold_its_generation_up() -> None:
    algorithm = create("cmaes", FIVE_DOUBLES)
    first = algorithm.ask(Ask(8, 0))
    algorithm.tell([ended(index, proposal, None if index == 2 else 1.0) for index, proposal in enumerate(first)])

    assert generations(algorithm.ask(Ask(1, 8))) == ["1"]


def test_a_generation_of_failures_leaves_the_distribution_where_it_is() -> None:
    failed, fresh = create("cmaes", FIVE_DOUBLES), create("cmaes", FIVE_DOUBLES)
    first = failed.ask(Ask(8, 0))
    failed.tell([ended(index, proposal, None) for index, proposal in enumerate(first)])

    assert [p.values for p in failed.ask(Ask(5, 8))] == [p.values for p in fresh.ask(Ask(5, 8))]


def test_trials_of_another_origin_are_learnt_from_by_their_values() -> None:
    algorithm = create("cmaes", FIVE_DOUBLES)
    strangers = [Proposal(tuple(3.0 + 0.1 * index for _ in range(5))) for index in range(8)]
    algorithm.tell([ended(index, proposal, float(index)) for index, proposal in enumerate(strangers)])
    after = algorithm.ask(Ask(20, 8))

    assert generations(after) == ["1"] * 20
    assert sum(float(value) for proposal in after for value in proposal.values) / 100 > 1


@pytest.mark.parametrize(
    ("strategy", "grows"), [("none", False), ("None", False), ("ipop", True), ("bipop", True)], ids=str
)
def test_a_search_that_has_converged_begins_anew_with_a_greater_population(strategy: str, grows: bool) -> None:
    space = SearchSpace.from_specs([double("x", "0", "1"), double("y", "0", "1")])
    algorithm = create("cmaes", space, restart_strategy=strategy)
    labels = []
    for index in range(400):
        proposal = algorithm.ask(Ask(1, index))[0]
        labels.append(int(generations([proposal])[0]))
        algorithm.tell([ended(index, proposal, 1.0)])
    sizes = {labels.count(generation) for generation in set(labels[:-20])}

    assert (max(sizes) > min(sizes)) == grows


def test_a_huge_first_deviation_still_gives_points_of_the_space() -> None:
    algorithm = create("cmaes", FIVE_DOUBLES, sigma="20")

    assert all(FIVE_DOUBLES.contains(proposal.values) for proposal in algorithm.ask(Ask(20, 0)))


def test_a_sigma_of_zero_is_the_default() -> None:
    assert create("cmaes", FIVE_DOUBLES, sigma="0").ask(Ask(9, 0)) == create("cmaes", FIVE_DOUBLES).ask(Ask(9, 0))


def test_only_trials_of_generations_to_come_are_kept() -> None:
    algorithm = create("cmaes", FIVE_DOUBLES)
    assert isinstance(algorithm, CmaEsSearch)
    best_of(algorithm, sphere, 200)

    assert algorithm.kept_count <= 9
