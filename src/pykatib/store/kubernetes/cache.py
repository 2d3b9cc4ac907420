"""What is known of one kind."""

from collections.abc import Callable
from typing import TypeAlias

from pykatib.api.meta import Reference
from pykatib.api.objects import Object
from pykatib.store.kubernetes import objects
from pykatib.store.kubernetes.reflector import Delta, Ended, Gone, Reflector, Replaced, Seen
from pykatib.store.kubernetes.resources import Resource

Note: TypeAlias = Callable[[Object | None, Object | None], None]


class KindCache:
    """The objects of one kind as subscribers know them. Whatever changes is noted, in order."""

    def __init__(self, resource: Resource, note: Note) -> None:
        self.resource = resource
        self.objects: dict[Reference, Object] = {}
        self.reflector: Reflector | None = None
        self._note = note
        self._gone: set[str] = set()  # uids that we have ended and the watch has not: older news of them do not count

    def knows(self, reference: Reference, version: int) -> bool:
        """Whether the object is here in this version or a later one. Any thread may ask."""
        known = self.objects.get(reference)
        return known is not None and objects.version_of(known) >= version

    def take(self, new: Object) -> None:
        """An object has been seen."""
        reference = new.reference
        if new.metadata.uid in self._gone:
            return
        old = self.objects.get(reference)
        if old is not None:
            if objects.version_of(new) <= objects.version_of(old):
                return
            if old.metadata.uid != new.metadata.uid:  # deleted and made anew, unheard
                del self.objects[reference]
                self._note(old, None)
                old = None
        self.objects[reference] = new
        self._note(old, new)

    def take_gone(self, delta: Gone) -> None:
        """The watch has told of an object's end."""
        if delta.uid in self._gone:
            self._gone.discard(delta.uid)
            return
        old = self.objects.get(delta.reference)
        if old is not None and old.metadata.uid == delta.uid:
            del self.objects[delta.reference]
            self._note(old, None)

    def take_all(self, delta: Replaced) -> None:
        """The kind has been listed: what is not in it and not younger has gone."""
        listed = {obj.metadata.uid for obj in delta.objects}
        self._gone &= listed
        for reference, old in [*self.objects.items()]:
            if old.metadata.uid not in listed and objects.version_of(old) <= delta.version:
                del self.objects[reference]
                self._note(old, None)
        for obj in delta.objects:
            self.take(obj)

    def end(self, ended: Object) -> None:
        """We have ended an object ourselves; the watch tells so later, if it has not been quicker."""
        known = self.objects.get(ended.reference)
        if known is not None and known.metadata.uid == ended.metadata.uid:
            self._gone.add(known.metadata.uid)
            del self.objects[known.reference]
            self._note(known, None)

    def apply(self, delta: Delta) -> None:
        """Takes in whatever it is."""
        if isinstance(delta, Seen):
            self.take(delta.object)
        elif isinstance(delta, Gone):
            self.take_gone(delta)
        elif isinstance(delta, Ended):
            self.end(delta.object)
        else:
            self.take_all(delta)
