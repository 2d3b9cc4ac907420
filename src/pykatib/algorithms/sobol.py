"""Sobol search: a low-discrepancy sequence, which covers the space more evenly than random points do.

The sequence is Sobol's with the direction numbers of Joe and Kuo (2008), as scipy has them, up to 21201 parameters. It
is scrambled after Owen ("Randomly permuted (t,m,s)-nets and (t,s)-sequences", 1995): each binary digit is flipped or
not by a hash of the seed, the dimension and the digits above it. So the points stay as even as they were, lie
differently for each seed, and none sits in a corner. Digits beyond the sequence's 32 come from the same hash, so a
value has all the digits of a double.

Point i depends on the seed and i alone. Points are computed in blocks of a fixed size, counted from 0, of which the
last is kept: asking for one point at a time costs as much as asking for many. In a finite space points that fall on a
value proposed before are left out, and when the sequence brings nothing new the rest is filled up in random order, so
every point comes once and then no more.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.permutation import Distinct
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import key_of, words
from pykatib.algorithms.space import Point

_BITS = 32
_LARGEST_BLOCK = 256
_NUMBERS_PER_BLOCK = 1 << 16


class SobolSearch:
    """The points of one scrambled Sobol sequence, in order."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        self._space = problem.space
        self._sequence = ScrambledSobol(len(problem.space), seed=seed)
        size = problem.space.size
        self._order = None if size is None else Distinct(self._draw, size, key_of(seed, "sobol order"))

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The next points of the sequence."""
        end = request.issued + request.count
        if self._order is None:
            return [Proposal(self._point(index)) for index in range(request.issued, end)]
        end = min(end, self._order.size)
        return [Proposal(self._space.at(self._order[index])) for index in range(request.issued, end)]

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Results do not matter."""

    def _point(self, index: int) -> Point:
        return self._space.from_words(self._sequence[index])

    def _draw(self, index: int) -> int:
        return self._space.index_of(self._point(index))


class ScrambledSobol:
    """The points of a scrambled sequence as 64-bit words, each to be had by its number."""

    def __init__(self, dimensions: int, *, seed: int) -> None:
        self._keys = np.array(words(key_of(seed, "sobol"), 0, dimensions), dtype=np.uint64)
        self._engine = qmc.Sobol(dimensions, scramble=False, bits=_BITS)
        room = max(_NUMBERS_PER_BLOCK // dimensions, 1)
        self._rows = min(1 << (room.bit_length() - 1), _LARGEST_BLOCK)  # a power of two, as scipy wants the first draw
        self._next = 0  # the block that the engine would draw now
        self._kept = -1
        self._block: list[list[int]] = []

    def __getitem__(self, index: int) -> list[int]:
        """The words of a point."""
        number, row = divmod(index, self._rows)
        if number != self._kept:
            self._block = self._draw(number)
            self._kept = number
        return self._block[row]

    def _draw(self, number: int) -> list[list[int]]:
        if number < self._next:
            self._engine.reset()
            self._next = 0
        if number > self._next:
            self._engine.fast_forward((number - self._next) * self._rows)
        self._next = number + 1
        digits = (self._engine.random(self._rows) * 2.0**_BITS).astype(np.uint64)
        scrambled: list[list[int]] = self._scramble(digits).tolist()
        return scrambled

    def _scramble(self, digits: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The digits, each flipped or not by what stands above it, with 32 more appended."""
        flips = np.zeros_like(digits)
        for place in range(_BITS):
            above = digits >> np.uint64(_BITS - place)
            flip = _mix(self._keys ^ _mix(above + np.uint64(1 << place))) & np.uint64(1)
            flips |= flip << np.uint64(_BITS - 1 - place)
        beyond = _mix(self._keys ^ _mix(digits + np.uint64(1 << _BITS))) >> np.uint64(64 - _BITS)
        return ((digits ^ flips) << np.uint64(_BITS)) | beyond


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`pykatib.algorithms.randomness.mix` of many words at once."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
