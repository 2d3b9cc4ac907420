"""The operations as modules of torch: those of ENAS's layers, and those of an edge of DARTS's cells."""

import torch
from torch import nn
from torch.nn import functional

from pykatib.nas.genotype import read_primitive
from pykatib.nas.plans import LayerPlan, Shape


def same_padding(size: int, *, filter_size: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after, so that size / stride pixels come out, rounded up; the odd one comes after."""
    wanted = -(-size // stride)
    total = max((wanted - 1) * stride + (filter_size - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _same_pad(taken: Shape, *, filter_size: int, stride: int, dilation: int = 1) -> nn.Module:
    top, bottom = same_padding(taken.height, filter_size=filter_size, stride=stride, dilation=dilation)
    left, right = same_padding(taken.width, filter_size=filter_size, stride=stride, dilation=dilation)
    return nn.ZeroPad2d((left, right, top, bottom)) if any((top, bottom, left, right)) else nn.Identity()


def chain_operation(plan: LayerPlan) -> nn.Module:
    """The operation of a layer of ENAS's networks: ReLU, convolution, batch norm; or a pooling, or nothing."""
    taken, given, chosen = plan.taken, plan.given, plan.parameters
    if plan.kind == "skip_connection":
        return nn.Identity()
    if plan.kind in ("max_pooling", "avg_pooling"):
        return _pooling(plan)
    size, stride = chosen["filter_size"], chosen["stride"]
    dilation = chosen.get("dilation_rate", 1)
    pad = _same_pad(taken, filter_size=size, stride=stride, dilation=dilation)
    if plan.kind in ("convolution", "dilated_convolution"):
        convolution: nn.Module = nn.Conv2d(taken.channels, given.channels, size, stride, dilation=dilation, bias=False)
    else:
        wide = taken.channels * chosen["depth_multiplier"]
        convolution = nn.Conv2d(taken.channels, wide, size, stride, groups=taken.channels, bias=False)
        if plan.kind == "separable_convolution":
            convolution = nn.Sequential(convolution, nn.Conv2d(wide, given.channels, 1, bias=False))
    return nn.Sequential(nn.ReLU(), pad, convolution, nn.BatchNorm2d(given.channels))


def _pooling(plan: LayerPlan) -> nn.Module:
    taken, stride = plan.taken, plan.parameters["stride"]
    # A pooling wider than the map looks at all of it; a map of one pixel it leaves as it is.
    size = (min(plan.parameters["pool_size"], taken.height), min(plan.parameters["pool_size"], taken.width))
    if (size == (1, 1) and stride == 1) or (taken.height, taken.width) == (1, 1):
        return nn.Identity()
    top, bottom = same_padding(taken.height, filter_size=size[0], stride=stride)
    left, right = same_padding(taken.width, filter_size=size[1], stride=stride)
    return Pooling(plan.kind, size, stride, (left, right, top, bottom))


class Pooling(nn.Module):
    """A pooling to size / stride, rounded up; what is padded counts neither as greatest nor in the mean."""

    def __init__(self, kind: str, size: tuple[int, int], stride: int, padding: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.kind, self.size, self.stride, self.padding = kind, size, stride, padding

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The pooled maps."""
        if self.kind == "max_pooling":
            return functional.max_pool2d(
                functional.pad(images, self.padding, value=float("-inf")), self.size, self.stride
            )
        pooled = functional.avg_pool2d(functional.pad(images, self.padding), self.size, self.stride)
        if not any(self.padding):
            return pooled
        counted = functional.pad(torch.ones_like(images[:1, :1]), self.padding)
        return pooled / functional.avg_pool2d(counted, self.size, self.stride)


def edge_operation(name: str, channels: int, stride: int, *, affine: bool) -> nn.Module:
    """The operation along an edge of a cell; it keeps the channels, and halves the size where the stride is 2."""
    primitive = read_primitive(name, "operation")
    size = primitive.size

    def norm() -> nn.Module:
        return nn.BatchNorm2d(channels, affine=affine)

    def depthwise(stride: int, dilation: int) -> list[nn.Module]:
        padding = dilation * (size - 1) // 2
        return [
            nn.ReLU(),
            nn.Conv2d(channels, channels, size, stride, padding, dilation, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            norm(),
        ]

    match primitive.kind:
        case "none":
            return Nothing(stride)
        case "skip_connection":
            return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine=affine)
        case "max_pooling":
            return nn.Sequential(nn.MaxPool2d(size, stride, size // 2), norm())
        case "avg_pooling":
            return nn.Sequential(nn.AvgPool2d(size, stride, size // 2, count_include_pad=False), norm())
        case "convolution":
            convolution = nn.Conv2d(channels, channels, size, stride, size // 2, bias=False)
            return nn.Sequential(nn.ReLU(), convolution, norm())
        case "separable_convolution":
            return nn.Sequential(*depthwise(stride, 1), *depthwise(1, 1))
        case "dilated_convolution":
            return nn.Sequential(*depthwise(stride, 2))
    raise AssertionError(f"{primitive.kind} is read and not built")


class Nothing(nn.Module):
    """The operation `none`: zeros."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Zeros of the right size."""
        return torch.zeros_like(images[:, :, :: self.stride, :: self.stride])


class FactorizedReduce(nn.Module):
    """Half the size without leaving out three of four pixels: two convolutions, of pixels one apart."""

    def __init__(self, channels: int, given: int, *, affine: bool) -> None:
        super().__init__()
        self.even = nn.Conv2d(channels, given - given // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(channels, given // 2, 1, 2, bias=False) if given > 1 else None
        self.norm = nn.BatchNorm2d(given, affine=affine)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The smaller maps."""
        images = functional.relu(images)
        parts = [self.even(images)]
        if self.odd is not None:
            # Padded first: of an odd size both must give the same.
            parts.append(self.odd(functional.pad(images, (0, 1, 0, 1))[:, :, 1:, 1:]))
        normal: torch.Tensor = self.norm(torch.cat(parts, dim=1))
        return normal


def padded_together(maps: list[torch.Tensor], taken: Shape) -> torch.Tensor:
    """Maps laid side by side, with zeros around those that are smaller."""
    padded = []
    for one in maps:
        height, width = taken.height - one.shape[2], taken.width - one.shape[3]
        if height or width:
            around = (width // 2, width - width // 2, height // 2, height - height // 2)
            one = functional.pad(one, around)
        padded.append(one)
    return padded[0] if len(padded) == 1 else torch.cat(padded, dim=1)
