"""The rules that a Trial carries (`spec.earlyStoppingRules`), held against what it reports.

Katib's meaning, so that rules of any early stopping service do: a rule compares strictly, the objective's metric with
the best value so far and any other with the current one; a rule that has held once is done with; the Trial is to be
stopped once all are. Two things differ, which are faults of Katib's sidecar: a rule is looked at with every report from
number `start_step` on, not with that one alone, and a value that is no number is passed over instead of ending whoever
reads it.
"""

import math
from collections.abc import Sequence

from pykatib.api import names
from pykatib.api.shared import EarlyStoppingRule, MetricLog, ObjectiveSpec
from pykatib.control.observation import number_of

_WORDS = {names.LESS: "less than", names.GREATER: "greater than"}


class StopRules:
    """The rules of one Trial that have not held yet. Tell it every report, in order; it is asked with each."""

    def __init__(self, rules: Sequence[EarlyStoppingRule], *, objective: ObjectiveSpec) -> None:
        self._open = [(rule, number_of(rule.value)) for rule in rules]
        self._objective = objective
        self._best = math.nan
        self._count_by_metric = dict.fromkeys((rule.name for rule in rules), 0)
        self._held: list[str] = []

    @property
    def reason(self) -> str:
        """Which rules have held, with the figures."""
        return " and ".join(self._held)

    def hear(self, log: MetricLog) -> bool:
        """Takes one report; True once every rule has held. Without rules that is never."""
        count = self._count_by_metric.get(log.name)
        value = number_of(log.value)
        if count is None or value is None:
            return bool(self._held) and not self._open
        self._count_by_metric[log.name] = count = count + 1
        is_objective = log.name == self._objective.objective_metric_name
        if is_objective:
            value = self._best_with(value)
        still_open = []
        for rule, limit in self._open:
            if rule.name == log.name and count >= rule.start_step and _holds(value, rule.comparison, limit):
                what = f"the best {rule.name}" if is_objective else rule.name
                word = _WORDS.get(rule.comparison, "equal to")
                self._held.append(f"{what} up to report {count} is {value:g}, {word} {rule.value}")
            else:
                still_open.append((rule, limit))
        self._open = still_open
        return bool(self._held) and not self._open

    def _best_with(self, value: float) -> float:
        is_better = value > self._best if self._objective.type == names.MAXIMIZE else value < self._best
        if math.isnan(self._best) or is_better:
            self._best = value
        return self._best


def _holds(value: float, comparison: str, limit: float | None) -> bool:
    if limit is None:
        return False
    if comparison == names.LESS:
        return value < limit
    if comparison == names.GREATER:
        return value > limit
    return value == limit  # also an unknown comparison, as in Katib
