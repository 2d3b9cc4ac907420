"""Networks of cells (Liu et al. 2019): the supernet in which all operations lie side by side, and what is left of it.

Both have the same outline: a stem, cells of which those at a third and two thirds halve the size and double the
channels, the mean over the image, a dense layer. `alphas` are the architecture: for each kind of cell and node a row an
edge. What an edge of the supernet is made of is a parameter (`edge`), for searches that make less of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from pykatib.nas.genotype import NONE, Genotype, Node
from pykatib.nas.layers import FactorizedReduce, edge_operation


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The outer shape of a network of cells."""

    layers: int
    image_channels: int
    classes: int
    init_channels: int = 16
    stem_multiplier: int = 3
    nodes: int = 4

    @property
    def reductions(self) -> frozenset[int]:
        """The places of the cells that halve the size; the first cell never does."""
        return frozenset({self.layers // 3, 2 * self.layers // 3} - {0})


class Edge(Protocol):
    """Makes the module along an edge of the supernet: called with maps and the weight of each operation."""

    def __call__(self, primitives: Sequence[str], channels: int, stride: int) -> nn.Module: ...


class MixedOperation(nn.Module):
    """All operations at once, each with its weight."""

    def __init__(self, primitives: Sequence[str], channels: int, stride: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(edge_operation(name, channels, stride, affine=False) for name in primitives)

    def forward(self, maps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Their weighted sum."""
        mixed: torch.Tensor = sum(
            weight * operation(maps) for weight, operation in zip(weights, self.operations, strict=True)
        )
        return mixed


class Stem(nn.Sequential):
    """What comes before the cells."""

    def __init__(self, image_channels: int, channels: int) -> None:
        super().__init__(nn.Conv2d(image_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))


class _Inputs(nn.Module):
    """Brings the two cells before to one size and number of channels."""

    def __init__(self, before: int, last: int, channels: int, *, reduced: bool, affine: bool) -> None:
        super().__init__()
        self.before: nn.Module = (
            FactorizedReduce(before, channels, affine=affine) if reduced else _pointwise(before, channels, affine)
        )
        self.last = _pointwise(last, channels, affine)

    def forward(self, before: torch.Tensor, last: torch.Tensor) -> list[torch.Tensor]:
        return [self.before(before), self.last(last)]


def _pointwise(taken: int, given: int, affine: bool) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(taken, given, 1, bias=False), nn.BatchNorm2d(given, affine=affine))


class SearchCell(nn.Module):
    """A cell of the supernet: every node adds up all that comes before it, along mixed edges."""

    def __init__(
        self, inputs: nn.Module, primitives: Sequence[str], channels: int, nodes: int, *, reduces: bool, edge: Edge
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.nodes = nn.ModuleList(
            nn.ModuleList(edge(primitives, channels, 2 if reduces and source < 2 else 1) for source in range(2 + node))
            for node in range(nodes)
        )

    def forward(self, before: torch.Tensor, last: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """The nodes side by side."""
        maps: list[torch.Tensor] = self.inputs(before, last)
        for edges, rows in zip(self.nodes, weights, strict=True):
            assert isinstance(edges, nn.ModuleList)
            parts = [edge(one, row) for edge, one, row in zip(edges, maps, rows, strict=True)]
            maps.append(torch.stack(parts).sum(dim=0))
        return torch.cat(maps[2:], dim=1)


class Supernet(nn.Module):
    """All architectures of a search space in one network."""

    def __init__(self, outline: Outline, primitives: Sequence[str], *, edge: Edge = MixedOperation) -> None:
        super().__init__()
        self.outline = outline
        self.primitives = tuple(primitives)

        def cell(inputs: nn.Module, channels: int, reduces: bool) -> nn.Module:
            return SearchCell(inputs, self.primitives, channels, outline.nodes, reduces=reduces, edge=edge)

        self.stem, self.cells, self.classifier = _outlined(outline, cell, affine=False)
        # Not in a ParameterList, which is empty in the copies that nn.DataParallel makes.
        for kind in ("normal", "reduce"):
            for node in range(outline.nodes):
                alpha = 1e-3 * torch.randn(2 + node, len(self.primitives))
                self.register_parameter(f"alphas_{kind}_{node}", nn.Parameter(alpha))

    @property
    def alphas_normal(self) -> list[nn.Parameter]:
        """The architecture of cells that keep the size: for each node a row an edge."""
        return [getattr(self, f"alphas_normal_{node}") for node in range(self.outline.nodes)]

    @property
    def alphas_reduce(self) -> list[nn.Parameter]:
        """The same of cells that halve it."""
        return [getattr(self, f"alphas_reduce_{node}") for node in range(self.outline.nodes)]

    def alphas(self) -> list[nn.Parameter]:
        """The architecture's parameters."""
        return [*self.alphas_normal, *self.alphas_reduce]

    def weights(self) -> list[nn.Parameter]:
        """The network's own parameters: all others."""
        return [one for name, one in self.named_parameters() if not name.startswith("alphas_")]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The classes' scores (logits)."""
        normal = [alpha.softmax(dim=1) for alpha in self.alphas_normal]
        reduce = [alpha.softmax(dim=1) for alpha in self.alphas_reduce]
        before = last = self.stem(images)
        for place, cell in enumerate(self.cells):
            before, last = last, cell(before, last, reduce if place in self.outline.reductions else normal)
        scores: torch.Tensor = self.classifier(last.mean(dim=(2, 3)))
        return scores

    def genotype(self) -> Genotype:
        """For each node the two edges whose strongest operation other than `none` weighs most."""
        return Genotype(self._strongest(self.alphas_normal), self._strongest(self.alphas_reduce))

    def entropy(self) -> float:
        """The mean entropy of the edges' weights as a share of what they have when all operations weigh the same."""
        chances = torch.cat([alpha.detach().softmax(dim=1) for alpha in self.alphas()])
        entropy = -(chances * chances.clamp_min(1e-30).log()).sum(dim=1).mean()
        return float(entropy / torch.tensor(float(len(self.primitives))).log())

    def _strongest(self, alphas: Sequence[nn.Parameter]) -> tuple[Node, ...]:
        kept = [place for place, name in enumerate(self.primitives) if name != NONE]
        nodes = []
        for alpha in alphas:
            strength, best = alpha.detach().softmax(dim=1)[:, kept].max(dim=1)
            edges = sorted(range(len(strength)), key=lambda edge: (-float(strength[edge]), edge))[:2]
            nodes.append(tuple((self.primitives[kept[int(best[edge])]], edge) for edge in edges))
        return tuple(nodes)


class DerivedCell(nn.Module):
    """A cell of a genotype."""

    def __init__(self, inputs: nn.Module, nodes: Sequence[Node], channels: int, *, reduces: bool) -> None:
        super().__init__()
        self.inputs = inputs
        self.sources = tuple(tuple(edge for _, edge in node) for node in nodes)
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                edge_operation(name, channels, 2 if reduces and edge < 2 else 1, affine=True) for name, edge in node
            )
            for node in nodes
        )

    def forward(self, before: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """The nodes side by side."""
        maps: list[torch.Tensor] = self.inputs(before, last)
        for operations, sources in zip(self.nodes, self.sources, strict=True):
            assert isinstance(operations, nn.ModuleList)
            parts = [operation(maps[source]) for operation, source in zip(operations, sources, strict=True)]
            maps.append(torch.stack(parts).sum(dim=0))
        return torch.cat(maps[2:], dim=1)


class CellNetwork(nn.Module):
    """The network of a genotype, to be trained from scratch."""

    def __init__(self, outline: Outline, genotype: Genotype) -> None:
        super().__init__()
        self.outline = outline
        self.genotype = genotype

        def cell(inputs: nn.Module, channels: int, reduces: bool) -> nn.Module:
            nodes = genotype.reduce if reduces else genotype.normal
            return DerivedCell(inputs, nodes, channels, reduces=reduces)

        self.stem, self.cells, self.classifier = _outlined(outline, cell, affine=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The classes' scores (logits)."""
        before = last = self.stem(images)
        for cell in self.cells:
            before, last = last, cell(before, last)
        scores: torch.Tensor = self.classifier(last.mean(dim=(2, 3)))
        return scores


def _outlined(
    outline: Outline, cell: Callable[[nn.Module, int, bool], nn.Module], *, affine: bool
) -> tuple[Stem, nn.ModuleList, nn.Linear]:
    """The stem, the cells, each around the module that brings its inputs together, and the classifier."""
    channels = outline.init_channels
    before = last = channels * outline.stem_multiplier
    stem = Stem(outline.image_channels, last)

    def cells() -> Iterator[nn.Module]:
        nonlocal before, last, channels
        reduced = False
        for place in range(outline.layers):
            reduces = place in outline.reductions
            channels = channels * 2 if reduces else channels
            yield cell(_Inputs(before, last, channels, reduced=reduced, affine=affine), channels, reduces)
            before, last = last, channels * outline.nodes
            reduced = reduces

    made = nn.ModuleList(cells())
    return stem, made, nn.Linear(last, outline.classes)
