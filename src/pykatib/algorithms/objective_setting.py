"""The setting `objectives`, and which algorithms have it; what it means is in `pykatib.api.objectives`."""

import math
from collections.abc import Sequence
from typing import Final

from pykatib.algorithms.contract import FinishedTrial
from pykatib.algorithms.description import SettingInfo, Settings
from pykatib.algorithms.problem import Problem
from pykatib.api.errors import FieldError
from pykatib.api.objectives import EXAMPLE, OBJECTIVES_SETTING, Direction, read_directions

OBJECTIVES: Final = SettingInfo(
    name=OBJECTIVES_SETTING,
    kind="text",
    help="Which of additionalMetricNames are objectives too, each with its direction: latency:minimize, size:minimize.",
)


def states_its_objectives(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """The setting is there, and names metrics of the Experiment."""
    path = "spec.algorithm.algorithmSettings"
    text = settings[OBJECTIVES_SETTING]
    if text is None:
        own = problem.objective.objective_metric_name
        message = (
            f"objectives is needed: which of additionalMetricNames count beside {own}, and in which direction, "
            f"as in {EXAMPLE!r}"
        )
        return (FieldError(path, message),)
    try:
        read_directions(str(text), problem.objective)
    except ValueError as mistake:
        return (FieldError(path, f"objectives {mistake}"),)
    return ()


def states_objectives_if_any(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """The setting, where it is there, names metrics of the Experiment."""
    return () if settings[OBJECTIVES_SETTING] is None else states_its_objectives(problem, settings)


def directions_in(problem: Problem, settings: Settings) -> tuple[Direction, ...]:
    """The objectives, the Experiment's own first."""
    return read_directions(str(settings[OBJECTIVES_SETTING]), problem.objective)


def losses_of(trial: FinishedTrial, directions: Sequence[Direction]) -> list[float] | None:
    """A Trial's value of each objective, turned so that less is better; None unless each has a finite one."""
    if trial.outcome not in ("succeeded", "early-stopped"):
        return None
    values = [trial.metrics.get(direction.metric, math.nan) for direction in directions]
    if not all(map(math.isfinite, values)):
        return None
    return [direction.loss(value) for direction, value in zip(directions, values, strict=True)]
