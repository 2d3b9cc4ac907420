"""ENAS's texts as a plan of the network: every layer with its inputs, its operation and the shapes between them.

Read without torch: what cannot be built is refused in a moment, with the path of the field. As in Katib, a layer
takes the layer before it and those that its bits name (bit 0 is the image, bit i the layer i); inputs of other sizes
are padded with zeros to the largest and laid side by side as channels; convolutions and poolings keep the size but for
their stride, rounded up. A pooling's stride is its size where none is stated. What is one pixel wide stays so.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from pykatib.algorithms.description import nearest
from pykatib.algorithms.nas.operations import ENAS_KINDS, POOLINGS, parameter_problem
from pykatib.nas.reading import read_text, refused, short, whole

MOST_CHANNELS: Final = 16_384
DEFAULTS: Final[Mapping[str, int]] = {
    "num_filter": 64,
    "stride": 1,
    "depth_multiplier": 1,
    "dilation_rate": 2,
    "pool_size": 2,
}


class Shape(msgspec.Struct, frozen=True):
    """What flows between layers."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


class LayerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: `inputs` are numbers of layers, 0 the image; `taken` is their shape laid together."""

    number: int
    kind: str
    parameters: Mapping[str, int]
    inputs: tuple[int, ...]
    taken: Shape
    given: Shape

    def __str__(self) -> str:
        stated = " ".join(f"{name}={value}" for name, value in self.parameters.items())
        sources = ", ".join("image" if source == 0 else str(source) for source in self.inputs)
        return f"layer {self.number}: {self.kind} {stated} of {sources}: {self.taken} to {self.given}"


class NetworkPlan(msgspec.Struct, frozen=True):
    """The whole network."""

    image: Shape
    layers: tuple[LayerPlan, ...]
    classes: int


def read_plan(architecture: str, nn_config: str) -> NetworkPlan:
    """The plan that the two assignments of a Trial mean; InvalidInput where there is none."""
    config = read_text(nn_config, "nn_config")
    if not isinstance(config, dict):
        raise refused("nn_config", f"found {short(config)}, wanted a mapping")
    for field in ("num_layers", "input_sizes", "output_sizes", "embedding"):
        if field not in config:
            raise refused(f"nn_config.{field}", "is missing")
    count = whole(config["num_layers"], "nn_config.num_layers")
    image = _image(config["input_sizes"])
    classes = _classes(config["output_sizes"])
    embedding = config["embedding"]
    if not isinstance(embedding, dict):
        raise refused("nn_config.embedding", f"found {short(embedding)}, wanted a mapping of operations")
    rows = read_text(architecture, "architecture")
    if not isinstance(rows, list) or len(rows) != count:
        found = f"{len(rows)} layers" if isinstance(rows, list) else short(rows)
        raise refused("architecture", f"found {found}, but nn_config.num_layers is {count}")
    shapes = [image]
    layers: list[LayerPlan] = []
    for layer in _layers(rows, embedding, shapes):
        layers.append(layer)
        shapes.append(layer.given)
    return NetworkPlan(image, tuple(layers), classes)


def _image(sizes: object) -> Shape:
    if not isinstance(sizes, list) or len(sizes) != 3:
        raise refused("nn_config.input_sizes", f"found {short(sizes)}, wanted height, width and channels of an image")
    height, width, channels = (whole(size, f"nn_config.input_sizes[{place}]") for place, size in enumerate(sizes))
    return Shape(channels, height, width)


def _classes(sizes: object) -> int:
    if not isinstance(sizes, list) or not sizes:
        raise refused("nn_config.output_sizes", f"found {short(sizes)}, wanted the number of classes, as in [10]")
    return whole(sizes[-1], f"nn_config.output_sizes[{len(sizes) - 1}]")


def _layers(rows: list[Any], embedding: dict[str, Any], shapes: list[Shape]) -> Iterator[LayerPlan]:
    for place, row in enumerate(rows):
        path = f"architecture[{place}]"
        if not isinstance(row, list) or len(row) != place + 1 or any(type(entry) is not int for entry in row):
            raise refused(path, f"found {short(row)}, wanted an operation and {place} bits")
        if not set(row[1:]) <= {0, 1}:
            raise refused(path, f"found {short(row)}; after the operation come bits, 0 or 1")
        kind, parameters = _operation(row[0], embedding, shapes[0], path)
        inputs = (place, *(source for source, bit in enumerate(row[1:]) if bit))
        taken = _together([shapes[source] for source in inputs])
        given = _given(kind, parameters, taken)
        if given.channels > MOST_CHANNELS:
            raise refused(path, f"has {given.channels} channels, and {MOST_CHANNELS} are the most that are built")
        yield LayerPlan(number=place + 1, kind=kind, parameters=parameters, inputs=inputs, taken=taken, given=given)


def _operation(number: int, embedding: dict[str, Any], image: Shape, path: str) -> tuple[str, dict[str, int]]:
    """The kind of an operation and all of its parameters."""
    entry = embedding.get(str(number))
    if entry is None:
        known = ", ".join(embedding)
        raise refused(f"{path}[0]", f"found {number}, which nn_config.embedding does not have; it has {known}")
    here = f"nn_config.embedding.{number}"
    if not isinstance(entry, dict) or not isinstance(entry.get("opt_params", {}), dict):
        raise refused(here, f"found {short(entry)}, wanted opt_type and opt_params")
    kind, stated = entry.get("opt_type"), entry.get("opt_params", {})
    known_kind = ENAS_KINDS.get(kind) if isinstance(kind, str) else None
    if not isinstance(kind, str) or known_kind is None:
        raise refused(f"{here}.opt_type", f"unknown operation {kind!r}; {nearest(str(kind), tuple(ENAS_KINDS))}")
    for name in known_kind.required:
        if name not in stated:
            raise refused(f"{here}.opt_params.{name}", f"is missing: {kind} needs it")
    for name, value in stated.items():
        if name not in known_kind.known:
            known = nearest(name, known_kind.known) if known_kind.known else "it has none"
            raise refused(f"{here}.opt_params.{name}", f"is no parameter of {kind}; {known}")
        problem = parameter_problem(name, value)
        if problem is not None:
            raise refused(f"{here}.opt_params.{name}", problem)
        if name in ("stride", "pool_size") and whole(value, name) > min(image.height, image.width):
            message = f"found {value}, which leaves nothing of an image of {image.height}x{image.width}"
            raise refused(f"{here}.opt_params.{name}", message)
    if kind == "reduction":
        kind = str(stated["reduction_type"])
    parameters = {name: whole(value, name) for name, value in stated.items() if name != "reduction_type"}
    for name in ENAS_KINDS[kind].known:
        if name == "stride" and kind in POOLINGS:
            parameters.setdefault("stride", parameters["pool_size"])
        elif name not in parameters:
            parameters[name] = DEFAULTS[name]
    return kind, parameters


def _together(shapes: list[Shape]) -> Shape:
    return Shape(
        sum(shape.channels for shape in shapes),
        max(shape.height for shape in shapes),
        max(shape.width for shape in shapes),
    )


def _given(kind: str, parameters: Mapping[str, int], taken: Shape) -> Shape:
    stride = parameters.get("stride", 1)
    channels = parameters.get("num_filter", taken.channels)
    if kind == "depthwise_convolution":
        channels = taken.channels * parameters["depth_multiplier"]
    return Shape(channels, -(-taken.height // stride), -(-taken.width // stride))
