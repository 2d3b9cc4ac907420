"""Networks as Python source that needs torch and nothing else: each module as it was built, written down.

What torch's modules print of themselves is a call that makes them again, nearly; `expression_of` writes the ones that
the networks of this package are made of. The few classes of our own are written out from `pykatib.nas.layers`, so there
is one text of them. The names of weights are those of the networks that Trials train: their checkpoints can be loaded.
"""

import inspect
from collections.abc import Iterator, Sequence
from textwrap import indent

from torch import nn

from pykatib.nas.cells import CellNetwork, DerivedCell
from pykatib.nas.chain import ChainNetwork
from pykatib.nas.layers import FactorizedReduce, Nothing, Pooling
from pykatib.nas.plans import LayerPlan, NetworkPlan, Shape

WIDTH = 116


def chain_source(plan: NetworkPlan, *, about: Sequence[str]) -> str:
    """The source of a chain's network, with a class `Model`; `about` is its docstring."""
    network = ChainNetwork(plan)
    lines = ["super().__init__()", "self.operations = nn.ModuleList(", "    ["]
    for layer, operation in zip(plan.layers, network.operations, strict=True):
        lines += [f"        # {layer}", *_spread(f"{expression_of(operation)},", 8)]
    lines += ["    ]", ")", f"self.classifier = {expression_of(network.classifier)}"]
    shapes = [plan.image, *(layer.given for layer in plan.layers)]
    forward = ["maps = [images]"]
    for place, layer in enumerate(plan.layers):
        forward.append(f"maps.append(self.operations[{place}]({_taken(layer, shapes)}))")
    forward.append("return self.classifier(maps[-1].mean(dim=(2, 3)))")
    return _file(about, _classes_of(network), lines, forward, plan.image, "operations")


def cell_source(network: CellNetwork, *, image: Shape, about: Sequence[str]) -> str:
    """The source of a network of cells, with a class `Model`."""
    lines = [
        "super().__init__()",
        *_spread(f"self.stem = {expression_of(network.stem)}", 0),
        "self.cells = nn.ModuleList(",
        "    [",
    ]
    for place, cell in enumerate(network.cells):
        assert isinstance(cell, DerivedCell)
        what = "a reduction cell" if place in network.outline.reductions else "a normal cell"
        lines += [f"        # {place + 1}: {what}", "        Cell("]
        before, last = cell.inputs.before, cell.inputs.last
        assert isinstance(before, nn.Module)
        assert isinstance(last, nn.Module)
        lines += _spread(f"before={expression_of(before)},", 12) + _spread(f"last={expression_of(last)},", 12)
        lines.append("            nodes=[")
        for node in cell.nodes:
            assert isinstance(node, nn.ModuleList)
            lines += [
                "                [",
                *(line for part in node for line in _spread(f"{expression_of(part)},", 20)),
                "                ],",
            ]
        lines += ["            ],", f"            sources={cell.sources!r},", "        ),"]
    lines += ["    ]", ")", f"self.classifier = {expression_of(network.classifier)}"]
    forward = [
        "before = last = self.stem(images)",
        "for cell in self.cells:",
        "    before, last = last, cell(before, last)",
        "return self.classifier(last.mean(dim=(2, 3)))",
    ]
    return _file(about, [*_classes_of(network), _CELL], lines, forward, image, "cells")


def expression_of(module: nn.Module) -> str:
    """A Python expression that makes such a module."""
    match module:
        case nn.Sequential():
            return f"nn.Sequential({', '.join(expression_of(part) for part in module)})"
        case Pooling():
            return f"Pooling({module.kind!r}, {module.size}, {module.stride}, {module.padding})"
        case FactorizedReduce():
            given = module.norm.num_features
            return f"FactorizedReduce({module.even.in_channels}, {given}, affine={module.norm.affine})"
        case Nothing():
            return f"Nothing({module.stride})"
        case nn.AvgPool2d():  # prints less of itself than it is
            return (
                f"nn.AvgPool2d({module.kernel_size}, {module.stride}, {module.padding}, "
                f"count_include_pad={module.count_include_pad})"
            )
        case nn.BatchNorm2d():
            return f"nn.BatchNorm2d({module.num_features}{'' if module.affine else ', affine=False'})"
        case nn.Conv2d() | nn.Linear() | nn.ReLU() | nn.Identity() | nn.ZeroPad2d() | nn.MaxPool2d():
            return f"nn.{module!r}"
    raise TypeError(f"there is no source of a {type(module).__name__}")


def _taken(layer: LayerPlan, shapes: Sequence[Shape]) -> str:
    parts = []
    for source in layer.inputs:
        height, width = layer.taken.height - shapes[source].height, layer.taken.width - shapes[source].width
        around = (width // 2, width - width // 2, height // 2, height - height // 2)
        parts.append(f"functional.pad(maps[{source}], {around})" if any(around) else f"maps[{source}]")
    return parts[0] if len(parts) == 1 else f"torch.cat([{', '.join(parts)}], dim=1)"


def _classes_of(network: nn.Module) -> list[str]:
    used = {type(module) for module in network.modules()}
    return [inspect.getsource(kind) for kind in (Pooling, Nothing, FactorizedReduce) if kind in used]


def _spread(text: str, left: int) -> list[str]:
    """An expression on one line, or, where it is too long, that of a Sequential with a part a line."""
    begin, found, body = text.partition("nn.Sequential(")
    if len(text) + left + 8 <= WIDTH or not found:
        return [" " * left + text]
    end = body.rindex(")")
    parts = [line for part in _split(body[:end]) for line in _spread(f"{part},", left + 4)]
    return [f"{' ' * left}{begin}nn.Sequential(", *parts, " " * left + ")" + body[end + 1 :]]


def _split(text: str) -> Iterator[str]:
    """The arguments of a call."""
    depth, begin = 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            yield text[begin:place].strip()
            begin = place + 1
    yield text[begin:].strip()


def _file(
    about: Sequence[str], classes: Sequence[str], init: Sequence[str], forward: Sequence[str], image: Shape, parts: str
) -> str:
    docstring = "\n".join(about).replace("\\", "\\\\").replace('"""', "'''")
    needs_pad = any("functional." in text for text in (*classes, *forward))
    blocks = [
        f'"""{docstring}\n"""',
        "import torch\nfrom torch import nn" + ("\nfrom torch.nn import functional" if needs_pad else ""),
        f"IMAGE = {(image.channels, image.height, image.width)!r}  # channels, height, width",
        *(f"\n{text.rstrip()}" for text in classes),
        "\n".join(
            [
                "\nclass Model(nn.Module):",
                '    """Scores (logits) of the classes for a batch of images."""\n',
                "    def __init__(self) -> None:",
                indent("\n".join(init), " " * 8),
                "",
                "    def forward(self, images: torch.Tensor) -> torch.Tensor:",
                indent("\n".join(forward), " " * 8),
            ]
        ),
        _MAIN.format(parts=parts),
    ]
    return "\n\n".join(blocks)


_CELL = '''class Cell(nn.Module):
    """A cell: each node adds up what its operations make of earlier ones; all nodes side by side are the output."""

    def __init__(
        self,
        *,
        before: nn.Module,
        last: nn.Module,
        nodes: list[list[nn.Module]],
        sources: tuple[tuple[int, ...], ...],
    ) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict({"before": before, "last": last})
        self.nodes = nn.ModuleList(nn.ModuleList(node) for node in nodes)
        self.sources = sources

    def forward(self, before: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """The nodes side by side."""
        maps = [self.inputs["before"](before), self.inputs["last"](last)]
        for operations, sources in zip(self.nodes, self.sources, strict=True):
            parts = [operation(maps[source]) for operation, source in zip(operations, sources, strict=True)]
            maps.append(torch.stack(parts).sum(dim=0))
        return torch.cat(maps[2:], dim=1)
'''

_MAIN = '''
def main() -> None:
    """Prints what comes out of each part, and how many weights there are."""
    model = Model().eval()
    print("images      ", "x".join(map(str, IMAGE)))
    for number, part in enumerate(model.{parts}, 1):
        count = sum(weight.numel() for weight in part.parameters())
        part.register_forward_hook(
            lambda _, __, given, number=number, count=count: print(
                f"part {{number:<7}}", "x".join(map(str, given.shape[1:])).ljust(14), f"{{count:>12,}} weights"
            )
        )
    with torch.no_grad():
        scores = model(torch.zeros(1, *IMAGE))
    print("scores      ", scores.shape[1])
    print("weights     ", f"{{sum(weight.numel() for weight in model.parameters()):,}}")


if __name__ == "__main__":
    main()
'''
