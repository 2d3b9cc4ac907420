"""The store's semantics, written once: objects in memory, with Kubernetes' versions, owners and finalizers.

Promises beyond the contract:

* Changes are told in the writing call, after the object is in place. A handler may write; what it writes is in place at
  once and told after the change at hand, so every subscriber hears every change in the same order. A handler that
  raises keeps nobody else from hearing; its error comes out of the writing call when all has been told.
* Any thread may call. One re-entrant lock (a tenth of a microsecond) covers each write together with its telling, so
  handlers of different threads never overlap: a handler should take note and return. `find` and `get` take no lock.
* Objects are kept as given, not copied; only metadata is made anew. Dependants of an owner that is not there (any
  more) are collected as soon as they are written, as Kubernetes' collector would, so a late write leaves no orphan.
* Nothing here is random but `uid`: the suffix of a generated name is derived from it.
"""

import itertools
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from pykatib.api.errors import AlreadyExists, Conflict, FieldError, InvalidInput, NotFound, NotSupported
from pykatib.api.meta import ObjectMeta, OwnerReference, Reference
from pykatib.api.names import NAME_ALPHABET
from pykatib.api.objects import ConfigMap, Event, Object, Secret
from pykatib.api.times import rfc3339
from pykatib.store.contract import Handler, O, Propagation
from pykatib.store.events import EventBook
from pykatib.store.telling import Subscription, Telling

FOREGROUND_DELETION = "foregroundDeletion"
_SUFFIX_LENGTH = 5

_Objects: TypeAlias = dict[Reference, Object]
_DATA_ONLY = (ConfigMap, Secret)  # kinds without spec and status; a union would be made anew at each look
_NOTHING: _Objects = {}


def uids() -> Callable[[], str]:
    """A source of uids: unique across processes by eight random bytes, within one by counting."""
    prefix = os.urandom(8).hex()
    count = itertools.count(1)
    return lambda: f"{prefix}-{next(count):x}"


class MemoryStore:
    """Keeps objects in memory; `flush` and `close` have nothing to do."""

    def __init__(
        self, clock: Callable[[], float], uid: Callable[[], str] | None = None, *, event_limit: int = 2_000
    ) -> None:
        self._clock = clock
        self._uid = uids() if uid is None else uid
        self._lock = threading.RLock()
        self._version = 0
        self._objects: dict[str, _Objects] = {}
        self._by_uid: dict[str, Reference] = {}
        self._dependants: dict[str, dict[Reference, None]] = {}  # by the owner's uid; empty ones are dropped
        self._events = EventBook(event_limit)
        self._telling = Telling(self._lock)

    # Reading

    def get(self, reference: Reference) -> Object:
        """The object. Raises NotFound."""
        obj = self._objects.get(reference.kind, _NOTHING).get(reference)
        if obj is None:
            raise NotFound(f"{reference} does not exist")
        return obj

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        return self._objects.get(reference.kind, _NOTHING).get(reference)

    def list(self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Object]:
        """All objects of a kind, oldest first; `labels` must all be carried."""
        with self._lock:
            found = [*self._objects.get(kind, _NOTHING).values()]
        if namespace is not None:
            found = [obj for obj in found if obj.metadata.namespace == namespace]
        if labels:
            wanted = labels.items()
            found = [obj for obj in found if wanted <= obj.metadata.labels.items()]
        return found

    # Writing

    def create(self, obj: O) -> O:
        """Keeps a new object. Raises AlreadyExists."""
        meta = obj.metadata
        with self._lock:
            uid = self._uid()
            if not meta.name:
                meta = self._named(obj)
                obj = replace(obj, metadata=meta)
            reference = obj.reference
            if reference in self._objects.get(reference.kind, _NOTHING):
                raise AlreadyExists(f"{reference} exists already")
            new = replace(
                obj,
                metadata=ObjectMeta(
                    name=meta.name,
                    generate_name=meta.generate_name,
                    namespace=meta.namespace,
                    uid=uid,
                    resource_version=self._next_version(),
                    generation=0 if isinstance(obj, _DATA_ONLY) else 1,
                    creation_timestamp=rfc3339(self._clock()),
                    labels=meta.labels,
                    annotations=meta.annotations,
                    owner_references=meta.owner_references,
                    finalizers=meta.finalizers,
                ),
            )
            self._changing(reference, None, new)
            self._keep(reference, new)
            self._telling.note(None, new)
            if meta.owner_references:
                self._collect_if_orphan(reference)
            self._telling.tell()
            return new

    def update(self, obj: O) -> O:
        """Writes metadata and spec. Raises NotFound, Conflict."""
        with self._lock:
            old = self._stored(obj)
            given, was = obj.metadata, old.metadata
            spec_changed = not same_spec(obj, old)
            if not spec_changed and same_metadata(given, was):
                return old
            meta = replace(
                was,
                resource_version=self._next_version(),
                generation=was.generation + 1 if spec_changed and was.generation else was.generation,
                labels=given.labels,
                annotations=given.annotations,
                owner_references=given.owner_references,
                finalizers=given.finalizers,
            )
            new = replace(obj, metadata=meta)
            if not isinstance(old, _DATA_ONLY):
                new = replace(new, status=old.status)
            self._put(old, new)
            self._telling.tell()
            return new

    def update_status(self, obj: O) -> O:
        """Writes the status alone. Raises NotFound, Conflict."""
        if isinstance(obj, _DATA_ONLY):
            raise NotSupported(f"a {obj.kind} has no status")
        with self._lock:
            old = self._stored(obj)
            assert not isinstance(old, _DATA_ONLY)
            if obj.status is old.status or obj.status == old.status:
                return old
            new = replace(old, metadata=replace(old.metadata, resource_version=self._next_version()), status=obj.status)
            reference = self._by_uid[new.metadata.uid]
            self._changing(reference, old, new)
            self._objects[reference.kind][reference] = new
            self._telling.note(old, new)
            self._telling.tell()
            return new

    def delete(self, reference: Reference, *, uid: str = "", propagation: Propagation = "Background") -> None:
        """Deletes the object; with `uid`, only that very one (else Conflict). Raises NotFound."""
        with self._lock:
            obj = self.get(reference)
            if uid and uid != obj.metadata.uid:
                raise Conflict(f"{reference} is another object of that name: its uid is {obj.metadata.uid}, not {uid}")
            self._delete(obj, foreground=propagation == "Foreground")
            self._telling.tell()

    # Telling

    def subscribe(self, kinds: Iterable[str] | None, handler: Handler) -> Subscription:
        """Tells `handler` of all objects of these kinds (None: of all kinds) that are there, then of each change."""
        wanted = None if kinds is None else frozenset(kinds)
        with self._lock:
            there = [
                obj
                for kind, objects in self._objects.items()
                if wanted is None or kind in wanted
                for obj in objects.values()
            ]
            return self._telling.add(wanted, handler, there)

    def record(self, event: Event) -> None:
        """Keeps an event; equal ones (but for time) of one object are counted. Old ones may be forgotten."""
        with self._lock:
            self._events.record(event)

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an object, or of a namespace, oldest first."""
        with self._lock:
            return self._events.of(namespace=namespace, name=name, kind=kind)

    def flush(self) -> None:
        """Nothing here outlives the process, so there is nothing to wait for."""

    def close(self) -> None:
        """Lets subscribers go."""
        with self._lock:
            for subscription in self._telling.subscriptions:
                subscription.close()

    # The seam for stores that keep more than this one

    def _changing(self, reference: Reference, old: Object | None, new: Object | None) -> None:
        """Called under the lock before each change takes place; raising prevents it."""

    # Within

    def _next_version(self) -> str:
        self._version += 1
        return str(self._version)

    def _named(self, obj: Object) -> ObjectMeta:
        meta = obj.metadata
        if not meta.generate_name:
            raise InvalidInput([FieldError("metadata.name", "is missing; give it, or generateName")])
        while True:
            rest, suffix = zlib.crc32(self._uid().encode()), ""
            for _ in range(_SUFFIX_LENGTH):
                rest, index = divmod(rest, len(NAME_ALPHABET))
                suffix += NAME_ALPHABET[index]
            named = replace(meta, name=meta.generate_name + suffix)
            if self.find(replace(obj, metadata=named).reference) is None:
                return named

    def _stored(self, obj: O) -> O:
        reference, given = obj.reference, obj.metadata
        old = self.get(reference)
        was = old.metadata
        if given.uid and given.uid != was.uid:
            raise Conflict(f"{reference} is another object of that name: its uid is {was.uid}, not {given.uid}")
        if given.resource_version and given.resource_version != was.resource_version:
            raise Conflict(f"{reference} has changed: it is at version {was.resource_version}")
        assert isinstance(old, type(obj))
        return old

    def _keep(self, reference: Reference, obj: Object) -> None:
        """Enters a new object everywhere."""
        self._objects.setdefault(reference.kind, {})[reference] = obj
        self._by_uid[obj.metadata.uid] = reference
        for owner in obj.metadata.owner_references:
            self._dependants.setdefault(owner.uid, {})[reference] = None

    def _put(self, old: Object, new: Object) -> None:
        """Replaces an object by its next version; one that is deleted goes with its last finalizer."""
        meta, was = new.metadata, old.metadata
        if meta.deletion_timestamp is not None and not meta.finalizers:
            self._remove(old)
            return
        reference = self._by_uid[meta.uid]
        self._changing(reference, old, new)
        self._objects[reference.kind][reference] = new
        self._telling.note(old, new)
        if meta.owner_references != was.owner_references:
            self._disown(reference, was.owner_references)
            for owner in meta.owner_references:
                self._dependants.setdefault(owner.uid, {})[reference] = None
            if meta.owner_references:
                self._collect_if_orphan(reference)
            self._release(was.owner_references)

    def _delete(self, obj: Object, *, foreground: bool) -> None:
        meta = obj.metadata
        waits = foreground and meta.uid in self._dependants and FOREGROUND_DELETION not in meta.finalizers
        finalizers = (*meta.finalizers, FOREGROUND_DELETION) if waits else meta.finalizers
        if not finalizers:
            self._remove(obj)
            return
        if meta.deletion_timestamp is None or waits:
            self._put(
                obj,
                replace(
                    obj,
                    metadata=replace(
                        meta,
                        resource_version=self._next_version(),
                        deletion_timestamp=meta.deletion_timestamp or rfc3339(self._clock()),
                        finalizers=finalizers,
                    ),
                ),
            )
        if waits:
            # From the back: each one that goes looks for the next that blocks, from the front.
            for dependant in reversed([*self._dependants[meta.uid]]):
                self._lose_owner(dependant, foreground=True)
            self._release_one(meta.uid)

    def _remove(self, obj: Object) -> None:
        """Takes an object out everywhere, then looks after its dependants and its waiting owners."""
        meta = obj.metadata
        reference = self._by_uid[meta.uid]
        self._version += 1
        self._changing(reference, obj, None)
        del self._objects[reference.kind][reference]
        del self._by_uid[meta.uid]
        self._disown(reference, meta.owner_references)
        self._telling.note(obj, None)
        for dependant in [*self._dependants.get(meta.uid, ())]:
            self._lose_owner(dependant, foreground=False)
        self._release(meta.owner_references)

    def _disown(self, reference: Reference, owners: Iterable[OwnerReference]) -> None:
        for owner in owners:
            dependants = self._dependants.get(owner.uid)
            if dependants is not None:
                dependants.pop(reference, None)
                if not dependants:
                    del self._dependants[owner.uid]

    def _lose_owner(self, reference: Reference, *, foreground: bool) -> None:
        """Deletes a dependant that has no owner left; one that has others only loses the mention of those gone."""
        obj = self.find(reference)
        if obj is None:
            return
        meta = obj.metadata
        left = tuple(owner for owner in meta.owner_references if self._stays(owner.uid))
        if left:
            version = self._next_version()
            self._put(obj, replace(obj, metadata=replace(meta, resource_version=version, owner_references=left)))
        else:
            self._delete(obj, foreground=foreground)

    def _stays(self, uid: str) -> bool:
        reference = self._by_uid.get(uid)
        owner = None if reference is None else self.find(reference)
        return owner is not None and FOREGROUND_DELETION not in owner.metadata.finalizers

    def _collect_if_orphan(self, reference: Reference) -> None:
        obj = self.find(reference)
        if obj is not None and not any(self._stays(owner.uid) for owner in obj.metadata.owner_references):
            self._delete(obj, foreground=False)

    def _release(self, owners: Iterable[OwnerReference]) -> None:
        for owner in owners:
            self._release_one(owner.uid)

    def _release_one(self, uid: str) -> None:
        """Lets an owner go that waits in the foreground, once no dependant holds it any more."""
        reference = self._by_uid.get(uid)
        obj = None if reference is None else self.find(reference)
        if obj is None or FOREGROUND_DELETION not in obj.metadata.finalizers:
            return
        if any(self._blocks(dependant, uid) for dependant in self._dependants.get(uid, ())):
            return
        meta = obj.metadata
        left = tuple(finalizer for finalizer in meta.finalizers if finalizer != FOREGROUND_DELETION)
        version = self._next_version()
        self._put(obj, replace(obj, metadata=replace(meta, resource_version=version, finalizers=left)))

    def _blocks(self, dependant: Reference, owner_uid: str) -> bool:
        obj = self.get(dependant)
        return any(owner.uid == owner_uid and owner.block_owner_deletion for owner in obj.metadata.owner_references)


def same_spec(new: Object, old: Object) -> bool:
    if isinstance(new, _DATA_ONLY) or isinstance(old, _DATA_ONLY):
        return replace(new, metadata=old.metadata) == old
    return new.spec is old.spec or new.spec == old.spec


def same_metadata(given: ObjectMeta, was: ObjectMeta) -> bool:
    """Compares what a writer may change; the rest belongs to the store."""
    return given is was or (
        given.finalizers == was.finalizers
        and given.labels == was.labels
        and given.annotations == was.annotations
        and given.owner_references == was.owner_references
    )
