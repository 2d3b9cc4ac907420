"""Random numbers that are a function of (seed, number of the proposal), never of what was drawn before.

A proposal's randomness is addressed, not consumed: `words(key, index, count)` gives the same 64-bit words whenever and
wherever it is asked, at about a third of a microsecond a word, so a restarted process continues where the old one was.
The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014), applied twice: once to the proposal, once to the word's place in it. `generator` gives a numpy
Generator at the same address, for algorithms that want numpy's distributions.

numpy is imported only by `generator`, which keeps the registry light.
"""

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_SILVER = 0xD1B54A32D192ED03  # an odd constant of its own for the inner step, so that (i, j) and (j, i) differ


def mix(value: int) -> int:
    """A 64-bit word scrambled one-to-one, so that near inputs give unrelated outputs."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def key_of(seed: int, purpose: str) -> int:
    """The 64-bit key of one stream; streams of different purposes are independent although they share a seed."""
    return int.from_bytes(blake2b(f"{purpose}:{seed}".encode(), digest_size=8).digest(), "big")


def words(key: int, index: int, count: int) -> list[int]:
    """The `count` 64-bit words of the proposal number `index`."""
    state = mix(key + index * _GOLDEN)
    found = []
    for _ in range(count):  # `mix`, written out: this is the inner loop of random search
        state = (state + _SILVER) & _MASK
        value = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
        found.append(value ^ (value >> 31))
    return found


def unit_of(word: int) -> float:
    """A word as a number strictly between 0 and 1: the middle of one of 2**52 equal cells."""
    return ((word >> 12) + 0.5) * 2.0**-52


def generator(key: int, index: int) -> "np.random.Generator":
    """A numpy Generator for the proposal number `index`, in a state that depends on nothing else."""
    import numpy as np

    return np.random.Generator(np.random.Philox(key=key, counter=(0, 0, index & _MASK, 0)))
