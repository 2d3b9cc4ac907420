"""Keeps an embedded store's file up to date: what has changed is committed in groups, 50 ms later at most.

What must be on record before something happens outside, such as the start of a process, is flushed by whoever does it.
So a group that dies with us holds nothing that anybody has acted upon. Once a second, on a thread of its own because a
disk may take its time, what has been committed is made safe against a power cut as well.
"""

import threading

from pykatib.api.errors import StorageFailed
from pykatib.store.sqlite import COMMIT_CHANGES, COMMIT_SECONDS, SqliteStore

SYNC_SECONDS = 1.0


class StoreKeeper:
    """A periodic of the loop."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._since: float | None = None  # when changes were first seen that wait for their commit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sync, name="pykatib-sync", daemon=True)
        self._thread.start()

    def tick(self, now: float) -> None:
        """Commits if it is time."""
        count = self._store.change_count
        if not count:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= COMMIT_SECONDS or count >= COMMIT_CHANGES:
            self._since = None
            self._store.flush()

    def rest(self) -> None:
        """Nothing to do: `next_moment` ends the wait in time."""

    def next_moment(self) -> float | None:
        """When what has changed since the last commit will be due."""
        return None if self._since is None else self._since + COMMIT_SECONDS

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
