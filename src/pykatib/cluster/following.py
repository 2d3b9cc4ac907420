"""A few Experiments of a cluster and their Trials, followed by watches: as much of a store as telling of them takes.

Each Experiment has watches of its own, which leave all else in its namespace out; what they hear waits until the one
thread that owns this takes it in with `pump`. A watch that breaks off is taken up where it was (`Reflector`); a thread
that asks for events now and then finds out meanwhile whether the cluster answers.

A Trial whose beginnings were not heard is told as one that came and then changed, so that its start and its end are
news to whoever tells of changes.
"""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from pykatib.api import names
from pykatib.api.errors import NotFound, PykatibError, Unavailable
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.objects import Event, Object
from pykatib.api.trial import Trial, TrialStatus
from pykatib.cluster.reading import not_installed, resource_of, selection_of
from pykatib.control.view import ExperimentView
from pykatib.store.contract import Handler
from pykatib.store.kubernetes.api_server import ApiServer, Forbidden
from pykatib.store.kubernetes.cache import KindCache
from pykatib.store.kubernetes.events import events_of
from pykatib.store.kubernetes.reflector import Delta, Reflector
from pykatib.store.telling import Subscription, Telling

EVENTS_SECONDS = 3.0


class Followed:
    """Experiments that are watched. One thread adds, pumps and reads."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._caches: dict[tuple[str, Reference], KindCache] = {}  # by kind and Experiment
        self._views: dict[Reference, ExperimentView] = {}
        self._inbox: deque[tuple[tuple[str, Reference], Delta]] = deque()
        self._news = threading.Event()
        self._telling = Telling()
        self._is_new = True  # what is told now was there before
        self._events: dict[Reference, Sequence[Event]] = {}
        self._over = threading.Event()
        self._asker = threading.Thread(target=self._ask_for_events, name="pykatib-events", daemon=True)
        self.outage: str = ""
        """Why the cluster does not answer now; empty where it does."""

    def add(self, reference: Reference) -> Experiment:
        """Follows an Experiment from now on; what is there of it is known when this returns. Raises NotFound."""
        namespace, name = reference.namespace, reference.name
        self._views[reference] = ExperimentView()
        self._is_new = True
        self._follow(names.EXPERIMENT, reference, selection_of(name=name))
        self._follow(names.TRIAL, reference, selection_of(labels={names.LABEL_EXPERIMENT: name}))
        self._is_new = False
        found = self.find(reference)
        if not isinstance(found, Experiment):
            raise NotFound(f"there is no Experiment {namespace}/{name} in the cluster")
        if not self._asker.is_alive():
            self._asker.start()
        return found

    def _follow(self, kind: str, reference: Reference, selection: Mapping[str, str]) -> None:
        key = (kind, reference)
        cache = KindCache(resource_of(kind), partial(self._note, reference))
        cache.reflector = Reflector(
            self._server,
            cache.resource,
            reference.namespace,
            take=partial(self._put, key),
            is_wanted=lambda _: True,
            is_known=cache.knows,
            selection=selection,
        )
        try:
            there = cache.reflector.read_all()
        except NotFound as error:
            raise not_installed(kind) from error
        self._caches[key] = cache
        cache.take_all(there)
        cache.reflector.start()
        self._telling.tell()

    def _put(self, key: tuple[str, Reference], delta: Delta) -> None:
        self.outage = ""
        self._inbox.append((key, delta))
        self._news.set()

    def _note(self, experiment: Reference, old: Object | None, new: Object | None) -> None:
        if old is None and isinstance(new, Trial) and not self._is_new:
            bare = replace(new, status=TrialStatus())
            self._take_notice(experiment, None, bare)
            old = bare
        self._take_notice(experiment, old, new)

    def _take_notice(self, experiment: Reference, old: Object | None, new: Object | None) -> None:
        if isinstance(old, Trial | None) and isinstance(new, Trial | None):
            self._views[experiment].apply(old, new)
        self._telling.note(old, new)

    def pump(self) -> None:
        """Takes in what has been heard, and tells it."""
        while self._inbox:
            key, delta = self._inbox.popleft()
            self._caches[key].apply(delta)
        self._telling.tell()

    def wait(self, seconds: float) -> None:
        """Waits until there is something to pump, or `wake` is called."""
        if not self._inbox:
            self._news.wait(seconds)
        self._news.clear()

    def wake(self) -> None:
        """Ends a wait. May be called by a signal handler."""
        self._news.set()

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        for (kind, _), cache in self._caches.items():
            if kind == reference.kind and reference in cache.objects:
                return cache.objects[reference]
        return None

    def view(self, namespace: str, name: str) -> ExperimentView:
        """What is known of an Experiment's Trials."""
        return self._views[Reference(names.EXPERIMENT, namespace, name)]

    def subscribe(self, kinds: Iterable[str] | None, handler: Handler) -> Subscription:
        """Tells `handler` of all that is there, then of each change."""
        asked = None if kinds is None else frozenset(kinds)
        there = [obj for cache in self._caches.values() for obj in cache.objects.values()]
        return self._telling.add(asked, handler, [obj for obj in there if asked is None or obj.kind in asked])

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an Experiment and its Suggestion, as they were a few seconds ago."""
        return self._events.get(Reference(names.EXPERIMENT, namespace, name or ""), ())

    def _ask_for_events(self) -> None:
        while not self._over.wait(EVENTS_SECONDS):
            for reference in [*self._views]:
                try:
                    self._events[reference] = events_of(
                        self._server.request, namespace=reference.namespace, name=reference.name
                    )
                    self.outage = ""
                except Forbidden:
                    self.outage = ""  # it answers; one does without its events
                except Unavailable as error:
                    self.outage = str(error)
                except PykatibError:
                    pass
                self._news.set()

    def close(self) -> None:
        """Watches no more. Where the cluster does not answer, threads that wait for it are left to themselves."""
        self._over.set()
        if self.outage:
            return
        for cache in self._caches.values():
            if cache.reflector is not None:
                cache.reflector.stop()
        if self._asker.is_alive():
            self._asker.join()
