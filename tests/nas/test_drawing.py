"""Pictures of networks: all that is there is drawn, nothing on top of anything else."""

from itertools import combinations
from xml.etree import ElementTree

import pytest

from pykatib.nas.drawing import Graph, Node, picture
from pykatib.nas.genotype import read_genotype
from pykatib.nas.pictures import cell_graphs, chain_graphs
from pykatib.nas.plans import read_plan

SVG = "{http://www.w3.org/2000/svg}"
GENOTYPE = (
    "Genotype(normal=[[('separable_convolution_3x3',0),('skip_connection',1)],[('dilated_convolution_5x5',1),"
    "('max_pooling_3x3',2)],[('skip_connection',0),('convolution_3x3',3)]],normal_concat=range(2,5),"
    "reduce=[[('max_pooling_3x3',0),('skip_connection',1)],[('skip_connection',0),('skip_connection',1)],"
    "[('avg_pooling_3x3',0),('skip_connection',3)]],reduce_concat=range(2,5))"
)
CONVOLUTION = "{'opt_id': 0, 'opt_type': 'convolution', 'opt_params': {'filter_size': '3'}}"
CONFIG = f"{{'num_layers': 4, 'input_sizes': [8, 8, 1], 'output_sizes': [10], 'embedding': {{'0': {CONVOLUTION}}}}}"
ARCHITECTURE = "[[0], [0, 1], [0, 1, 1], [0, 0, 1, 1]]"

Box = tuple[float, float, float, float]


def drawn(graphs: list[Graph]) -> tuple[list[str], list[Box], int]:
    """Texts, boxes (left, top, right, bottom) within their graph, and the number of edges."""
    root = ElementTree.fromstring(picture(graphs))
    texts = ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]
    boxes = []
    for rect in root.iter(f"{SVG}rect"):
        if rect.get("x") is not None:
            x, y, width, height = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
            boxes.append((x, y, x + width, y + height))
    edges = sum(one.get("marker-end") is not None for one in root.iter(f"{SVG}path"))
    return texts, boxes, edges


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_a_chain_has_a_box_for_each_layer_and_an_edge_for_each_input() -> None:
    (graph,) = chain_graphs(read_plan(ARCHITECTURE, CONFIG))
    texts, boxes, edges = drawn([graph])
    assert [text for text in texts if text.endswith(": convolution")] == [f"{n}: convolution" for n in (1, 2, 3, 4)]
    assert len(boxes) == 6
    assert edges == 1 + 2 + 3 + 3 + 1
    assert not any(overlap(*pair) for pair in combinations(boxes, 2))


@pytest.mark.parametrize("place", [0, 1], ids=["normal", "reduction"])
def test_a_cell_has_a_box_for_each_operation(place: int) -> None:
    graph = cell_graphs(read_genotype(GENOTYPE))[place]
    texts, boxes, edges = drawn([graph])
    assert sum(text == "skip connection" for text in texts) == (2 if place == 0 else 4)
    assert len(boxes) == 2 + 3 + 6 + 1
    assert edges == 2 * 6 + 3
    assert not any(overlap(*pair) for pair in combinations(boxes, 2))


def test_every_node_is_below_all_that_leads_to_it() -> None:
    graph = cell_graphs(read_genotype(GENOTYPE))[0]
    _, boxes, _ = drawn([graph])
    top = {node.name: box[1] for node, box in zip(graph.nodes, boxes, strict=True)}
    assert all(top[source] < top[target] for source, target in graph.edges)


def test_letters_that_mean_something_in_xml_are_drawn_as_they_are() -> None:
    texts, _, _ = drawn([Graph("a < b & c", (Node("x", ("<x>",)),), ())])
    assert texts == ["a < b & c", "<x>"]
