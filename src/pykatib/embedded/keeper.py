"""Keeps an embedded store's file up to date: commits in groups while the loop works, at once when it rests.

Once a second, on a thread of its own because a disk may take its time, what has been committed is made safe against a
power cut as well.
"""

import threading

from pykatib.api.errors import StorageFailed
from pykatib.store.sqlite import SqliteStore

SYNC_SECONDS = 1.0


class StoreKeeper:
    """A periodic of the loop."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sync, name="pykatib-sync", daemon=True)
        self._thread.start()

    def tick(self, now: float) -> None:
        """Commits if enough has changed."""
        self._store.commit_if_due(now)

    def rest(self) -> None:
        """Commits what there is."""
        self._store.flush()

    def next_moment(self) -> float | None:
        """Never: what has changed is committed before the loop waits."""
        return None

    def _sync(self) -> None:
        while not self._over.wait(SYNC_SECONDS):
            try:
                self._store.sync()
            except StorageFailed:
                pass  # the next commit says so, where somebody hears it

    def close(self) -> None:
        """Ends the thread."""
        self._over.set()
        self._thread.join()
