"""Bayesian optimisation as a whole: it beats random search, spreads batches, avoids failures, refuses nonsense."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import choice, double, integer
from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Outcome, ParameterValue, Proposal, ProposedTrial
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import SearchSpace
from pykatib.api.experiment import ParameterSpec
from pykatib.api.shared import ObjectiveSpec, Setting

Objective = Callable[[Sequence[ParameterValue]], float]

BRANIN = [double("x", "-5", "10"), double("y", "0", "15")]
HARTMANN = [double(f"x{index}", "0", "1") for index in range(6)]
ACKLEY = [double(f"x{index}", "-10", "10") for index in range(3)]
LINEAR_RATE = [double("lr", "0.00001", "1"), double("momentum", "0", "1")]
MIXED = [
    double("lr", "0.00001", "1", "", "logUniform"),
    integer("layers", "1", "8"),
    choice("optimizer", "categorical", "sgd", "adam", "rmsprop"),
    double("dropout", "0", "0.8", "0.1"),
    choice("batch", "discrete", "16", "32", "64", "128"),
]


def branin(values: Sequence[ParameterValue]) -> float:
    x, y = map(float, values)
    curve = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return curve * curve + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887


def hartmann(values: Sequence[ParameterValue]) -> float:
    widths = [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
    places = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ]
    squares = (np.array(widths) * (np.array(values, dtype=float) - np.array(places)) ** 2).sum(axis=1)
    return 3.32237 - float(np.array([1, 1.2, 3, 3.2]) @ np.exp(-squares))


def ackley(values: Sequence[ParameterValue]) -> float:
    at = np.array(values, dtype=float) - 2.3
    return float(
        20 + math.e - 20 * np.exp(-0.2 * np.sqrt(np.mean(at * at))) - np.exp(np.mean(np.cos(2 * math.pi * at)))
    )


def rate(values: Sequence[ParameterValue]) -> float:
    return (math.log10(float(values[0])) + 2.5) ** 2 + (float(values[1]) - 0.9) ** 2


def mixed(values: Sequence[ParameterValue]) -> float:
    lr, layers, optimizer, dropout, batch = values
    best_rate = {"sgd": -1, "adam": -3, "rmsprop": -2.5}[str(optimizer)]
    loss = 0.5 * (math.log10(float(lr)) - best_rate) ** 2 + 0.1 * (int(layers) - 4) ** 2 + (float(dropout) - 0.2) ** 2
    return loss + {"sgd": 0.3, "adam": 0.0, "rmsprop": 0.1}[str(optimizer)] + 0.1 * abs(math.log2(int(str(batch)) / 64))


def create(name: str, specs: Sequence[ParameterSpec], *, seed: int = 1, **settings: str) -> Algorithm:
    info = registry.info(name)
    stated = [Setting(key, value) for key, value in settings.items()]
    objective = ObjectiveSpec(type="minimize", objective_metric_name="loss")
    problem = Problem(space=SearchSpace.from_specs(specs), objective=objective)
    return info.create(problem, info.read_settings(stated, path="settings"), seed=seed)


def ended(index: int, proposal: Proposal, loss: float | None) -> FinishedTrial:
    outcome: Outcome = "failed" if loss is None else "succeeded"
    return FinishedTrial(index, f"t{index}", proposal.values, outcome, loss)


def run(
    algorithm: Algorithm, objective: Callable[[Sequence[ParameterValue]], float | None], count: int
) -> list[tuple[Proposal, float | None]]:
    found: list[tuple[Proposal, float | None]] = []
    for index in range(count):
        (proposal,) = algorithm.ask(Ask(1, index))
        found.append((proposal, objective(proposal.values)))
        algorithm.tell([ended(index, *found[-1])])
    return found


def best_of(algorithm: Algorithm, objective: Objective, count: int) -> float:
    return min(loss for _, loss in run(algorithm, objective, count) if loss is not None)


@pytest.mark.parametrize(
    ("specs", "objective", "count", "times"),
    [
        pytest.param(BRANIN, branin, 30, 20, id="branin"),
        pytest.param(HARTMANN, hartmann, 40, 2, id="hartmann"),
        pytest.param(ACKLEY, ackley, 35, 1.5, id="ackley"),
        pytest.param(MIXED, mixed, 35, 2, id="mixed"),
        pytest.param(LINEAR_RATE, rate, 35, 3, id="a rate that should be logarithmic"),
    ],
)
def test_it_ends_far_below_random_search(
    specs: Sequence[ParameterSpec], objective: Objective, count: int, times: float
) -> None:
    found = sorted(best_of(create("bayesianoptimization", specs, seed=seed), objective, count) for seed in range(3))
    random = sorted(best_of(create("random", specs, seed=seed), objective, count) for seed in range(3))

    assert found[1] < random[1] / times


@pytest.mark.parametrize("estimator", ["RF", "ET", "GBRT"])
def test_trees_end_below_random_search(estimator: str) -> None:
    found = [
        best_of(create("bayesianoptimization", MIXED, seed=s, base_estimator=estimator), mixed, 30) for s in (0, 1)
    ]
    random = [best_of(create("random", MIXED, seed=seed), mixed, 30) for seed in (0, 1)]

    assert sum(found) < sum(random)


@pytest.mark.parametrize("function", ["LCB", "EI", "PI", "gp_hedge"])
@pytest.mark.parametrize("optimizer", ["auto", "sampling", "lbfgs"])
def test_every_acquisition_finds_the_valley(function: str, optimizer: str) -> None:
    algorithm = create("bayesianoptimization", BRANIN, acq_func=function, acq_optimizer=optimizer, n_initial_points="6")

    assert best_of(algorithm, branin, 25) < 1.5


@pytest.mark.parametrize("function", ["EI", "PI", "LCB", "gp_hedge"])
def test_a_batch_spreads_out(function: str) -> None:
    algorithm = create("bayesianoptimization", BRANIN, acq_func=function)
    run(algorithm, branin, 16)
    batch = algorithm.ask(Ask(8, 16))
    places = np.array([proposal.values for proposal in batch], dtype=float) / 15
    distances = [float(np.linalg.norm(one - other)) for index, one in enumerate(places) for other in places[:index]]

    assert min(distances) > 0.005
    assert float(np.median(distances)) > 0.3


def test_a_running_trial_is_not_proposed_again_nor_anything_beside_it() -> None:
    algorithm = create("bayesianoptimization", BRANIN)
    run(algorithm, branin, 16)
    (first,) = algorithm.ask(Ask(1, 16))
    (second,) = algorithm.ask(Ask(1, 17, (ProposedTrial(16, "t16", first.values),)))
    (twin,) = algorithm.ask(Ask(1, 17))

    assert math.dist(np.array(first.values, float), np.array(second.values, float)) > 0.2
    assert twin != second


def test_the_neighbourhood_of_failed_trials_is_avoided() -> None:
    def objective(values: Sequence[ParameterValue]) -> float | None:
        return None if float(values[0]) > 5 else branin(values)  # one of three valleys lies where Trials fail

    found = run(create("bayesianoptimization", BRANIN), objective, 40)

    assert sum(loss is None for _, loss in found[20:]) <= 3
    assert min(loss for _, loss in found if loss is not None) < 0.1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"acq_func": "EIps"}, "against the time of a Trial"),
        ({"acq_func": "PIps"}, "use PI or gp_hedge"),
        ({"acq_optimizer": "lbfgs", "base_estimator": "RF"}, "use auto or sampling"),
        ({"acq_optimizer": "lbfgs", "base_estimator": "GBRT"}, "do not have"),
    ],
    ids=["EIps", "PIps", "lbfgs with RF", "lbfgs with GBRT"],
)
def test_settings_that_cannot_work_together_are_refused_with_the_reason(settings: dict[str, str], reason: str) -> None:
    info = registry.info("bayesianoptimization")
    problem = Problem(space=SearchSpace.from_specs(BRANIN), objective=ObjectiveSpec())
    values = info.read_settings([Setting(key, value) for key, value in settings.items()], path="settings")
    errors = [error for rule in info.rules for error in rule(problem, values)]

    assert [reason in error.message for error in errors] == [True]


def test_without_initial_points_the_first_is_random_and_the_rest_follow_results() -> None:
    assert best_of(create("bayesianoptimization", BRANIN, n_initial_points="0"), branin, 30) < 1
