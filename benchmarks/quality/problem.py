"""What a benchmark problem is, and how results of different problems are made comparable."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.parameters import Choice
from pykatib.algorithms.space import SearchSpace
from pykatib.api.experiment import FeasibleSpace, ParameterSpec

REFERENCE_BUDGET = 25
_REFERENCE_RUNS = 41


@dataclass(frozen=True)
class Problem:
    """A function to be minimised. `held_out` problems are not looked at while an algorithm is made.

    `quick` and `standard` are the two smaller sets that it can be in; all problems are in the full one.
    `noise` is the standard deviation of what is added to each value told to an optimizer; results are measured without.
    """

    name: str
    family: str
    specs: tuple[ParameterSpec, ...]
    function: Callable[[Sequence[ParameterValue]], float]
    optimum: float
    held_out: bool
    noise: float = 0.0
    quick: bool = False
    standard: bool = False

    @cached_property
    def space(self) -> SearchSpace:
        """The search space."""
        return SearchSpace.from_specs(self.specs)

    @property
    def numeric(self) -> bool:
        """Whether all parameters are numbers."""
        return all(not isinstance(p, Choice) or p.ordinal for p in self.space.parameters)

    @cached_property
    def reference(self) -> float:
        """What random search finds in 25 Trials, in the median: a regret of 1."""
        generator = np.random.default_rng(20231)
        bests = [
            min(self.function(self.space.sample(generator)) for _ in range(REFERENCE_BUDGET))
            for _ in range(_REFERENCE_RUNS)
        ]
        return statistics.median(bests)


class Wanted(Protocol):
    """Whether problems of a kind are wanted; asked before they are loaded or trained."""

    def __call__(self, *, held_out: bool, quick: bool, standard: bool) -> bool: ...


def double(name: str, low: float, high: float, *, log: bool = False, step: str = "") -> ParameterSpec:
    """A parameter of type double."""
    distribution = "logUniform" if log else "uniform"
    return ParameterSpec(
        name, "double", FeasibleSpace(min=repr(low), max=repr(high), step=step, distribution=distribution)
    )


def integer(name: str, low: int, high: int, *, log: bool = False) -> ParameterSpec:
    """A parameter of type int."""
    distribution = "logUniform" if log else "uniform"
    return ParameterSpec(name, "int", FeasibleSpace(min=str(low), max=str(high), distribution=distribution))


def choice(name: str, *values: str) -> ParameterSpec:
    """A categorical parameter."""
    return ParameterSpec(name, "categorical", FeasibleSpace(values=values))


def numbers(name: str, *values: float) -> ParameterSpec:
    """A discrete parameter: a list of numbers."""
    return ParameterSpec(name, "discrete", FeasibleSpace(values=tuple(repr(value) for value in values)))
