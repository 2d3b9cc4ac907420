"""The sampling distribution of CMA-ES over a search space: a Gaussian for numbers, probabilities for categories.

The update is that of CatCMA with Margin (Hamano et al., "CatCMA with Margin: stochastic optimization for continuous,
integer, and categorical variables", 2025) as the library `cmaes` has it: covariance matrix adaptation for doubles,
the same with a margin that keeps every neighbouring value within reach for ints, steps and ordered lists, and
information-geometric updates for categories. Without categories and steps it is CMA-ES with active covariances.

Doubles live in the unit cube, where each parameter's own distribution is uniform; so do values with steps, at the
middles of their cells. Results enter as ranks, which is all that CMA-ES looks at, so no objective is too large for it.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from cmaes import CatCMAwM
from numpy.typing import NDArray

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.parameters import Choice, Parameter
from pykatib.algorithms.space import Point, SearchSpace

Sample: TypeAlias = CatCMAwM.Solution

FINEST_STEPS = 256  # with more values than this a step is too fine to matter, and the number is treated as continuous
_RESAMPLINGS = 100  # draws outside the bounds are replaced, so that none is wasted on their very edge


class Encoding:
    """How the parameters of a space are divided among the library's continuous, stepped and categorical variables."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self.continuous: list[int] = []
        self.stepped: list[int] = []
        self.categorical: list[int] = []
        for place, parameter in enumerate(space.parameters):
            if parameter.count == 1:
                continue
            if _is_category(parameter):
                self.categorical.append(place)
            elif parameter.count is None or parameter.count > FINEST_STEPS:
                self.continuous.append(place)
            else:
                self.stepped.append(place)
        self.middles = [_middles(space.parameters[place]) for place in self.stepped]
        self.category_counts = [_count(space.parameters[place]) for place in self.categorical]
        self._constants = [
            parameter.value_at(0) if parameter.count == 1 else None for parameter in space.parameters
        ]  # fmt: skip

    @property
    def number_count(self) -> int:
        """How many parameters the Gaussian has."""
        return len(self.continuous) + len(self.stepped)

    @property
    def dimensions(self) -> int:
        """How many parameters there are to search."""
        return self.number_count + len(self.categorical)

    def point(self, sample: Sample) -> Point:
        """The point of the space that a sample means."""
        values: list[ParameterValue | None] = list(self._constants)
        parameters = self._space.parameters
        for place, unit in zip(self.continuous, _numbers(sample.x), strict=True):
            values[place] = parameters[place].from_unit(unit)
        for place, unit in zip(self.stepped, _numbers(sample.z), strict=True):
            values[place] = parameters[place].from_unit(unit)
        for row, place in enumerate(self.categorical):
            chosen = 0 if sample.c is None else int(np.argmax(sample.c[row]))
            values[place] = parameters[place].value_at(chosen)
        return tuple(value for value in values if value is not None)

    def sample(self, point: Sequence[ParameterValue]) -> Sample:
        """A sample that means a given point; for points that the distribution did not draw itself."""
        units = self._space.to_unit(point)
        x = np.array([units[place] for place in self.continuous])
        z = np.array([units[place] for place in self.stepped])
        c = np.zeros((len(self.categorical), max(self.category_counts, default=0)), dtype=bool)
        for row, place in enumerate(self.categorical):
            c[row, self._space.parameters[place].index_of(point[place])] = True
        return CatCMAwM.Solution(
            x if self.continuous else None,
            z if self.stepped else None,
            c if self.categorical else None,
            np.concatenate([x, z]) if self.number_count else None,
        )


class SearchDistribution:
    """One run of CMA-ES, from its start to its convergence."""

    def __init__(self, encoding: Encoding, *, mean: NDArray[np.float64], sigma: float, population: int | None) -> None:
        gaussian = encoding.number_count
        self._encoding = encoding
        self._optimizer = CatCMAwM(
            x_space=[[0.0, 1.0]] * len(encoding.continuous) or None,
            z_space=encoding.middles or None,
            c_space=encoding.category_counts or None,
            population_size=population,
            mean=mean.copy() if gaussian else None,
            sigma=sigma,
            cov=np.eye(gaussian) if gaussian else None,
            seed=0,
        )
        self._best: list[float] = []
        self._patience = 10 + -(-30 * encoding.dimensions // self.population)

    @property
    def population(self) -> int:
        """How many results make a generation."""
        return int(self._optimizer.population_size)

    def draw(self, seed: int) -> Sample:
        """The sample at a 32-bit seed."""
        self._optimizer.reseed_rng(seed)
        sample = self._optimizer.ask()
        for _ in range(_RESAMPLINGS):
            if sample.x is None or bool(np.all((sample.x > 0.0) & (sample.x < 1.0))):
                break
            sample = self._optimizer.ask()
        return sample

    def update(self, generation: Sequence[tuple[Sample, float | None]]) -> None:
        """Moves the distribution towards the better half; without a result (None) a Trial is among the worst."""
        results = [loss for _, loss in generation if loss is not None]
        if not results:
            return
        self._best.append(min(results))
        order = sorted(
            range(len(generation)),
            key=lambda place: (generation[place][1] is None, generation[place][1] or 0.0),
        )
        self._optimizer.tell([(generation[place][0], float(rank)) for rank, place in enumerate(order)])

    def converged(self) -> bool:
        """Whether nothing more is to be expected: the library's criteria, and no change of the best for long."""
        recent = self._best[-self._patience :]
        if len(recent) == self._patience and max(recent) - min(recent) <= 1e-12 * max(1.0, abs(recent[-1])):
            return True
        return self._encoding.number_count > 0 and bool(self._optimizer.should_stop())


def _is_category(parameter: Parameter) -> bool:
    """Lists without an order, and pairs of values, which the paper advises to treat alike."""
    return parameter.count == 2 or (isinstance(parameter, Choice) and not parameter.ordinal)


def _count(parameter: Parameter) -> int:
    assert parameter.count is not None, "only finite parameters are stepped or categorical"
    return parameter.count


def _middles(parameter: Parameter) -> list[float]:
    return sorted(parameter.to_unit(parameter.value_at(index)) for index in range(_count(parameter)))


def _numbers(array: NDArray[np.float64] | None) -> list[float]:
    return [] if array is None else [float(number) for number in array]
