"""Where the acquisition is greatest: many candidates, then climbing from the best of them.

Candidates are half random points of the whole space and half neighbours of the best Trials, at distances from large
to small. From the best of both kinds the search climbs by L-BFGS-B along the lines and, for cells and lists, to the
best of all points that differ in one dimension, until neither finds more. In a small finite space all points are
looked at instead.
"""

import numpy as np
from scipy.optimize import minimize

from pykatib.algorithms.bayesian.acquisition import Acquisition
from pykatib.algorithms.bayesian.features import Features
from pykatib.algorithms.bayesian.forest import Forest
from pykatib.algorithms.bayesian.gaussian_process import Posterior
from pykatib.algorithms.encoding import Floats

_SPREADS = np.array([0.3, 0.1, 0.03, 0.01, 0.003])
_ITERATIONS = 30
_ROUNDS = 4
_MOST_NEIGHBOURS = 16  # of one dimension


def candidates(features: Features, incumbents: Floats, generator: np.random.Generator, *, count: int) -> Floats:
    """Rows to look at first: `count` of the whole space, then `count` near the incumbents."""
    width = len(features.dimensions)
    units = generator.random((count, width))
    if len(incumbents) == 0:
        return features.from_units(units)
    parents = incumbents[generator.integers(len(incumbents), size=count)]
    spreads = _SPREADS[generator.integers(len(_SPREADS), size=count)]
    near = features.to_units(parents) + spreads[:, None] * generator.standard_normal((count, width))
    near = np.abs(near)
    near = np.clip(1.0 - np.abs(1.0 - near), 0.0, 1.0)  # mirrored at the bounds
    moved = generator.random((count, width)) < generator.choice([1.0, 0.5, 1.5 / width], size=count)[:, None]
    close = np.where(moved, features.from_units(near), parents)
    for place in features.lists:
        fresh = generator.random(count) < 1.0 / (1 + len(features.lists))
        close[:, place] = np.where(
            fresh, generator.integers(features.dimensions[place].count, size=count), parents[:, place]
        )
    for place in features.cells:  # where a spread is narrower than a cell, step to the next now and then
        step = generator.integers(-1, 2, size=count) * (generator.random(count) < 0.5)
        close[:, place] = np.clip(close[:, place] + step, 0, features.dimensions[place].count - 1)
    return np.concatenate([features.from_units(units), close])


class Climb:
    """Climbing on one acquisition function of one posterior."""

    def __init__(
        self, posterior: Posterior | Forest, acquisition: Acquisition, best: float, features: Features
    ) -> None:
        self._posterior = posterior
        self._acquisition = acquisition
        self._best = best
        self._features = features

    def score(self, rows: Floats) -> Floats:
        """The acquisition at rows."""
        mean, deviation = self._posterior.predict(self._features.of(rows))
        return self._acquisition(mean, deviation, self._best)[0]

    def __call__(self, row: Floats, score: float) -> tuple[Floats, float]:
        """A row no worse than the one given, and its score."""
        for _ in range(_ROUNDS if len(self._features.lines) < len(self._features.dimensions) else 1):
            row, score = self._along_lines(row, score)
            neighbours = self._neighbours(row)
            if len(neighbours) == 0:
                break
            scores = self.score(neighbours)
            place = int(np.argmax(scores))
            if not scores[place] > score + 1e-9:
                break
            row, score = neighbours[place], float(scores[place])
        return row, score

    def _along_lines(self, row: Floats, score: float) -> tuple[Floats, float]:
        lines = self._features.lines
        posterior = self._posterior
        if not lines or isinstance(posterior, Forest):
            return row, score
        columns = self._features.of(row[None, :])

        def negative(units: Floats) -> tuple[float, Floats]:
            columns[0, : len(lines)] = units
            mean, deviation, by_mean, by_deviation = posterior.predict_with_slopes(columns)
            value, mean_slope, deviation_slope = self._acquisition(mean, deviation, self._best)
            slope = mean_slope[0] * by_mean[0] + deviation_slope[0] * by_deviation[0]
            return -float(value[0]), -slope[: len(lines)]

        result = minimize(
            negative,
            row[lines],
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, 1.0)] * len(lines),
            options={"maxiter": _ITERATIONS},
        )
        if not -float(result.fun) > score:
            return row, score
        moved = row.copy()
        moved[lines] = np.clip(result.x, 0.0, 1.0)
        return moved, -float(result.fun)

    def _neighbours(self, row: Floats) -> Floats:
        """All rows that differ in one dimension that has no line."""
        found: list[Floats] = []
        for place in (*self._features.cells, *self._features.lists):
            count = self._features.dimensions[place].count
            current = int(row[place])
            if count <= _MOST_NEIGHBOURS:
                others = [other for other in range(count) if other != current]
            else:
                reach = {current + sign * 2**power for power in range(count.bit_length() - 1) for sign in (-1, 1)}
                others = sorted(other for other in reach if 0 <= other < count)
            block = np.repeat(row[None, :], len(others), axis=0)
            block[:, place] = others
            found.append(block)
        return np.concatenate(found) if found else np.empty((0, len(row)))
