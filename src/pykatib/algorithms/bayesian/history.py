"""The Trials that have ended, as a model sees them, and which of them it looks at when there are many.

All of this depends on which Trials have ended and not on when: they are kept in the order of their proposals. Trials
without a result are as bad as the worst; a killed Trial says nothing about its point and is left out.

A Gaussian process costs the cube of the number of Trials. Beyond `MOST_MODELLED` it is shown the best third and, of the
others, an even spread over the course of the search; hyperparameters are found from fewer still, and not anew for each
Trial but whenever the count of Trials reaches a multiple of a step that grows with it.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pykatib.algorithms.bayesian.outputs import normalised
from pykatib.algorithms.contract import FinishedTrial
from pykatib.algorithms.encoding import Floats

MOST_MODELLED = 256
MOST_FITTED = 128
_STEADY = 24  # up to so many Trials hyperparameters are found anew for each


class History:
    """Rows of an `Encoding` with their losses, by the number of the proposal."""

    def __init__(self, width: int, loss_of: Callable[[float | None], float | None]) -> None:
        self._loss_of = loss_of
        self._fresh: list[tuple[int, list[float], float]] = []
        self._indices: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._rows: Floats = np.empty((0, width))
        self._losses: Floats = np.empty(0)
        self._valid_count = 0

    def add(self, trial: FinishedTrial, row: list[float]) -> None:
        """Takes in a Trial that has ended."""
        loss = self._loss_of(trial.objective)
        if loss is None and trial.outcome == "killed":
            return
        self._valid_count += loss is not None and math.isfinite(loss)
        self._fresh.append((trial.index, row, math.inf if loss is None else loss))

    @property
    def valid_count(self) -> int:
        """How many Trials have a finite objective."""
        return self._valid_count

    def modelled(self) -> tuple[Floats, Floats]:
        """The rows a model is shown, and their losses on the scale of a standard Gaussian."""
        self._settle()
        targets = normalised(_finite(self._losses))
        chosen = _telling(targets, MOST_MODELLED)
        return self._rows[chosen], targets[chosen]

    def fitted(self) -> tuple[Floats, Floats, tuple[int, ...]]:
        """The rows and targets that hyperparameters are found from, and the indexes of all Trials behind them."""
        self._settle()
        count = fitted_count(len(self._indices))
        losses = self._losses[:count]
        if not np.isfinite(losses).any():  # early failures alone teach nothing
            count, losses = len(self._indices), self._losses
        targets = normalised(_finite(losses))
        chosen = _telling(targets, MOST_FITTED)
        return self._rows[chosen], targets[chosen], tuple(self._indices[:count].tolist())

    def _settle(self) -> None:
        if not self._fresh:
            return
        indices = np.concatenate([self._indices, [index for index, _, _ in self._fresh]]).astype(np.int64)
        order = np.argsort(indices, kind="stable")
        self._indices = indices[order]
        self._rows = np.concatenate([self._rows, [row for _, row, _ in self._fresh]])[order]
        self._losses = np.concatenate([self._losses, [loss for _, _, loss in self._fresh]])[order]
        self._fresh.clear()


def fitted_count(count: int) -> int:
    """Of how many Trials hyperparameters are found when `count` have ended: steps of about a sixteenth."""
    if count <= _STEADY:
        return count
    step = 1 << max(count // _STEADY, 1).bit_length() - 1
    return count - count % (2 * step)


def _finite(losses: Floats) -> Floats:
    """The losses, those without a result as bad as the worst, those infinitely good as good as the best."""
    finite = losses[np.isfinite(losses)]
    clipped: Floats = np.clip(losses, finite.min(), finite.max())
    return clipped


def _telling(targets: Floats, most: int) -> NDArray[np.int64]:
    """The places of at most so many Trials: the best third of `most`, and an even spread of the rest."""
    count = len(targets)
    if count <= most:
        return np.arange(count)
    best = np.argsort(targets, kind="stable")[: most // 3]
    others = np.setdiff1d(np.arange(count), best)
    spread = others[np.linspace(0, len(others) - 1, most - len(best)).astype(np.int64)]
    return np.sort(np.concatenate([best, spread]))
