"""Events as core/v1 Events: written by a thread of their own, equal ones counted.

Events are worth telling, not worth waiting for: a reconcile only leaves them here. Where the API server does not keep
up, equal events that wait are counted as one, and beyond a limit the newest are dropped, which is said in the log.
"""

import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from pykatib.api import names, wire
from pykatib.api.errors import NotFound, PykatibError, Unavailable
from pykatib.api.meta import Value
from pykatib.api.objects import Event
from pykatib.api.times import rfc3339, seconds_of
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer, Forbidden, decoded
from pykatib.store.kubernetes.resources import Resource

logger = logging.getLogger(__name__)

EVENTS = Resource("v1", "Event", "events", has_status=False)
REMEMBERED = 4_000
WAITING = 2_000
FLUSH_SECONDS = 5.0
PAUSE_SECONDS = 1.0

_COMPONENTS = {
    names.EXPERIMENT: "experiment-controller",
    names.SUGGESTION: "suggestion-controller",
    names.TRIAL: "trial-controller",
}


class EventKey(NamedTuple):
    """What makes two events equal."""

    namespace: str
    name: str
    kind: str
    uid: str
    type: str
    reason: str
    message: str


class _Involved(Value, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""


class _Name(Value, frozen=True):
    name: str = ""
    namespace: str = ""


class _Source(Value, frozen=True):
    component: str = ""


class _CoreEvent(Value, frozen=True):
    metadata: _Name
    involved_object: _Involved
    reason: str | None = None
    message: str | None = None
    type: str | None = None
    source: _Source | None = None
    count: int | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None


class _EventList(msgspec.Struct):
    items: list[_CoreEvent] | None = None


class _Written(NamedTuple):
    name: str
    times: int


_list_decoder = msgspec.json.Decoder(_EventList)


class EventRecorder:
    """Writes events. Any thread may record."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._changed = threading.Condition()
        self._waiting: OrderedDict[EventKey, tuple[int, float]] = OrderedDict()  # count and latest time
        self._written: OrderedDict[EventKey, _Written] = OrderedDict()
        self._busy = False
        self._over = False
        self.dropped_count = 0
        self._thread = threading.Thread(target=self._run, name="pykatib-events", daemon=True)
        self._thread.start()

    def record(self, event: Event, uid: str) -> None:
        """Takes an event in; returns at once."""
        key = EventKey(event.namespace, event.name, event.kind, uid, event.type, event.reason, event.message)
        with self._changed:
            count, _ = self._waiting.get(key, (0, 0.0))
            if not count and len(self._waiting) >= WAITING:
                self.dropped_count += 1
                if self.dropped_count % 1000 == 1:
                    logger.warning("the API server takes events too slowly; %d dropped so far", self.dropped_count)
                return
            self._waiting[key] = (count + event.count, event.time)
            self._changed.notify_all()

    def flush(self) -> None:
        """Waits until all are written, for a while."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or not (self._waiting or self._busy), FLUSH_SECONDS)

    def close(self) -> None:
        """Writes what waits, and ends the thread."""
        self.flush()
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._over or self._waiting)
                if self._over:
                    return
                key, (count, time) = self._waiting.popitem(last=False)
                self._busy = True
            try:
                self._write(key, count, time)
            except PykatibError as error:
                if isinstance(error, Unavailable) and not isinstance(error, Forbidden):
                    logger.debug("events wait: %s", error)
                    self._put_back(key, count, time)
                else:
                    logger.info("an event could not be written: %s", error)

    def _put_back(self, key: EventKey, count: int, time: float) -> None:
        """Keeps an event for when the server answers again."""
        with self._changed:
            more, latest = self._waiting.get(key, (0, time))
            self._waiting[key] = (count + more, max(time, latest))
            self._waiting.move_to_end(key, last=False)
            self._changed.wait_for(lambda: self._over, PAUSE_SECONDS)

    def _write(self, key: EventKey, count: int, time: float) -> None:
        path = EVENTS.collection(key.namespace)
        before = self._written.get(key)
        if before is not None:
            now = _Written(before.name, before.times + count)
            patch = wire.encode({"count": now.times, "lastTimestamp": rfc3339(time)})
            try:
                self._server.request("PATCH", f"{path}/{before.name}", body=patch, content_type=MERGE_PATCH)
            except NotFound:  # forgotten by the server after an hour
                before = None
            else:
                self._written[key] = now
                self._written.move_to_end(key)
        if before is None:
            name = f"{key.name}.{uuid.uuid4().hex[:16]}"
            self._server.request("POST", path, body=wire.encode(_body(key, name, count, time)))
            self._written[key] = _Written(name, count)
            if len(self._written) > REMEMBERED:
                self._written.popitem(last=False)


def _body(key: EventKey, name: str, count: int, time: float) -> _CoreEvent:
    moment = rfc3339(time)
    api_version = names.API_VERSION if key.kind in _COMPONENTS else "batch/v1"
    return _CoreEvent(
        metadata=_Name(name, key.namespace),
        involved_object=_Involved(key.kind, key.namespace, key.name, key.uid, api_version),
        reason=key.reason,
        message=key.message[:1024],  # more is refused
        type=key.type,
        source=_Source(_COMPONENTS.get(key.kind, "katib")),
        count=count,
        first_timestamp=moment,
        last_timestamp=moment,
    )


def events_of(
    request: Callable[..., bytes], *, namespace: str, name: str | None = None, kind: str | None = None
) -> list[Event]:
    """The events of an object or a namespace, the least recent first."""
    fields = {"involvedObject.name": name, "involvedObject.kind": kind}
    selector = ",".join(f"{field}={value}" for field, value in fields.items() if value is not None)
    path = EVENTS.collection(namespace)
    found = decoded(request("GET", path, params={"fieldSelector": selector} if selector else None), _list_decoder, path)
    events = [_event(each) for each in found.items or ()]
    return sorted(events, key=lambda event: event.time)


def _event(core: _CoreEvent) -> Event:
    moment = core.last_timestamp or core.event_time or core.first_timestamp
    return Event(
        core.involved_object.kind,
        core.involved_object.namespace,
        core.involved_object.name,
        core.type or "",
        core.reason or "",
        core.message or "",
        seconds_of(moment) if moment else 0.0,
        core.count or 1,
    )
