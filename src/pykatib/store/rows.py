"""Objects and events as rows. An object's append logs are kept apart, one row an entry, and are never rewritten.

Which fields are append logs is read from the types, so a new one needs no word here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias, cast, get_args, get_origin

import msgspec
from msgspec.structs import replace

from pykatib.api import wire
from pykatib.api.objects import Event, Object
from pykatib.api.sequences import EMPTY_LOG, AppendLog

Entries: TypeAlias = Mapping[str, Sequence[bytes]]  # by the field's dotted name


class LogField(NamedTuple):
    """An append log within objects of a kind."""

    name: str
    path: tuple[str, ...]
    item: Any  # the type of its entries


@cache
def log_fields(kind: type[Object]) -> tuple[LogField, ...]:
    """The append logs of a type of objects."""
    return tuple(_log_fields(kind, ()))


def _log_fields(struct: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[LogField]:
    for field in msgspec.structs.fields(struct):
        here = (*path, field.name)
        if get_origin(field.type) is AppendLog:
            (item,) = get_args(field.type)
            yield LogField(".".join(here), here, item)
        elif isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _log_fields(field.type, here)


def log_of(obj: Object, field: LogField) -> AppendLog[Any]:
    """The append log at a field."""
    value: Any = obj
    for name in field.path:
        value = getattr(value, name)
    return cast("AppendLog[Any]", value)


def body_of(obj: Object) -> bytes:
    """The object's JSON without its append logs."""
    for field in log_fields(type(obj)):
        obj = _with(obj, field.path, EMPTY_LOG)
    return wire.encode(obj)


def entry_of(item: Any) -> bytes:
    """The JSON of an append log's entry."""
    return wire.encode(item)


def object_of(kind: str, body: bytes, entries: Entries) -> Object:
    """The object that its body and entries describe. Raises msgspec.MsgspecError."""
    obj = wire.decode(body, wire.type_of(kind))
    for field in log_fields(type(obj)):
        kept = entries.get(field.name)
        if kept:
            obj = _with(obj, field.path, AppendLog(wire.decode(entry, field.item) for entry in kept))
    return obj


def _with(value: Any, path: tuple[str, ...], log: AppendLog[Any]) -> Any:
    name, *rest = path
    return replace(value, **{name: _with(getattr(value, name), tuple(rest), log) if rest else log})


def grouped(rows: Iterable[tuple[str, str, bytes]]) -> dict[str, dict[str, list[bytes]]]:
    """Rows of (uid, field, body), in order, as entries by uid."""
    by_uid: dict[str, dict[str, list[bytes]]] = {}
    for uid, field, body in rows:
        by_uid.setdefault(uid, {}).setdefault(field, []).append(body)
    return by_uid


EVENT_COLUMNS = "kind, namespace, name, type, reason, message, time, count"


def event_row(number: int, event: Event) -> tuple[Any, ...]:
    """The row of an event: its number, then EVENT_COLUMNS."""
    return (
        number,
        event.kind,
        event.namespace,
        event.name,
        event.type,
        event.reason,
        event.message,
        event.time,
        event.count,
    )
