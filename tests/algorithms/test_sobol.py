"""The scrambled Sobol sequence keeps what makes Sobol's sequence worth having."""

import numpy as np
import pytest
from scipy.stats import qmc

from pykatib.algorithms.conformance import double
from pykatib.algorithms.contract import Ask
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.sobol import ScrambledSobol, SobolSearch
from pykatib.algorithms.space import SearchSpace
from pykatib.api.shared import ObjectiveSpec


def points(dimensions: int, count: int, seed: int = 1) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The first points of the sequence in the unit cube."""
    sequence = ScrambledSobol(dimensions, seed=seed)
    return np.array([sequence[index] for index in range(count)], dtype=np.float64) / 2.0**64


@pytest.mark.parametrize("count", [64, 1024])
def test_each_parameter_gets_one_point_in_each_of_so_many_equal_cells(count: int) -> None:
    found = points(7, count)
    for dimension in range(7):
        assert sorted((found[:, dimension] * count).astype(int).tolist()) == list(range(count))


def test_the_first_two_parameters_fill_every_box_of_a_net() -> None:
    found = points(2, 256)
    for across in range(9):
        boxes = {(int(x * 2**across), int(y * 2 ** (8 - across))) for x, y in found}
        assert len(boxes) == 256


def test_it_is_as_even_as_scipys_scrambling_and_far_more_so_than_random_points() -> None:
    ours = float(np.mean([qmc.discrepancy(points(5, 256, seed)) for seed in range(8)]))
    random = float(np.mean([qmc.discrepancy(np.random.default_rng(seed).random((256, 5))) for seed in range(8)]))
    plain = [qmc.discrepancy(qmc.Sobol(5, scramble=False).random(256))]

    assert ours < random / 5
    assert ours < 1.5 * float(np.mean(plain))


def test_seeds_scramble_differently() -> None:
    assert np.abs(points(3, 16, 1) - points(3, 16, 2)).min() > 0


@pytest.mark.parametrize("index", [0, 1, 255, 256, 100_000])
def test_any_point_can_be_had_on_its_own(index: int) -> None:
    lived = ScrambledSobol(3, seed=4)
    before = lived[index]
    _ = lived[index + 5000], lived[0]

    assert lived[index] == ScrambledSobol(3, seed=4)[index] == before


def test_a_thousand_parameters_are_searched() -> None:
    space = SearchSpace.from_specs([double(f"p{index}", "0", "1") for index in range(1000)])
    algorithm = SobolSearch(Problem(space=space, objective=ObjectiveSpec()), {}, seed=1)
    proposals = algorithm.ask(Ask(70, 0))

    assert [space.contains(proposal.values) for proposal in proposals] == [True] * 70
    assert list(SobolSearch(Problem(space=space, objective=ObjectiveSpec()), {}, seed=1).ask(Ask(1, 69))) == list(
        proposals[69:]
    )
