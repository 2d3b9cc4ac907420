"""The work queue of reconcilers: keys, each at most once, some of them later, some of them again after a failure.

A key that is added while it waits is not added twice: what matters is that it will be looked at, not why. Failures are
backed off exponentially per key. Kinds are served in the order given, Trials before the Experiments that count them,
so that one look at an Experiment answers many changes of its Trials.
"""

import heapq
from collections import deque
from collections.abc import Sequence

from pykatib.api.meta import Reference

FIRST_RETRY_SECONDS = 0.01
LONGEST_RETRY_SECONDS = 60.0


class WorkQueue:
    """Keys to reconcile. Not thread-safe: one loop owns it."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._ready: dict[str, deque[Reference]] = {kind: deque() for kind in kinds}
        self._waiting: set[Reference] = set()
        self._later: list[tuple[float, Reference]] = []
        self._due: dict[Reference, float] = {}
        self._failures: dict[Reference, int] = {}

    def add(self, key: Reference) -> None:
        """To be reconciled as soon as possible."""
        if key not in self._waiting:
            self._waiting.add(key)
            self._ready[key.kind].append(key)

    def add_at(self, key: Reference, moment: float) -> None:
        """To be reconciled at `moment`, unless an earlier time is set already."""
        due = self._due.get(key)
        if due is None or moment < due:
            self._due[key] = moment
            heapq.heappush(self._later, (moment, key))

    def failed(self, key: Reference, now: float) -> float:
        """To be tried again after a delay that doubles with each failure in a row; returns the delay in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        # The exponent is bounded: a key may fail for weeks, and 2**1024 is no float.
        delay: float = min(FIRST_RETRY_SECONDS * 2 ** min(count, 32), LONGEST_RETRY_SECONDS)
        self.add_at(key, now + delay)
        return delay

    def succeeded(self, key: Reference) -> None:
        """Forgets the key's failures."""
        if self._failures:
            self._failures.pop(key, None)

    def pop(self, now: float) -> Reference | None:
        """The next key to reconcile, or None."""
        while self._later and self._later[0][0] <= now:
            moment, key = heapq.heappop(self._later)
            if self._due.get(key) == moment:
                del self._due[key]
                self.add(key)
        for ready in self._ready.values():
            if ready:
                key = ready.popleft()
                self._waiting.discard(key)
                return key
        return None

    def next_moment(self) -> float | None:
        """When the next delayed key is due, or None."""
        while self._later and self._due.get(self._later[0][1]) != self._later[0][0]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def __len__(self) -> int:
        return len(self._waiting)
