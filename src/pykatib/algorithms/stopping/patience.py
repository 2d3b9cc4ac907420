"""Stops a Trial that has stopped improving, whatever others have done."""

from pykatib.algorithms.stopping.curve import Curve, Watched
from pykatib.api.shared import EarlyStoppingRule


class PatienceStop:
    """Stops when the best value has not improved by more than `min_delta` over the last `patience` reports."""

    def __init__(self, watched: Watched, *, patience: int, min_delta: float, start_step: int) -> None:
        self.watched = watched
        self._patience = patience
        self._min_delta = min_delta
        self._start = max(start_step, patience + 1)

    def decides_at(self, trial: str, step: int) -> bool:
        """At every step that has so many before it."""
        return step >= self._start

    def judge(self, trial: str, curve: Curve, step: int) -> str | None:
        """Stops without improvement."""
        best, before = curve.best[step - 1], curve.best[step - 1 - self._patience]
        if best < before - self._min_delta:
            return None
        by = f" by more than {self._min_delta:g}" if self._min_delta else ""
        return (
            f"at report {step} its best {self.watched.metric} is {self.watched.value(best):g}, "
            f"not better{by} than {self._patience} reports before"
        )

    def ended(self, trial: str, curve: Curve) -> None:
        """Others do not matter."""

    def forget(self, trial: str) -> None:
        """Nothing is kept."""

    def rule(self) -> EarlyStoppingRule | None:
        """None: Katib's rules do not look back."""
        return None
