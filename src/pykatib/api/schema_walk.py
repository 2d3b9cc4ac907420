"""Plain trees to typed values, with every mistake found at once.

`msgspec` stops at the first mistake and names it in its own words. This walker goes through a tree beside the type that
it should have, notes each unknown field and wrong type with its Kubernetes-style path and what would do, and leaves
the bad spots out; what remains is then converted. So a person sees all mistakes of a manifest in one go, and the
checks of values can still run over the parts that are sound.
"""

import difflib
import math
import types
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from pykatib.api import wire
from pykatib.api.errors import FieldError
from pykatib.api.meta import ObjectMeta
from pykatib.api.sequences import AppendLog

T = TypeVar("T")

# What API servers add to the metadata of every object that they hand out, and nobody here reads.
_SERVER_FIELDS: Mapping[type, frozenset[str]] = {
    ObjectMeta: frozenset({"managedFields", "selfLink", "clusterName"}),
}
_MAX_DEPTH = 110
_MAX_ERRORS = 200  # nobody reads more, and each costs a search for the nearest name
_MAX_CANDIDATES = 1000
_MAX_LISTED = 60


class Walked(NamedTuple):
    """What could be read, the mistakes, and the paths where something is left out or stands in for what was meant."""

    value: Any
    errors: tuple[FieldError, ...]
    unsound: tuple[str, ...]


def decode_tree(
    value: object, kind: type[T], *, path: str = "", is_placeholder: Callable[[str], bool] | None = None
) -> tuple[T | None, tuple[FieldError, ...]]:
    """The typed value of a tree with all mistakes; where there are any, it holds what could be read.

    A text for which `is_placeholder` holds stands for any single value; such fields are left out of the result.
    """
    walked = walk_tree(value, kind, path=path, is_placeholder=is_placeholder)
    return walked.value, walked.errors


def walk_tree(
    value: object,
    kind: type[T],
    *,
    path: str = "",
    is_placeholder: Callable[[str], bool] | None = None,
    is_number_to_be: Callable[[str], bool] | None = None,
) -> Walked:
    """As `decode_tree`, and says which paths cannot be relied on.

    A text for which `is_number_to_be` holds will be a number once it is filled in, so text is no place for it.
    """
    walk = _Walk(is_placeholder, is_number_to_be)
    cleaned = walk.visit(kind, value, path)
    if cleaned is _BAD:
        return Walked(None, tuple(walk.errors), tuple(walk.unsound))
    decoded = wire.decode(msgspec.json.encode(cleaned), kind)
    return Walked(decoded, tuple(walk.errors), tuple(walk.unsound))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant."""
    candidates = list(islice(known, _MAX_CANDIDATES + 1))
    if len(candidates) > _MAX_CANDIDATES:
        return None
    plain = {_plain(name): name for name in candidates}
    if _plain(word) in plain:
        return plain[_plain(word)]
    close = difflib.get_close_matches(_plain(word[:200]), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` or nothing."""
    name = nearest(word, known)
    return f"; did you mean `{name}`?" if name is not None else ""


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first of them, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _MAX_LISTED} more" if len(every) > _MAX_LISTED else ""
    return ", ".join(every[:_MAX_LISTED]) + more


def join(path: str, name: str) -> str:
    """The path of a member; names that would not read as one are put in brackets."""
    if name and all(letter.isalnum() or letter in "-_" for letter in name):
        return f"{path}.{name}" if path else name
    return f"{path}[{shown(name)}]"


def shown(value: object) -> str:
    """A found value for a message: as JSON, shortened."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(value, ".nan")
    try:
        text = msgspec.json.encode(str(value) if isinstance(value, str) else value).decode()
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()


class _Bad:
    """Stands for a value that is left out."""


_BAD: Any = _Bad()


class _Member(NamedTuple):
    type: Any
    required: bool


@cache
def _members(kind: type) -> Mapping[str, _Member]:
    return {field.encode_name: _Member(field.type, field.required) for field in msgspec.structs.fields(kind)}


@cache
def _alternatives(kind: Any) -> tuple[Any, ...]:
    """The types of a union without None; the type itself where it is none."""
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(option for option in get_args(kind) if option is not type(None))
    return (kind,)


def _stand_in(kind: Any) -> Any:
    """The emptiest JSON that reads as the type: keeps the place of what could not be read."""
    option = _alternatives(kind)[0]
    origin = get_origin(option) or option
    if origin in (tuple, list, AppendLog):
        return []
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        return {name: _stand_in(member.type) for name, member in _members(origin).items() if member.required}
    return {str: "", bool: False, int: 0, float: 0}.get(option, {})


_WANTED = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class _Walk:
    def __init__(
        self, is_placeholder: Callable[[str], bool] | None, is_number_to_be: Callable[[str], bool] | None
    ) -> None:
        self.errors: list[FieldError] = []
        self.unsound: list[str] = []
        self.is_placeholder = is_placeholder
        self.is_number_to_be = is_number_to_be

    def visit(self, kind: Any, value: Any, path: str) -> Any:
        """The value as JSON of that type may have it, or `_BAD`; None is for the caller to leave out."""
        options = _alternatives(kind)
        if len(options) > 1:
            return self.visit_scalar(options, value, path)
        option = options[0]
        origin = get_origin(option) or option
        if option is Any:
            return self.visit_any(value, path, 0)
        if option is msgspec.Raw:
            return self.visit_mapping_of(Any, value, path)
        if origin is dict:
            return self.visit_mapping_of(get_args(option)[1], value, path)
        if origin in (tuple, list, AppendLog):
            return self.visit_list_of(get_args(option)[0], value, path)
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return self.visit_struct(option, value, path)
        return self.visit_scalar(options, value, path)

    def visit_struct(self, kind: type, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return self.wrong(path, value, f"a mapping with fields such as {_some(_members(kind))}")
        members = _members(kind)
        cleaned: dict[str, Any] = {}
        for key, child in value.items():
            name = str(key)
            member = members.get(name)
            if member is None:
                if name not in _SERVER_FIELDS.get(kind, ()):
                    self.unknown(name, members, path)
            elif child is not None:
                result = self.visit(member.type, child, join(path, name))
                if result is not _BAD:
                    cleaned[name] = result
        for name, member in members.items():
            if member.required and name not in cleaned:
                cleaned[name] = _stand_in(member.type)
                if value.get(name) is None and not self.is_full(path):
                    self.unsound.append(join(path, name))
                    self.errors.append(FieldError(join(path, name), f"is required: {_described(member.type)}"))
        return cleaned

    def visit_mapping_of(self, kind: Any, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return self.wrong(path, value, "a mapping")
        if kind is Any:
            return self.visit_any(value, path, 0)
        results = {
            str(name): self.visit(kind, child, join(path, str(name)))
            for name, child in value.items()
            if child is not None and self.is_text(str(name), path)
        }
        return {name: result for name, result in results.items() if result is not _BAD}

    def visit_list_of(self, kind: Any, value: Any, path: str) -> Any:
        if not isinstance(value, list):
            return self.wrong(path, value, f"a list of {_described(kind, plural=True)}")
        results = [self.visit(kind, child, f"{path}[{index}]") for index, child in enumerate(value)]
        return [_stand_in(kind) if result is _BAD else result for result in results]

    def visit_scalar(self, options: tuple[Any, ...], value: Any, path: str) -> Any:
        if options == (str,) and isinstance(value, str) and self.is_number_to_be and self.is_number_to_be(value):
            return self.wrong(path, value, "text; this will be a number: write the placeholder in quotes")
        if isinstance(value, str) and str not in options and self.is_placeholder and self.is_placeholder(value):
            return _BAD  # it will be filled in; nothing can be said about it now
        if isinstance(value, bool):
            if bool in options:
                return value
        elif isinstance(value, int):
            if int in options or float in options:
                if -(2**63) <= value < 2**63:
                    return value
                return self.wrong(path, value, "a whole number of at most 64 bits")
        elif isinstance(value, float):
            if float in options:
                if math.isfinite(value):
                    return value
                return self.wrong(path, value, "a finite number")
            if int in options and value.is_integer() and abs(value) < 2**63:
                return int(value)
        elif isinstance(value, str) and str in options:
            return str(value) if self.is_text(value, path) else _BAD
        wanted = " or ".join(_WANTED.get(option, str(option)) for option in options)
        return self.wrong(path, value, wanted + _advice(options, value))

    def visit_any(self, value: Any, path: str, depth: int) -> Any:
        """Free JSON: only what has no JSON form is refused."""
        if depth > _MAX_DEPTH:
            return self.wrong(path, value, "a tree that is less deep")
        if isinstance(value, dict):
            items = {
                str(key): self.visit_any(child, join(path, str(key)), depth + 1)
                for key, child in value.items()
                if self.is_text(str(key), path)
            }
            return {key: child for key, child in items.items() if child is not _BAD}
        if isinstance(value, list):
            entries = [self.visit_any(child, f"{path}[{index}]", depth + 1) for index, child in enumerate(value)]
            return [child for child in entries if child is not _BAD]
        if isinstance(value, float) and not math.isfinite(value):
            return self.wrong(path, value, "a finite number (JSON has no others), or text in quotes")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            return self.wrong(path, value, "a number of at most 64 bits, or text in quotes")
        if isinstance(value, str):
            return str(value) if self.is_text(value, path) else _BAD
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.wrong(path, value, "text, a number, true, false, a list or a mapping")

    def is_text(self, text: str, path: str) -> bool:
        """Whether UTF-8 can say it; half of a surrogate pair, as in the JSON "\\ud800", it cannot."""
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                self.wrong(path, ascii(text), "text without halves of surrogate pairs")
                return False
        return True

    def unknown(self, name: str, members: Mapping[str, _Member], path: str) -> None:
        if self.is_full(path):
            return
        meant = nearest(name, members)
        if meant is not None:
            self.unsound.append(join(path, meant))
        hint = f"; did you mean `{meant}`?" if meant is not None else f"; known here: {listed(sorted(members))}"
        self.errors.append(FieldError(join(path, name), f"unknown field{hint}"))

    def wrong(self, path: str, value: Any, wanted: str) -> Any:
        self.unsound.append(path)
        if self.is_full(path):
            return _BAD
        found = "nothing" if value is None else shown(value)
        if isinstance(value, str):
            found = f"the text {found}"
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = f"the number {found}"
        self.errors.append(FieldError(path, f"found {found}, wanted {wanted}"))
        return _BAD

    def is_full(self, path: str) -> bool:
        if len(self.errors) == _MAX_ERRORS:
            self.errors.append(FieldError(path, "there are more mistakes than are told here"))
        return len(self.errors) > _MAX_ERRORS


def _advice(options: tuple[Any, ...], value: Any) -> str:
    if str in options:
        if isinstance(value, bool):
            return f': write it in quotes: "{shown(value)}" (unquoted yes, no, on and off are true and false in YAML)'
        if isinstance(value, int | float):
            return f': write it in quotes: "{shown(value)}"'
        return ""
    if isinstance(value, str):
        text = value.strip()
        if int in options and text.lstrip("+-").isdecimal():
            return f": write it without quotes: {text}"
        if float in options and _is_number(text):
            return f": write it without quotes: {text}"
        if bool in options and text.lower() in ("true", "false"):
            return f": write it without quotes: {text.lower()}"
    return ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _described(kind: Any, *, plural: bool = False) -> str:
    option = _alternatives(kind)[0]
    origin = get_origin(option) or option
    if option in _WANTED:
        plain = {str: "texts", int: "whole numbers", float: "numbers", bool: "booleans"}
        return plain[option] if plural else _WANTED[option]
    if origin in (tuple, list, AppendLog):
        return "lists" if plural else "a list"
    return "mappings" if plural else "a mapping"


def _some(members: Mapping[str, _Member]) -> str:
    names = [f"`{name}`" for name in members]
    return ", ".join(names[:4])
