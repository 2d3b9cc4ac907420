"""The algorithm itself: `ask` answers with points, `tell` hears how Trials ended.

Point number i is a function of the seed and i, so a process that was ended and started again goes on where it was. An
algorithm that learns keeps what it was told and derives everything else from it, for the same reason.
"""

from collections.abc import Iterator, Sequence

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import key_of, unit_of, words


class HaltonSearch:
    """Radical inverses of i in the first primes, shifted by a random point (Cranley and Patterson, 1976)."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        """`settings` holds all of `HALTON.settings`; `problem.space` knows the parameters."""
        self._space = problem.space
        skip = settings["skip"]
        assert isinstance(skip, int)
        self._skip = skip
        self._bases = [prime for prime, _ in zip(_primes(), self._space.parameters, strict=False)]
        self._shift = [unit_of(word) for word in words(key_of(seed, "halton"), 0, len(self._bases))]

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The points that come after the `request.issued` ones that have been handed out."""
        return [self._proposal(request.issued + place) for place in range(request.count)]

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """A sequence learns nothing."""

    def _proposal(self, index: int) -> Proposal:
        number = index + 1 + self._skip
        unit = [(_inverse(number, base) + shift) % 1.0 for base, shift in zip(self._bases, self._shift, strict=True)]
        return Proposal(self._space.from_unit(unit))


def _inverse(number: int, base: int) -> float:
    """The digits of a number mirrored at the point: 6 is 110 in base 2, which becomes 0.011."""
    value, scale = 0.0, 1.0 / base
    while number:
        number, digit = divmod(number, base)
        value += digit * scale
        scale /= base
    return value


def _primes() -> Iterator[int]:
    found: list[int] = []
    number = 2
    while True:
        if all(number % prime for prime in found):
            found.append(number)
            yield number
        number += 1
