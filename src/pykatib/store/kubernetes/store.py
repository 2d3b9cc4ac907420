"""The Store contract on an API server: reads from a cache that watches keep, writes to the server.

How it differs from the stores that live in this process, and what it promises:

* What others do arrives on the threads of the watches and waits in an inbox. `pump` takes it into the cache and tells
  subscribers, on the thread that calls it. One thread owns the store: it subscribes and pumps, and what it writes is
  in the cache and told when the write returns. Others may read and write too; what they write goes through the inbox,
  before the write returns. `on_news` says that there is something to pump.
* The echoes of its own writes in the watch, and anything older than what is cached, are passed over, by the number of
  the version.
* Whatever was missed, an object's changes form a chain: each change told begins with what was told before.
* A write that would change nothing is not sent, nor is one on a version that is known to be stale: Conflict.
* A new object's status is a second write (the API server takes none with the first). Whoever dies between the two
  leaves an object without a status, which is what a reconcile begins with anyway.
* Kinds are followed from when they are first asked for. A kind that the cluster does not have is Unavailable where it
  is needed: its definition may come.
* ConfigMaps and Secrets are read from the server when asked for, and not told of. Worker jobs that no Trial controls
  are passed over too, but for those that stand where a Trial's should.
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import msgspec
from msgspec.structs import replace

from pykatib.api import names
from pykatib.api.errors import AlreadyExists, Conflict, FieldError, InvalidInput, NotFound, NotSupported, Unavailable
from pykatib.api.experiment import Experiment
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import ConfigMap, Event, Object, Secret, WorkerJob
from pykatib.api.suggestion import Suggestion
from pykatib.store.contract import Handler, O, Propagation
from pykatib.store.kubernetes import objects
from pykatib.store.kubernetes.api_server import ApiServer, Method
from pykatib.store.kubernetes.cache import KindCache
from pykatib.store.kubernetes.events import EventRecorder, events_of
from pykatib.store.kubernetes.long_lists import Chunks
from pykatib.store.kubernetes.reflector import PAGE_SIZE, Delta, Ended, Reflector, Seen
from pykatib.store.kubernetes.resources import JOB, OURS, UNCACHED, Catalog, Resource
from pykatib.store.memory import same_metadata, same_spec
from pykatib.store.telling import Subscription, Telling

logger = logging.getLogger(__name__)

OVERWRITE_ATTEMPTS = 10


class KubernetesStore:
    """Objects in an API server, in one namespace or (None) in all."""

    def __init__(
        self,
        server: ApiServer,
        *,
        namespace: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        page_size: int = PAGE_SIZE,
        prepare_job: Callable[[WorkerJob], WorkerJob] = lambda job: job,
        complete_experiment: Callable[[Experiment], Experiment] = lambda experiment: experiment,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        """Reads nothing yet.

        `prepare_job` may add to a worker job what the cluster needs, before it is created. `complete_experiment` gives
        one that was read what its author has not said, where no webhook did. `may_write` is asked before each write, on
        whichever thread: a process that was frozen must not go on with what it had begun.
        """
        self._may_write = may_write
        self._server = server
        self._prepare_job = prepare_job
        self._complete_experiment = complete_experiment
        self._namespace = namespace
        self._page_size = page_size
        self._catalog = Catalog(server, monotonic)
        self._caches: dict[tuple[str, str], KindCache] = {}  # by kind and the apiVersion of references
        self._owner = threading.get_ident()
        self._inbox: deque[Delta] = deque()
        self._news = threading.Event()
        self._on_news: Callable[[], None] = lambda: None
        self._telling = Telling()
        self._events = EventRecorder(server)
        self._chunks = Chunks(server)
        self._write_numbers = itertools.count(1)
        self.write_count = 0
        """Writes of objects sent so far; events are not counted."""

    # News

    def on_news(self, wake: Callable[[], None]) -> None:
        """Has `wake` called, from any thread, when there is something to pump."""
        self._on_news = wake

    def has_news(self) -> bool:
        """Whether there is something to pump."""
        return bool(self._inbox)

    def wait(self, seconds: float) -> bool:
        """Waits for something to pump; answers whether there is."""
        if self._inbox:
            return True
        self._news.wait(seconds)
        self._news.clear()
        return bool(self._inbox)

    def pump(self) -> bool:
        """Takes in what others have done, and tells it; answers whether there was anything."""
        if not self._inbox:
            return False
        while self._inbox:
            delta = self._inbox.popleft()
            self._caches[_cache_key(delta.resource)].apply(delta)
        self._telling.tell()
        return True

    def _put_in_inbox(self, delta: Delta) -> None:
        self._inbox.append(delta)
        self._news.set()
        self._on_news()

    # Reading

    def get(self, reference: Reference) -> Object:
        """The object. Raises NotFound."""
        obj = self.find(reference)
        if obj is None:
            raise NotFound(f"{reference} does not exist")
        return obj

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        cache = self._caches.get((reference.kind, reference.api_version))
        if cache is None:
            resource = self._catalog.of(reference.kind, reference.api_version)
            if resource is None:
                return None
            if resource in UNCACHED:
                return self._live(resource, reference)
            cache = self._follow(resource)
        return cache.objects.get(reference)

    def list(self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Object]:
        """All objects of a kind, oldest first; `labels` must all be carried."""
        wanted = labels.items() if labels else ()
        return sorted(
            (
                obj
                for cache in self._caches_of(frozenset([kind]))
                for obj in cache.objects.values()
                if namespace in (None, obj.metadata.namespace) and (not wanted or wanted <= obj.metadata.labels.items())
            ),
            key=lambda obj: obj.metadata.creation_timestamp or "",
        )

    # Writing

    def create(self, obj: O) -> O:
        """Makes a new object. Raises AlreadyExists."""
        meta = obj.metadata
        if not meta.name and not meta.generate_name:
            raise InvalidInput([FieldError("metadata.name", "is missing; give it, or generateName")])
        if isinstance(obj, WorkerJob):
            obj = cast(O, self._prepare_job(obj))
        resource = self._resource(obj)
        cache = self._cache(resource)
        path = resource.collection(meta.namespace)
        try:
            answer = self._write("POST", path, objects.body_of_new(obj))
        except AlreadyExists as error:
            if cache is not None and self._stands_in_the_way(cache, obj):
                raise Conflict(str(error)) from error
            raise
        new = _as_written(resource, answer, obj)
        if _has_status(obj):
            new = self._put_status(resource, _with_status(new, obj), new.metadata.resource_version)
        return self._written(cache, new)

    def update(self, obj: O) -> O:
        """Writes metadata and spec. Raises NotFound, Conflict."""
        return self._overwrite(obj, status_only=False)

    def update_status(self, obj: O) -> O:
        """Writes the status alone. Raises NotFound, Conflict."""
        if isinstance(obj, ConfigMap | Secret):
            raise NotSupported(f"a {obj.kind} has no status")
        return self._overwrite(obj, status_only=True)

    def _overwrite(self, obj: O, *, status_only: bool) -> O:
        """Writes on top of what is known; without a version given, again until nobody comes between."""
        resource = self._resource(obj)
        cache = self._cache(resource)
        reference = obj.reference
        old = (cache.objects.get(reference) if cache is not None else None) or self._live_or_raise(resource, reference)
        for _ in range(OVERWRITE_ATTEMPTS):
            _check_same(reference, given=obj.metadata, was=old.metadata)
            wanted = _changed_status(obj, cast(O, old)) if status_only else _changed(obj, cast(O, old))
            if wanted is None:
                return cast(O, old)
            version = old.metadata.resource_version
            try:
                if status_only:
                    new = self._put_status(resource, wanted, version)
                else:
                    answer = self._write("PUT", resource.path(reference), objects.body_of_update(wanted, version))
                    new = _as_written(resource, answer, wanted)
            except Conflict:
                if obj.metadata.resource_version:
                    raise
                old = self._live_or_raise(resource, reference)
            else:
                return self._written(cache, new)
        raise Conflict(f"{reference} changes too often to be overwritten")

    def delete(self, reference: Reference, *, uid: str = "", propagation: Propagation = "Background") -> None:
        """Deletes the object; with `uid`, only that very one (else Conflict). Raises NotFound."""
        resource = self._catalog.of(reference.kind, reference.api_version)
        if resource is None:
            raise NotFound(f"the cluster has no {reference.api_version} {reference.kind}")
        cache = self._cache(resource)
        body = objects.body_of_delete(uid=uid, propagation=propagation)
        answer = self._write("DELETE", resource.path(reference), body)
        known = cache.objects.get(reference) if cache is not None else None
        if cache is None or known is None or (uid and known.metadata.uid != uid):
            return
        if objects.kind_in(answer) in ("", "Status"):
            self._take_in(cache, Ended(resource, known))
        else:  # it waits for its finalizers, or for its Pods
            meta = objects.meta_in(answer)
            if meta.uid == known.metadata.uid and meta.deletion_timestamp is not None:
                self._take_in(cache, Seen(resource, replace(known, metadata=meta)))

    # Telling

    def subscribe(self, kinds: Iterable[str] | None, handler: Handler) -> Subscription:
        """Tells `handler` of all objects of these kinds (None: of all kinds) that are there, then of each change."""
        self._owner = threading.get_ident()
        asked = None if kinds is None else frozenset(kinds)
        caches = self._caches_of(asked)
        self.pump()
        return self._telling.add(asked, handler, (obj for cache in caches for obj in cache.objects.values()))

    def record(self, event: Event) -> None:
        """Tells an event; equal ones (but for time) of one object are counted. Written in the background."""
        cache = self._caches.get((event.kind, ""))
        about = cache.objects.get(Reference(event.kind, event.namespace, event.name)) if cache is not None else None
        self._events.record(event, about.metadata.uid if about is not None else "")

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an object, or of a namespace, oldest first."""
        return events_of(self._server.request, namespace=namespace, name=name, kind=kind)

    def flush(self) -> None:
        """Objects are written when a write returns; events may be on their way."""
        self._events.flush()

    def close(self) -> None:
        """Stops following and lets go of the server."""
        for subscription in self._telling.subscriptions:
            subscription.close()
        for cache in self._caches.values():
            if cache.reflector is not None:
                cache.reflector.stop()
        self._events.close()
        self._server.close()

    # Kinds

    def _resource(self, obj: Object) -> Resource:
        resource = self._catalog.of(obj.kind, obj.api_version)
        if resource is None:
            raise Unavailable(f"the cluster has no {obj.api_version} {obj.kind}; install its definition (CRD)")
        return resource

    def _cache(self, resource: Resource) -> KindCache | None:
        if resource in UNCACHED:
            return None
        return self._caches.get(_cache_key(resource)) or self._follow(resource)

    def _caches_of(self, kinds: frozenset[str] | None) -> Sequence[KindCache]:
        for resource in (*OURS, JOB):
            if kinds is None or resource.kind in kinds:
                self._cache(resource)
        return [cache for (kind, _), cache in self._caches.items() if kinds is None or kind in kinds]

    def _follow(self, resource: Resource) -> KindCache:
        """Begins to follow a kind: what is there is known when this returns."""
        if threading.get_ident() != self._owner:
            raise Unavailable(f"{resource.kind} is not followed yet")
        cache = KindCache(resource, self._telling.note)
        cache.reflector = Reflector(
            self._server,
            resource,
            self._namespace,
            take=self._put_in_inbox,
            is_wanted=lambda obj: _is_wanted(obj) or obj.reference in cache.objects,
            is_known=cache.knows,
            complete=self._whole,
            page_size=self._page_size,
        )
        try:
            there = cache.reflector.read_all()
        except NotFound as error:
            text = f"the cluster has no {resource.api_version} {resource.kind}; install its definition (CRD)"
            raise Unavailable(text) from error
        self._caches[_cache_key(resource)] = cache
        cache.take_all(there)
        cache.reflector.start()
        self._telling.tell()
        return cache

    # Reading from the server

    def _live(self, resource: Resource, reference: Reference) -> Object | None:
        try:
            return self._whole(objects.decode(resource, self._server.request("GET", resource.path(reference))))
        except NotFound:
            return None
        except msgspec.MsgspecError as error:
            raise Unavailable(f"{reference} cannot be read: {error}") from error

    def _live_or_raise(self, resource: Resource, reference: Reference) -> Object:
        found = self._live(resource, reference)
        if found is None:
            raise NotFound(f"{reference} does not exist")
        return found

    def _stands_in_the_way(self, cache: KindCache, obj: Object) -> bool:
        """Takes note of the object that has the name already; answers whether it belongs to somebody else.

        It may be one whose making we were not told of, or one that is passed over otherwise. It is told with the
        news, so that whoever has tried to make it is woken by it.
        """
        found = self._live(cache.resource, obj.reference) if obj.metadata.name else None
        if found is None:
            return False
        self._put_in_inbox(Seen(cache.resource, found))
        ours, theirs = obj.metadata.controller, found.metadata.controller
        return ours is not None and (theirs is None or theirs.uid != ours.uid)

    def _whole(self, obj: Object) -> Object:
        """The object with what the wire leaves out. Any thread may ask."""
        if isinstance(obj, Experiment):
            return self._complete_experiment(obj)
        if not isinstance(obj, Suggestion):
            return obj
        cache = self._caches.get((obj.kind, ""))
        known = cache.objects.get(obj.reference) if cache is not None else None
        return self._chunks.whole(obj, known if isinstance(known, Suggestion) else None)

    # Writing to the server

    def _write(self, method: Method, path: str, body: bytes) -> bytes:
        if not self._may_write():
            raise Unavailable("another operator may lead by now: nothing is written")
        self.write_count = next(self._write_numbers)  # counted right, whichever threads write
        return self._server.request(method, path, body=body)

    def _put_status(self, resource: Resource, wanted: O, version: str) -> O:
        if isinstance(wanted, Suggestion):
            wanted = cast(O, self._chunks.outsourced(wanted))
        path = resource.path(wanted.reference, "status" if resource.has_status else "")
        return _as_written(resource, self._write("PUT", path, objects.body_of_status(wanted, version)), wanted)

    def _written(self, cache: KindCache | None, new: O) -> O:
        if cache is not None:
            meta = new.metadata
            is_over = meta.deletion_timestamp is not None and not meta.finalizers
            self._take_in(cache, Ended(cache.resource, new) if is_over else Seen(cache.resource, new))
        return new

    def _take_in(self, cache: KindCache, delta: Delta) -> None:
        """Takes in what this store has done: at once on the owner's thread, with the next news on any other."""
        if threading.get_ident() == self._owner:
            cache.apply(delta)
            self._telling.tell()
        else:
            self._put_in_inbox(delta)


def _cache_key(resource: Resource) -> tuple[str, str]:
    reference = resource.reference("", "")
    return (reference.kind, reference.api_version)


def _is_wanted(obj: Object) -> bool:
    if not isinstance(obj, WorkerJob):
        return True
    controller = obj.metadata.controller
    return controller is not None and controller.kind == names.TRIAL and controller.api_version == names.API_VERSION


def _as_written(resource: Resource, answer: bytes, wanted: O) -> O:
    """What is in the server now. Of kinds of ours only the metadata is read: the rest is kept as it was sent."""
    if isinstance(wanted, WorkerJob | ConfigMap | Secret):
        return cast(O, objects.decode(resource, answer))
    return replace(wanted, metadata=objects.meta_in(answer))


def _check_same(reference: Reference, *, given: ObjectMeta, was: ObjectMeta) -> None:
    if given.uid and given.uid != was.uid:
        raise Conflict(f"{reference} is another object of that name: its uid is {was.uid}, not {given.uid}")
    if given.resource_version and given.resource_version != was.resource_version:
        raise Conflict(f"{reference} has changed: it is at version {was.resource_version}")


def _changed(obj: O, old: O) -> O | None:
    """What `update` makes of an object; None where it changes nothing."""
    given = obj.metadata
    if same_spec(obj, old) and same_metadata(given, old.metadata):
        return None
    metadata = replace(
        old.metadata,
        labels=given.labels,
        annotations=given.annotations,
        owner_references=given.owner_references,
        finalizers=given.finalizers,
    )
    return _with_status(replace(obj, metadata=metadata), old)


def _changed_status(obj: O, old: O) -> O | None:
    """What `update_status` makes of an object; None where it changes nothing."""
    assert not isinstance(obj, ConfigMap | Secret)
    assert not isinstance(old, ConfigMap | Secret)
    if obj.status is old.status or obj.status == old.status:
        return None
    return _with_status(old, obj)


def _has_status(obj: Object) -> bool:
    if isinstance(obj, ConfigMap | Secret):
        return False
    if isinstance(obj, WorkerJob):
        return bytes(obj.status) not in (b"", b"{}", b"null")
    return obj.status != type(obj.status)()


def _with_status(obj: O, source: O) -> O:
    if isinstance(obj, ConfigMap | Secret) or isinstance(source, ConfigMap | Secret):
        return obj
    return replace(obj, status=source.status)
