"""Parzen estimators: densities made of one kernel for each point, over the columns of an `Encoding`.

On a line a kernel is a normal, cut off at 0 and 1; on cells it is the share of that normal that falls on each cell, so
steps need no rounding and the ends weigh as much as they should; on a list it is the entry itself with a share for all
others. The first kernel is the prior: every value as likely as the manifest says.

Kernels may share the bandwidth of their column. Then the shares of cells are one small table, whatever the number of
Trials.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from pykatib.algorithms.encoding import Dimension, Floats

Bandwidth: TypeAlias = float | Floats
"""One for all kernels of a column, or one for each; of a list always one: the share of any entry at all."""

_ROOT = float(np.sqrt(2 * np.pi))
_TINY = 1e-300


class Column:
    """The kernels of one column: what they think of values, and values drawn from them."""

    __slots__ = ("_bandwidth", "_codes", "_dimension", "_table", "_table_place")

    def __init__(self, dimension: Dimension, codes: Floats, bandwidth: Bandwidth) -> None:
        self._dimension = dimension
        self._codes = codes
        self._bandwidth = bandwidth
        self._table: Floats | None = None  # [value, place of the kernel]
        self._table_place = codes.astype(np.intp) if dimension.kind != "line" else np.empty(0, dtype=np.intp)
        if dimension.kind == "list":
            count = dimension.count
            self._table = np.full((count, count), bandwidth / count)
            self._table[np.diag_indices(count)] += 1 - bandwidth
        elif dimension.kind == "cells":
            middles = dimension.middles
            if isinstance(bandwidth, np.ndarray):
                middles = middles[self._table_place]
                self._table_place = np.arange(len(codes))
            below = ndtr((dimension.edges[:, None] - middles) / bandwidth)
            shares = np.maximum(np.diff(below, axis=0), _TINY)
            self._table = shares / shares.sum(axis=0)

    def log_density(self, codes: Floats) -> Floats:
        """The logarithm of each kernel at each value; a row for each value."""
        if self._table is not None:
            rows: Floats = np.log(self._table[codes.astype(np.intp)])
            return rows[:, self._table_place]
        scaled = (codes[:, None] - self._codes) / self._bandwidth
        low, high = -self._codes / self._bandwidth, (1 - self._codes) / self._bandwidth
        mass = (ndtr(high) - ndtr(low)) * (_ROOT * self._bandwidth)
        logs: Floats = -0.5 * scaled * scaled - np.log(mass)
        return logs

    def prior_log_density(self, codes: Floats) -> Floats:
        """The logarithm of the prior at each value."""
        if self._dimension.kind == "line":
            return np.zeros(len(codes))
        if self._dimension.kind == "list":
            return np.full(len(codes), -np.log(self._dimension.count))
        return np.log(np.maximum(np.diff(self._dimension.edges), _TINY))[codes.astype(np.intp)]

    def draw(self, kernels: NDArray[np.intp], units: Floats) -> Floats:
        """A value of each named kernel at a number of [0, 1]; kernel -1 is the prior."""
        dimension = self._dimension
        prior = kernels < 0
        codes = self._codes[kernels] if len(self._codes) else np.zeros(len(kernels))
        if dimension.kind == "list":
            stays = ~prior & (units < 1 - self._bandwidth)
            rest = np.where(prior, units, (units - (1 - self._bandwidth)) / self._bandwidth)
            return np.where(stays, codes, np.clip(np.floor(rest * dimension.count), 0, dimension.count - 1))
        centres = codes if dimension.kind == "line" else dimension.middles[codes.astype(np.intp)]
        bandwidth = self._bandwidth
        if isinstance(bandwidth, np.ndarray):
            bandwidth = bandwidth[kernels] if len(bandwidth) else np.ones(len(kernels))
        low, high = ndtr(-centres / bandwidth), ndtr((1 - centres) / bandwidth)
        inner = centres + bandwidth * ndtri(low + units * (high - low))
        places: Floats = np.clip(np.where(prior, units, inner), 0.0, 1.0)
        if dimension.kind == "line":
            return places
        found = np.searchsorted(dimension.edges, places, side="right") - 1
        return np.clip(found, 0, dimension.count - 1).astype(np.float64)


class Parzen:
    """A mixture of the prior and a kernel for each row, with weights."""

    __slots__ = ("_columns", "_log_weights", "_shares")

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        rows: Floats,
        weights: Floats,
        bandwidths: Sequence[Bandwidth],
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
