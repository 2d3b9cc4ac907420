"""From metric logs to an observation, and from an observation to the value that is optimised."""

import math
from collections.abc import Iterable

from pykatib.api import names
from pykatib.api.shared import Metric, MetricLog, ObjectiveSpec, Observation


def number_of(text: str) -> float | None:
    """The float that a metric's text stands for (NaN and infinities included), or None."""
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


class _Fold:
    """Minimum, maximum and latest value of one metric, keeping the texts as they were reported."""

    __slots__ = ("latest", "latest_at", "max", "max_text", "min", "min_text")

    def __init__(self) -> None:
        self.min = self.max = math.nan
        self.min_text = self.max_text = self.latest = names.UNAVAILABLE
        self.latest_at = -math.inf

    def add(self, log: MetricLog) -> None:
        if log.time >= self.latest_at:
            self.latest_at = log.time
            self.latest = log.value
        value = number_of(log.value)
        if value is None or value != value:
            return
        if not value >= self.min:
            self.min, self.min_text = value, log.value
        if not value <= self.max:
            self.max, self.max_text = value, log.value


def observe(logs: Iterable[MetricLog], objective: ObjectiveSpec) -> Observation | None:
    """What a Trial's logs say of the metrics that have a strategy; None where there is not one log.

    `min` and `max` go over values that are numbers (NaN left out, the text kept); `latest` is the value with the
    greatest time, of equal times the last to arrive, and may be any text.
    """
    folds = {strategy.name: _Fold() for strategy in objective.metric_strategies}
    seen = False
    for log in logs:
        seen = True
        fold = folds.get(log.name)
        if fold is not None:
            fold.add(log)
    if not seen:
        return None
    return Observation(tuple(Metric(name, fold.min_text, fold.max_text, fold.latest) for name, fold in folds.items()))


def value_text(observation: Observation | None, objective: ObjectiveSpec, metric_name: str) -> str:
    """The text of a metric by its strategy, `unavailable` where it has none."""
    metric = observation.metric(metric_name) if observation is not None else None
    if metric is None:
        return names.UNAVAILABLE
    strategy = objective.strategy_of(metric_name)
    if strategy == names.MIN:
        return metric.min if metric.min != names.UNAVAILABLE else metric.latest
    if strategy == names.MAX:
        return metric.max if metric.max != names.UNAVAILABLE else metric.latest
    if strategy == names.LATEST:
        return metric.latest
    return names.UNAVAILABLE


def has_objective(observation: Observation | None, objective: ObjectiveSpec) -> bool:
    """True when the objective's metric was reported at all."""
    metric = observation.metric(objective.objective_metric_name) if observation is not None else None
    return metric is not None and metric.latest != names.UNAVAILABLE


def reaches_goal(value: float, objective: ObjectiveSpec) -> bool:
    """True when a goal is set and the value is at it or beyond."""
    if objective.goal is None or value != value:
        return False
    return value >= objective.goal if objective.type == names.MAXIMIZE else value <= objective.goal
