"""The Trials that have ended, best first, kept in order as they come.

The order depends on what was told and not on when: by loss, then by the number of the proposal. Trials without a
finite objective (failed, killed, without metrics, NaN, infinite) come last.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pykatib.algorithms.encoding import Floats

_FEW = 16  # up to so many newcomers are inserted one by one; more are sorted in


class Ranking:
    """Rows of numbers with a loss each, best first. `valid_count` of them have a finite loss."""

    __slots__ = ("_fresh", "indices", "losses", "rows", "valid_count")

    def __init__(self, width: int) -> None:
        self.losses: Floats = np.empty(0)
        self.indices: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.rows: Floats = np.empty((0, width))
        self.valid_count = 0
        self._fresh: list[tuple[float, int, list[float]]] = []

    def __len__(self) -> int:
        return len(self.losses) + len(self._fresh)

    def add(self, loss: float | None, index: int, row: list[float]) -> None:
        """Takes in a Trial; `settle` puts it in its place."""
        worst = loss is None or not math.isfinite(loss)
        self._fresh.append((math.inf if worst or loss is None else loss, index, row))
        self.valid_count += not worst

    def settle(self) -> None:
        """Brings the arrays up to date."""
        if not self._fresh:
            return
        if len(self._fresh) <= _FEW:
            for loss, index, row in self._fresh:
                place = self._place(loss, index)
                self.losses = np.insert(self.losses, place, loss)
                self.indices = np.insert(self.indices, place, index)
                self.rows = np.insert(self.rows, place, row, axis=0)
        else:
            losses = np.concatenate([self.losses, [loss for loss, _, _ in self._fresh]])
            indices = np.concatenate([self.indices, np.array([i for _, i, _ in self._fresh], dtype=np.int64)])
            rows = np.vstack([self.rows, np.array([row for _, _, row in self._fresh]).reshape(len(self._fresh), -1)])
            order = np.lexsort((indices, losses))
            self.losses, self.indices, self.rows = losses[order], indices[order], rows[order]
        self._fresh = []

    def _place(self, loss: float, index: int) -> int:
        left = int(np.searchsorted(self.losses, loss, side="left"))
        right = int(np.searchsorted(self.losses, loss, side="right"))
        return left + int(np.searchsorted(self.indices[left:right], index))
