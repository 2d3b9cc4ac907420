"""What an Experiment sets out to do, and how it has ended, in words."""

import click

from pykatib.api import names
from pykatib.api.conditions import find_condition, is_true
from pykatib.api.experiment import Experiment
from pykatib.cli import words


def plan_words(experiment: Experiment) -> str:
    """`random search, minimize loss to 0.1, up to 20 Trials, 2 at a time`."""
    spec = experiment.spec
    parts = []
    if spec.algorithm is not None:
        parts.append(f"{spec.algorithm.algorithm_name} search")
    if spec.objective is not None:
        goal = "" if spec.objective.goal is None else f" to {spec.objective.goal:g}"
        parts.append(f"{spec.objective.type} {spec.objective.objective_metric_name}{goal}")
    parts.append("Trials without limit" if spec.max_trial_count is None else words.count(spec.max_trial_count, "Trial"))
    parts.append(f"{spec.parallel_trial_count or 1} at a time")
    return ", ".join(parts)


def end_words(experiment: Experiment) -> str:
    """How an Experiment has ended: its condition's message, with what led to it."""
    conditions = experiment.status.conditions
    for kind, colour in ((names.FAILED, "red"), (names.SUCCEEDED, "green")):
        if is_true(conditions, kind):
            condition = find_condition(conditions, kind)
            message = condition.message if condition is not None else ""
            reason = (
                message.removeprefix("Experiment has ")
                .removeprefix("succeeded because ")
                .removeprefix("failed because ")
            )
            return f"{click.style(kind.lower(), fg=colour)}: {reason}"
    return "stopped" if is_true(conditions, names.SUSPENDED) else "unfinished"
