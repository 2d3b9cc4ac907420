"""Parzen estimators are densities, what is drawn from them is distributed so, and rows stand for points."""

import math

import numpy as np
import pytest
from scipy import stats

from pykatib.algorithms.conformance import SPACES, choice, double, integer
from pykatib.algorithms.encoding import MOST_CELLS, Encoding
from pykatib.algorithms.parzen import Bandwidth, Parzen
from pykatib.algorithms.randomness import words
from pykatib.algorithms.ranking import Ranking
from pykatib.algorithms.space import SearchSpace

SPACE = SearchSpace.from_specs(
    [
        double("x", "0", "1"),
        integer("layers", "1", "12", "", "logUniform"),
        choice("words", "categorical", "a", "b", "c"),
    ]
)
ROWS = np.array([[0.1, 0.0, 2.0], [0.15, 3.0, 2.0], [0.9, 11.0, 0.0]])


def parzen(*, own: bool) -> Parzen:
    widths: list[Bandwidth] = [0.1, 0.05, 0.3]
    if own:
        widths = [np.array([0.02, 0.1, 0.4]), np.array([0.05, 0.2, 0.01]), 0.3]
    return Parzen(Encoding(SPACE).dimensions, ROWS, np.array([2.0, 1.0, 1.0]), widths, 0.5)


def grid() -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], int]:
    """All combinations, the line in 400 places."""
    places = (np.arange(400) + 0.5) / 400
    mesh = np.meshgrid(places, np.arange(12.0), np.arange(3.0), indexing="ij")
    return np.column_stack([part.ravel() for part in mesh]), 400


@pytest.mark.parametrize("own", [False, True], ids=["one bandwidth", "bandwidths of their own"])
def test_a_density_has_a_mass_of_one(own: bool) -> None:
    rows, places = grid()
    density = parzen(own=own)

    assert np.exp(density.joint_log_density(rows)).sum() / places == pytest.approx(1, abs=1e-4)
    assert np.exp(density.marginal_log_density(rows)).sum() / places == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("own", [False, True], ids=["one bandwidth", "bandwidths of their own"])
def test_draws_are_distributed_as_the_density_says(own: bool) -> None:
    rows, places = grid()
    density = np.exp(parzen(own=own).joint_log_density(rows)).reshape(places, 12, 3) / places
    drawn = parzen(own=own).draw(20_000, np.random.default_rng(3))

    below = np.concatenate([[0.0], np.cumsum(density.sum(axis=(1, 2)))])
    edges = np.linspace(0, 1, places + 1)
    assert stats.kstest(drawn[:, 0], lambda x: np.interp(x, edges, below / below[-1])).pvalue > 0.01
    for column, axes, count in ((1, (0, 2), 12), (2, (0, 1), 3)):
        shares = density.sum(axis=axes)
        seen = np.bincount(drawn[:, column].astype(int), minlength=count)
        assert stats.chisquare(seen, shares / shares.sum() * len(drawn)).pvalue > 0.01


def test_without_rows_it_is_what_the_manifest_says() -> None:
    density = Parzen(Encoding(SPACE).dimensions, np.empty((0, 3)), np.empty(0), [0.1, 0.1, 0.5], 1.0)
    drawn = density.draw(20_000, np.random.default_rng(4))

    assert stats.kstest(drawn[:, 0], "uniform").pvalue > 0.01
    total = math.log(12.5 / 0.5)
    shares = np.array([math.log((k + 0.5) / (k - 0.5)) / total for k in range(1, 13)])
    assert stats.chisquare(np.bincount(drawn[:, 1].astype(int), minlength=12), shares * 20_000).pvalue > 0.01
    assert np.exp(density.joint_log_density(np.array([[0.3, 0.0, 1.0]])))[0] == pytest.approx(shares[0] / 3)


def test_only_the_joint_density_knows_which_values_go_together() -> None:
    plane = SearchSpace.from_specs([double("x", "0", "1"), double("y", "0", "1")])
    rows = np.array([[0.2, 0.2], [0.8, 0.8]])
    density = Parzen(Encoding(plane).dimensions, rows, np.ones(2), [0.05, 0.05], 1.0)
    together, apart = np.array([[0.2, 0.2]]), np.array([[0.2, 0.8]])

    assert density.joint_log_density(together)[0] > density.joint_log_density(apart)[0] + 2
    assert density.marginal_log_density(together)[0] == pytest.approx(density.marginal_log_density(apart)[0])


@pytest.mark.parametrize("specs", SPACES.values(), ids=SPACES)
def test_a_row_stands_for_its_point(specs: tuple[object, ...]) -> None:
    space = SearchSpace.from_specs(specs)  # type: ignore[arg-type]
    encoding = Encoding(space)
    for index in range(50):
        point = space.from_words(words(9, index, len(space)))
        again = encoding.point(encoding.row(point))
        for parameter, value, other in zip(space.parameters, point, again, strict=True):
            if parameter.count is not None and parameter.count <= MOST_CELLS:
                assert other == value
            else:  # through a number of [0, 1] and back
                assert parameter.contains(other)
                assert parameter.to_unit(other) == pytest.approx(parameter.to_unit(value), abs=1e-9)


def test_numbers_of_a_list_lie_in_their_order_and_words_in_none() -> None:
    encoding = Encoding(
        SearchSpace.from_specs([choice("n", "discrete", "8", "1", "4"), choice("w", "discrete", "b", "a")])
    )

    assert [dimension.kind for dimension in encoding.dimensions] == ["cells", "list"]
    assert [encoding.row((n, "a"))[0] for n in ("1", "4", "8")] == [0, 1, 2]


def test_edges_of_cells_are_where_the_distribution_puts_them() -> None:
    (dimension,) = Encoding(SearchSpace.from_specs([integer("n", "1", "100", "", "logUniform")])).dimensions
    total = math.log(100.5 / 0.5)

    expected = [math.log((k + 0.5) / 0.5) / total for k in range(101)]
    assert dimension.edges == pytest.approx(expected, abs=1e-9)


def test_ranking_in_small_parts_equals_ranking_at_once() -> None:
    generator = np.random.default_rng(8)
    losses = [None if k % 11 == 0 else float(generator.integers(0, 20)) for k in range(300)]
    at_once, in_parts = Ranking(1), Ranking(1)
    for k in range(300):
        at_once.add(losses[k], k, [float(k)])
    at_once.settle()
    for place, k in enumerate(generator.permutation(300)):
        in_parts.add(losses[k], int(k), [float(k)])
        if place % 5 == 0 or place > 280:
            in_parts.settle()
    in_parts.settle()

    assert at_once.indices.tolist() == in_parts.indices.tolist()
    assert at_once.rows.tolist() == in_parts.rows.tolist()
    expected = sorted(range(300), key=lambda k: (math.inf if losses[k] is None else losses[k], k))
    assert at_once.indices.tolist() == expected
    assert at_once.valid_count == in_parts.valid_count == sum(loss is not None for loss in losses)
