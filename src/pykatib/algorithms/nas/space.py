"""All architectures of an ENAS search as a space: what Trials get, and the way back from it.

A layer has an operation, and a bit for each thing that it takes besides the layer before it: bit 0 is the image, bit i
the layer i (counted from 1). An architecture of L layers is L operations and L (L - 1) / 2 bits.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.nas.operations import ConcreteOperation, expand
from pykatib.algorithms.nas.strings import from_text, to_text
from pykatib.algorithms.space import Point, SearchSpace
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import NasConfig
from pykatib.api.shared import ParameterAssignment

ARCHITECTURE: Final = "architecture"
NN_CONFIG: Final = "nn_config"


class TextSpace(SearchSpace):
    """A space whose points are texts under given names; what they mean is the algorithm's business."""

    __slots__ = ()

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(())
        self.names = tuple(names)
        self.size = None

    def __len__(self) -> int:
        return len(self.names)

    def contains(self, values: Sequence[ParameterValue]) -> bool:
        """Whether there is a text for each name."""
        return len(values) == len(self.names) and all(isinstance(value, str) for value in values)

    def format(self, values: Sequence[ParameterValue]) -> tuple[ParameterAssignment, ...]:
        """The texts under their names."""
        return tuple(ParameterAssignment(name, str(text)) for name, text in zip(self.names, values, strict=True))

    def parse(self, assignments: Sequence[ParameterAssignment]) -> Point:
        """The texts of assignments, by name."""
        text_by_name = {assignment.name: assignment.value for assignment in assignments}
        missing = [name for name in self.names if name not in text_by_name]
        if missing:
            raise InvalidInput([FieldError(f"parameterAssignments.{name}", "is missing") for name in missing])
        return tuple(text_by_name[name] for name in self.names)


class Architecture(msgspec.Struct, frozen=True):
    """The operation of each layer, and for each layer the bits of what it takes besides the layer before it."""

    operations: tuple[int, ...]
    bits: tuple[tuple[int, ...], ...]


class ArchitectureSpace(TextSpace):
    """The architectures of a `nasConfig`. `size` is their number."""

    __slots__ = ("input_sizes", "layers", "operations", "output_sizes")

    def __init__(self, config: NasConfig) -> None:
        super().__init__((ARCHITECTURE, NN_CONFIG))
        graph = config.graph_config
        self.layers = graph.num_layers or 0
        self.input_sizes = graph.input_sizes
        self.output_sizes = graph.output_sizes
        self.operations: tuple[ConcreteOperation, ...] = expand(config)
        self.size = len(self.operations) ** self.layers * 2 ** math.comb(self.layers, 2)

    def contains(self, values: Sequence[ParameterValue]) -> bool:
        """Whether the texts are those of an architecture of this space."""
        try:
            return self.encode(self.decode(values)) == tuple(values)
        except ValueError:
            return False

    def encode(self, architecture: Architecture) -> tuple[str, str]:
        """The texts of an architecture, as Katib writes them."""
        rows = [[operation, *bits] for operation, bits in zip(architecture.operations, architecture.bits, strict=True)]
        embedding = {str(operation): self._entry(operation) for operation in architecture.operations}
        config = {
            "num_layers": self.layers,
            "input_sizes": list(self.input_sizes),
            "output_sizes": list(self.output_sizes),
            "embedding": embedding,
        }
        return to_text(rows), to_text(config)

    def decode(self, values: Sequence[ParameterValue]) -> Architecture:
        """The architecture that a Trial was given; ValueError where its texts are of another space."""
        if not values or not isinstance(values[0], str):
            raise ValueError("no architecture")
        rows = from_text(values[0])
        if not isinstance(rows, list) or len(rows) != self.layers:
            raise ValueError(f"not {self.layers} layers")
        for layer, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != layer + 1 or not all(type(entry) is int for entry in row):
                raise ValueError(f"layer {layer + 1} is no row of whole numbers")
            if not 0 <= row[0] < len(self.operations) or not set(row[1:]) <= {0, 1}:
                raise ValueError(f"layer {layer + 1} has no such operation")
        return Architecture(tuple(row[0] for row in rows), tuple(tuple(row[1:]) for row in rows))

    def _entry(self, operation: int) -> Mapping[str, object]:
        found = self.operations[operation]
        return {"opt_id": found.id, "opt_type": found.kind, "opt_params": dict(found.parameters)}
