"""The worker job of a Trial, made from the Experiment's template.

Placeholders are replaced in the template's structure, not in its text: a value with a quote or a backslash stays a
value, and one that looks like a placeholder is not replaced again. A template given inline is JSON, where a placeholder
stands within a text and stays a text; in a ConfigMap's YAML one that stands alone and unquoted becomes what its value
reads as, so that numeric fields can be tuned.

A template is taken apart once, into literal JSON and the slots between; filling it in is joining texts, since it
happens for every Trial.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import TrialParameterSpec, TrialTemplate
from pykatib.api.shared import ParameterAssignment
from pykatib.api.templating import PLACEHOLDER, metadata_reference, with_stand_ins
from pykatib.api.yaml_tree import plain_value, yaml_documents

_PARAMETERS_PATH = "spec.trialTemplate.trialParameters"


class _Bare(str):
    """A placeholder that stood alone and unquoted in YAML."""

    __slots__ = ()


class _Slot(msgspec.Struct, frozen=True):
    """A place to fill in: with an assignment's value, the Trial's name or its namespace."""

    source: Literal["assignment", "name", "namespace"]
    parameter: str = ""
    is_bare: bool = False


_Piece: TypeAlias = str | _Slot
_NAME, _NAMESPACE = _Slot("name"), _Slot("namespace")


def parse_template_text(text: str) -> dict[str, Any]:
    """The object that a ConfigMap's template text describes.

    Raises:
        InvalidInput: the text is not YAML, or no mapping.
    """
    readable, stand_ins = with_stand_ins(text)
    documents = yaml_documents(
        readable, "", plain=lambda word: _Bare(stand_ins[word]) if word in stand_ins else plain_value(word)
    )
    found = [value for value, _ in documents if value is not None]
    if len(found) != 1 or not isinstance(found[0], dict):
        raise InvalidInput([FieldError("", "the template is not one mapping")])
    restored: dict[str, Any] = _restored(found[0], stand_ins)
    return restored


def _restored(value: Any, stand_ins: Mapping[str, str]) -> Any:
    """The tree with its placeholders back in place of the words that stood in for them."""
    if not stand_ins:
        return value
    words = re.compile("|".join(map(re.escape, stand_ins)))

    def restore(value: Any) -> Any:
        if isinstance(value, _Bare):
            return value
        if isinstance(value, str):
            return words.sub(lambda match: stand_ins[match[0]], value)
        if isinstance(value, dict):
            return {restore(key): restore(item) for key, item in value.items()}
        return [restore(item) for item in value] if isinstance(value, list) else value

    return restore(value)


class Template:
    """A Trial template, taken apart and ready to be filled in.

    Raises:
        InvalidInput: a placeholder is not declared, or metadata that is referred to is missing.
    """

    def __init__(self, source: TrialTemplate, body: Mapping[str, Any]) -> None:
        self.source = source
        metadata = body.get("metadata") or {}
        if not isinstance(metadata, Mapping):
            raise InvalidInput([FieldError("spec.trialTemplate.trialSpec.metadata", "is not a mapping")])
        self._pieces = {
            parameter.name: _piece_of(index, parameter, body, metadata)
            for index, parameter in enumerate(source.trial_parameters or ())
        }
        self._literals: list[str] = [""]
        self._slots: list[_Slot] = []
        own = {"name": _NAME, "namespace": _NAMESPACE}
        for piece in self._written({**body, "metadata": {**metadata, **own}}):
            if isinstance(piece, str):
                self._literals[-1] += piece
            else:
                self._slots.append(piece)
                self._literals.append("")

    def _written(self, value: Any) -> Iterator[_Piece]:
        """JSON with its slots, piece by piece."""
        if isinstance(value, _Slot):
            yield from ('"', value, '"')
        elif isinstance(value, _Bare):
            [piece] = self._filled(value)
            yield msgspec.structs.replace(piece, is_bare=True) if isinstance(piece, _Slot) else _bare(piece)
        elif isinstance(value, str):
            yield from self._quoted(value)
        elif isinstance(value, Mapping):
            for place, (key, item) in enumerate(value.items()):
                yield "," if place else "{"
                yield from self._quoted(str(key))
                yield ":"
                yield from self._written(item)
            yield "}" if value else "{}"
        elif isinstance(value, list):
            for place, item in enumerate(value):
                yield "," if place else "["
                yield from self._written(item)
            yield "]" if value else "[]"
        else:
            yield msgspec.json.encode(value).decode()

    def _quoted(self, text: str) -> Iterator[_Piece]:
        yield '"'
        for piece in self._filled(text):
            yield _escaped(piece) if isinstance(piece, str) else piece
        yield '"'

    def _filled(self, text: str) -> list[_Piece]:
        """A text with constants filled in and slots where a Trial's own values go."""
        pieces: list[_Piece] = []
        for place, part in enumerate(PLACEHOLDER.split(text)):
            if place % 2:
                if part not in self._pieces:
                    message = f"the template uses ${{trialParameters.{part}}}, not declared"
                    raise InvalidInput([FieldError(_PARAMETERS_PATH, message)])
                pieces.append(self._pieces[part])
            elif part:
                pieces.append(part)
        return pieces

    def render(self, trial_name: str, namespace: str, assignments: Sequence[ParameterAssignment]) -> msgspec.Raw:
        """The worker job of a Trial as JSON, named after it.

        Raises:
            InvalidInput: an assignment is missing.
        """
        values = {assignment.name: assignment.value for assignment in assignments}
        parts: list[str] = []
        for literal, slot in zip(self._literals, self._slots, strict=False):
            parts.append(literal)
            if slot.source == "assignment":
                value = values.get(slot.parameter)
                if value is None:
                    message = f"there is no assignment for the parameter {slot.parameter!r}"
                    raise InvalidInput([FieldError(_PARAMETERS_PATH, message)])
            else:
                value = trial_name if slot.source == "name" else namespace
            parts.append(_bare(value) if slot.is_bare else _escaped(value))
        parts.append(self._literals[-1])
        return msgspec.Raw("".join(parts).encode())


def _piece_of(
    index: int, parameter: TrialParameterSpec, body: Mapping[str, Any], metadata: Mapping[str, Any]
) -> _Piece:
    """What a placeholder becomes: a slot, or, for the template's own metadata, a text that is the same for all."""
    reference = metadata_reference(parameter.reference)
    if reference is None:
        return _Slot("assignment", parameter.reference)
    key, entry = reference
    if reference in (("Name", ""), ("Namespace", "")):
        return _NAME if key == "Name" else _NAMESPACE
    if reference in (("Kind", ""), ("APIVersion", "")):
        return str(body.get("kind" if key == "Kind" else "apiVersion", ""))
    if key in ("Labels", "Annotations") and entry:
        entries = metadata.get(key.lower())
        if isinstance(entries, Mapping) and entry in entries:
            return str(entries[entry])
    message = f"{parameter.reference!r} names nothing in the template's metadata"
    raise InvalidInput([FieldError(f"{_PARAMETERS_PATH}[{index}].reference", message)])


def _escaped(value: str) -> str:
    return value if value.isalnum() else msgspec.json.encode(value).decode()[1:-1]


def _bare(value: str) -> str:
    """What an unquoted value reads as in YAML, as JSON: a number, a boolean, else a text."""
    read = plain_value(value)
    is_scalar = isinstance(read, bool | int) or (isinstance(read, float) and math.isfinite(read))
    return msgspec.json.encode(read if is_scalar else value).decode()
