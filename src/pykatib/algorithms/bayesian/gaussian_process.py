"""A Gaussian process with hyperparameters of greatest posterior probability, and what it predicts.

Rasmussen and Williams, "Gaussian processes for machine learning" (2006): the likelihood is equation 5.8, its gradient
5.9, predictions are algorithm 2.1. All hyperparameters are logarithms with Gaussian priors:

- lengths: median √d/2 in the unit cube, so that the prior does not grow wilder with the number of dimensions (Hvarfner
  et al., "Vanilla Bayesian optimization performs great in high dimensions", 2024);
- the variance of the objective, around 1, as losses have been standardised;
- the variance of the noise, mostly small but free to grow;
- the shape of the input warping, around none. Inputs are only warped where that gains `WARP_GAIN` in logarithms of
  probability: with few Trials the freedom to bend does more harm than good.

The search for them starts at the priors' medians and nowhere else: what was found for fewer Trials is not used, so that
the result depends on the Trials alone.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
from scipy.optimize import minimize

from pykatib.algorithms.bayesian.kernel import Warping, matern, squared_distances, sum_by_group
from pykatib.algorithms.encoding import Floats

JITTER = 1e-8
MEDIAN_LENGTH = 0.5  # in one dimension; √d times as long in d
_LENGTH_DEVIATION = 1.0
_SCALE_DEVIATION = 0.7
_NOISE = (-7.0, 2.0)
_WARP_DEVIATION = 0.4
_NOISE_BOUNDS = (np.log(1e-6), np.log(2.0))
_ITERATIONS = 40
_IMPOSSIBLE = 1e25  # where the covariance is not positive definite to the computer
WARP_GAIN = 3.0  # in natural logarithms of probability


class Hyperparameters(NamedTuple):
    """Lengths of the columns, variances of objective and noise, warping of the inputs."""

    lengths: Floats
    scale: float
    noise: float
    warping: Warping

    @classmethod
    def of(cls, vector: Floats, groups: NDArray[np.intp], numeric: int) -> "Hyperparameters":
        """Those of a vector of logarithms: a length a dimension, two variances, and shapes where inputs are warped."""
        count = int(groups.max()) + 1
        logarithms = vector.tolist()
        shapes = np.exp(vector[count + 2 :]) if len(vector) > count + 2 else np.ones(2 * numeric)
        return cls(
            np.exp(vector[:count])[groups],
            math.exp(logarithms[count]),
            math.exp(logarithms[count + 1]),
            Warping(shapes[:numeric], shapes[numeric:]),
        )

    def with_lengths_times(self, factor: float) -> "Hyperparameters":
        """The same with all lengths multiplied."""
        return self if factor == 1.0 else self._replace(lengths=self.lengths * factor)

    def place(self, features: Floats) -> Floats:
        """Where features lie for the kernel: warped, and in units of the lengths."""
        placed: Floats = self.warping(features) / self.lengths
        return placed


def fit(features: Floats, targets: Floats, groups: NDArray[np.intp], numeric: int) -> Hyperparameters:
    """The hyperparameters of greatest posterior probability; inputs are warped only where that explains much more."""
    plain = Evidence(features, targets, groups, numeric, warped=False)
    vector, loss = plain.most_probable(plain.centre)
    if numeric:
        bent = Evidence(features, targets, groups, numeric, warped=True)
        bent_vector, bent_loss = bent.most_probable(bent.centre)
        if bent_loss < loss - WARP_GAIN:
            vector = bent_vector
    return Hyperparameters.of(vector, groups, numeric)


class Evidence:
    """The posterior probability of hyperparameters given Trials: its negative logarithm, and the least of that."""

    def __init__(
        self, features: Floats, targets: Floats, groups: NDArray[np.intp], numeric: int, *, warped: bool
    ) -> None:
        self._features = features
        self._targets = targets
        self._groups = groups
        self._numeric = numeric
        self._count = count = int(groups.max()) + 1
        self._shapes = 2 * numeric if warped else 0
        length = np.log(MEDIAN_LENGTH) + 0.5 * np.log(count)
        self.centre = np.concatenate([np.full(count, length), [0.0, _NOISE[0]], np.zeros(self._shapes)])
        self._deviation = np.concatenate(
            [
                np.full(count, _LENGTH_DEVIATION),
                [_SCALE_DEVIATION, _NOISE[1]],
                np.full(self._shapes, _WARP_DEVIATION),
            ]
        )
        self._bounds = list(zip(self.centre - 5 * self._deviation, self.centre + 5 * self._deviation, strict=True))
        self._bounds[count + 1] = _NOISE_BOUNDS

    def most_probable(self, start: Floats) -> tuple[Floats, float]:
        """The most probable hyperparameters, and minus the logarithm of their probability."""
        result = minimize(
            self,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds,
            options={"maxiter": _ITERATIONS, "ftol": 1e-6},
        )
        return np.asarray(result.x), float(result.fun)

    def __call__(self, vector: Floats) -> tuple[float, Floats]:
        """Minus the logarithm of the probability, up to a constant, and its gradient."""
        count, numeric, groups = self._count, self._numeric, self._groups
        found = Hyperparameters.of(vector, groups, numeric)
        placed = found.place(self._features)
        kernel, slope = matern(squared_distances(placed, placed))
        kernel *= found.scale
        covariance = kernel.copy()
        covariance.flat[:: len(kernel) + 1] += found.noise + JITTER
        factor, failed = dpotrf(covariance, lower=1, clean=1)
        if failed:
            return _IMPOSSIBLE, np.zeros_like(vector)
        weights, _ = dpotrs(factor, self._targets, lower=1)
        inverse, _ = dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        value = 0.5 * float(self._targets @ weights) + float(np.sum(np.log(np.diag(factor))))
        outer = 0.5 * (inverse - np.outer(weights, weights))  # dL/dK
        gradient = np.empty_like(vector)
        gradient[count] = float(np.sum(outer * kernel))
        gradient[count + 1] = found.noise * float(np.trace(outer))
        # With M = dL/dr², columns z and u: sum of M_ik (z_i - z_k)(u_i - u_k) = 2 (M1 · (z u) - u' M z).
        by_square = outer * slope * found.scale
        row_sums = by_square.sum(axis=1)
        product = by_square @ placed
        by_column = row_sums @ (placed * placed) - np.einsum("ij,ij->j", placed, product)
        gradient[:count] = sum_by_group(-4.0 * by_column, groups, count)
        if self._shapes:
            slopes = found.warping.slopes_of_shape(self._features)
            for start, change in zip((count + 2, count + 2 + numeric), slopes, strict=True):
                moved = change / found.lengths[:numeric]
                gradient[start : start + numeric] = 4.0 * (
                    row_sums @ (placed[:, :numeric] * moved) - np.einsum("ij,ij->j", moved, product[:, :numeric])
                )
        standard = (vector - self.centre) / self._deviation
        return value + 0.5 * float(standard @ standard), gradient + standard / self._deviation


class Posterior:
    """Predictions after seeing some Trials."""

    def __init__(self, features: Floats, targets: Floats, hyperparameters: Hyperparameters, noise: Floats) -> None:
        self.hyperparameters = hyperparameters
        self._placed = hyperparameters.place(features)
        kernel, _ = matern(squared_distances(self._placed, self._placed))
        kernel *= hyperparameters.scale
        diagonal = np.arange(len(targets))
        extra = JITTER
        while True:
            covariance = kernel.copy()
            covariance[diagonal, diagonal] += noise + extra
            self._factor, failed = dpotrf(covariance, lower=1, clean=1)
            if not failed:
                break
            extra *= 10.0
        self._weights, _ = dpotrs(self._factor, targets, lower=1)

    def mean(self, features: Floats) -> Floats:
        """The expected targets."""
        kernel, _ = matern(squared_distances(self.hyperparameters.place(features), self._placed))
        mean: Floats = self.hyperparameters.scale * (kernel @ self._weights)
        return mean

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations of the objective, without the noise."""
        kernel, _ = matern(squared_distances(self.hyperparameters.place(features), self._placed))
        kernel *= self.hyperparameters.scale
        solved, _ = dtrtrs(self._factor, kernel.T, lower=1)
        variance = self.hyperparameters.scale - np.einsum("ij,ij->j", solved, solved)
        return kernel @ self._weights, np.sqrt(np.maximum(variance, 1e-12))

    def predict_with_slopes(self, features: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Means, deviations, and the slopes of both by each column of the features."""
        placed = self.hyperparameters.place(features)
        kernel, slope = matern(squared_distances(placed, self._placed))
        kernel *= self.hyperparameters.scale
        slope *= 2.0 * self.hyperparameters.scale
        inverse, _ = dpotrs(self._factor, kernel.T, lower=1)
        variance = self.hyperparameters.scale - np.einsum("ij,ji->i", kernel, inverse)
        deviation = np.sqrt(np.maximum(variance, 1e-12))
        chain = self.hyperparameters.warping.slope(features) / self.hyperparameters.lengths
        by_mean = slope * self._weights
        by_variance = -2.0 * slope * inverse.T
        mean_slope = (placed * by_mean.sum(axis=1)[:, None] - by_mean @ self._placed) * chain
        variance_slope = (placed * by_variance.sum(axis=1)[:, None] - by_variance @ self._placed) * chain
        return kernel @ self._weights, deviation, mean_slope, variance_slope / (2.0 * deviation)[:, None]
