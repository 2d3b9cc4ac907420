"""Points of a search space as rows of numbers, for algorithms that model densities.

Each parameter with more than one value becomes a `Dimension` of one of three kinds:

- a line: a number of [0, 1] by the parameter's own distribution, so what is stated as likely is where there is room;
- cells: the number of a step, each with its edges in [0, 1] (ints, stepped doubles, discrete lists of numbers);
- a list: the number of an entry, without an order.

Parameters with more than `MOST_CELLS` steps are lines: their cells are narrower than any density worth having.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.parameters import Choice, Parameter
from pykatib.algorithms.space import Point, SearchSpace

Floats: TypeAlias = NDArray[np.float64]
DimensionKind: TypeAlias = Literal["line", "cells", "list"]

MOST_CELLS = 128


class Dimension:
    """One parameter as a column. `edges` and `middles` are the cells' places in [0, 1], empty for lines and lists."""

    __slots__ = ("_order", "_parameter", "_rank", "count", "edges", "kind", "middles")

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self._order: list[int] | None = None
        self._rank: dict[int, int] = {}
        self.kind: DimensionKind = "line"
        self.count = 0
        self.edges: Floats = np.empty(0)
        self.middles: Floats = np.empty(0)
        if parameter.count is None or parameter.count > MOST_CELLS:
            if isinstance(parameter, Choice) and not parameter.ordinal:
                self.kind, self.count = "list", parameter.count
            return
        self.count = parameter.count
        if isinstance(parameter, Choice):
            if parameter.numbers is None:
                self.kind = "list"
                return
            self._order = sorted(range(self.count), key=parameter.numbers.__getitem__)
            self._rank = {index: rank for rank, index in enumerate(self._order)}
        self.kind = "cells"
        middles = [parameter.to_unit(parameter.value_at(self._index(rank))) for rank in range(self.count)]
        edges = [0.0]
        for middle in middles:  # a middle is half way between two edges, and the first edge is 0
            edges.append(max(2 * middle - edges[-1], edges[-1]))
        edges[-1] = 1.0
        self.middles, self.edges = np.array(middles), np.array(edges)

    @property
    def middle(self) -> float:
        """A number that says nothing: the middle of the range, or the first entry of a list."""
        if self.kind == "line":
            return 0.5
        return float(self.count // 2) if self.kind == "cells" else 0.0

    def code(self, value: ParameterValue) -> float:
        """The number that stands for a value."""
        if self.kind == "line":
            return self._parameter.to_unit(value)
        index = self._parameter.index_of(value)
        return float(self._rank[index] if self._order else index)

    def value(self, code: float) -> ParameterValue:
        """The value that a number stands for."""
        if self.kind == "line":
            return self._parameter.from_unit(code)
        return self._parameter.value_at(self._index(int(code)))

    def _index(self, rank: int) -> int:
        return self._order[rank] if self._order else rank


class Encoding:
    """A space as columns; parameters with a single value are left out."""

    __slots__ = ("_columns", "_space", "dimensions")

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._columns = tuple(place for place, p in enumerate(space.parameters) if p.count != 1)
        self.dimensions = tuple(Dimension(space.parameters[place]) for place in self._columns)

    def __len__(self) -> int:
        return len(self.dimensions)

    def row(self, values: Sequence[ParameterValue]) -> list[float]:
        """A point as numbers; a parameter that is not active there as the middle of its range."""
        row = [dimension.code(values[place]) for place, dimension in zip(self._columns, self.dimensions, strict=True)]
        if self._space.restricted and (inactive := self._space.inactive(values)):
            for column, place in enumerate(self._columns):
                if place in inactive:
                    row[column] = self.dimensions[column].middle
        return row

    def point(self, row: Sequence[float]) -> Point:
        """The point of a row, allowed or not; lines of steps go to the step they fall on."""
        values: list[ParameterValue] = [p.value_at(0) if p.count == 1 else "" for p in self._space.parameters]
        for place, dimension, code in zip(self._columns, self.dimensions, row, strict=True):
            values[place] = dimension.value(code)
        return self._space.settled(values)
