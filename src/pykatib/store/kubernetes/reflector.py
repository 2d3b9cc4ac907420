"""Follows one kind in an API server: lists it, then watches it, and goes on from where it was whatever happens.

What it learns goes as deltas to whoever takes them; nothing is told here. A watch that breaks off is taken up at the
version last heard of (bookmarks move it on while nothing changes). Where that version is too old, the kind is listed
anew, in pages, and told as one `Replaced`: the difference to what was known is the taker's to find.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from pykatib.api.errors import PykatibError, Unavailable
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import Object
from pykatib.store.kubernetes import objects
from pykatib.store.kubernetes.api_server import ApiServer, Canceller, Expired, decoded, failure_of, status_in
from pykatib.store.kubernetes.resources import Resource
from pykatib.store.sharing import Pool

logger = logging.getLogger(__name__)

PAGE_SIZE = 500
LIST_ATTEMPTS = 3
WATCH_SECONDS = (60, 90)
"""How long a watch is to last: less than the silence after which a connection is taken for dead, for a kind may be
quiet all the while. API servers send a bookmark just before the end, so that even then the version moves on."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 15.0


class Seen(NamedTuple):
    """An object is there, in this version."""

    resource: Resource
    object: Object


class Gone(NamedTuple):
    """An object is there no more."""

    resource: Resource
    reference: Reference
    uid: str


class Ended(NamedTuple):
    """An object has been ended by ourselves; its `Gone` is yet to come."""

    resource: Resource
    object: Object


class Replaced(NamedTuple):
    """All objects of a kind, as of a version."""

    resource: Resource
    objects: list[Object]
    version: int


Delta: TypeAlias = Seen | Gone | Ended | Replaced


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    next_page: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _WatchEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


_list_decoder = msgspec.json.Decoder(_List)
_event_decoder = msgspec.json.Decoder(_WatchEvent)


class Reflector:
    """One kind, in one namespace or in all."""

    def __init__(
        self,
        server: ApiServer,
        resource: Resource,
        namespace: str | None,
        *,
        take: Callable[[Delta], None],
        is_wanted: Callable[[Object], bool],
        is_known: Callable[[Reference, int], bool],
        complete: Callable[[Object], Object] = lambda obj: obj,
        page_size: int = PAGE_SIZE,
        selection: Mapping[str, str] | None = None,
    ) -> None:
        """Reads nothing yet. `selection` (`labelSelector`, `fieldSelector`) has the server leave objects out."""
        self._selection = dict(selection or {})
        self.resource = resource
        self._server = server
        self._path = resource.collection(namespace)
        self._take = take
        self._is_wanted = is_wanted
        self._is_known = is_known
        self._complete = complete
        self._page_size = page_size
        self.version = ""
        """Where the watch goes on from; empty to list the kind anew."""
        self._canceller = Canceller()
        self._thread: threading.Thread | None = None
        self.relist_count = 0
        """How often the kind had to be listed anew."""

    def read_all(self) -> Replaced:
        """All objects that are wanted; the watch will go on from here. Raises NotFound, Unavailable."""
        for attempt in range(LIST_ATTEMPTS):
            try:
                found, self.version = self._all_pages()
                return Replaced(self.resource, found, int(self.version))
            except Expired:  # the list has become too old between two pages
                if attempt + 1 == LIST_ATTEMPTS:
                    raise
        raise AssertionError  # pragma: no cover

    def start(self) -> None:
        """Watches from now on, on a thread of its own. The kind has been listed."""
        self._thread = threading.Thread(target=self._run, name=f"pykatib-watch-{self.resource.plural}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch."""
        self._canceller.cancel()
        if self._thread is not None:
            self._thread.join()

    def _all_pages(self) -> tuple[list[Object], str]:
        found: list[Object] = []
        pool = Pool()
        params = {"limit": str(self._page_size), **self._selection}
        while True:
            page = decoded(self._server.request("GET", self._path, params=params), _list_decoder, self._path)
            for data in page.items or ():
                obj = self._read(data)
                if obj is not None and self._is_wanted(obj):
                    found.append(pool.share(obj))
            if not page.metadata.next_page:
                return found, page.metadata.resource_version
            params["continue"] = page.metadata.next_page

    def _read(self, data: msgspec.Raw) -> Object | None:
        try:
            return self._complete(objects.decode(self.resource, data))
        except msgspec.MsgspecError as error:
            # Kept from before its definition had a schema. It must not hide all others.
            name = bytes(data[:200]) if (meta := _meta_or_none(data)) is None else f"{meta.namespace}/{meta.name}"
            logger.warning("%s %s cannot be read and is left alone: %s", self.resource.kind, name, error)
            return None

    def _run(self) -> None:
        failures = 0
        while not self._canceller.is_cancelled:
            started = time.monotonic()
            try:
                if not self.version:
                    self.relist_count += 1
                    self._take(self.read_all())
                heard = self._watch()
                failures = 0 if heard or time.monotonic() - started > 1.0 else failures + 1
            except Expired:
                logger.info("the watch of %s is too far behind; listing anew", self.resource.plural)
                self.version = ""
                failures += 1
            except PykatibError as error:
                failures += 1
                if not self._canceller.is_cancelled:
                    log = logger.warning if failures == 3 else logger.info
                    log("watching %s: %s", self.resource.plural, error)
            except Exception:
                failures += 1
                self.version = ""
                logger.exception("watching %s failed; listing anew", self.resource.plural)
            if failures:
                pause = min(FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 16), LONGEST_PAUSE_SECONDS)
                self._canceller.wait(pause * random.uniform(0.8, 1.2))

    def _watch(self) -> bool:
        """Follows one watch to its end; answers whether anything was heard."""
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.version,
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),
            **self._selection,
        }
        heard = False
        with self._server.watch(self._path, params, self._canceller) as lines:
            for line in lines:
                if self._canceller.is_cancelled:
                    break
                self._hear(decoded(line, _event_decoder, self._path))
                heard = True
        return heard

    def _hear(self, event: _WatchEvent) -> None:
        if event.type == "ERROR":
            raise failure_of(status_in(event.object))
        meta = objects.meta_in(event.object)
        if event.type in ("ADDED", "MODIFIED"):
            reference = self._reference(meta.namespace, meta.name)
            if not self._is_known(reference, int(meta.resource_version)):  # else the echo of our own writing
                obj = self._read(event.object)
                if obj is not None and self._is_wanted(obj):
                    self._take(Seen(self.resource, obj))
        elif event.type == "DELETED":
            self._take(Gone(self.resource, self._reference(meta.namespace, meta.name), meta.uid))
        elif event.type != "BOOKMARK":
            raise Unavailable(f"a watch event of the unknown type {event.type}")
        self.version = meta.resource_version

    def _reference(self, namespace: str, name: str) -> Reference:
        return self.resource.reference(namespace, name)


def _meta_or_none(data: msgspec.Raw) -> ObjectMeta | None:
    try:
        return objects.meta_in(data)
    except msgspec.MsgspecError:
        return None
