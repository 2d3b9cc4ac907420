"""The parts of Bayesian optimisation, held against their formulas, scipy and finite differences."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, stats

from pykatib.algorithms.bayesian.acquisition import ACQUISITIONS, log_expected_improvement
from pykatib.algorithms.bayesian.design import latin_hypercube
from pykatib.algorithms.bayesian.features import Features
from pykatib.algorithms.bayesian.forest import Forest, ForestKind
from pykatib.algorithms.bayesian.gaussian_process import Evidence, Hyperparameters, Posterior, fit
from pykatib.algorithms.bayesian.history import MOST_FITTED, MOST_MODELLED, History, fitted_count
from pykatib.algorithms.bayesian.kernel import matern
from pykatib.algorithms.bayesian.outputs import normalised, yeo_johnson
from pykatib.algorithms.conformance import choice, double, integer
from pykatib.algorithms.contract import FinishedTrial
from pykatib.algorithms.encoding import Encoding, Floats
from pykatib.algorithms.space import SearchSpace

SPACE = SearchSpace.from_specs(
    [
        double("x", "0", "1"),
        integer("k", "1", "6"),
        choice("word", "categorical", "a", "b", "c"),
        double("y", "-1", "1"),
        choice("size", "discrete", "8", "16", "64"),
    ]
)
FEATURES = Features(Encoding(SPACE))


def rows_of(count: int, seed: int = 0) -> Floats:
    return FEATURES.from_units(np.random.default_rng(seed).random((count, 5)))


def slope_of(function: Callable[[Floats], float], at: Floats) -> Floats:
    """The gradient by central differences."""
    step = 1e-6
    return np.array(
        [(function(at + step * axis) - function(at - step * axis)) / (2 * step) for axis in np.eye(len(at))]
    )


@pytest.mark.parametrize("scaled", [-40.0, -8.0, -1.5, -1.0, -0.5, 0.0, 3.0, 12.0])
def test_the_expected_improvement_is_its_integral(scaled: float) -> None:
    found = log_expected_improvement(np.array([-scaled]), np.array([1.0]), 0.0)[0][0]

    def relative(step: float) -> float:  # what an improvement by `step` adds, relative to the density at z
        return step * math.exp(-step * step / 2 + step * min(scaled, 0.0))

    if scaled <= 0:
        integral = integrate.quad(relative, 0, 60)[0]
        assert found == pytest.approx(math.log(integral) + float(stats.norm.logpdf(scaled)), rel=1e-6)
    else:
        assert found == pytest.approx(math.log(stats.norm.pdf(scaled) + scaled * stats.norm.cdf(scaled)), rel=1e-9)


@pytest.mark.parametrize("name", list(ACQUISITIONS))
@pytest.mark.parametrize("mean", [-2.0, 0.3, 5.0, 60.0])
def test_acquisitions_have_the_slopes_they_state(name: str, mean: float) -> None:
    acquisition = ACQUISITIONS[name]
    value, by_mean, by_deviation = acquisition(np.array([mean]), np.array([0.7]), 0.1)

    expected = slope_of(lambda at: float(acquisition(at[:1], at[1:], 0.1)[0][0]), np.array([mean, 0.7]))
    assert np.isfinite(value).all()
    assert [by_mean[0], by_deviation[0]] == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-6)


def test_the_kernel_has_the_slope_it_states() -> None:
    squares = np.array([0.01, 0.5, 4.0])
    _, slope = matern(squares)

    assert slope == pytest.approx((matern(squares + 1e-6)[0] - matern(squares - 1e-6)[0]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("warped", [False, True], ids=["plain", "warped"])
def test_the_probability_of_hyperparameters_has_the_gradient_it_states(warped: bool) -> None:
    columns = FEATURES.of(rows_of(20))
    targets = np.sin(5 * columns[:, 0]) + columns[:, -1]
    evidence = Evidence(columns, targets, FEATURES.groups, FEATURES.numeric, warped=warped)
    at = evidence.centre + 0.3 * np.random.default_rng(1).standard_normal(len(evidence.centre))

    assert evidence(at)[1] == pytest.approx(slope_of(lambda vector: evidence(vector)[0], at), rel=1e-4, abs=1e-5)


def test_predictions_have_the_slopes_they_state() -> None:
    columns = FEATURES.of(rows_of(15))
    hyper = fit(columns, np.cos(4 * columns[:, 0]) + columns[:, 1], FEATURES.groups, FEATURES.numeric)
    posterior = Posterior(columns, np.cos(4 * columns[:, 0]), hyper, np.full(15, 0.01))
    at = FEATURES.of(rows_of(1, seed=9))
    mean, deviation, by_mean, by_deviation = posterior.predict_with_slopes(at)

    assert (mean[0], deviation[0]) == pytest.approx([float(part[0]) for part in posterior.predict(at)])
    assert by_mean[0] == pytest.approx(slope_of(lambda x: float(posterior.predict(x[None])[0][0]), at[0]), abs=1e-5)
    assert by_deviation[0] == pytest.approx(
        slope_of(lambda x: float(posterior.predict(x[None])[1][0]), at[0]), abs=1e-5
    )


def test_predictions_meet_noiseless_results_and_are_uncertain_far_away() -> None:
    vector = np.concatenate([np.full(5, math.log(0.3)), [0.0, -12.0]])
    hyper = Hyperparameters.of(vector, FEATURES.groups, FEATURES.numeric)
    columns = FEATURES.of(rows_of(10))
    posterior = Posterior(columns, np.arange(10.0), hyper, np.zeros(10))
    mean, deviation = posterior.predict(columns)

    assert mean == pytest.approx(np.arange(10.0), abs=1e-4)
    assert deviation.max() < 0.01
    assert posterior.predict(FEATURES.of(rows_of(50, seed=3)))[1].max() > 0.5


def test_inputs_are_warped_where_the_objective_is_logarithmic_in_them() -> None:
    columns = np.random.default_rng(0).random((60, 2))
    groups = np.arange(2)
    targets = normalised(np.log10(columns[:, 0] + 1e-4) ** 2)

    bent = fit(columns, targets, groups, 2).warping
    straight = fit(columns, normalised(np.sin(6 * columns[:, 0])), groups, 2).warping
    assert float(bent(np.array([[0.05, 0.5]]))[0, 0]) > 0.1
    assert straight.a.tolist() == straight.b.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("exponent", [-1.3, 0.0, 0.5, 1.0, 2.0, 2.6])
def test_yeo_johnson_is_that_of_scipy(exponent: float) -> None:
    values = np.array([-3.0, -0.2, 0.0, 0.4, 7.0])

    assert yeo_johnson(values, exponent) == pytest.approx(stats.yeojohnson(values, exponent))


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param([1.0, 2.0, 3.0, 4.0, 1e9], id="an outlier"),
        pytest.param([-1e308, 0.0, 1e308, 1.0], id="the ends of doubles"),
        pytest.param([1e-300, 2e-300, 3e-300, 5e-300], id="tiny"),
        pytest.param([5.0, 5.0, 5.0], id="all alike"),
        pytest.param([1e12 + 1, 1e12 + 2, 1e12 + 3, 1e12 + 7], id="a great offset"),
    ],
)
def test_normalised_losses_are_moderate_and_keep_their_order(losses: list[float]) -> None:
    found = normalised(np.array(losses))

    assert np.isfinite(found).all()
    assert np.abs(found).max() < 10
    order = np.argsort(losses, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert (len(set(found.tolist())) > 1) == (len(set(losses)) > 1)


def test_features_tell_lists_apart_by_one_and_put_steps_in_the_middle_of_their_cells() -> None:
    encoding = Encoding(SPACE)
    rows = np.array([encoding.row((0.25, 1, "a", 0.0, "8")), encoding.row((0.25, 1, "c", 0.0, "64"))])
    columns = FEATURES.of(rows)
    difference = (columns[0] - columns[1]) ** 2

    assert [difference[FEATURES.groups == place].sum() for place in range(5)] == pytest.approx(
        [0, 0, 1, 0, (2 / 3) ** 2]
    )
    assert columns[0, FEATURES.groups == 1].tolist() == pytest.approx([1 / 12])
    assert FEATURES.from_units(FEATURES.to_units(rows)).tolist() == rows.tolist()


def test_a_latin_hypercube_uses_each_share_of_each_parameter_once() -> None:
    places = latin_hypercube(10, 4, np.random.default_rng(0))

    assert [sorted((column * 10).astype(int).tolist()) for column in places.T] == [list(range(10))] * 4


@pytest.mark.parametrize("kind", ["RF", "ET", "GBRT"])
def test_trees_explain_what_they_have_seen_and_most_of_what_they_have_not(kind: ForestKind) -> None:
    def objective(rows: Floats) -> Floats:
        return np.where(rows[:, 2] == 1, 2.0, 0.0) + rows[:, 1] / 2 + (rows[:, 0] > 0.5)

    seen, unseen = rows_of(120), rows_of(80, seed=5)
    forest = Forest(kind, FEATURES.of(seen), objective(seen), np.random.default_rng(0))
    mean, deviation = forest.predict(FEATURES.of(unseen))
    wanted = objective(unseen)

    assert np.mean((mean - wanted) ** 2) < 0.25 * np.var(wanted)
    assert (deviation > 0).all()


def told(index: int, loss: float | None) -> FinishedTrial:
    return FinishedTrial(index, f"t{index}", (float(index),), "failed" if loss is None else "succeeded", loss)


def test_a_history_does_not_depend_on_the_order_it_was_told_in() -> None:
    losses = [None if index % 7 == 3 else math.sin(index) for index in range(300)]
    first, second = (History(1, lambda loss: loss) for _ in range(2))
    for index in range(300):
        first.add(told(index, losses[index]), [float(index)])
        first.modelled() if index > 5 else None
    for index in reversed(range(300)):
        second.add(told(index, losses[index]), [float(index)])

    assert [part.tolist() for part in first.modelled()] == [part.tolist() for part in second.modelled()]
    assert first.fitted()[2] == second.fitted()[2]
    assert [part.tolist() for part in first.fitted()[:2]] == [part.tolist() for part in second.fitted()[:2]]


def test_failures_count_as_the_worst_and_killed_trials_not_at_all() -> None:
    history = History(1, lambda loss: loss)
    for index, loss in enumerate([1.0, None, 5.0, math.inf, -math.inf, 2.0]):
        history.add(told(index, loss), [float(index)])
    history.add(FinishedTrial(6, "t6", (6.0,), "killed", None), [6.0])
    rows, targets = history.modelled()

    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert targets[1] == targets[2] == targets[3] == targets.max()
    assert targets[4] == targets[0] == targets.min()


def test_models_see_a_bounded_number_of_trials_and_always_the_best() -> None:
    history = History(1, lambda loss: loss)
    for index in range(3000):
        history.add(told(index, float((index * 7919) % 3001)), [float(index)])

    rows, targets = history.modelled()
    assert len(rows) == MOST_MODELLED
    assert len(history.fitted()[0]) == MOST_FITTED
    assert rows[np.argmin(targets), 0] == 0


def test_hyperparameters_are_found_anew_less_often_as_trials_accumulate() -> None:
    counts = [fitted_count(count) for count in range(1, 3000)]

    assert counts == sorted(counts)
    assert all(count - fitted <= count / 8 for count, fitted in enumerate(counts, start=1))
    assert len(set(counts)) < 200
