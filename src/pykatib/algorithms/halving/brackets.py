"""Where configurations begin, and how many of them go on.

A bracket is one trade between many configurations and much of the resource for each: it begins at some level, and a
share of what has ended there goes on to the next. `hyperband` has a bracket for every level to begin at, with numbers
of configurations that give each bracket about the same budget (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar,
"Hyperband: a novel bandit-based approach to hyperparameter optimization", 2018, algorithm 1). `one_bracket` has the
first of them alone, without an end (Li and others, "A system for massively parallel hyperparameter tuning", 2020).
"""

import math
from collections.abc import Sequence

import msgspec


class Bracket(msgspec.Struct, frozen=True):
    """`sizes` are the numbers of configurations at its levels in turn; where empty, a part of 1/eta always goes on."""

    first_level: int
    eta: float
    sizes: tuple[int, ...] = ()

    def go_on(self, level: int, ended: int) -> int:
        """How many of `ended` configurations at a level go on to the next.

        A full level sends on what the next is to have. Before that, whoever is among the best part of those that have
        ended goes on at once, so nothing waits for the slowest.
        """
        place = level - self.first_level
        if place + 1 >= len(self.sizes):
            return int(ended / self.eta) if not self.sizes else 0
        size, following = self.sizes[place], self.sizes[place + 1]
        full, rest = divmod(ended, size)
        return full * following + min(int(rest / self.eta), following)


class Brackets:
    """All brackets, and which of them a configuration belongs to."""

    def __init__(self, brackets: Sequence[Bracket]) -> None:
        self.all = tuple(brackets)
        self._ends: list[int] = []
        for bracket in self.all:
            self._ends.append((self._ends[-1] if self._ends else 0) + (bracket.sizes[0] if bracket.sizes else 1))

    def of(self, number: int) -> int:
        """The place of the bracket that the configuration of this number begins in: one is filled after the other."""
        place = number % self._ends[-1]
        return next(index for index, end in enumerate(self._ends) if place < end)

    def beginning_at(self, level: int) -> int:
        """The place of the bracket that begins at a level, or of the last one that begins below it."""
        reached = [index for index, bracket in enumerate(self.all) if bracket.first_level <= level]
        return max(reached, key=lambda index: self.all[index].first_level)


def hyperband(levels: int, eta: float) -> Brackets:
    """Hyperband's brackets, the one with the most configurations first."""
    return Brackets([_bracket(first, levels, eta) for first in range(levels)])


def one_bracket(eta: float) -> Brackets:
    """One bracket from the lowest level up, without an end."""
    return Brackets([Bracket(0, eta)])


def _bracket(first: int, levels: int, eta: float) -> Bracket:
    s = levels - 1 - first
    count = math.ceil(levels * eta**s / (s + 1) - 1e-9)
    sizes = [math.ceil(count * eta**-place - 1e-9) for place in range(s + 1)]
    return Bracket(first, eta, tuple(sizes))
