"""The learning curve of one Trial: what it has reported of one metric, in the order of time.

Steps are reports, counted from 1. Values are turned into losses, so that less is better whatever is optimised, and NaN
becomes a loss that nothing is worse than. What methods ask of a curve up to a step is kept for each step, so that a
report costs the same however long the curve is.
"""

import bisect
import math
from array import array

import msgspec

from pykatib.api import names
from pykatib.api.shared import ObjectiveSpec


class Watched(msgspec.Struct, frozen=True):
    """A metric that a method looks at: which way is better, and which of its values counts (`min`, `max`, `latest`)."""

    metric: str
    maximise: bool
    strategy: str = ""

    @classmethod
    def objective(cls, objective: ObjectiveSpec) -> "Watched":
        """The metric that is optimised."""
        metric = objective.objective_metric_name
        return cls(metric, objective.type == names.MAXIMIZE, objective.strategy_of(metric) or "")

    def loss(self, value: float) -> float:
        """The value turned so that less is better."""
        if value != value:
            return math.inf
        return (-value if self.maximise else value) + 0.0  # no -0.0, which is told apart from 0.0 when it is shown

    def value(self, loss: float) -> float:
        """The value of a loss, for people to read."""
        return (-loss if self.maximise else loss) + 0.0

    @property
    def worse(self) -> str:
        """The word for worse."""
        return "below" if self.maximise else "above"


class Curve:
    """One Trial's reports of a metric. Its columns have one entry a report."""

    __slots__ = ("best", "losses", "means", "standing", "times", "values", "watched")

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.times = array("d")
        self.values = array("d")
        """As reported."""
        self.losses = array("d")
        self.best = array("d")
        """The least loss up to each step."""
        self.means = array("d")
        """The mean loss up to each step."""
        self.standing = array("d")
        """The loss that would be the Trial's result if it ended at each step, by the metric's strategy."""

    def __len__(self) -> int:
        return len(self.values)

    def add(self, time: float, value: float) -> int:
        """Takes a report; answers its step. One that comes after a later one is put before it."""
        if not self.times or self.times[-1] <= time:
            self.times.append(time)
            self.values.append(value)
            self._extend(value)
            return len(self.values)
        place = bisect.bisect_right(self.times, time)
        self.times.insert(place, time)
        self.values.insert(place, value)
        for column in (self.losses, self.best, self.means, self.standing):
            del column[place:]
        for each in self.values[place:]:
            self._extend(each)
        return place + 1

    def _extend(self, value: float) -> None:
        loss = self.watched.loss(value)
        count = len(self.losses)
        self.losses.append(loss)
        self.best.append(min(self.best[-1], loss) if count else loss)
        # Weighed rather than summed: no overflow. Rounding must not put a mean below what it is the mean of.
        mean = self.means[-1] * (count / (count + 1)) + loss / (count + 1) if count else loss
        self.means.append(max(mean, self.best[-1]) if mean == mean else math.inf)
        self.standing.append(self._standing(loss))

    def _standing(self, loss: float) -> float:
        strategy = self.watched.strategy
        if strategy == names.LATEST:
            return loss
        if strategy == (names.MIN if self.watched.maximise else names.MAX) and self.standing:
            known = self.standing[-1]
            return max(known, loss) if known < math.inf > loss else min(known, loss)  # NaN is left out
        return self.best[-1]
