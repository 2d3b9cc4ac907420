"""What an Experiment has found, as rows and words for people, and as plain JSON for scripts."""

import math
from collections.abc import Sequence
from typing import Any

from pykatib.api import names
from pykatib.api.experiment import Experiment, OptimalTrial
from pykatib.api.shared import ObjectiveSpec, Observation, ParameterAssignment
from pykatib.api.trial import Trial
from pykatib.cli import words
from pykatib.cli.endings import end_words
from pykatib.control.observation import number_of, value_text
from pykatib.control.view import trial_state


def metrics_of(observation: Observation | None, objective: ObjectiveSpec | None) -> dict[str, str]:
    """The text of each metric by its strategy; those that are not there are left out."""
    if objective is None:
        return {}
    texts = {name: value_text(observation, objective, name) for name in objective.metric_names}
    return {name: text for name, text in texts.items() if text != names.UNAVAILABLE}


def objective_text(trial: Trial) -> str:
    """The text of a Trial's objective metric, empty where it has none."""
    objective = trial.spec.objective
    if objective is None:
        return ""
    return metrics_of(trial.status.observation, objective).get(objective.objective_metric_name, "")


def best_of(experiment: Experiment) -> OptimalTrial | None:
    """The best Trial, or None where no Trial has an objective value."""
    best = experiment.status.current_optimal_trial
    return best if best.best_trial_name else None


def typed(text: str) -> Any:
    """A number where the text is a finite one, a whole one where it is written so; else the text."""
    value = number_of(text)
    if value is None or not math.isfinite(value):
        return text
    try:
        return int(text)
    except ValueError:
        return value


def typed_assignments(found: Sequence[ParameterAssignment], experiment: Experiment | None) -> dict[str, Any]:
    """Parameters by name: numbers for `double` and `int`, the manifest's texts for lists of values."""
    types = {parameter.name: parameter.parameter_type for parameter in experiment.spec.parameters} if experiment else {}
    numeric = (names.DOUBLE, names.INT)
    return {one.name: typed(one.value) if types.get(one.name) in numeric else one.value for one in found}


def best_document(experiment: Experiment) -> dict[str, Any]:
    """The best Trial ready for a script: `parameters` and `metrics` are mappings."""
    best = best_of(experiment)
    objective = experiment.spec.objective or ObjectiveSpec()
    metrics = metrics_of(best.observation, objective) if best is not None else {}
    return {
        "experiment": experiment.metadata.name,
        "namespace": experiment.metadata.namespace,
        "trial": best.best_trial_name if best is not None else None,
        "objective": objective.objective_metric_name,
        "type": objective.type,
        "value": typed(metrics[objective.objective_metric_name])
        if objective.objective_metric_name in metrics
        else None,
        "parameters": typed_assignments(best.parameter_assignments, experiment) if best is not None else {},
        "metrics": {name: typed(text) for name, text in metrics.items()},
        **({"paretoSet": pareto_documents(experiment)} if experiment.status.pareto_set else {}),
    }


def pareto_documents(experiment: Experiment) -> list[dict[str, Any]]:
    """The Trials that no other beats, where there are several objectives."""
    return [
        {"trial": each.trial_name, "metrics": {one.name: typed(one.value) for one in each.metrics}}
        for each in experiment.status.pareto_set
    ]


def pareto_lines(experiment: Experiment) -> list[str]:
    """The same for people: a heading and a table; nothing where there is one objective."""
    status = experiment.status
    if not status.pareto_set:
        return []
    shown = len(status.pareto_set)
    left_out = f", {shown} of them shown" if shown < status.pareto_set_size else ""
    header = ("TRIAL", *(one.name for one in status.pareto_set[0].metrics))
    rows = [(each.trial_name, *(one.value for one in each.metrics)) for each in status.pareto_set]
    heading = f"Pareto set: {words.count(status.pareto_set_size, 'Trial')} that no other beats{left_out}"
    return [heading, *(f"  {line}" for line in words.columns(header, rows))]


def result_lines(experiment: Experiment, output: str) -> list[str]:
    """What is printed when an Experiment is over: how it ended, the best Trial, where its output is."""
    meta, best = experiment.metadata, best_of(experiment)
    lines = ["", f"Experiment {meta.name} {end_words(experiment)}"]
    tallies = tally_words(experiment)
    if tallies:
        lines.append(f"  {tallies}")
    if best is None:
        return [*lines, "  no Trial has an objective value"]
    lines.append(f"  best Trial  {best.best_trial_name}")
    lines += [f"    {name} = {text}" for name, text in metrics_of(best.observation, experiment.spec.objective).items()]
    lines.append("  with")
    lines += [f"    {one.name} = {one.value}" for one in best.parameter_assignments]
    if output:
        lines.append(f"  its output  {output}")
    lines += [f"  {line}" for line in pareto_lines(experiment)]
    return lines


def tally_words(experiment: Experiment) -> str:
    """`20 Trials: 17 succeeded, 3 failed`."""
    status = experiment.status
    tallies = {
        "succeeded": status.trials_succeeded,
        "failed": status.trials_failed,
        "stopped early": status.trials_early_stopped,
        "without metrics": status.trial_metrics_unavailable,
        "killed": status.trials_killed,
        "running": status.trials_running,
        "waiting": status.trials_pending,
    }
    parts = ", ".join(f"{count} {word}" for word, count in tallies.items() if count)
    return f"{words.count(status.trials, 'Trial')}: {parts}" if parts else ""


def trial_record(trial: Trial, experiment: Experiment | None) -> dict[str, Any]:
    """A Trial as a flat record: the columns of `katib export`."""
    status = trial.status
    record: dict[str, Any] = {
        "name": trial.metadata.name,
        "experiment": trial.metadata.labels.get(names.LABEL_EXPERIMENT, ""),
        "namespace": trial.metadata.namespace,
        "state": trial_state(trial),
        "value": None,
        "startTime": status.start_time,
        "completionTime": status.completion_time,
        "seconds": words.span(status.start_time, status.completion_time),
    }
    text = objective_text(trial)
    record["value"] = typed(text) if text else None
    for name, value in typed_assignments(trial.spec.parameter_assignments, experiment).items():
        record[f"parameters.{name}"] = value
    for name, text in metrics_of(status.observation, trial.spec.objective).items():
        record[f"metrics.{name}"] = typed(text)
    return record


def record_columns(records: Sequence[dict[str, Any]]) -> list[str]:
    """All columns of records, in the order in which they first come, parameters before metrics."""
    found = dict.fromkeys(column for record in records for column in record)
    return sorted(found, key=lambda column: (column.startswith("metrics."), column.startswith("parameters.")))
