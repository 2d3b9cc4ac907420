"""Grid search: every point of a finite space, in the order of counting, the last parameter changing fastest.

The grid is never written down: cell i is computed from i, so a grid of 10**12 cells starts at once. With
`random_state` the cells come in a shuffled order instead, which is of use when the budget is smaller than the grid.
"""

from collections.abc import Sequence

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.permutation import Permutation
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import key_of


class GridSearch:
    """All points of the space, each once."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        if problem.space.size is None:
            raise ValueError("a grid needs a step for every double")  # `registry.check` tells the user which
        self._space = problem.space
        self._size = problem.space.size
        shuffled = settings.get("random_state") is not None
        self._order = Permutation(key_of(seed, "grid"), self._size) if shuffled else range(self._size)

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The next cells."""
        end = min(request.issued + request.count, self._size)
        return [Proposal(self._space.at(self._order[index])) for index in range(request.issued, end)]

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Results do not matter."""
