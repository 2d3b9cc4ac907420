"""Regularised evolution (Real, Aggarwal, Huang and Le, "Regularized evolution for image classifier architecture
search", 2019): of the youngest Trials a few are drawn, and the best of these has a child that differs in one gene.

Age, and nothing else, removes a Trial from the population. So what was good by luck of its training dies out unless
its children are good too, which is the regularisation. The age of a Trial is its number: the population is the last so
many that have a result, counted by their numbers. Hence a proposal is a function of the seed, its own number, and the
sets of Trials told and running, and not of the order in which results came. The first `population_size` proposals are
random; nobody waits for their results.

Trials without a finite objective have no children, and take nobody's place. Early-stopped ones count with what they had
reached. What differs from the paper: no point comes twice as long as there are others. A child that exists already is
drawn anew, parent included, and after `PATIENCE` of those it differs in one gene more.
"""

import math
from bisect import insort
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.genes import genes_of
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import generator, key_of
from pykatib.algorithms.space import Point

if TYPE_CHECKING:
    import numpy as np

PATIENCE: Final = 16
_WIDEST: Final = 6  # genes in which a child differs at most
_DRAWS: Final = 64  # at random, where no child is new


class RegularizedEvolution:
    """The algorithm `regularized-evolution`."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        self._problem = problem
        self._genes = genes_of(problem.space)
        self._population_size = _count(settings, "population_size")
        self._sample_size = _count(settings, "sample_size")
        self._key = key_of(seed, "regularized evolution")
        self._told: set[Point] = set()
        self._members: list[tuple[int, float, Point]] = []  # number, loss and point, oldest first

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Takes those with a result into the line of ages."""
        for trial in finished:
            self._told.add(trial.values)
            loss = self._problem.loss(trial.objective)
            if loss is not None and math.isfinite(loss):
                insort(self._members, (trial.index, loss, trial.values), key=lambda member: member[0])

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """Random points until there is a population, then children of its better members."""
        taken = self._told.union(trial.values for trial in request.active)
        proposals: list[Proposal] = []
        for index in range(request.issued, request.issued + request.count):
            if self._genes.size is not None and len(taken) >= self._genes.size:
                break
            point = self._propose(index, taken)
            taken.add(point)
            proposals.append(Proposal(point))
        return proposals

    def _propose(self, index: int, taken: set[Point]) -> Point:
        numbers = generator(self._key, index)
        population = self._members[-self._population_size :]
        if index >= self._population_size and population:
            for attempt in range(PATIENCE * _WIDEST):
                point = self._parent(population, numbers)
                try:
                    for _ in range(1 + attempt // PATIENCE):
                        point = self._genes.mutate(point, numbers)
                except ValueError:  # a constraint forbids the child, or somebody has changed that Trial's assignments
                    continue
                if point not in taken:
                    return point
        return self._any(numbers, taken)

    def _parent(self, population: Sequence[tuple[int, float, Point]], numbers: "np.random.Generator") -> Point:
        """The best of some members drawn at random, of equals the youngest."""
        size = min(self._sample_size, len(population))
        places: list[int] = numbers.choice(len(population), size=size, replace=False).tolist()
        drawn = [population[place] for place in places]
        return min(drawn, key=lambda member: (member[1], -member[0]))[2]

    def _any(self, numbers: "np.random.Generator", taken: set[Point]) -> Point:
        """Some point that is not taken; there is one, unless doubles have no room for more than a few numbers."""
        for _ in range(_DRAWS):
            point: Point = self._genes.any(numbers)
            if point not in taken:
                return point
        size = self._genes.size
        if size is None:
            return point
        place = int(numbers.integers(0, min(size, 1 << 62)))
        while (point := self._genes.at(place)) in taken:
            place = (place + 1) % size
        return point


def _count(settings: Settings, name: str) -> int:
    value = settings[name]
    assert isinstance(value, int), "the setting has a default and does not take None"
    return value
