"""YAML text as plain trees, safe and bounded.

Nothing in a text can make this module run code, recurse, or use memory far beyond the text's own size: depth, size, and
what aliases repeat are capped. Two equal keys in one mapping are a mistake, never a choice.

Scalars are read as `kubectl` reads them, not as PyYAML does: dates and `1:30` stay text, `1e-3` is a number, `yes`,
`no`, `on` and `off` are booleans, `012` is octal. So one manifest means the same here and on a cluster.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import yaml

from pykatib.api.errors import FieldError, InvalidInput

MAX_DEPTH = 100
MAX_ALIASED = 4 * 1024 * 1024  # characters and nodes that aliases may repeat, all together

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_CORE_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))
_MERGE = "<<"

_TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_NUMBER_START = frozenset("+-.0123456789")
_INT = re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOATS = {sign + dot: float(sign + dot[1:]) for sign in ("", "+", "-") for dot in (".inf", ".Inf", ".INF")} | {
    dot: float("nan") for dot in (".nan", ".NaN", ".NAN")
}
_MAX_DIGITS = 300

Plain: TypeAlias = Callable[[str], Any]
"""What an unquoted scalar is read as."""


class _Node:
    """A mapping or list under construction."""

    __slots__ = ("anchor", "height", "key", "merges", "size", "value")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: str | None = None  # a mapping's key that waits for its value
        self.merges: list[dict[str, Any]] = []
        self.size = 1
        self.height = 1


class _Builder:
    """Makes trees out of parser events, without recursion, counting what it makes."""

    def __init__(self, source: str, plain: Plain) -> None:
        self.source = source
        self.plain = plain
        self.stack: list[_Node] = []
        self.anchors: dict[str, tuple[Any, int, int]] = {}  # value, size, height
        self.aliased = 0
        self.result: Any = None

    def start(self, event: Any, value: dict[str, Any] | list[Any]) -> None:
        self.check_tag(event)
        if len(self.stack) >= MAX_DEPTH:
            raise self.mistake(event, f"the nesting is deeper than {MAX_DEPTH} levels")
        if self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None:
            raise self.mistake(event, "a mapping's key must be a single value")
        self.stack.append(_Node(value, event.anchor))

    def end(self, event: Any) -> None:
        node = self.stack.pop()
        if isinstance(node.value, dict):
            for merged in node.merges:
                for key, value in merged.items():
                    node.value.setdefault(key, value)
        self.add(event, node.value, node.size, node.height, node.anchor)

    def scalar(self, event: Any) -> None:
        self.check_tag(event)
        text: str = event.value
        if self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None:
            self.add_key(event, text)
            return
        self.add(event, self.value_of(event, text), 1 + len(text), 0, event.anchor)

    def add_key(self, event: Any, text: str) -> None:
        node = self.stack[-1]
        if event.anchor is not None:
            self.anchors[event.anchor] = (text, 1 + len(text), 0)
        if text in node.value:
            raise self.mistake(event, f"the key `{text}` stands twice in the same mapping")
        node.key = text
        node.size += 1 + len(text)
        if text != _MERGE or event.style:
            node.value[text] = None  # type: ignore[call-overload]  # a mapping: seen, so that it cannot come twice

    def alias(self, event: Any) -> None:
        known = self.anchors.get(event.anchor)
        if known is None:
            raise self.mistake(event, f"the alias `*{event.anchor}` has no finished anchor `&{event.anchor}` before it")
        value, size, height = known
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            raise self.mistake(event, f"aliases repeat more than {MAX_ALIASED} characters")
        if len(self.stack) + height > MAX_DEPTH:
            raise self.mistake(event, f"the nesting is deeper than {MAX_DEPTH} levels")
        if self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None:
            raise self.mistake(event, "an alias as a key is not understood; write the key out")
        self.add(event, value, size, height, None)

    def add(self, event: Any, value: Any, size: int, height: int, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = (value, size, height)
        if not self.stack:
            self.result = value
            return
        node = self.stack[-1]
        node.size += size
        node.height = max(node.height, height + 1)
        if isinstance(node.value, list):
            node.value.append(value)
            return
        assert node.key is not None
        if node.key == _MERGE and _MERGE not in node.value:
            sources = value if isinstance(value, list) else [value]
            if not all(isinstance(merged, dict) for merged in sources):
                raise self.mistake(event, "`<<` merges mappings only")
            node.merges.extend(sources)
        else:
            node.value[node.key] = value
        node.key = None

    def value_of(self, event: Any, text: str) -> Any:
        tag: str | None = event.tag
        if (event.implicit[1] and not event.implicit[0]) or tag == _TAG + "str" or tag == "!":
            return text
        if tag is None and not event.implicit[0]:
            return text
        if len(text) > _MAX_DIGITS and (_INT.fullmatch(text) or _FLOAT.fullmatch(text)):
            raise self.mistake(event, f"a number of {len(text)} digits is more than anything here can hold")
        value = self.plain(text) if tag is None else plain_value(text)
        if tag is None or tag == _TAG + _KIND_OF[type(value)]:
            return value
        if tag == _TAG + "float" and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        raise self.mistake(event, f"`{text[:40]}` is not of the type that its tag says")

    def check_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!" and event.tag not in _CORE_TAGS:
            name = event.tag.removeprefix(_TAG)
            raise self.mistake(event, f"the tag `{name[:60]}` is not understood here; write the value without a tag")

    def mistake(self, event: Any, message: str) -> InvalidInput:
        mark = event.start_mark
        return refusal(self.source, mark.line + 1, mark.column + 1, message)


_KIND_OF = {str: "str", int: "int", float: "float", bool: "bool", type(None): "null"}


def _int_of(text: str) -> int | float | str:
    digits = text.replace("_", "")
    body = digits.lstrip("+-")
    try:
        value = int(digits, 8) if len(body) > 1 and body.isdigit() and body[0] == "0" else int(digits, 0)
    except ValueError:  # 08, 0x_, 1__ of nothing: kubectl reads `08` as the float 8
        return float(digits) if body.isdigit() else text
    return value if -(2**63) <= value < 2**64 else float(value)


def plain_value(text: str) -> Any:
    """The value of a plain (unquoted) scalar, by the rules that kubectl's YAML reader follows."""
    if text in _NULL:
        return None
    if text[0] in _NUMBER_START:
        if len(text) <= _MAX_DIGITS:
            if _INT.fullmatch(text):
                return _int_of(text)
            if _FLOAT.fullmatch(text):
                return float(text)
        return _SPECIAL_FLOATS.get(text, text)
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    return text


def yaml_documents(text: str, source: str, *, plain: Plain = plain_value) -> Iterator[tuple[Any, int]]:
    """Each document of the text and the line (from 1) on which it starts. Raises InvalidInput."""
    try:
        yield from _documents(text, source, plain)
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, source) from error


def refusal(source: str, line: int, column: int, message: str) -> InvalidInput:
    """A mistake at a place of a text."""
    return InvalidInput([FieldError(f"line {line}, column {column}", message)], source=source)


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of a character."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def _documents(text: str, source: str, plain: Plain) -> Iterator[tuple[Any, int]]:
    builder = _Builder(source, plain)
    line = 1
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.ScalarEvent):
            builder.scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            builder.start(event, {})
        elif isinstance(event, yaml.SequenceStartEvent):
            builder.start(event, [])
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            builder.end(event)
        elif isinstance(event, yaml.AliasEvent):
            builder.alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            builder = _Builder(source, plain)
            line = getattr(event.end_mark, "line", 0) + 1
        elif isinstance(event, yaml.DocumentEndEvent):
            yield builder.result, line


def _syntax_error(error: yaml.YAMLError, text: str, source: str) -> InvalidInput:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if mark is not None:
        line, column = mark.line + 1, mark.column + 1
        lines = text.split("\n", mark.line + 1)
        here = lines[mark.line] if mark.line < len(lines) else ""
        if "\t" in here[: mark.column + 1]:
            problem = "a tab is used where YAML wants spaces"
    else:
        offset = getattr(error, "position", None)
        line, column = place(text, offset if isinstance(offset, int) and offset >= 0 else 0)
        found = next((index for index, letter in enumerate(text) if letter < " " and letter not in "\t\n\r"), None)
        if found is not None:
            line, column = place(text, found)
            problem = f"found the control character 0x{ord(text[found]):02x}; this is not a text file"
    return InvalidInput([FieldError(f"line {line}, column {column}", f"this is not YAML: {problem}")], source=source)
