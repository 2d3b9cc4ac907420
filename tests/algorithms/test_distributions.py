"""Samples have the distributions that the manifest states: fixed seeds, chi-square and Kolmogorov-Smirnov."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from pykatib.algorithms.conformance import choice, double, integer
from pykatib.algorithms.contract import Ask, ParameterValue
from pykatib.algorithms.distributions import DISTRIBUTION_NAMES, Distribution, DistributionName
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.random_search import RandomSearch
from pykatib.algorithms.randomness import generator, key_of, mix, unit_of, words
from pykatib.algorithms.sobol import SobolSearch
from pykatib.algorithms.space import SearchSpace
from pykatib.api.experiment import ParameterSpec
from pykatib.api.shared import ObjectiveSpec

COUNT = 20_000


def drawn(spec: ParameterSpec, count: int = COUNT) -> list[ParameterValue]:
    """Values of one parameter at the words of so many proposals."""
    space = SearchSpace.from_specs([spec])
    key = key_of(17, "test")
    return [space.from_words(words(key, index, 1))[0] for index in range(count)]


def chi_square(values: Sequence[ParameterValue], share_by_value: dict[ParameterValue, float]) -> float:
    """How likely the counts would be if the shares were true."""
    counts = Counter(values)
    assert set(counts) <= set(share_by_value)
    observed = [counts[value] for value in share_by_value]
    expected = [share * len(values) for share in share_by_value.values()]
    assert min(expected) >= 5
    return float(stats.chisquare(observed, expected).pvalue)


REFERENCES = {
    "uniform": stats.uniform(0.001, 9.999),
    "logUniform": stats.loguniform(0.001, 10),
    "normal": stats.truncnorm(-3, 3, loc=10.001 / 2, scale=9.999 / 6),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_double_has_its_distribution(name: str) -> None:
    values = np.array(drawn(double("p", "0.001", "10", "", name)), dtype=float)

    assert stats.kstest(values, REFERENCES[name].cdf).pvalue > 0.01


def test_a_log_normal_double_is_normal_in_logarithms() -> None:
    values = np.log(np.array(drawn(double("p", "0.001", "10", "", "logNormal")), dtype=float))
    low, high = math.log(0.001), math.log(10)
    reference = stats.truncnorm(-3, 3, loc=(low + high) / 2, scale=(high - low) / 6)

    assert stats.kstest(values, reference.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        pytest.param(integer("p", "1", "7"), [1, 2, 3, 4, 5, 6, 7], id="int"),
        pytest.param(integer("p", "-5", "6", "3"), [-5, -2, 1, 4], id="int with step"),
        pytest.param(double("p", "0", "1", "0.25"), [0.0, 0.25, 0.5, 0.75, 1.0], id="double with step"),
        pytest.param(double("p", "0", "1", "0.3"), [0.0, 0.3, 0.6, 0.9], id="max off the steps"),
        pytest.param(choice("p", "discrete", "3", "1", "2"), ["3", "1", "2"], id="discrete"),
        pytest.param(choice("p", "categorical", "a", "b", "c"), ["a", "b", "c"], id="categorical"),
    ],
)
def test_uniform_values_weigh_the_same_at_the_ends_too(spec: ParameterSpec, values: list[ParameterValue]) -> None:
    assert chi_square(drawn(spec), {value: 1 / len(values) for value in values}) > 0.01


def test_a_logarithmic_int_gives_each_value_the_logarithm_of_its_cell() -> None:
    total = math.log(20.5 / 0.5)
    shares: dict[ParameterValue, float] = {k: math.log((k + 0.5) / (k - 0.5)) / total for k in range(1, 21)}

    assert chi_square(drawn(integer("p", "1", "20", "", "logUniform")), shares) > 0.01


def test_a_normal_int_is_symmetric_and_has_whole_cells_at_its_ends() -> None:
    bell = stats.norm(5, 10 / 6)
    total = bell.cdf(10.5) - bell.cdf(-0.5)
    shares: dict[ParameterValue, float] = {k: (bell.cdf(k + 0.5) - bell.cdf(k - 0.5)) / total for k in range(11)}

    assert chi_square(drawn(integer("p", "0", "10", "", "normal")), shares) > 0.01


def test_the_lowest_cell_of_a_stepped_logarithm_starts_at_half_of_min() -> None:
    edges = [0.0005, *(0.006 + 0.01 * k for k in range(10))]
    total = math.log(edges[-1] / edges[0])
    shares: dict[ParameterValue, float] = {
        round(0.001 + 0.01 * k, 3): math.log(edges[k + 1] / edges[k]) / total for k in range(10)
    }

    assert chi_square(drawn(double("p", "0.001", "0.1", "0.01", "logUniform")), shares) > 0.01


@pytest.mark.parametrize("name", DISTRIBUTION_NAMES)
def test_cdf_is_the_inverse_of_quantile(name: DistributionName) -> None:
    distribution = Distribution(name, 0.5, 80.0)
    for unit in (0.0, 1e-9, 0.01, 0.3, 0.5, 0.9, 0.999, 1.0):
        assert distribution.cdf(distribution.quantile(unit)) == pytest.approx(unit, abs=1e-9)


def searches() -> list[type[RandomSearch] | type[SobolSearch]]:
    return [RandomSearch, SobolSearch]


@pytest.mark.parametrize("search", searches(), ids=lambda search: search.__name__)
@pytest.mark.parametrize("name", REFERENCES)
def test_searches_honour_the_distribution_of_each_parameter(
    search: type[RandomSearch] | type[SobolSearch], name: str
) -> None:
    space = SearchSpace.from_specs([double("other", "0", "1"), double("p", "0.001", "10", "", name)])
    algorithm = search(Problem(space=space, objective=ObjectiveSpec()), {}, seed=23)
    values = np.array([proposal.values[1] for proposal in algorithm.ask(Ask(4096, 0))], dtype=float)

    assert stats.kstest(values, REFERENCES[name].cdf).pvalue > 0.01


def test_random_search_of_a_weighted_finite_space_starts_by_weight() -> None:
    space = SearchSpace.from_specs([integer("p", "1", "20", "", "logUniform")])
    problem = Problem(space=space, objective=ObjectiveSpec())
    firsts = [RandomSearch(problem, {}, seed=seed).ask(Ask(1, 0))[0].values[0] for seed in range(4000)]
    total = math.log(20.5 / 0.5)

    assert chi_square(firsts, {k: math.log((k + 0.5) / (k - 0.5)) / total for k in range(1, 21)}) > 0.01


def test_random_search_of_a_large_even_space_is_even_in_every_parameter() -> None:
    space = SearchSpace.from_specs([integer("a", "1", "10"), integer("b", "1", "100000"), integer("c", "1", "10")])
    algorithm = RandomSearch(Problem(space=space, objective=ObjectiveSpec()), {}, seed=3)
    points = [proposal.values for proposal in algorithm.ask(Ask(5000, 0))]
    even: dict[ParameterValue, float] = dict.fromkeys(range(1, 11), 0.1)

    assert chi_square([point[0] for point in points], even) > 0.01
    assert chi_square([point[2] for point in points], even) > 0.01
    assert stats.kstest([float(point[1]) for point in points], stats.uniform(0.5, 100000).cdf).pvalue > 0.01
    pairs: dict[ParameterValue, float] = {10 * a + c: 0.01 for a in range(10) for c in range(10)}
    assert chi_square([10 * (int(p[0]) - 1) + int(p[2]) - 1 for p in points], pairs) > 0.01


def test_words_are_even_uncorrelated_and_bound_to_their_place() -> None:
    key = key_of(5, "test")
    units = np.array([[unit_of(word) for word in words(key, index, 4)] for index in range(5000)])

    assert all(stats.kstest(units[:, place], "uniform").pvalue > 0.01 for place in range(4))
    neighbours = np.corrcoef(np.hstack([units[:-1], units[1:]]), rowvar=False) - np.eye(8)
    assert np.abs(neighbours).max() < 5 / math.sqrt(5000)
    assert words(key, 4, 3) == words(key, 4, 4)[:3]
    assert words(key, 4, 3) != words(key_of(6, "test"), 4, 3) != words(key_of(6, "other"), 4, 3)
    assert len({mix(value) for value in range(1000)}) == 1000


def test_generators_at_one_address_are_equal_and_at_different_ones_unrelated() -> None:
    key = key_of(5, "test")

    assert generator(key, 3).random(4).tolist() == generator(key, 3).random(4).tolist()
    ahead = [generator(key, index).random(1000) for index in range(3)]
    assert np.abs(np.corrcoef(ahead) - np.eye(3)).max() < 0.15
