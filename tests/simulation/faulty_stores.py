"""Stores that misbehave on purpose: they die, refuse, and tell late."""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.errors import Conflict, NotFound
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.objects import Event, Object
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.control.view import is_finished
from pykatib.store.contract import Change, Handler, O, Propagation, Store, Subscription
from pykatib.store.sqlite import SqliteStore

T = TypeVar("T")


class Crash(BaseException):
    """The process dies here. No code under test may catch it and go on."""


class MortalSqliteStore(SqliteStore):
    """Can die: what was not flushed is lost, and the lock is free, as after `kill -9`."""

    def die(self) -> None:
        self._database.close()
        self._home.release()


class Faults:
    """Decides when writes fail. `crash_after` counts writes down to a death before or after one of them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.crash_after: int | None = None
        self.conflict_chance = 0.0
        self.write_count = 0

    def around(self, write: Callable[[], T], *, may_conflict: bool) -> T:
        """Does a write, or not."""
        self.write_count += 1
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after <= 0:
                self.crash_after = None
                if self.rng.random() < 0.5:
                    write()
                raise Crash
        if may_conflict and self.rng.random() < self.conflict_chance:
            raise Conflict("somebody was faster, says the simulation")
        return write()


class FaultyStore:
    """What the control plane sees: the real store, with faults in its writes and a law checked at each creation."""

    def __init__(self, inner: Store, faults: Faults, check: Callable[[Object], None] | None = None) -> None:
        self.inner = inner
        self._faults = faults
        self._check = check

    def get(self, reference: Reference) -> Object:
        return self.inner.get(reference)

    def find(self, reference: Reference) -> Object | None:
        return self.inner.find(reference)

    def list(self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Object]:
        return self.inner.list(kind, namespace=namespace, labels=labels)

    def create(self, obj: O) -> O:
        def write() -> O:
            made = self.inner.create(obj)
            if self._check is not None:
                self._check(made)
            return made

        return self._faults.around(write, may_conflict=False)

    def update(self, obj: O) -> O:
        return self._faults.around(lambda: self.inner.update(obj), may_conflict=True)

    def update_status(self, obj: O) -> O:
        return self._faults.around(lambda: self.inner.update_status(obj), may_conflict=True)

    def delete(self, reference: Reference, *, uid: str = "", propagation: Propagation = "Background") -> None:
        self._faults.around(lambda: self.inner.delete(reference, uid=uid, propagation=propagation), may_conflict=False)

    def subscribe(self, kinds: Iterable[str] | None, handler: Handler) -> Subscription:
        return self.inner.subscribe(kinds, handler)

    def record(self, event: Event) -> None:
        self.inner.record(event)

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        return self.inner.events(namespace=namespace, name=name, kind=kind)

    def flush(self) -> None:
        self.inner.flush()

    def close(self) -> None:
        self.inner.close()


class LateStore(FaultyStore):
    """Reads and news are those of a cache that lags behind, as an informer's does.

    News of one object keep their order; news of different objects overtake each other, and some come twice.
    """

    def __init__(self, inner: Store, faults: Faults, check: Callable[[Object], None] | None = None) -> None:
        super().__init__(inner, faults, check)
        self._cache: dict[Reference, Object] = {}
        self._news: dict[Reference, deque[Object | None]] = {}
        self._handlers: list[tuple[frozenset[str] | None, Handler]] = []
        self._filling = True
        self._subscription = inner.subscribe(None, self._take)
        self._filling = False

    def _take(self, change: Change) -> None:
        obj = change.new if change.new is not None else change.old
        assert obj is not None
        if self._filling:
            self._cache[obj.reference] = obj
        else:
            self._news.setdefault(obj.reference, deque()).append(change.new)

    @property
    def news_count(self) -> int:
        return sum(len(waiting) for waiting in self._news.values())

    def pump(self, rng: random.Random, count: int) -> None:
        """Tells up to `count` of the news that wait."""
        for _ in range(count):
            if not self._news:
                return
            reference = rng.choice([*self._news])
            new = self._news[reference].popleft()
            if not self._news[reference]:
                del self._news[reference]
            old = self._cache.pop(reference, None)
            if new is not None:
                self._cache[reference] = new
            if old is None and new is None:
                continue
            for _ in range(2 if rng.random() < 0.1 else 1):
                for kinds, handler in self._handlers:
                    if kinds is None or reference.kind in kinds:
                        handler(Change(old, new))

    def get(self, reference: Reference) -> Object:
        found = self._cache.get(reference)
        if found is None:
            raise NotFound(str(reference))
        return found

    def find(self, reference: Reference) -> Object | None:
        return self._cache.get(reference)

    def list(self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Object]:
        raise NotImplementedError("planners are not to list")

    def subscribe(self, kinds: Iterable[str] | None, handler: Handler) -> Subscription:
        wanted = None if kinds is None else frozenset(kinds)
        self._handlers.append((wanted, handler))
        for obj in [*self._cache.values()]:
            if wanted is None or obj.kind in wanted:
                handler(Change(None, obj))
        return self._subscription


def opened(path: Path, clock: Callable[[], float], uid: Callable[[], str]) -> MortalSqliteStore:
    """The SQLite store of a home, as a new process opens it."""
    return MortalSqliteStore(path, clock, uid)


def experiments_in(store: Store) -> list[Experiment]:
    return [obj for obj in store.list(names.EXPERIMENT) if isinstance(obj, Experiment)]


def trials_of(store: Store, experiment: Experiment) -> list[Trial]:
    """The Trials of an Experiment that are not on their way out."""
    return [
        obj
        for obj in store.list(names.TRIAL)
        if isinstance(obj, Trial)
        and obj.metadata.is_controlled_by(experiment.metadata.uid)
        and obj.metadata.deletion_timestamp is None
    ]


def suggestion_of(store: Store, experiment: Experiment) -> Suggestion | None:
    meta = experiment.metadata
    found = store.find(Reference(names.SUGGESTION, meta.namespace, meta.name))
    return found if isinstance(found, Suggestion) and found.metadata.is_controlled_by(meta.uid) else None


def is_over(store: Store, experiment: Experiment) -> bool:
    """True when the Experiment has ended and so have its Trials."""
    conditions = experiment.status.conditions
    has_ended = is_true(conditions, names.SUCCEEDED) or is_true(conditions, names.FAILED)
    return has_ended and all(is_finished(trial) for trial in trials_of(store, experiment))
