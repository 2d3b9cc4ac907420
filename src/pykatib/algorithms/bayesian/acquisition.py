"""What trying a point promises, from the mean and the deviation that a model predicts; greater is better.

- EI: the logarithm of the expected improvement on the best (Ament et al., "Unexpected improvements to expected
  improvement for Bayesian optimization", 2023), which keeps a slope where the improvement itself is zero to the
  computer;
- PI: the logarithm of the probability of an improvement, of at least `MARGIN` deviations of the losses;
- LCB: how low the loss may be, `KAPPA` deviations below its mean.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.special import erfcx, log_ndtr

from pykatib.algorithms.encoding import Floats

KAPPA = 1.96
MARGIN = 0.01
_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
_HALF_LOG_HALF_PI = 0.5 * float(np.log(np.pi / 2))

Acquisition: TypeAlias = Callable[[Floats, Floats, float], tuple[Floats, Floats, Floats]]
"""From means, deviations and the best: the values, and their slopes by mean and by deviation."""


def log_expected_improvement(mean: Floats, deviation: Floats, best: float) -> tuple[Floats, Floats, Floats]:
    """ln of the expected improvement: ln h(z) + ln σ with h(z) = φ(z) + z Φ(z)."""
    scaled = (best - mean) / deviation
    log_h = _log_h(scaled)
    slope = np.exp(np.minimum(log_ndtr(scaled) - log_h, 700.0))  # d ln h / dz = Φ / h
    return log_h + np.log(deviation), -slope / deviation, (1.0 - slope * scaled) / deviation


def log_probability_of_improvement(mean: Floats, deviation: Floats, best: float) -> tuple[Floats, Floats, Floats]:
    """ln Φ(z)."""
    scaled = (best - MARGIN - mean) / deviation
    value = log_ndtr(scaled)
    slope = np.exp(np.minimum(-0.5 * scaled**2 - _HALF_LOG_2PI - value, 700.0))
    return value, -slope / deviation, -slope * scaled / deviation


def lower_confidence_bound(mean: Floats, deviation: Floats, best: float) -> tuple[Floats, Floats, Floats]:
    """κ σ - μ."""
    return KAPPA * deviation - mean, np.full_like(mean, -1.0), np.full_like(mean, KAPPA)


def _log_h(scaled: Floats) -> Floats:
    """Equation (9) of the paper: ln(φ(z) + z Φ(z)) for any z."""
    with np.errstate(all="ignore"):
        high = np.maximum(scaled, -1.0)
        plain = np.log(np.exp(-0.5 * high**2 - _HALF_LOG_2PI) + high * np.exp(log_ndtr(high)))
        low = np.minimum(scaled, -1.0)
        tail = (
            -0.5 * low**2
            - _HALF_LOG_2PI
            + np.log1p(-np.exp(np.log(erfcx(-low / np.sqrt(2.0)) * -low) + _HALF_LOG_HALF_PI))
        )
        far = -0.5 * low**2 - _HALF_LOG_2PI - 2.0 * np.log(-low)  # the first term of the tail's series
    return np.where(scaled > -1.0, plain, np.where(scaled < -1e4, far, tail))


ACQUISITIONS: dict[str, Acquisition] = {
    "EI": log_expected_improvement,
    "PI": log_probability_of_improvement,
    "LCB": lower_confidence_bound,
}
