"""Files that a person wrote, as typed objects: YAML (several documents) or JSON.

Promises: whatever the bytes are, the answer is objects or InvalidInput. What is not YAML is named with source, line and
column; what is YAML but no object of ours, with all unknown fields and wrong types at once, each by its path, with what
was found and what would do.
"""

import json
from typing import Any, NamedTuple, NoReturn, TypeAlias

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.objects import TYPED_KINDS, ConfigMap, Secret
from pykatib.api.schema_walk import did_you_mean, shown, walk_tree
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.api.yaml_tree import MAX_DEPTH, place, refusal, yaml_documents

MAX_BYTES = 16 * 1024 * 1024

ManifestObject: TypeAlias = Experiment | Suggestion | Trial | ConfigMap | Secret


class Document(NamedTuple):
    """One document of a file: the tree, where it came from, and the line (from 1) on which it starts."""

    value: dict[str, Any]
    source: str = ""
    line: int = 1


def load_documents(text: str | bytes, *, source: str) -> list[Document]:
    """The documents of a YAML or JSON text; empty ones are left out.

    Raises:
        InvalidInput: the text is not YAML or JSON, is too large, or holds something that is not a mapping.
    """
    content = _text_of(text, source)
    if content.lstrip()[:1] == "{":
        document = _load_json(content, source)
        if document is not None:
            return [document]
    return [
        Document(_mapping_of(value, line, source), source, line)
        for value, line in yaml_documents(content, source)
        if value is not None
    ]


def _text_of(text: str | bytes, source: str) -> str:
    size = len(text)
    if size <= MAX_BYTES:
        try:
            if isinstance(text, bytes):
                return text.decode("utf-8-sig")
            size = len(text.encode())
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
            raise refusal(
                source, line, column, f"this is not UTF-8 text: found the byte 0x{error.object[error.start]:02x}"
            ) from error
        except UnicodeEncodeError as error:
            line, column = place(error.object, error.start)
            raise refusal(source, line, column, "this is not text: found half of a surrogate pair") from error
    if size > MAX_BYTES:
        raise InvalidInput(
            [FieldError("", f"the file has {size} bytes; at most {MAX_BYTES} (16 MiB) are read")], source=source
        )
    return text.removeprefix("\ufeff") if isinstance(text, str) else ""


def _mapping_of(value: object, line: int, source: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    found = "a list" if isinstance(value, list) else "a single value"
    raise refusal(
        source, line, 1, f"a document must be a mapping (`apiVersion: …`, `kind: …`), but this one is {found}"
    )


class _NotPlainJsonError(Exception):
    """The text needs the YAML reader, which names the place of whatever is wrong."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NotPlainJsonError
    return members


def _no_constant(_: str) -> NoReturn:
    raise _NotPlainJsonError


def _load_json(text: str, source: str) -> Document | None:
    """A JSON text, or None where something is wrong with it: YAML includes JSON, and its reader knows places."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        if not isinstance(value, dict) or _too_deep(value):
            return None
        msgspec.json.encode(value)  # refuses lone surrogates
    except (_NotPlainJsonError, ValueError, OverflowError, RecursionError):
        return None
    return Document(value, source, 1)


def _too_deep(value: object) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


class Examined(NamedTuple):
    """What could be read of a document (None where nothing could), its mistakes, and the paths not to rely on."""

    value: ManifestObject | None
    errors: tuple[FieldError, ...]
    unsound: tuple[str, ...] = ()


def examine_object(document: Document) -> Examined:
    """The object of a document, or what can be had of it, with all mistakes of structure."""
    tree = document.value
    kind, api_version = tree.get("kind"), tree.get("apiVersion")
    errors: list[FieldError] = []
    if not isinstance(kind, str) or kind not in TYPED_KINDS:
        errors.append(FieldError("kind", _unknown_kind(kind)))
        return Examined(None, tuple(errors))
    wanted = names.API_VERSION if kind in (names.EXPERIMENT, names.SUGGESTION, names.TRIAL) else "v1"
    if api_version != wanted:
        found = "nothing" if api_version is None else shown(api_version)
        errors.append(FieldError("apiVersion", f"found {found}; the kind {kind} is of {wanted}"))
    value, mistakes, unsound = walk_tree({**tree, "apiVersion": wanted}, TYPED_KINDS[kind])
    errors.extend(mistakes)
    if value is not None and kind != names.EXPERIMENT and not value.metadata.name:
        errors.append(
            FieldError("metadata.name", "is required: every object but an Experiment needs a name of its own")
        )
    return Examined(value, tuple(errors), unsound)


def decode_object(document: Document) -> ManifestObject:
    """The object of a document. Raises InvalidInput with every unknown field and wrong type."""
    value, errors, _ = examine_object(document)
    if errors or value is None:
        raise InvalidInput(errors, source=document.source)
    return value


def _unknown_kind(kind: object) -> str:
    known = ", ".join(TYPED_KINDS)
    if kind is None:
        return f"is required; known kinds are {known}"
    hint = did_you_mean(kind, TYPED_KINDS) if isinstance(kind, str) else ""
    return f"found {shown(kind)}; known kinds are {known}{hint}"
