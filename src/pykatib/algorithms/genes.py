"""Points of a space as genes that can be drawn and changed one at a time: what an evolution works on.

`ParameterGenes` are the parameters of a space, `ArchitectureGenes` the operations and connections of an architecture.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.nas.space import Architecture, ArchitectureSpace
from pykatib.algorithms.parameters import Choice, Parameter
from pykatib.algorithms.space import Point, SearchSpace

if TYPE_CHECKING:  # only for its name: the registry stays light
    import numpy as np

_Entry = TypeVar("_Entry")
STEP: Final = 0.2
"""The standard deviation of a change to a number, as a share of its range."""
ANYWHERE: Final = 0.2
"""How often a number is drawn anew instead, so that no distance is too far."""


class Genes(Protocol):
    """What can be done to the points of a space."""

    size: int | None

    def any(self, numbers: "np.random.Generator") -> Point:
        """A random point."""
        ...

    def mutate(self, point: Point, numbers: "np.random.Generator") -> Point:
        """The point with one gene changed; ValueError where it, or what has come of it, is no point of the space."""
        ...

    def at(self, index: int) -> Point:
        """The point number `index` of a finite space."""
        ...


def genes_of(space: SearchSpace) -> Genes:
    """The genes of a space of either kind."""
    return ArchitectureGenes(space) if isinstance(space, ArchitectureSpace) else ParameterGenes(space)


class ParameterGenes:
    """Each parameter with more than one value is a gene: a number moves, an entry of a list is exchanged."""

    def __init__(self, space: SearchSpace) -> None:
        self.size = space.size
        self._space = space
        self._places = tuple(place for place, parameter in enumerate(space.parameters) if parameter.count != 1)

    def any(self, numbers: "np.random.Generator") -> Point:
        """A random point, by the stated distributions."""
        return self._space.sample(numbers)

    def mutate(self, point: Point, numbers: "np.random.Generator") -> Point:
        """The point with another value of one active parameter; ValueError, too, where that breaks a constraint."""
        if not self._space.contains(point):
            raise ValueError("no point of this space")
        inactive = self._space.inactive(point)
        places = [place for place in self._places if place not in inactive]
        if not places:
            return point
        place = places[int(numbers.integers(len(places)))]
        changed = _another(self._space.parameters[place], point[place], numbers)
        child = self._space.settled((*point[:place], changed, *point[place + 1 :]))
        if not self._space.allows(child):
            raise ValueError("breaks a constraint")
        return child

    def at(self, index: int) -> Point:
        """The point number `index`; the last parameter changes fastest."""
        return self._space.at(index)


def _another(parameter: Parameter, value: ParameterValue, numbers: "np.random.Generator") -> ParameterValue:
    if not isinstance(parameter, Choice) or parameter.ordinal:
        unit = float(numbers.random())
        if numbers.random() >= ANYWHERE:
            unit = _reflected(parameter.to_unit(value) + STEP * float(numbers.standard_normal()))
        moved = parameter.from_unit(unit)
        if moved != value or parameter.count is None:
            return moved  # else it fell on the step that it came from
    others = (parameter.count or 1) - 1
    other = min(int(numbers.random() * others), others - 1)
    return parameter.value_at(other + (other >= parameter.index_of(value)))


def _reflected(unit: float) -> float:
    """A number mirrored at 0 and 1 until it lies between them."""
    unit %= 2
    return 2 - unit if unit > 1 else unit


class ArchitectureGenes:
    """The operation of each layer is a gene, and each bit of what it takes besides the layer before it.

    Real and others change operations and connections equally often, although there are more of the latter.
    """

    def __init__(self, space: ArchitectureSpace) -> None:
        self.size = space.size
        self._space = space
        self._bits = tuple((layer, bit) for layer in range(space.layers) for bit in range(layer))

    def any(self, numbers: "np.random.Generator") -> Point:
        """An architecture in which each operation and each connection is as likely as the next."""
        operations = numbers.integers(len(self._space.operations), size=self._space.layers).tolist()
        bits = [tuple(numbers.integers(2, size=layer).tolist()) for layer in range(self._space.layers)]
        return self._space.encode(Architecture(tuple(operations), tuple(bits)))

    def mutate(self, point: Point, numbers: "np.random.Generator") -> Point:
        """The architecture with another operation in one layer, or with one connection more or less."""
        found = self._space.decode(point)
        count = len(self._space.operations)
        if count == 1 and not self._bits:
            return point
        if self._bits and (count == 1 or numbers.random() < 0.5):
            layer, bit = self._bits[int(numbers.integers(len(self._bits)))]
            row = list(found.bits[layer])
            row[bit] = 1 - row[bit]
            return self._space.encode(Architecture(found.operations, _with(found.bits, layer, tuple(row))))
        layer = int(numbers.integers(self._space.layers))
        other = int(numbers.integers(count - 1))
        other += other >= found.operations[layer]
        return self._space.encode(Architecture(_with(found.operations, layer, other), found.bits))

    def at(self, index: int) -> Point:
        """The architecture number `index`, counted by its bits first."""
        bits = []
        for layer in range(self._space.layers):
            index, number = divmod(index, 2**layer)
            bits.append(tuple(number >> place & 1 for place in range(layer)))
        operations = []
        for _ in range(self._space.layers):
            index, operation = divmod(index, len(self._space.operations))
            operations.append(operation)
        return self._space.encode(Architecture(tuple(operations), tuple(bits)))


def _with(row: Sequence[_Entry], place: int, entry: _Entry) -> tuple[_Entry, ...]:
    return (*row[:place], entry, *row[place + 1 :])
