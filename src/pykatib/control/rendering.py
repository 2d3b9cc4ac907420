"""The worker job of a Trial, made from the Experiment's template.

Placeholders are replaced in the template's structure, not in its text: a value with a quote or a backslash stays a
value. A template given inline is JSON, where a placeholder stands within a text and stays a text; in a ConfigMap's
YAML one that stands alone and unquoted becomes what its value reads as, so that numeric fields can be tuned.

A template is taken apart once; filling it in is joining bytes, since it happens for every Trial.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import yaml

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import TrialTemplate
from pykatib.api.shared import ParameterAssignment

PLACEHOLDER = re.compile(r"\$\{trialParameters\.(.+?)\}")
METADATA_REFERENCE = re.compile(r"\$\{trialSpec\.(.+?)\}")
_INDEXED_KEY = re.compile(r"(.+)\[(.+)]")

# Marks within the taken-apart template; control characters cannot stand in JSON text unescaped.
_MARK = "\x00"
_NAME, _NAMESPACE = "trialSpec.Name", "trialSpec.Namespace"


class _BareScalar(str):
    """A plain, unquoted YAML scalar that holds a placeholder and nothing else."""


class _TemplateLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML that remembers which placeholders stood alone and unquoted."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode) and not node.style and PLACEHOLDER.fullmatch(node.value):
            return _BareScalar(node.value)
        return super().construct_object(node, deep=deep)


def parse_template_text(text: str) -> dict[str, Any]:
    """The object that a ConfigMap's template text describes.

    Raises:
        InvalidInput: the text is no YAML mapping.
    """
    try:
        value = yaml.load(text, Loader=_TemplateLoader)
    except yaml.YAMLError as error:
        # An unquoted placeholder within a flow sequence ([a, ${…}]) is no YAML; in quotes it is.
        try:
            value = yaml.load(_quote_placeholders(text), Loader=_TemplateLoader)
        except yaml.YAMLError:
            raise InvalidInput([FieldError("", f"the template is not YAML: {error}")]) from error
    if not isinstance(value, dict):
        raise InvalidInput([FieldError("", "the template is not a mapping")])
    return value


def _quote_placeholders(text: str) -> str:
    return re.sub(r"(?<=[\[,:\s])(\$\{trialParameters\.[^}\s]+\})(?=[\s,\]]|$)", r'"\1"', text)


class Template:
    """A Trial template, taken apart and ready to be filled in.

    Raises:
        InvalidInput: a placeholder is not declared, or metadata that is referred to is missing.
    """

    def __init__(self, source: TrialTemplate, body: Mapping[str, Any]) -> None:
        self.source = source
        metadata = dict(body.get("metadata") or {})
        self.api_version = str(body.get("apiVersion", ""))
        self.kind = str(body.get("kind", ""))
        self._references = {
            parameter.name: self._resolve(index, parameter.reference, metadata)
            for index, parameter in enumerate(source.trial_parameters or ())
        }
        metadata["name"] = f"{_MARK}{_NAME}{_MARK}"
        metadata["namespace"] = f"{_MARK}{_NAMESPACE}{_MARK}"
        marked = self._mark({**body, "metadata": metadata})
        text = msgspec.json.encode(marked).decode()
        # Within JSON a NUL is written \u0000. A mark within a text is replaced by escaped text; a mark that stands
        # for a bare scalar (doubled) takes its quotes with it.
        parts = re.split(r'("?)\\u0000(\\u0000)?(.+?)\\u0000("?)', text)
        self._parse_segments(parts)

    def _resolve(self, index: int, reference: str, metadata: Mapping[str, Any]) -> str:
        """A search parameter's name, or `=` and the constant or mark that a metadata reference stands for."""
        match = METADATA_REFERENCE.search(reference)
        if match is None:
            return reference
        key = match.group(1)
        if key == "Name":
            return f"{_MARK}{_NAME}"
        if key == "Namespace":
            return f"{_MARK}{_NAMESPACE}"
        if key == "Kind":
            return "=" + self.kind
        if key == "APIVersion":
            return "=" + self.api_version
        indexed = _INDEXED_KEY.fullmatch(key)
        if indexed and indexed.group(1) in ("Labels", "Annotations"):
            values = metadata.get(indexed.group(1).lower()) or {}
            if indexed.group(2) in values:
                return "=" + str(values[indexed.group(2)])
        path = f"spec.trialTemplate.trialParameters[{index}].reference"
        raise InvalidInput([FieldError(path, f"{reference!r} names nothing in the template's metadata")])

    def _mark(self, value: Any) -> Any:
        if isinstance(value, str):
            bare = isinstance(value, _BareScalar)

            def mark(match: re.Match[str]) -> str:
                name = match.group(1)
                if name not in self._references:
                    path = "spec.trialTemplate.trialParameters"
                    raise InvalidInput(
                        [FieldError(path, f"the template uses ${{trialParameters.{name}}}, not declared")]
                    )
                reference = self._references[name]
                if reference.startswith("="):
                    return reference[1:]
                if reference.startswith(_MARK):
                    return f"{reference}{_MARK}"
                return f"{_MARK}{_MARK if bare else ''}{reference}{_MARK}"

            return PLACEHOLDER.sub(mark, value)
        if isinstance(value, Mapping):
            return {self._mark(str(key)): self._mark(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._mark(item) for item in value]
        return value

    def _parse_segments(self, parts: list[str]) -> None:
        """`parts` = text, quote, bare mark, reference, quote, text, …; becomes literals and references in turn."""
        literal = parts[0]
        self._literals: list[str] = []
        self._slots: list[tuple[str, bool]] = []
        for at in range(1, len(parts), 5):
            opening, bare, reference, closing, following = parts[at : at + 5]
            is_bare = bool(bare)
            self._literals.append(literal if is_bare else literal + (opening or ""))
            self._slots.append((msgspec.json.decode(f'"{reference}"', type=str), is_bare))
            literal = following if is_bare else (closing or "") + following
        self._literals.append(literal)

    def render(self, trial_name: str, namespace: str, assignments: Sequence[ParameterAssignment]) -> msgspec.Raw:
        """The worker job of a Trial as JSON, named after it.

        Raises:
            InvalidInput: an assignment is missing.
        """
        values = {assignment.name: assignment.value for assignment in assignments}
        values[_NAME], values[_NAMESPACE] = trial_name, namespace
        pieces: list[str] = []
        for literal, (reference, bare) in zip(self._literals, self._slots, strict=False):
            pieces.append(literal)
            try:
                value = values[reference]
            except KeyError:
                message = f"there is no assignment for the parameter {reference!r}"
                raise InvalidInput([FieldError("spec.trialTemplate.trialParameters", message)]) from None
            pieces.append(_bare(value) if bare else _escaped(value))
        pieces.append(self._literals[-1])
        return msgspec.Raw("".join(pieces).encode())


def _escaped(value: str) -> str:
    return value if value.isalnum() else msgspec.json.encode(value).decode()[1:-1]


def _bare(value: str) -> str:
    """What an unquoted value reads as in YAML: a number, a boolean, else a text."""
    read = yaml.load(value, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        number = float(value)
    except ValueError:
        pass
    else:  # YAML 1.1 takes 1e-05 for a text
        return value if isinstance(read, int) else msgspec.json.encode(number).decode()
    return msgspec.json.encode(read if isinstance(read, bool) else value).decode()
