"""Rungs at `min_resource`, times `reduction_factor`, times that again, and so on: see `rungs`."""

from pykatib.algorithms.stopping.curve import Curve, Watched
from pykatib.algorithms.stopping.rungs import Rungs
from pykatib.api import names
from pykatib.api.shared import EarlyStoppingRule


class AshaStop:
    """Asynchronous successive halving over reports."""

    def __init__(self, watched: Watched, *, min_resource: int, reduction_factor: int) -> None:
        self.watched = watched
        self._first = min_resource
        self._factor = reduction_factor
        self._rungs = Rungs(watched, factor=reduction_factor)

    def decides_at(self, trial: str, step: int) -> bool:
        """At the rungs."""
        quotient, rest = divmod(step, self._first)
        while not rest and quotient > 1:
            quotient, rest = divmod(quotient, self._factor)
        return not rest and quotient == 1

    def judge(self, trial: str, curve: Curve, step: int) -> str | None:
        """Stops a Trial that is not among the best at a rung."""
        return self._rungs.judge(trial, curve, step)

    def ended(self, trial: str, curve: Curve) -> None:
        """It stays on its rungs."""

    def forget(self, trial: str) -> None:
        """Takes it off its rungs."""
        self._rungs.forget(trial)

    def rule(self) -> EarlyStoppingRule | None:
        """What the first rung asks; Katib's rules cannot say more, as all of them would have to hold."""
        cutoff = self._rungs.cutoff(self._first)
        if cutoff is None:
            return None
        comparison = names.LESS if self.watched.maximise else names.GREATER
        return EarlyStoppingRule(self.watched.metric, repr(self.watched.value(cutoff)), comparison, self._first)
