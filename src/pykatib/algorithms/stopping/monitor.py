"""The curves of one Experiment's Trials, and what its early stopping method says of them.

Whether reports come one by one or many at once makes no difference: each step is judged once, in order. Where that is
not possible, because the curve was there before this monitor was, or a report came late and changed what was before,
the last step at which the method decides is judged as things stand now.
"""

from collections.abc import Iterable
from typing import TypeAlias

from pykatib.algorithms.stopping.contract import Stopping
from pykatib.algorithms.stopping.curve import Curve

Point: TypeAlias = tuple[float, float]
"""Time and value of a report."""


class StopMonitor:
    """Takes reports, and says which Trials are to be stopped."""

    def __init__(self, method: Stopping) -> None:
        self._method = method
        self._curves: dict[str, Curve] = {}  # of Trials that have not ended

    @property
    def metric(self) -> str:
        """The metric whose reports it takes."""
        return self._method.watched.metric

    def __contains__(self, trial: object) -> bool:
        """Whether anything is known of a Trial that has not ended."""
        return trial in self._curves

    def hear(self, trial: str, points: Iterable[Point], *, catching_up: bool = False) -> str | None:
        """Takes new reports of a Trial in their order; why to stop it, or None.

        With `catching_up` they are not new: the Trial went on after each of them but the last.
        """
        curve = self._curves.get(trial)
        if curve is None:
            curve = self._curves[trial] = Curve(self._method.watched)
        known = len(curve)
        for time, value in points:
            if curve.add(time, value) != len(curve):
                catching_up = True
                known = 0
        if catching_up and not known:
            self._method.forget(trial)
        reason: str | None = None
        for step in range(known + 1, len(curve) + 1):
            if self._method.decides_at(trial, step):
                said = self._method.judge(trial, curve, step)
                reason = said if catching_up or reason is None else reason
        return reason

    def ended(self, trial: str) -> None:
        """The Trial has succeeded or was stopped early: others are compared with what it has reported."""
        curve = self._curves.pop(trial, None)
        if curve is not None:
            self._method.ended(trial, curve)

    def forget(self, trial: str) -> None:
        """The Trial runs anew, has come to nothing or is gone: nothing is compared with it."""
        self._curves.pop(trial, None)
        self._method.forget(trial)
