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
from pykatib.algorithms.encoding import Encoding
from pykatib.algorithms.space import Point, SearchSpace

Sample: TypeAlias = CatCMAwM.Solution

_RESAMPLINGS = 100  # draws outside the bounds are replaced, so that none is wasted on their very edge


class Variables:
    """How the dimensions of a space are divided among the library's continuous, stepped and categorical variables.

    Pairs of values count as categories, as the paper advises.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._encoding = Encoding(space)
        self.continuous: list[int] = []
        self.stepped: list[int] = []
        self.categorical: list[int] = []
        for place, dimension in enumerate(self._encoding.dimensions):
            if dimension.kind == "line":
                self.continuous.append(place)
            elif dimension.kind == "list" or dimension.count == 2:
                self.categorical.append(place)
            else:
                self.stepped.append(place)
        self.middles = [self._encoding.dimensions[place].middles for place in self.stepped]
        self.category_counts = [self._encoding.dimensions[place].count for place in self.categorical]

    @property
    def number_count(self) -> int:
        """How many dimensions the Gaussian has."""
        return len(self.continuous) + len(self.stepped)

    @property
    def dimensions(self) -> int:
        """How many dimensions there are to search."""
        return len(self._encoding)

    def point(self, sample: Sample) -> Point:
        """The point of the space that a sample means."""
        row = np.zeros(self.dimensions)
        if sample.x is not None:
            row[self.continuous] = sample.x
        if sample.z is not None:
            row[self.stepped] = [np.argmin(np.abs(m - z)) for m, z in zip(self.middles, sample.z, strict=True)]
        if sample.c is not None:
            row[self.categorical] = np.argmax(sample.c, axis=1)
        return self._encoding.point(row.tolist())

    def sample(self, point: Sequence[ParameterValue]) -> Sample:
        """A sample that means a given point; for points that the distribution did not draw itself."""
        row = np.array(self._encoding.row(point))
        x = row[self.continuous]
        ranks = row[self.stepped].astype(np.intp)
        z = np.array([middles[rank] for middles, rank in zip(self.middles, ranks, strict=True)])
        c = np.zeros((len(self.categorical), max(self.category_counts, default=0)), dtype=bool)
        c[np.arange(len(c)), row[self.categorical].astype(np.intp)] = True
        return CatCMAwM.Solution(
            x if self.continuous else None,
            z if self.stepped else None,
            c if self.categorical else None,
            np.concatenate([x, z]) if self.number_count else None,
        )


class SearchDistribution:
    """One run of CMA-ES, from its start to its convergence."""

    def __init__(
        self, variables: Variables, *, mean: NDArray[np.float64], sigma: float, population: int | None
    ) -> None:
        gaussian = variables.number_count
        self._variables = variables
        self._optimizer = CatCMAwM(
            x_space=[[0.0, 1.0]] * len(variables.continuous) or None,
            z_space=[middles.tolist() for middles in variables.middles] or None,
            c_space=variables.category_counts or None,
            population_size=population,
            mean=mean.copy() if gaussian else None,
            sigma=sigma,
            cov=np.eye(gaussian) if gaussian else None,
            seed=0,
        )
        self._best: list[float] = []
        self._patience = 10 + -(-30 * variables.dimensions // self.population)

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
        return self._variables.number_count > 0 and bool(self._optimizer.should_stop())
