"""Parzen estimators: densities made of one kernel for each point, over the columns of an `Encoding`.

On a line a kernel is a normal, cut off at 0 and 1; on cells it is the share of that normal that falls on each cell, so
steps need no rounding and the ends weigh as much as they should; on a list it is the entry itself with a share for all
others. The first kernel is the prior: every value as likely as the manifest says.

Kernels of one density share their bandwidths, one for each column. That makes the exponents of all pairs one matrix
product, and the shares of cells one small table, whatever the number of Trials.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from pykatib.algorithms.encoding import Dimension, Floats

_ROOT = float(np.sqrt(2 * np.pi))
_TINY = 1e-300


class Column:
    """The kernels of one column: what they think of values, and values drawn from them."""

    __slots__ = ("_bandwidth", "_centres", "_dimension", "_table")

    def __init__(self, dimension: Dimension, codes: Floats, bandwidth: float) -> None:
        self._dimension = dimension
        self._bandwidth = bandwidth
        self._table: Floats | None = None
        self._centres = codes
        if dimension.kind == "list":
            count = dimension.count
            self._table = np.full((count, count), bandwidth / count)
            self._table[np.diag_indices(count)] += 1 - bandwidth
        elif dimension.kind == "cells":
            below = ndtr((dimension.edges[:, None] - dimension.middles[None, :]) / bandwidth)
            shares = np.maximum(np.diff(below, axis=0), _TINY)
            self._table = shares / shares.sum(axis=0)  # [value, kernel]

    def log_density(self, codes: Floats) -> Floats:
        """The logarithm of each kernel at each value; a row for each value."""
        if self._table is not None:
            rows: Floats = np.log(self._table[codes.astype(np.intp)])
            return rows[:, self._centres.astype(np.intp)]
        scaled = (codes[:, None] - self._centres[None, :]) / self._bandwidth
        logs: Floats = -0.5 * scaled * scaled - self._log_mass()
        return logs

    def _log_mass(self) -> Floats:
        low, high = -self._centres / self._bandwidth, (1 - self._centres) / self._bandwidth
        mass: Floats = np.log((ndtr(high) - ndtr(low)) * (_ROOT * self._bandwidth))
        return mass

    def prior_log_density(self, codes: Floats) -> Floats:
        """The logarithm of the prior at each value."""
        if self._dimension.kind == "line":
            return np.zeros(len(codes))
        if self._dimension.kind == "list":
            return np.full(len(codes), -np.log(self._dimension.count))
        return np.log(np.maximum(np.diff(self._dimension.edges), _TINY))[codes.astype(np.intp)]

    def draw(self, kernels: NDArray[np.intp], units: Floats) -> Floats:
        """A value of each named kernel at a number of [0, 1]; kernel -1 is the prior."""
        prior = kernels < 0
        centres = self._centres[kernels] if len(self._centres) else np.zeros(len(kernels))
        if self._dimension.kind == "list":
            assert self._table is not None
            count = self._dimension.count
            stays = units < 1 - self._bandwidth
            rest = np.where(prior, units, (units - (1 - self._bandwidth)) / self._bandwidth)
            any_entry = np.clip(np.floor(rest * count), 0, count - 1)
            return np.where(~prior & stays, centres, any_entry)
        if self._dimension.kind == "cells":
            centres = self._dimension.middles[centres.astype(np.intp)]
        low, high = ndtr(-centres / self._bandwidth), ndtr((1 - centres) / self._bandwidth)
        inner = centres + self._bandwidth * ndtri(low + units * (high - low))
        places = np.clip(np.where(prior, units, inner), 0.0, 1.0)
        if self._dimension.kind == "line":
            return places
        found = np.searchsorted(self._dimension.edges, places, side="right") - 1
        return np.clip(found, 0, self._dimension.count - 1).astype(float)


class Parzen:
    """A mixture of the prior and a kernel for each row, with weights."""

    __slots__ = ("_columns", "_log_weights", "_shares")

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        rows: Floats,
        weights: Floats,
        bandwidths: Sequence[float],
        prior_weight: float,
    ) -> None:
        self._columns = [
            Column(dimension, rows[:, place], bandwidth)
            for place, (dimension, bandwidth) in enumerate(zip(dimensions, bandwidths, strict=True))
        ]
        together = np.concatenate([[prior_weight], weights])
        self._shares = np.cumsum(together) / together.sum()
        self._log_weights = np.log(np.maximum(together / together.sum(), _TINY))

    def draw(self, count: int, generator: np.random.Generator) -> Floats:
        """So many rows, all columns of a row from the same kernel."""
        picks = np.searchsorted(self._shares, generator.random(count), side="right")
        kernels = picks.clip(0, len(self._shares) - 1) - 1
        units = generator.random((count, len(self._columns)))
        return np.column_stack([column.draw(kernels, units[:, place]) for place, column in enumerate(self._columns)])

    def joint_log_density(self, rows: Floats) -> Floats:
        """The logarithm of the density of products of kernels at each row."""
        logs = np.zeros((len(rows), len(self._log_weights)))
        for place, column in enumerate(self._columns):
            logs[:, 0] += column.prior_log_density(rows[:, place])
            logs[:, 1:] += column.log_density(rows[:, place])
        return _log_sum(logs + self._log_weights)

    def marginal_log_density(self, rows: Floats) -> Floats:
        """The logarithm of the product of each column's own density at each row."""
        total = np.zeros(len(rows))
        for place, column in enumerate(self._columns):
            prior = column.prior_log_density(rows[:, place])[:, None]
            total += _log_sum(np.hstack([prior, column.log_density(rows[:, place])]) + self._log_weights)
        return total


def _log_sum(logs: Floats) -> Floats:
    top = logs.max(axis=1, keepdims=True)
    total: Floats = top[:, 0] + np.log(np.exp(logs - top).sum(axis=1))
    return total
