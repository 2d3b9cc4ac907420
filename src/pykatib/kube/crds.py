"""Katib's CustomResourceDefinitions, made from the API types, so that the API server itself refuses a wrong type.

The schemas are structural and hold types only: ranges, enumerations and everything that depends on two fields is judged
by the admission webhooks, which answer with better sentences. What the schema takes, `pykatib.api.wire` can read: a
field is nullable exactly where the Python type has None. Users' own manifests (`trialSpec`, `runSpec`,
`customCollector`) are kept as they are.

What a person writes, an Experiment and its spec, keeps unknown fields too, until admission has refused them by name. An
API server that drops them, as it does by default, does so without a word and before anybody is asked.

    python -m pykatib.kube.crds manifests/crds     writes one file a kind

Valid from Kubernetes 1.20 on: `apiextensions.k8s.io/v1` without validation rules or other later additions.
"""

import sys
from pathlib import Path
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

import msgspec
import yaml

from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.api.sequences import AppendLog
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.store.kubernetes.long_lists import WIRE_FIELDS

Schema: TypeAlias = dict[str, Any]

CATEGORIES = ("all", "kubeflow", "katib")

_STATE_COLUMNS = (
    {"name": "Type", "type": "string", "jsonPath": ".status.conditions[-1:].type"},
    {"name": "Status", "type": "string", "jsonPath": ".status.conditions[-1:].status"},
)
_AGE_COLUMN = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_COLUMNS: dict[type, tuple[dict[str, str], ...]] = {
    Experiment: (*_STATE_COLUMNS, _AGE_COLUMN),
    Suggestion: (
        *_STATE_COLUMNS,
        {"name": "Requested", "type": "string", "jsonPath": ".spec.requests"},
        {"name": "Assigned", "type": "string", "jsonPath": ".status.suggestionCount"},
        _AGE_COLUMN,
    ),
    Trial: (*_STATE_COLUMNS, _AGE_COLUMN),
}

_SCALARS: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number", "format": "double"},
}


def definitions() -> list[Schema]:
    """The definitions of all kinds."""
    return [definition(kind) for kind in (Experiment, Suggestion, Trial)]


def definition(kind: type[Experiment | Suggestion | Trial]) -> Schema:
    """The CustomResourceDefinition of a kind."""
    singular = kind.__name__.lower()
    plural = f"{singular}s"
    version = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [dict(column) for column in _COLUMNS[kind]],
        "schema": {"openAPIV3Schema": _root_schema(kind)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}", "labels": {"app.kubernetes.io/part-of": "katib"}},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": plural,
                "singular": singular,
                "categories": list(CATEGORIES),
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def schema_of(kind: Any, *, keeps_unknown: bool = False) -> Schema:
    """The structural schema of a Python type; with `keeps_unknown` its structures keep fields that they do not know."""
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    given = [option for option in options if option is not type(None)]
    if len(given) == 1:
        schema = _plain_schema(given[0], keeps_unknown=keeps_unknown)
    else:
        if {*given} != {int, str}:
            raise TypeError(f"no structural schema stands for {kind}")
        schema = {"x-kubernetes-int-or-string": True}
    if type(None) in options:
        schema["nullable"] = True
    return schema


def _plain_schema(kind: Any, *, keeps_unknown: bool) -> Schema:
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if kind is msgspec.Raw:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    origin = get_origin(kind)
    if origin in (tuple, AppendLog):
        return {"type": "array", "items": schema_of(get_args(kind)[0], keeps_unknown=keeps_unknown)}
    if origin is dict:
        values = schema_of(get_args(kind)[1], keeps_unknown=keeps_unknown)
        return {"type": "object", "additionalProperties": values}
    return _struct_schema(kind, keeps_unknown=keeps_unknown)


def _struct_schema(kind: type, *, keeps_unknown: bool) -> Schema:
    fields = msgspec.structs.fields(kind)
    schema: Schema = {"description": _first_sentence(kind), "type": "object"}
    if keeps_unknown:
        schema["x-kubernetes-preserve-unknown-fields"] = True
    required = [field.encode_name for field in fields if field.required]
    if required:
        schema["required"] = required
    schema["properties"] = {field.encode_name: schema_of(field.type, keeps_unknown=keeps_unknown) for field in fields}
    return schema


def _root_schema(kind: type) -> Schema:
    """Metadata, apiVersion and kind belong to the API server; the status has what only the wire knows beside it."""
    spec, status = (field.type for field in msgspec.structs.fields(kind) if field.name in ("spec", "status"))
    status_schema = _struct_schema(status, keeps_unknown=False)
    status_schema["properties"] |= WIRE_FIELDS.get(kind.__name__, {})
    is_written_by_hand = kind is Experiment
    return {
        "description": _first_sentence(kind),
        "type": "object",
        **({"x-kubernetes-preserve-unknown-fields": True} if is_written_by_hand else {}),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _struct_schema(spec, keeps_unknown=is_written_by_hand),
            "status": status_schema,
        },
    }


def _first_sentence(kind: type) -> str:
    return " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())


def yaml_of(value: Schema) -> str:
    """A definition as YAML text."""
    return yaml.safe_dump(value, sort_keys=False, width=120, allow_unicode=True)


def main(folder: str) -> None:
    """Writes one file a kind."""
    for each in definitions():
        Path(folder, f"{each['spec']['names']['plural']}.yaml").write_text(yaml_of(each), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
