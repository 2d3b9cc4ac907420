"""The four distributions of a numeric parameter, all confined to [low, high].

Katib's normal has its mean in the middle and its bounds at three standard deviations; logUniform and logNormal are the
same in logarithms. Where Katib let about three draws in a thousand leave the bounds, these are truncated.
"""

import math
from statistics import NormalDist
from typing import Literal, TypeAlias, get_args

DistributionName: TypeAlias = Literal["uniform", "logUniform", "normal", "logNormal"]
DISTRIBUTION_NAMES: tuple[DistributionName, ...] = get_args(DistributionName)


class Distribution:
    """A distribution shaped by [low, high] and truncated to [left, right], which default to the same."""

    __slots__ = ("_bell", "_from", "_left", "_log", "_right", "_share", "_width", "name")

    def __init__(
        self, name: DistributionName, low: float, high: float, *, left: float | None = None, right: float | None = None
    ) -> None:
        self.name: DistributionName = name
        self._left = low if left is None else left
        self._right = high if right is None else right
        self._log = name in ("logUniform", "logNormal")
        start, end = (math.log(self._left), math.log(self._right)) if self._log else (self._left, self._right)
        self._bell: NormalDist | None = None
        self._from = start
        self._width = end - start  # infinite for ±1.8e308: see `quantile`
        self._share = 1.0
        if name in ("normal", "logNormal"):
            first, last = (math.log(low), math.log(high)) if self._log else (low, high)
            deviation = last / 6 - first / 6
            if deviation > 0:
                self._bell = NormalDist(first / 2 + last / 2, deviation)
                self._from = self._bell.cdf(start)
                self._share = self._bell.cdf(end) - self._from

    def quantile(self, unit: float) -> float:
        """The value below which lies the share `unit` of the mass: the inverse of `cdf`."""
        if self._bell is not None:
            inner = self._bell.inv_cdf(min(max(self._from + unit * self._share, 1e-300), 1 - 2**-53))
        elif self._width == math.inf:
            inner = self._left * (1 - unit) + self._right * unit
        else:
            inner = self._from + unit * self._width
        value = math.exp(inner) if self._log else inner
        return min(max(value, self._left), self._right)  # rounding must not lead out of the bounds

    def cdf(self, value: float) -> float:
        """The share of the mass that lies below `value`."""
        if value <= self._left:
            return 0.0
        if value >= self._right:
            return 1.0
        inner = math.log(value) if self._log else value
        if self._bell is not None:
            share = (self._bell.cdf(inner) - self._from) / self._share
        elif self._width == math.inf:
            share = (inner / 2 - self._left / 2) / (self._right / 2 - self._left / 2)
        else:
            share = (inner - self._from) / self._width
        return min(max(share, 0.0), 1.0)
