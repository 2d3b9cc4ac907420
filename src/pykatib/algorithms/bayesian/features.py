"""Rows of an `Encoding` as the numbers that a kernel compares.

A line is its place in [0, 1]; cells are the middles of theirs, so that the model sees only values that can be tried
(Garrido-Merchán and Hernández-Lobato, "Dealing with categorical and integer-valued variables in Bayesian optimization
with Gaussian processes", 2020); a list is as many columns as it has entries, of which one is 1/√2. The squared distance
of two different entries is then 1 and that of equal ones 0: the Hamming distance.
"""

import numpy as np
from numpy.typing import NDArray

from pykatib.algorithms.encoding import Encoding, Floats


class Features:
    """The columns of a space. `groups` names the dimension of each column; the first `numeric` columns are numbers."""

    def __init__(self, encoding: Encoding) -> None:
        self.dimensions = encoding.dimensions
        kinds = [dimension.kind for dimension in self.dimensions]
        self.lines = [place for place, kind in enumerate(kinds) if kind == "line"]
        self.cells = [place for place, kind in enumerate(kinds) if kind == "cells"]
        self.lists = [place for place, kind in enumerate(kinds) if kind == "list"]
        self.numeric = len(self.lines) + len(self.cells)
        spread = [place for place in self.lists for _ in range(self.dimensions[place].count)]
        self.groups: NDArray[np.intp] = np.array([*self.lines, *self.cells, *spread], dtype=np.intp)

    def of(self, rows: Floats) -> Floats:
        """The columns of some rows."""
        found = np.zeros((len(rows), len(self.groups)))
        found[:, : len(self.lines)] = rows[:, self.lines]
        column = len(self.lines)
        for place in self.cells:
            found[:, column] = self.dimensions[place].middles[rows[:, place].astype(np.intp)]
            column += 1
        each = np.arange(len(rows))
        for place in self.lists:
            found[each, column + rows[:, place].astype(np.intp)] = np.sqrt(0.5)
            column += self.dimensions[place].count
        return found

    def from_units(self, units: Floats) -> Floats:
        """The rows at places of the unit cube, one column a dimension."""
        rows = units.copy()
        for place in self.cells:
            dimension = self.dimensions[place]
            rows[:, place] = np.clip(
                np.searchsorted(dimension.edges, units[:, place], side="right") - 1, 0, dimension.count - 1
            )
        for place in self.lists:
            count = self.dimensions[place].count
            rows[:, place] = np.minimum(np.floor(units[:, place] * count), count - 1)
        return rows

    def to_units(self, rows: Floats) -> Floats:
        """Places of the unit cube that `from_units` turns into these rows."""
        units = rows.copy()
        for place in self.cells:
            units[:, place] = self.dimensions[place].middles[rows[:, place].astype(np.intp)]
        for place in self.lists:
            units[:, place] = (rows[:, place] + 0.5) / self.dimensions[place].count
        return units
