"""The cells that DARTS finds, and the text in which Katib prints them.

    Genotype(normal=[[('max_pooling_3x3',0),('skip_connection',1)],…],normal_concat=range(2,6),reduce=[…],reduce_concat=range(2,6))

For each node the operations that it adds up and the edges that they come along: 0 and 1 are the two cells before, 2 and
more the nodes before. The cell's output is the nodes of `concat` side by side.
"""

import ast
from typing import TypeAlias

import msgspec

from pykatib.algorithms.description import nearest
from pykatib.algorithms.nas.operations import DARTS_KINDS
from pykatib.nas.reading import read_text, refused, short

Node: TypeAlias = tuple[tuple[str, int], ...]
NONE = "none"
SKIP = "skip_connection"


class Primitive(msgspec.Struct, frozen=True):
    """A candidate operation; `size` is 0 where there is no filter."""

    kind: str
    size: int


class Genotype(msgspec.Struct, frozen=True):
    """The two cells of a network: one that keeps the size, one that halves it."""

    normal: tuple[Node, ...]
    reduce: tuple[Node, ...]

    def __str__(self) -> str:
        parts = []
        for name, nodes in (("normal", self.normal), ("reduce", self.reduce)):
            cell = ",".join("[" + ",".join(f"('{kind}',{edge})" for kind, edge in node) + "]" for node in nodes)
            parts.append(f"{name}=[{cell}],{name}_concat=range(2,{2 + len(nodes)})")
        return f"Genotype({','.join(parts)})"


def read_genotype(text: str) -> Genotype:
    """The cells of a text as Katib prints it; InvalidInput where it is none."""
    path = "genotype"
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "Genotype":
            raise ValueError("it does not begin with Genotype(")
        fields = {word.arg: word.value for word in call.keywords}
        cells = {name: ast.literal_eval(fields[name]) for name in ("normal", "reduce")}
    except (SyntaxError, ValueError, KeyError) as error:
        raise refused(path, f"found {short(text)}, which is none: {error}") from None
    for name, nodes in cells.items():
        if not isinstance(nodes, list) or not nodes:
            raise refused(f"{path}.{name}", "has no nodes")
        for place, node in enumerate(nodes):
            here = f"{path}.{name}[{place}]"
            if not isinstance(node, list) or not node:
                raise refused(here, "has no edges")
            for entry in node:
                if not isinstance(entry, tuple) or len(entry) != 2 or type(entry[1]) is not int:
                    raise refused(here, f"found {short(entry)}, wanted an operation and an edge")
                read_primitive(str(entry[0]), here)
                if not 0 <= entry[1] < 2 + place:
                    raise refused(here, f"found edge {entry[1]}; there are 0 to {1 + place}")
    return Genotype(*(tuple(tuple((kind, edge) for kind, edge in node) for node in nodes) for nodes in cells.values()))


def read_primitive(name: str, path: str) -> Primitive:
    """The operation of a name such as `dilated_convolution_5x5`."""
    if name in (SKIP, NONE):
        return Primitive(name, 0)
    kind, _, sizes = name.rpartition("_")
    if kind not in DARTS_KINDS or kind in (SKIP, NONE):
        shown = kind or name
        raise refused(path, f"unknown operation {name!r}; {nearest(shown, tuple(DARTS_KINDS))}")
    height, _, width = sizes.partition("x")
    if not (height == width and height.isdecimal() and int(height) % 2 == 1):
        raise refused(path, f"found {name!r}; a filter has an odd size, as in {kind}_3x3")
    return Primitive(kind, int(height))


def read_primitives(text: str) -> tuple[str, ...]:
    """The names of a search space, `none` last; InvalidInput where one cannot be built."""
    names = read_text(text, "search-space")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refused("search-space", f"found {short(names)}, wanted a list of operations")
    for place, name in enumerate(names):
        read_primitive(name, f"search-space[{place}]")
    kept = tuple(dict.fromkeys(name for name in names if name != NONE))
    if not kept:
        raise refused("search-space", "has no operation but none: there is nothing to choose from")
    return (*kept, NONE)
