"""NSGA-II (Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002).

Parents are the winners of tournaments among the best `population_size` Trials, by front and then by how far their
neighbours lie apart. A child takes after two of them (simulated binary crossover on numbers, exchange on lists), and
some of its parameters are changed a little (polynomial mutation; another entry of a list).

It does not wait for generations: whenever a proposal is asked for, the population is the best of all Trials that have
ended, which is what elitism keeps anyway. So a proposal is a function of the seed, its number, and the sets of Trials
told and running. The first points are those of a scrambled Sobol sequence, as many as the population has members.
Trials without a finite value of each objective have no children.

A Trial that as many others dominate as the population has members can never be in it again, and is let go.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.dominance import crowding, dominator_counts, front_numbers
from pykatib.algorithms.encoding import Dimension, Encoding, Floats
from pykatib.algorithms.objective_setting import directions_in, losses_of
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import generator, key_of
from pykatib.algorithms.sobol import ScrambledSobol
from pykatib.algorithms.space import Point

CROSSOVER_INDEX: Final = 15.0
MUTATION_INDEX: Final = 20.0
"""The distribution indexes of the paper's operators: the greater, the nearer are children to their parents."""
_TRIES: Final = 16  # with more and more mutation, while the child exists already
_DRAWS: Final = 64  # at random, after that
_MOST_MEMBERS: Final = 4  # times the population; beyond, those that can never be in it again are looked for
_Member = tuple[int, list[float], list[float]]  # number, losses, row


class NSGA2:
    """The algorithm `nsga2`."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        self._space = problem.space
        self._directions = directions_in(problem, settings)
        self._population_size = int(settings["population_size"] or 0)
        self._crossover = float(settings["crossover_probability"] or 0.0)
        mutation = settings["mutation_probability"]
        self._encoding = Encoding(problem.space)
        self._mutation = 1 / max(len(self._encoding), 1) if mutation is None else float(mutation)
        self._key = key_of(seed, "nsga2")
        self._sobol = ScrambledSobol(len(problem.space), seed=seed)
        self._told: set[Point] = set()
        self._members: list[_Member] = []
        self._fresh = False
        self._rows: Floats = np.empty((0, len(self._encoding)))  # of the population, best first

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Takes those with a result in."""
        for trial in finished:
            self._told.add(trial.values)
            losses = losses_of(trial, self._directions)
            if losses is not None:
                self._members.append((trial.index, losses, self._encoding.row(trial.values)))
                self._fresh = True

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """Points that cover the space until there is a population, then children."""
        self._select()
        taken = self._told.union(trial.values for trial in request.active)
        proposals: list[Proposal] = []
        for index in range(request.issued, request.issued + request.count):
            if self._space.size is not None and len(taken) >= self._space.size:
                break
            point = self._propose(index, taken)
            taken.add(point)
            proposals.append(Proposal(point))
        return proposals

    def _select(self) -> None:
        """The population: whole fronts while there is room, then of one front those with most room around them."""
        if not self._fresh:
            return
        self._fresh = False
        self._members.sort()
        losses = np.array([losses for _, losses, _ in self._members])
        if len(losses) > _MOST_MEMBERS * self._population_size:
            stays = dominator_counts(losses) < self._population_size
            self._members = [member for member, stay in zip(self._members, stays, strict=True) if stay]
            losses = losses[stays]
        numbers = front_numbers(losses, needed=self._population_size)
        chosen: list[int] = []
        for number in range(int(numbers.max()) + 1):
            front = np.flatnonzero(numbers == number)
            lonely_first = front[np.argsort(-crowding(losses[front]), kind="stable")]
            chosen.extend(lonely_first[: self._population_size - len(chosen)].tolist())
        self._rows = np.array([self._members[place][2] for place in chosen]).reshape(len(chosen), -1)

    def _propose(self, index: int, taken: set[Point]) -> Point:
        numbers = generator(self._key, index)
        if index < self._population_size or len(self._rows) < 2 or len(self._encoding) == 0:
            point = self._space.from_words(self._sobol[index])
            if point not in taken:
                return point
        else:
            for attempt in range(_TRIES):
                row = self._child(numbers)
                row = self._mutated(row, self._mutation * (1 + attempt), numbers)
                point = self._space.repaired(self._encoding.point(row.tolist()))
                if point not in taken:
                    return point
        return self._any(numbers, taken)

    def _child(self, numbers: np.random.Generator) -> Floats:
        """A row that takes after two members; each won a tournament of two (rows are in the order of merit)."""
        first, second = (self._rows[int(numbers.integers(len(self._rows), size=2).min())] for _ in range(2))
        child: Floats = first.copy()
        if numbers.random() >= self._crossover:
            return child
        for column, dimension in enumerate(self._encoding.dimensions):
            mixes, side, unit = numbers.random(3).tolist()
            if mixes < 0.5 or first[column] == second[column]:
                continue
            if dimension.kind == "list":
                child[column] = second[column]
                continue
            one, other = _place(dimension, first[column]), _place(dimension, second[column])
            spread = _spread(unit) if side < 0.5 else -_spread(unit)
            child[column] = _code(dimension, (one + other) / 2 + spread * abs(one - other) / 2)
        return child

    def _mutated(self, row: Floats, share: float, numbers: np.random.Generator) -> Floats:
        """The row with this share of its columns changed, one at least."""
        count = len(self._encoding)
        chosen = numbers.random(count) < share
        chosen[int(numbers.integers(count))] |= not chosen.any()
        for column in np.flatnonzero(chosen).tolist():
            dimension, unit = self._encoding.dimensions[column], float(numbers.random())
            if dimension.kind == "list":
                other = min(int(unit * (dimension.count - 1)), dimension.count - 2)
                row[column] = other + (other >= row[column])
                continue
            moved = _code(dimension, _moved(_place(dimension, row[column]), unit))
            if moved == row[column] and dimension.kind == "cells":  # the change was less than a step: it takes one
                step = 1 if (unit >= 0.5 and moved < dimension.count - 1) or moved == 0 else -1
                moved += step
            row[column] = moved
        return row

    def _any(self, numbers: np.random.Generator, taken: set[Point]) -> Point:
        """Some point that is not taken; there is one, unless doubles have no room for more than a few numbers."""
        for _ in range(_DRAWS):
            point = self._space.sample(numbers)
            if point not in taken:
                return point
        size = self._space.size
        if size is None:
            return point
        place = int(numbers.integers(0, min(size, 1 << 62)))
        while (point := self._space.at(place)) in taken:
            place = (place + 1) % size
        return point


def _place(dimension: Dimension, code: float) -> float:
    """Where a code of a line or of cells lies in [0, 1]."""
    return float(code) if dimension.kind == "line" else float(dimension.middles[int(code)])


def _code(dimension: Dimension, place: float) -> float:
    """The code at a place, which is brought back into [0, 1]."""
    place = min(max(place, 0.0), 1.0)
    if dimension.kind == "line":
        return place
    found = int(np.searchsorted(dimension.edges, place, side="right")) - 1
    return float(min(max(found, 0), dimension.count - 1))


def _spread(unit: float) -> float:
    """How far apart children are, times how far apart their parents are (Deb and Agrawal, 1995)."""
    power = 1 / (CROSSOVER_INDEX + 1)
    spread: float = (2 * unit) ** power if unit <= 0.5 else (1 / (2 * (1 - unit))) ** power
    return spread


def _moved(place: float, unit: float) -> float:
    """A number of [0, 1] changed by the polynomial whose share of great changes falls with the index."""
    power = 1 / (MUTATION_INDEX + 1)
    if unit < 0.5:
        change: float = (2 * unit + (1 - 2 * unit) * (1 - place) ** (MUTATION_INDEX + 1)) ** power - 1
    else:
        change = 1 - (2 * (1 - unit) + (2 * unit - 1) * place ** (MUTATION_INDEX + 1)) ** power
    return place + change
