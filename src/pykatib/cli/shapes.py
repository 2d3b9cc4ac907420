"""Objects in the shapes of `-o`: JSON, YAML, names, tables. What scripts read goes to standard output, whole."""

import csv
import io
import json
import time
from collections.abc import Sequence
from typing import Any

import click

from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.api.suggestion import Suggestion
from pykatib.api.times import seconds_of
from pykatib.api.trial import Trial
from pykatib.api.wire import encode
from pykatib.cli import words
from pykatib.cli.lookup import KatibObject
from pykatib.cli.results import best_of, metrics_of, objective_text, record_columns, trial_record


def tree_of(found: KatibObject) -> dict[str, Any]:
    """An object as plain JSON."""
    tree: dict[str, Any] = json.loads(encode(found))
    return tree


def as_json(value: Any) -> str:
    """JSON for people and scripts."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    """YAML with its fields in their order."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)).rstrip("\n")


def print_document(value: Any, output: str) -> None:
    """Prints a plain value as `json` or `yaml`."""
    click.echo(as_yaml(value) if output == "yaml" else as_json(value))


def print_objects(found: Sequence[KatibObject], output: str, *, as_list: bool, all_namespaces: bool = False) -> None:
    """Prints objects in a format of `-o`; `as_list` wraps what is not one object asked for by its name."""
    if output in ("json", "yaml"):
        trees = [tree_of(one) for one in found]
        print_document({"apiVersion": "v1", "kind": "List", "items": trees} if as_list else trees[0], output)
    elif output == "name":
        for one in found:
            click.echo(f"{one.kind.lower()}.kubeflow.org/{one.metadata.name}")
    elif output == "csv":
        click.echo(as_csv(*_csv_of(found)), nl=False)
    else:
        header, rows = table_of(found, time.time(), wide=output == "wide", all_namespaces=all_namespaces)
        for line in words.columns(header, rows):
            click.echo(line)


def as_csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _csv_of(found: Sequence[KatibObject]) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    if found and all(isinstance(one, Trial) for one in found):
        records = [trial_record(one, None) for one in found if isinstance(one, Trial)]
        header = record_columns(records)
        return header, [[record.get(column, "") for column in header] for record in records]
    header, rows = table_of(found, time.time(), wide=True, all_namespaces=True)
    return [column.lower() for column in header], rows


def table_of(
    found: Sequence[KatibObject], now: float, *, wide: bool = False, all_namespaces: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Header and rows as `kubectl get` prints them: Katib's columns, and more where `wide`."""
    kind = type(found[0]) if found else Experiment
    header = ["NAME", "TYPE", "STATUS"]
    if kind is Suggestion:
        header += ["REQUESTED", "ASSIGNED"]
    header.append("AGE")
    if wide:
        header += _WIDE[kind.__name__]
    rows = [_row(one, now, wide=wide) for one in found]
    if all_namespaces or any(one.metadata.namespace != names.DEFAULT_NAMESPACE for one in found):
        header.insert(0, "NAMESPACE")
        rows = [[one.metadata.namespace, *row] for one, row in zip(found, rows, strict=True)]
    return header, rows


_WIDE = {
    "Experiment": ["ALGORITHM", "TRIALS", "RUNNING", "SUCCEEDED", "FAILED", "OBJECTIVE", "BEST", "BEST-TRIAL"],
    "Suggestion": ["ALGORITHM"],
    "Trial": ["EXPERIMENT", "DURATION", "OBJECTIVE", "VALUE", "PARAMETERS"],
}


def _row(found: KatibObject, now: float, *, wide: bool) -> list[str]:
    conditions = found.status.conditions
    last = conditions[-1] if conditions else None
    row = [found.metadata.name, last.type if last else "", last.status if last else ""]
    if isinstance(found, Suggestion):
        row += [str(found.spec.requests), str(found.status.suggestion_count)]
    row.append(words.age_since(found.metadata.creation_timestamp, now))
    return [*row, *_wide_cells(found, now)] if wide else row


def _wide_cells(found: KatibObject, now: float) -> list[str]:
    if isinstance(found, Suggestion):
        return [found.spec.algorithm.algorithm_name if found.spec.algorithm else ""]
    if isinstance(found, Trial):
        status = found.status
        end = seconds_of(status.completion_time) if status.completion_time else now
        took = words.age(end - seconds_of(status.start_time)) if status.start_time else ""
        name = found.spec.objective.objective_metric_name if found.spec.objective else ""
        experiment = found.metadata.labels.get("katib.kubeflow.org/experiment", "")
        value = words.number(objective_text(found))
        return [experiment, took, name, value, words.assignments(found.spec.parameter_assignments)]
    spec, status_of = found.spec, found.status
    best = best_of(found)
    name = spec.objective.objective_metric_name if spec.objective else ""
    value = words.number(metrics_of(best.observation, spec.objective).get(name, "")) if best else ""
    return [
        spec.algorithm.algorithm_name if spec.algorithm else "",
        f"{status_of.trials}" + (f"/{spec.max_trial_count}" if spec.max_trial_count is not None else ""),
        str(status_of.trials_running),
        str(status_of.trials_succeeded),
        str(status_of.trials_failed),
        name,
        value,
        best.best_trial_name if best else "",
    ]
