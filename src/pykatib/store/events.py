"""A bounded book of events: equal ones are counted, the ones not heard of for longest are forgotten."""

from typing import TypeAlias

import msgspec

from pykatib.api.objects import Event

EventKey: TypeAlias = tuple[str, str, str, str, str, str]


class EventBook:
    """The latest `limit` different events. An event's number is its own for life and grows with each new one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: dict[EventKey, tuple[int, Event]] = {}
        self._last_number = 0

    def record(self, event: Event) -> tuple[int, Event]:
        """Keeps or counts the event; answers its number and what is now kept of it."""
        key = _key(event)
        known = self._events.pop(key, None)
        if known is None:
            self._last_number += 1
            entry = (self._last_number, event)
            if len(self._events) >= self._limit:
                del self._events[next(iter(self._events))]
        else:
            entry = (known[0], msgspec.structs.replace(event, count=known[1].count + event.count))
        self._events[key] = entry
        return entry

    def restore(self, number: int, event: Event) -> None:
        """Takes back an event that was kept elsewhere, under its number; to be called with the least recent first."""
        self._last_number = max(self._last_number, number)
        self._events[_key(event)] = (number, event)

    def of(self, *, namespace: str, name: str | None, kind: str | None) -> list[Event]:
        """The events of an object or of a namespace, the least recent first."""
        return [
            event
            for (of_namespace, of_name, of_kind, *_), (_, event) in self._events.items()
            if of_namespace == namespace and name in (None, of_name) and kind in (None, of_kind)
        ]


def _key(event: Event) -> EventKey:
    return (event.namespace, event.name, event.kind, event.type, event.reason, event.message)
