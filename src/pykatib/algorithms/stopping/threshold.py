"""Stops a Trial whose value is beyond what can still come good, or is no number any more."""

import math

from pykatib.algorithms.stopping.curve import Curve, Watched
from pykatib.api import names
from pykatib.api.shared import EarlyStoppingRule


class ThresholdStop:
    """Stops when a report is worse than `limit`; with `non_finite`, also when it is NaN or infinite."""

    def __init__(self, watched: Watched, *, limit: float | None, start_step: int, non_finite: bool) -> None:
        self.watched = watched
        self._limit = limit
        self._start = start_step
        self._non_finite = non_finite

    def decides_at(self, trial: str, step: int) -> bool:
        """At every step from `start_step` on."""
        return step >= self._start

    def judge(self, trial: str, curve: Curve, step: int) -> str | None:
        """Stops at a value that is too bad."""
        value = curve.values[step - 1]
        metric = self.watched.metric
        if not math.isfinite(value):
            return f"at report {step} {metric} is {value:g}, which is not finite" if self._non_finite else None
        if self._limit is None or not curve.losses[step - 1] > self.watched.loss(self._limit):
            return None
        return f"at report {step} {metric} is {value:g}, {self.watched.worse} the threshold {self._limit:g}"

    def ended(self, trial: str, curve: Curve) -> None:
        """Others do not matter."""

    def forget(self, trial: str) -> None:
        """Nothing is kept."""

    def rule(self) -> EarlyStoppingRule | None:
        """The limit; of the objective's metric a sidecar compares the best value so far."""
        if self._limit is None:
            return None
        comparison = names.LESS if self.watched.maximise else names.GREATER
        return EarlyStoppingRule(self.watched.metric, repr(self._limit), comparison, self._start)
