"""Who is told of changes, and in which order: what the stores that keep objects in this process have in common.

Every subscriber hears of every change in the same order. What a handler writes is told after the change at hand has
been told to all; a handler that raises keeps nobody else from hearing, and its error comes out of `tell` in the end.
"""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

from pykatib.api.objects import Object
from pykatib.store.contract import Change, Handler


class Subscription:
    """A handler and the kinds that it is told of (None: all)."""

    def __init__(self, kinds: frozenset[str] | None, handler: Handler, close: Callable[["Subscription"], None]) -> None:
        self.kinds = kinds
        self.handler = handler
        self.is_open = True
        self._close = close

    def close(self) -> None:
        """No change is told any more."""
        self.is_open = False
        self._close(self)


_Route: TypeAlias = tuple[Subscription, ...]


class Telling:
    """Tells subscribers of changes. Whoever owns it calls it under its lock, which a closing subscription takes too."""

    def __init__(self, lock: AbstractContextManager[Any] | None = None) -> None:
        self.subscriptions: _Route = ()
        self._lock: AbstractContextManager[Any] = nullcontext() if lock is None else lock
        self._routes: dict[str, _Route] = {}  # by kind, made when first needed
        self._untold: deque[tuple[_Route, Change]] = deque()
        self._telling = False

    def add(self, kinds: frozenset[str] | None, handler: Handler, there: Iterable[Object]) -> Subscription:
        """A new subscriber, who is told first of what is there."""
        subscription = Subscription(kinds, handler, self._forget)
        self.subscriptions = (*self.subscriptions, subscription)
        self._routes = {}
        # What is there goes before what waits to be told: that was noted with the routes of its time.
        self._untold.extendleft([((subscription,), Change(None, obj)) for obj in reversed([*there])])
        self.tell()
        return subscription

    def _forget(self, subscription: Subscription) -> None:
        with self._lock:
            self.subscriptions = tuple(other for other in self.subscriptions if other is not subscription)
            self._routes = {}

    def note(self, old: Object | None, new: Object | None) -> None:
        """To be told by the next `tell`."""
        kind = new.kind if new is not None else old.kind if old is not None else ""
        route = self._routes.get(kind)
        if route is None:
            route = tuple(s for s in self.subscriptions if s.kinds is None or kind in s.kinds)
            self._routes[kind] = route
        if route:
            self._untold.append((route, Change(old, new)))

    def tell(self) -> None:
        """Tells all that has been noted."""
        if self._telling or not self._untold:
            return
        self._telling = True
        failure: Exception | None = None
        try:
            while self._untold:
                route, change = self._untold.popleft()
                for subscription in route:
                    if subscription.is_open:
                        try:
                            subscription.handler(change)
                        except Exception as error:
                            failure = failure or error
        finally:
            self._telling = False
        if failure is not None:
            raise failure
