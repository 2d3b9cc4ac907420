"""The median stopping rule (Golovin et al., 2017, "Google Vizier", section 3.2.2).

A Trial is stopped at a step if the best that it has reported so far is strictly worse than the median of the running
averages that ended Trials had at the same step. Trials that were stopped early count among these as far as they came:
without them the median would be that of the good ones, and rise from Trial to Trial.
"""

import bisect
from array import array

from pykatib.algorithms.stopping.curve import Curve, Watched
from pykatib.api import names
from pykatib.api.shared import EarlyStoppingRule


class MedianStop:
    """Compares with the median of what ended Trials had at the same step."""

    def __init__(self, watched: Watched, *, min_trials_required: int, start_step: int) -> None:
        self.watched = watched
        self._least_count = min_trials_required
        self._start = start_step
        self._means: list[array[float]] = []  # by step from `start_step` on: of ended Trials, in order

    def decides_at(self, trial: str, step: int) -> bool:
        """At every step from `start_step` on."""
        return step >= self._start

    def judge(self, trial: str, curve: Curve, step: int) -> str | None:
        """Stops where the best so far is worse than the median."""
        median = self._median(step)
        best = curve.best[step - 1]
        if median is None or not best > median:
            return None
        shown, watched = curve.watched.value, self.watched
        count = len(self._means[step - self._start])
        return (
            f"at report {step} its best {watched.metric} is {shown(best):g}, {watched.worse} {shown(median):g}, "
            f"the median of the running averages of {count} ended Trials"
        )

    def ended(self, trial: str, curve: Curve) -> None:
        """Puts its running averages in their places."""
        for step in range(self._start, len(curve) + 1):
            if step - self._start == len(self._means):
                self._means.append(array("d"))
            bisect.insort(self._means[step - self._start], curve.means[step - 1])

    def forget(self, trial: str) -> None:
        """Nothing is kept of a Trial that runs."""

    def rule(self) -> EarlyStoppingRule | None:
        """The median at `start_step`, as Katib's service gives it (there it is a mean)."""
        median = self._median(self._start)
        if median is None:
            return None
        comparison = names.LESS if self.watched.maximise else names.GREATER
        return EarlyStoppingRule(self.watched.metric, repr(self.watched.value(median)), comparison, self._start)

    def _median(self, step: int) -> float | None:
        place = step - self._start
        means = self._means[place] if place < len(self._means) else ()
        if len(means) < self._least_count or not means:
            return None
        low, high = means[(len(means) - 1) // 2], means[len(means) // 2]
        middle = low / 2 + high / 2  # halved first: no overflow
        return max(low, middle) if middle == middle else low
