"""Grid search: its order, its size, its end."""

import itertools

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import choice, double, integer
from pykatib.algorithms.contract import Ask
from pykatib.algorithms.grid import GridSearch
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import SearchSpace
from pykatib.api.shared import ObjectiveSpec

SPACE = SearchSpace.from_specs(
    [double("lr", "0.01", "0.02", "0.005"), integer("layers", "1", "2"), choice("o", "categorical", "sgd", "adam")]
)


def grid(space: SearchSpace, *, random_state: int | None = None, seed: int = 0) -> GridSearch:
    problem = Problem(space=space, objective=ObjectiveSpec())
    return GridSearch(problem, {"random_state": random_state}, seed=seed)


def test_cells_come_in_the_order_of_counting() -> None:
    cells = [proposal.values for proposal in grid(SPACE).ask(Ask(12, 0))]

    assert cells == list(itertools.product((0.01, 0.015, 0.02), (1, 2), ("sgd", "adam")))


def test_a_seed_that_the_user_did_not_state_does_not_shuffle() -> None:
    assert grid(SPACE, seed=1).ask(Ask(12, 0)) == grid(SPACE, seed=2).ask(Ask(12, 0))


def test_random_state_shuffles_the_same_cells() -> None:
    straight = [proposal.values for proposal in grid(SPACE).ask(Ask(12, 0))]
    shuffled = [proposal.values for proposal in grid(SPACE, random_state=3, seed=3).ask(Ask(12, 0))]

    assert shuffled != straight
    assert sorted(shuffled, key=SPACE.index_of) == straight


def test_a_grid_of_a_trillion_cells_is_not_written_down() -> None:
    space = SearchSpace.from_specs([integer(f"p{index}", "1", "1000") for index in range(4)])
    for state in (None, 7):
        algorithm = grid(space, random_state=state, seed=7)
        late = algorithm.ask(Ask(5, 10**12 - 3))
        assert len(late) == 3
        assert len({proposal.values for proposal in late}) == 3
    assert grid(space).ask(Ask(1, 10**12 - 1))[0].values == (1000, 1000, 1000, 1000)


def test_the_registry_offers_it() -> None:
    assert "grid" in registry.names()
