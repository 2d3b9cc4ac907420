"""Random search (Bergstra and Bengio, "Random search for hyper-parameter optimization", 2012).

Proposal number i is a function of the seed and i alone. In a finite space no point comes twice: where all values weigh
the same, proposal i is place i of a permutation of the space; where a distribution weighs them, points are drawn by
weight and repeats are struck out, so each next point has the stated distribution over those that are left (but for the
last few, see `pykatib.algorithms.permutation`). What happens to Trials makes no difference.
"""

from collections.abc import Sequence

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.permutation import Distinct, Permutation
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import key_of, words
from pykatib.algorithms.space import Point


class RandomSearch:
    """Independent points of the stated distributions, none twice."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        self._space = problem.space
        self._key = key_of(seed, "random")
        self._order: Permutation | Distinct | None = None
        size = self._space.size
        if size is not None:
            order_key = key_of(seed, "random order")
            self._order = Permutation(order_key, size) if self._space.uniform else Distinct(self._draw, size, order_key)

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The next points of the series."""
        end = request.issued + request.count
        if self._order is None:
            return [Proposal(self._point(index)) for index in range(request.issued, end)]
        end = min(end, self._order.size)
        return [Proposal(self._space.at(self._order[index])) for index in range(request.issued, end)]

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Results do not matter."""

    def _point(self, index: int) -> Point:
        return self._space.from_words(words(self._key, index, len(self._space)))

    def _draw(self, index: int) -> int:
        return self._space.index_of(self._point(index))
