"""The Matérn kernel with smoothness 5/2, a length for each dimension, and inputs warped before they are compared.

With z = w(x) / ℓ, and r² the squared distance of two such rows (Rasmussen and Williams, "Gaussian processes for machine
learning", equation 4.17):

    k(r²) = s² (1 + √5 r + 5/3 r²) exp(-√5 r)        dk/dr² = -5/6 s² (1 + √5 r) exp(-√5 r)

The warping of numbers is Kumaraswamy's distribution function, w(u) = 1 - (1 - u^a)^b (Snoek et al., "Input warping for
Bayesian optimization of non-stationary functions", 2014): where the objective changes faster at one end of a range, as
with a learning rate that should have been logarithmic, it stretches that end.
"""

import numpy as np
from numpy.typing import NDArray

from pykatib.algorithms.encoding import Floats

_ROOT5 = float(np.sqrt(5.0))
_EDGE = 1e-6


def matern(squares: Floats) -> tuple[Floats, Floats]:
    """k and dk/dr² for s² = 1."""
    scaled = _ROOT5 * np.sqrt(squares)
    decay = np.exp(-scaled)
    first = (1.0 + scaled) * decay
    return first + (5.0 / 3.0) * squares * decay, (-5.0 / 6.0) * first


def squared_distances(rows: Floats, others: Floats) -> Floats:
    """The squared distances of all rows from all others."""
    found = rows @ others.T
    found *= -2.0
    found += np.einsum("ij,ij->i", rows, rows)[:, None]
    found += np.einsum("ij,ij->i", others, others)[None, :]
    return np.maximum(found, 0.0, out=found)


class Warping:
    """Kumaraswamy warping of the first columns; `a` and `b` have an entry for each of them."""

    def __init__(self, a: Floats, b: Floats) -> None:
        self.a = a
        self.b = b
        self._idle = bool(np.all(a == 1.0) and np.all(b == 1.0))

    def __call__(self, features: Floats) -> Floats:
        """The features, warped."""
        if self._idle:
            return features
        warped = features.copy()
        units = np.clip(features[:, : len(self.a)], _EDGE, 1 - _EDGE)
        warped[:, : len(self.a)] = -np.expm1(self.b * np.log1p(-(units**self.a)))
        return warped

    def slope(self, features: Floats) -> Floats:
        """dw/du of every column."""
        slopes = np.ones_like(features)
        if not self._idle:
            units = np.clip(features[:, : len(self.a)], _EDGE, 1 - _EDGE)
            power = units**self.a
            slopes[:, : len(self.a)] = self.a * self.b * power / units * (1.0 - power) ** (self.b - 1.0)
        return slopes

    def slopes_of_shape(self, features: Floats) -> tuple[Floats, Floats]:
        """dw/d(ln a) and dw/d(ln b) of the warped columns."""
        units = np.clip(features[:, : len(self.a)], _EDGE, 1 - _EDGE)
        power = units**self.a
        rest = np.log1p(-power)
        by_a = self.b * np.exp((self.b - 1.0) * rest) * power * np.log(units) * self.a
        by_b = -np.exp(self.b * rest) * rest * self.b
        return by_a, by_b


def sum_by_group(values: Floats, groups: NDArray[np.intp], count: int) -> Floats:
    """The sums of the entries of each group."""
    return np.bincount(groups, weights=values, minlength=count).astype(np.float64)
