"""A directed graph without cycles as an SVG picture: layers from top to bottom, as few crossings as a few sweeps find.

The way of Sugiyama, Tagawa and Toda (1981): each node lies below all that lead to it; an edge that passes layers by
gets a place in each of them; each layer is ordered by the mean place of its neighbours, down and up again; then all are
moved sideways towards their neighbours as far as there is room. Sizes are those of a plain sans-serif font. Nothing is
drawn that a browser, an editor of vector graphics or `rsvg-convert` does not know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Final

FONT: Final = 13
LETTER: Final = 7.2  # the width of most letters
LINE: Final = 17
GAP: Final = 22  # between nodes of a layer
ROW: Final = 34  # between layers
MARGIN: Final = 16
_SWEEPS: Final = 12
_PASSING_WIDTH: Final = 6.0  # of an edge that passes a layer by


@dataclass(frozen=True)
class Node:
    """A box with lines of text; `colour` fills it."""

    name: str
    lines: tuple[str, ...]
    colour: str = "#ffffff"
    round: bool = False

    @property
    def width(self) -> float:
        """Wide enough for its longest line."""
        return max(len(line) for line in self.lines) * LETTER + 20

    @property
    def height(self) -> float:
        """High enough for its lines."""
        return len(self.lines) * LINE + 10


@dataclass(frozen=True)
class Graph:
    """Nodes, and edges from one name to another."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


@dataclass
class _Layout:
    """Places of nodes and of the points at which long edges pass layers, while they are being found."""

    layers: list[list[str]] = field(default_factory=list)
    widths: dict[str, float] = field(default_factory=dict)
    above: dict[str, list[str]] = field(default_factory=dict)
    below: dict[str, list[str]] = field(default_factory=dict)
    routes: list[list[str]] = field(default_factory=list)
    middles: dict[str, float] = field(default_factory=dict)


def picture(graphs: Sequence[Graph]) -> str:
    """The SVG text of graphs, one beside the other."""
    drawn = []
    left, bottom = float(MARGIN), 0.0
    for graph in graphs:
        body, width, height = _drawing(graph)
        width = max(width, len(graph.title) * LETTER * 1.2)
        drawn.append(f'<g transform="translate({left:.1f},{MARGIN})">\n{body}\n</g>')
        left, bottom = left + width + 3 * GAP, max(bottom, height)
    whole_width, whole_height = left - 3 * GAP + MARGIN, bottom + 2 * MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole_width:.0f}" height="{whole_height:.0f}" '
        f'viewBox="0 0 {whole_width:.1f} {whole_height:.1f}" font-family="Helvetica, Arial, sans-serif" '
        f'font-size="{FONT}">'
    )
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>'
    )
    return "\n".join([head, arrow, '<rect width="100%" height="100%" fill="#ffffff"/>', *drawn, "</svg>", ""])


def _drawing(graph: Graph) -> tuple[str, float, float]:
    node_by_name = {node.name: node for node in graph.nodes}
    layout = _layered(graph, node_by_name)
    _order(layout)
    _place(layout)
    heights = [
        max((node_by_name[name].height for name in layer if name in node_by_name), default=LINE)
        for layer in layout.layers
    ]
    tops, top = [], 2.0 * LINE
    for height in heights:
        tops.append(top)
        top += height + ROW
    rank = {name: place for place, layer in enumerate(layout.layers) for name in layer}
    shift = -min(layout.middles[name] - layout.widths[name] / 2 for name in layout.middles)
    middles = {name: middle + shift for name, middle in layout.middles.items()}
    width = max(middles[name] + layout.widths[name] / 2 for name in middles)
    parts = [f'<text x="0" y="{FONT}" font-weight="bold">{escape(graph.title)}</text>']
    for route in layout.routes:
        points = []
        for name in route:
            middle, first = middles[name], tops[rank[name]]
            if name in node_by_name:
                edge = first + (heights[rank[name]] + node_by_name[name].height) / 2
                points.append((middle, edge if name == route[0] else edge - node_by_name[name].height))
            else:
                points += [(middle, first), (middle, first + heights[rank[name]])]
        parts.append(f'<path d="{_curve(points)}" fill="none" stroke="#555" marker-end="url(#arrow)"/>')
    parts += [
        _box(node, middles[node.name], tops[rank[node.name]] + heights[rank[node.name]] / 2) for node in graph.nodes
    ]
    return "\n".join(parts), width, top - ROW


def _layered(graph: Graph, node_by_name: Mapping[str, Node]) -> _Layout:
    """Each node one layer below the lowest that leads to it, and passing points for edges over more than one."""
    layout = _Layout()
    sources: dict[str, list[str]] = {name: [] for name in node_by_name}
    for source, target in graph.edges:
        sources[target].append(source)
    rank: dict[str, int] = {}

    def rank_of(name: str) -> int:
        if name not in rank:
            rank[name] = 1 + max((rank_of(source) for source in sources[name]), default=-1)
        return rank[name]

    layout.layers = [[] for _ in range(1 + max(rank_of(name) for name in node_by_name))]
    for name, node in node_by_name.items():
        layout.layers[rank[name]].append(name)
        layout.widths[name] = node.width
    for number, (source, target) in enumerate(dict.fromkeys(graph.edges)):
        route = [source]
        for between in range(rank[source] + 1, rank[target]):
            passing = f"\0{number}-{between}"
            layout.layers[between].append(passing)
            layout.widths[passing] = _PASSING_WIDTH
            route.append(passing)
        route.append(target)
        layout.routes.append(route)
        for upper, lower in pairwise(route):
            layout.below.setdefault(upper, []).append(lower)
            layout.above.setdefault(lower, []).append(upper)
    return layout


def _order(layout: _Layout) -> None:
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = layout.above if down else layout.below
        order = range(1, len(layout.layers)) if down else range(len(layout.layers) - 2, -1, -1)
        for place in order:
            fixed = layout.layers[place - 1 if down else place + 1]
            where = {name: index / max(len(fixed) - 1, 1) for index, name in enumerate(fixed)}
            layer = layout.layers[place]
            mean = {
                name: _mean([where[other] for other in neighbours.get(name, ()) if other in where], 0.5)
                for name in layer
            }
            layer.sort(key=mean.__getitem__)


def _place(layout: _Layout) -> None:
    """Side by side first, centred; then a few times towards the neighbours, as far as there is room."""
    for layer in layout.layers:
        total = sum(layout.widths[name] for name in layer) + GAP * (len(layer) - 1)
        left = -total / 2
        for name in layer:
            layout.middles[name] = left + layout.widths[name] / 2
            left += layout.widths[name] + GAP
    for sweep in range(_SWEEPS):
        layers = layout.layers if sweep % 2 == 0 else layout.layers[::-1]
        for layer in layers:
            wanted = {}
            for name in layer:
                others = [*layout.above.get(name, ()), *layout.below.get(name, ())]
                wanted[name] = _mean([layout.middles[other] for other in others], layout.middles[name])
            _settle(layer, wanted, layout)


def _settle(layer: Sequence[str], wanted: Mapping[str, float], layout: _Layout) -> None:
    """The mean of pushing from the left and pushing from the right, both of which keep the gaps."""
    from_left: dict[str, float] = {}
    edge = float("-inf")
    for name in layer:
        from_left[name] = max(wanted[name], edge + layout.widths[name] / 2)
        edge = from_left[name] + layout.widths[name] / 2 + GAP
    edge = float("inf")
    for name in reversed(layer):
        from_right = min(wanted[name], edge - layout.widths[name] / 2)
        edge = from_right - layout.widths[name] / 2 - GAP
        layout.middles[name] = (from_left[name] + from_right) / 2


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _curve(points: Sequence[tuple[float, float]]) -> str:
    (x, y), *others = points
    parts = [f"M{x:.1f},{y:.1f}"]
    for next_x, next_y in others:
        if next_x == x:
            parts.append(f"L{next_x:.1f},{next_y:.1f}")
        else:
            half = (y + next_y) / 2
            parts.append(f"C{x:.1f},{half:.1f} {next_x:.1f},{half:.1f} {next_x:.1f},{next_y:.1f}")
        x, y = next_x, next_y
    return " ".join(parts)


def _box(node: Node, middle: float, centre: float) -> str:
    left, top = middle - node.width / 2, centre - node.height / 2
    corner = node.height / 2 if node.round else 4
    parts = [
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{node.width:.1f}" height="{node.height:.1f}" rx="{corner:.1f}" '
        f'fill="{node.colour}" stroke="#333"/>'
    ]
    for place, line in enumerate(node.lines):
        y = top + 5 + LINE * place + FONT
        weight = ' font-weight="bold"' if place == 0 and len(node.lines) > 1 else ""
        parts.append(f'<text x="{middle:.1f}" y="{y:.1f}" text-anchor="middle"{weight}>{escape(line)}</text>')
    return "\n".join(parts)
