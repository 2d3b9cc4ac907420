"""Losses made fit for a Gaussian: outliers drawn in, skewness taken out, mean 0 and deviation 1.

The transformation is that of Yeo and Johnson ("A new family of power transformations to improve normality or
symmetry", 2000), with the exponent of greatest likelihood. It is increasing, so the order of Trials is kept; a loss
that is many times worse than the rest no longer bends the model everywhere.
"""

import numpy as np

from pykatib.algorithms.encoding import Floats

_EXPONENTS = np.linspace(-4.0, 3.0, 71)
_REACH = 10.0  # losses further above the upper quartile than so many interquartile ranges are drawn in


def normalised(losses: Floats) -> Floats:
    """Finite losses on the scale of a standard Gaussian; all 0 where they are all alike."""
    greatest = float(np.max(np.abs(losses)))
    scaled = losses / greatest if greatest > 0 else losses
    low, quarter, three_quarters = np.quantile(scaled, [0.0, 0.25, 0.75])
    spread = three_quarters - quarter if three_quarters > quarter else three_quarters - low
    if spread > 0:
        scaled = np.minimum(scaled, three_quarters + _REACH * spread)
    standard = _standard(scaled)
    if not standard.any() or len(losses) < 4:
        return standard
    best = int(np.argmax([_likelihood(standard, float(exponent)) for exponent in _EXPONENTS]))
    return _standard(yeo_johnson(standard, float(_EXPONENTS[best])))


def yeo_johnson(values: Floats, exponent: float) -> Floats:
    """Equation (2.1) of the paper."""
    up, down = np.log1p(np.maximum(values, 0.0)), np.log1p(np.maximum(-values, 0.0))
    above = up if abs(exponent) < 1e-9 else np.expm1(exponent * up) / exponent
    other = 2.0 - exponent
    below = -down if abs(other) < 1e-9 else -np.expm1(other * down) / other
    return np.where(values >= 0, above, below)


def _likelihood(values: Floats, exponent: float) -> float:
    """Equation (3.1), with the variance put in."""
    variance = float(np.var(yeo_johnson(values, exponent)))
    if not variance > 1e-12:
        return -np.inf
    slope = (exponent - 1.0) * float(np.sum(np.sign(values) * np.log1p(np.abs(values))))
    return -0.5 * len(values) * float(np.log(variance)) + slope


def _standard(values: Floats) -> Floats:
    deviation = float(np.std(values))
    middle = float(np.mean(values))
    if not deviation > 1e-14 * max(1e-300, abs(middle)):
        return np.zeros_like(values)
    standard: Floats = (values - middle) / deviation
    return standard
