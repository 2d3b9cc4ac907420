"""A finite range in a random order that is never written down, and draws without repetition from any source.

`Permutation` shuffles 0 … size - 1 so that any place can be asked for on its own, in constant time and memory: 10**12
grid cells cost as much as ten. Small ranges are shuffled outright; large ones go through a Feistel network over a
rectangle just larger than the range, walking on while a place falls outside it (Black and Rogaway, "Ciphers with
arbitrary finite domains", 2002).

`Distinct` strikes the repeats from an endless series of draws. What is left is drawn by weight without replacement,
which is what a finite space with a distribution of its own needs. Once draws keep repeating it takes the first number
of a permutation that has not been drawn, so a range always comes to its end, at a bounded cost for each number.
"""

import math
from collections.abc import Callable

from pykatib.algorithms.randomness import mix, words

_SMALL = 1 << 12
_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = 8  # the four of Luby and Rackoff, twice
_PATIENCE = 64


class Permutation:
    """The numbers 0 … size - 1 in an order given by `key`."""

    __slots__ = ("_height", "_keys", "_more_words", "_table", "_width", "size")

    def __init__(self, key: int, size: int) -> None:
        self.size = size
        self._table: list[int] | None = None
        if size <= _SMALL:
            self._table = list(range(size))
            for place, word in zip(range(size - 1, 0, -1), words(key, 0, max(size - 1, 0)), strict=True):
                other = (word * (place + 1)) >> 64
                self._table[place], self._table[other] = self._table[other], self._table[place]
        self._width = math.isqrt(max(size - 1, 0)) + 1
        self._height = -(-size // self._width)
        self._keys = words(key, 1, _ROUNDS)
        self._more_words = (self._width.bit_length() + 16) // 64  # 16 bits to spare make the remainders even

    def __getitem__(self, place: int) -> int:
        """The number at a place."""
        if not 0 <= place < self.size:
            raise IndexError(place)
        if self._table is not None:
            return self._table[place]
        number = self._step(place)
        while number >= self.size:
            number = self._step(number)
        return number

    def _step(self, number: int) -> int:
        left, right = divmod(number, self._height)
        for turn, key in enumerate(self._keys):
            if turn % 2 == 0:
                left = (left + self._hash(key, right)) % self._width
            else:
                right = (right + self._hash(key, left)) % self._height
        return left * self._height + right

    def _hash(self, key: int, half: int) -> int:
        state = mix(key ^ half)
        while half := half >> 64:  # sides of more than 64 bits: fifty stepped parameters make such spaces
            state = mix(state ^ half)
        value = state
        for _ in range(self._more_words):
            state = mix(state + _GOLDEN)
            value = (value << 64) | state
        return value


class Distinct:
    """The draws of `draw(0), draw(1), …` without their repeats, then whatever numbers of 0 … size - 1 are left."""

    __slots__ = ("_draw", "_drawn", "_numbers", "_rest", "_rest_place", "_seen", "size")

    def __init__(self, draw: Callable[[int], int], size: int, key: int) -> None:
        self.size = size
        self._draw = draw
        self._drawn = 0
        self._numbers: list[int] = []
        self._seen: set[int] = set()
        self._rest = Permutation(key, size)
        self._rest_place = 0

    def __getitem__(self, place: int) -> int:
        """The number at a place; all before it are drawn first, once in the life of this value."""
        if not 0 <= place < self.size:
            raise IndexError(place)
        while len(self._numbers) <= place:
            number = self._next()
            self._seen.add(number)
            self._numbers.append(number)
        return self._numbers[place]

    def _next(self) -> int:
        for _ in range(_PATIENCE):
            number = self._draw(self._drawn)
            self._drawn += 1
            if number not in self._seen:
                return number
        while self._rest[self._rest_place] in self._seen:
            self._rest_place += 1
        return self._rest[self._rest_place]
