"""Rungs: steps at which a Trial must be among the best that have come as far, or is stopped.

This is asynchronous successive halving (Li et al., 2020, "A System for Massively Parallel Hyperparameter Tuning") in
its stopping form: a Trial is not paused at a rung until others have come, but judged on those that are there, goes on,
and is not looked at again before the next rung. It counts where it stands by the metric's strategy.
"""

import bisect
from array import array

from pykatib.algorithms.stopping.curve import Curve, Watched


class Rungs:
    """One set of rungs and who has come to each. `top_share` is 1 / `factor`."""

    def __init__(self, watched: Watched, *, factor: int) -> None:
        self._watched = watched
        self._factor = factor
        self._losses: dict[int, array[float]] = {}  # by rung, in order
        self._noted: dict[str, dict[int, float]] = {}  # by Trial and rung

    def judge(self, trial: str, curve: Curve, rung: int) -> str | None:
        """Notes a Trial at a rung, once, and says why it is not among the best there."""
        loss = curve.standing[rung - 1]
        there = self._losses.setdefault(rung, array("d"))
        noted = self._noted.setdefault(trial, {})
        if rung not in noted:
            noted[rung] = loss
            bisect.insort(there, loss)
        cutoff = self.cutoff(rung)
        if cutoff is None or not loss > cutoff:
            return None
        shown = self._watched.value
        return (
            f"at report {rung} its {self._watched.metric} is {shown(loss):g}, {self._watched.worse} "
            f"{shown(cutoff):g}, and so not among the best {len(there) // self._factor} of {len(there)} Trials"
        )

    def cutoff(self, rung: int) -> float | None:
        """The worst loss that may go on from a rung; None while too few have come to it to tell."""
        there = self._losses.get(rung, ())
        kept = len(there) // self._factor
        return there[kept - 1] if kept else None

    def forget(self, trial: str) -> None:
        """Takes a Trial off all rungs."""
        for rung, loss in self._noted.pop(trial, {}).items():
            there = self._losses[rung]
            del there[bisect.bisect_left(there, loss)]
