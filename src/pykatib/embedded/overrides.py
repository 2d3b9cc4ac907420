"""Changes to a manifest before it is read: `--set spec.objective.goal=0.5`.

A path goes through the fields of an Experiment; an entry of a list is named by its index or by its name:
`spec.parameters[0]`, `spec.parameters[lr]`. A field that an Experiment does not know is refused with the one that was
most likely meant; within the Trial's template, which is free, all but the last step must be there.
"""

import re
from collections.abc import Mapping
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

import msgspec

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.schema_walk import did_you_mean
from pykatib.api.sequences import AppendLog
from pykatib.api.yaml_tree import yaml_documents

_STEP = re.compile(r"\.?([^.\[\]]+)|\[([^\[\]]+)\]")
_NO_ENTRY = -1


class Override(NamedTuple):
    """A path, the value to be there, and the text that the value was written as."""

    path: str
    value: Any
    text: str


class _Step(NamedTuple):
    word: str
    in_brackets: bool


def parse_overrides(options: tuple[str, ...]) -> list[Override]:
    """The changes that `PATH=VALUE` texts ask for. Raises InvalidInput, with all mistakes."""
    errors: list[FieldError] = []
    found: list[Override] = []
    for option in options:
        path, separator, text = option.partition("=")
        if not separator or not path.strip():
            errors.append(FieldError("--set", f"found {option!r}; write PATH=VALUE, as in spec.objective.goal=0.5"))
            continue
        if "".join(match.group(0) for match in _STEP.finditer(path)) != path:
            errors.append(FieldError("--set", f"found the path {path!r}; write it as in spec.parameters[0].name"))
            continue
        try:
            documents = list(yaml_documents(text, f"--set {path}"))
        except InvalidInput as error:
            errors.extend(FieldError(f"--set {path}", one.message) for one in error.errors)
            continue
        if len(documents) > 1:
            errors.append(FieldError(f"--set {path}", "found several YAML documents, wanted one value"))
            continue
        found.append(Override(path.strip(), documents[0][0] if documents else None, text.strip()))
    if errors:
        raise InvalidInput(errors)
    return found


def apply_override(tree: dict[str, Any], override: Override) -> FieldError | None:
    """Changes the tree of an Experiment; answers why it cannot."""
    steps = [_Step(name or entry, bool(entry)) for name, entry in _STEP.findall(override.path)]
    node: Any = tree
    kind: Any = Experiment
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1
        kind, problem = _type_below(kind, step)
        if problem:
            return FieldError(f"--set {override.path}", problem)
        key: Any = step.word
        if isinstance(node, list):
            key = _entry(node, step.word)
            if key == _NO_ENTRY:
                return FieldError(f"--set {override.path}", f"there is no entry {step.word!r}; {_entries(node)}")
        elif step.in_brackets and not isinstance(node, dict):
            return FieldError(f"--set {override.path}", f"{step.word!r} is to be an entry of a list, but there is none")
        elif not isinstance(node, dict):
            return FieldError(f"--set {override.path}", f"there is no mapping to hold {step.word!r}")
        if is_last:
            node[key] = _value_for(kind, override)
            return None
        child = node[key] if isinstance(node, list) else node.get(key)
        if child is None:
            if kind is Any:
                known = list(node) if isinstance(node, dict) else []
                hint = did_you_mean(step.word, known) or f"; there are {', '.join(map(str, known)) or 'no fields'}"
                return FieldError(f"--set {override.path}", f"there is no field {step.word!r}{hint}")
            child = node[key] = [] if _is_list(kind) else {}
        node = child
    return None


def _type_below(kind: Any, step: _Step) -> tuple[Any, str]:
    """The type of what a step leads to; Any where everything may be."""
    if kind is Any:
        return Any, ""
    if _is_list(kind):
        return _plain(get_args(kind)[0]), ""
    if get_origin(kind) is dict:
        return _plain(get_args(kind)[1]), ""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields: Mapping[str, Any] = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        if step.word not in fields:
            hint = did_you_mean(step.word, fields) or f"; known here: {', '.join(sorted(fields))}"
            return Any, f"unknown field {step.word!r}{hint}"
        return _plain(fields[step.word]), ""
    return Any, f"nothing lies below {step.word!r}"


def _plain(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        kind = options[0] if len(options) == 1 else Any
    return Any if kind is msgspec.Raw else kind


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list, AppendLog)


def _entry(entries: list[Any], word: str) -> int:
    if re.fullmatch(r"\d+", word):
        return int(word) if int(word) < len(entries) else _NO_ENTRY
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get("name") == word:
            return index
    return _NO_ENTRY


def _entries(entries: list[Any]) -> str:
    named = [str(entry["name"]) for entry in entries if isinstance(entry, dict) and "name" in entry]
    if not entries:
        return "the list is empty"
    return f"there are [0] to [{len(entries) - 1}]" + (f", named {', '.join(named)}" if named else "")


def _value_for(kind: Any, override: Override) -> Any:
    # A shell takes quotes away: where text is wanted, `max=0.1` is meant as "0.1".
    if kind is str and isinstance(override.value, int | float | bool):
        return override.text
    return override.value
