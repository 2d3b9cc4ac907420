"""What a network looks like: ENAS's chain of layers, and the two cells of DARTS, as graphs to be drawn."""

from collections.abc import Iterator, Sequence
from typing import Final

from pykatib.nas.drawing import Graph, Node
from pykatib.nas.genotype import Genotype
from pykatib.nas.genotype import Node as GenotypeNode
from pykatib.nas.plans import NetworkPlan

COLOURS: Final = {
    "convolution": "#cfe3f7",
    "separable_convolution": "#d6efd6",
    "depthwise_convolution": "#e6f3c8",
    "dilated_convolution": "#dcd6f0",
    "max_pooling": "#fbe3c6",
    "avg_pooling": "#f9f0c2",
    "skip_connection": "#eeeeee",
}
DATA: Final = "#ffffff"


def chain_graphs(plan: NetworkPlan) -> list[Graph]:
    """The graph of a chain: the image, a box a layer with its parameters and its output, the scores."""
    nodes = [Node("0", ("image", str(plan.image)), DATA, round=True)]
    edges = []
    for layer in plan.layers:
        stated = ", ".join(f"{name} {value}" for name, value in layer.parameters.items())
        lines = (f"{layer.number}: {layer.kind}", *([stated] if stated else []), f"→ {layer.given}")
        nodes.append(Node(str(layer.number), lines, COLOURS.get(layer.kind, DATA)))
        edges += [(str(source), str(layer.number)) for source in layer.inputs]
    nodes.append(Node("scores", (f"mean, linear: {plan.classes} scores",), DATA, round=True))
    edges.append((str(len(plan.layers)), "scores"))
    return [Graph("The network", tuple(nodes), tuple(edges))]


def cell_graphs(genotype: Genotype) -> list[Graph]:
    """A graph for each of the two cells: operations are boxes, what they are added up to is round."""
    return [
        _cell("Normal cell", genotype.normal),
        _cell("Reduction cell: operations on its inputs halve the size", genotype.reduce),
    ]


def _cell(title: str, cell: Sequence[GenotypeNode]) -> Graph:
    names = ["cell before last", "last cell", *(f"node {place + 2}" for place in range(len(cell)))]
    nodes = [Node(name, (name,), DATA, round=True) for name in [*names, "output"]]
    edges: list[tuple[str, str]] = []
    for node, edge, name, extra in _operations(cell, names):
        nodes.append(extra)
        edges += [(names[edge], name), (name, names[node])]
    edges += [(name, "output") for name in names[2:]]
    return Graph(title, tuple(nodes), tuple(edges))


def _operations(cell: Sequence[GenotypeNode], names: Sequence[str]) -> Iterator[tuple[int, int, str, Node]]:
    for place, node in enumerate(cell):
        for number, (operation, edge) in enumerate(node):
            kind = operation.rpartition("_")[0]
            name = f"{names[place + 2]} {number}"
            colour = COLOURS.get(operation, COLOURS.get(kind, DATA))
            yield place + 2, edge, name, Node(name, (operation.replace("_", " "),), colour)
