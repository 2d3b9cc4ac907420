"""The embedded store that lasts: memory semantics, and one SQLite file that follows them in grouped commits.

Memory decides and answers; the file is for the next process. What changed is noted by reference and written by
`flush`, or by `commit_if_due`, which the owner's loop calls often: after 50 ms or 1,000 changes, whichever is first.
Only the last version of each object is encoded, and append logs gain only their new entries, so the cost of a Trial
does not grow with their number. Objects, metric logs, events and taken mail go in one transaction: after a crash all of
them are of one moment.

* `flush` returns when everything is safe against the death of this process (kill -9); effects outside the store wait
  for it. `sync`, called about once a second, is what a power cut cannot take.
* When a commit fails (a full disk), nothing committed is lost and what is not stays here: writes raise StorageFailed
  until a later `flush` succeeds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pykatib.api.errors import StorageFailed
from pykatib.api.meta import Reference
from pykatib.api.objects import Event, Object
from pykatib.store import rows
from pykatib.store.database import Database
from pykatib.store.lock import HomeLock
from pykatib.store.mailbox import Mail
from pykatib.store.memory import MemoryStore
from pykatib.store.sharing import Pool
from pykatib.store.sqlite_observations import SqliteObservationStore

COMMIT_SECONDS = 0.05
COMMIT_CHANGES = 1_000
GONE_VERSIONS = 100_000  # how far back readers can follow what has gone
_EVENTS_ON_DISK = 10  # times as many as in memory


class SqliteStore(MemoryStore):
    """Owns `path` until it is closed. Raises HomeLocked, StorageFailed."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float],
        uid: Callable[[], str] | None = None,
        *,
        event_limit: int = 2_000,
    ) -> None:
        super().__init__(clock, uid, event_limit=event_limit)
        self.path = path
        self._event_limit = event_limit
        self._home = HomeLock(path, now=clock())
        self._home.acquire()
        try:
            self._database = Database(path, "own")
            try:
                # By reference, the version that the file has; in the order in which the file must learn of them.
                self._dirty: dict[Reference, Object | None] = {}
                self._new_events: dict[int, Event] = {}
                self._taken_mail = self._removed_mail = 0
                self._committed_at = float("-inf")
                self._failure: StorageFailed | None = None
                self.observations = SqliteObservationStore(self._database, refuse=self._refuse_if_failed)
                self._load()
            except BaseException:
                self._database.close()
                raise
        except BaseException:
            self._home.release()
            raise

    def record(self, event: Event) -> None:
        """Keeps an event; equal ones (but for time) of one object are counted. Old ones may be forgotten."""
        with self._lock:
            self._refuse_if_failed()
            number, kept = self._events.record(event)
            self._new_events[number] = kept

    def take_mail(self) -> list[Mail]:
        """The requests that came since the last call; they leave the file in the commit of their effects."""
        with self._lock:
            found = self._database.read("SELECT * FROM mailbox WHERE id > ? ORDER BY id", (self._taken_mail,))
            mail = [Mail(*row) for row in found]
            if mail:
                self._taken_mail = mail[-1].id
            return mail

    @property
    def change_count(self) -> int:
        """How much waits for the next commit."""
        return self._change_count() + (self._taken_mail != self._removed_mail)

    def commit_if_due(self, now: float) -> bool:
        """Flushes if enough has changed, or anything and enough time has passed; `now` is of any steady clock."""
        count = self._change_count()
        if not count and self._taken_mail == self._removed_mail:
            return False
        if count < COMMIT_CHANGES and now - self._committed_at < COMMIT_SECONDS:
            return False
        self._committed_at = now
        self.flush()
        return True

    def flush(self) -> None:
        """Returns when everything written so far outlives this process."""
        with self._lock, self.observations.lock:
            if not self._change_count() and self._taken_mail == self._removed_mail:
                return
            try:
                with self._database.transaction() as connection:
                    self._write_objects(connection)
                    self._write_events(connection)
                    self.observations.write_pending(connection)
                    if self._taken_mail != self._removed_mail:
                        connection.execute("DELETE FROM mailbox WHERE id <= ?", (self._taken_mail,))
            except StorageFailed as error:
                self._failure = error
                raise
            self._failure = None
            self._dirty = {}
            self._new_events = {}
            self._removed_mail = self._taken_mail
            self.observations.forget_pending()

    def sync(self) -> None:
        """Returns when what has been flushed outlives a power cut. Any thread may call; writers are not held up."""
        self._database.sync()

    def close(self) -> None:
        """Flushes and lets go."""
        super().close()
        try:
            self.flush()
        finally:
            try:
                self._database.close()
            finally:
                self._home.release()

    def _changing(self, reference: Reference, old: Object | None, new: Object | None) -> None:
        self._refuse_if_failed()
        if old is None:  # a new object goes to the end, even where one of its name has just gone
            self._dirty[reference] = self._dirty.pop(reference, None)
        else:
            self._dirty.setdefault(reference, old)

    def _refuse_if_failed(self) -> None:
        if self._failure is not None:
            raise StorageFailed(str(self._failure))

    def _change_count(self) -> int:
        return len(self._dirty) + len(self._new_events) + self.observations.pending_count

    def _write_objects(self, connection: Any) -> None:
        changed: list[tuple[Any, ...]] = []
        gone_uids: list[tuple[str]] = []
        gone: list[tuple[Any, ...]] = []
        rewritten: list[tuple[str, str]] = []
        entries: list[tuple[str, str, int, bytes]] = []
        for reference, committed in self._dirty.items():
            obj = self.find(reference)
            if committed is not None and (obj is None or obj.metadata.uid != committed.metadata.uid):
                gone_uids.append((committed.metadata.uid,))
                gone.append((self._version, reference.kind, reference.api_version, reference.namespace, reference.name))
                committed = None
            if obj is None:
                continue
            uid = obj.metadata.uid
            for field in rows.log_fields(type(obj)):
                log = rows.log_of(obj, field)
                written = 0
                if committed is not None:
                    before = rows.log_of(committed, field)
                    if log.extends(before):
                        written = len(before)
                    else:
                        rewritten.append((uid, field.name))
                entries.extend(
                    (uid, field.name, written + index, rows.entry_of(item))
                    for index, item in enumerate(log.since(written))
                )
            changed.append(
                (
                    uid,
                    reference.kind,
                    reference.api_version,
                    reference.namespace,
                    reference.name,
                    int(obj.metadata.resource_version),
                    rows.body_of(obj),
                )
            )
        connection.executemany("DELETE FROM objects WHERE uid = ?", gone_uids)
        connection.executemany("DELETE FROM entries WHERE uid = ?", gone_uids)
        connection.executemany("INSERT INTO gone VALUES (?, ?, ?, ?, ?)", gone)
        connection.executemany(
            "INSERT INTO objects (uid, kind, api_version, namespace, name, version, body) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (uid) DO UPDATE SET version = excluded.version, body = excluded.body",
            changed,
        )
        connection.executemany("DELETE FROM entries WHERE uid = ? AND field = ?", rewritten)
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", entries)
        connection.execute("DELETE FROM gone WHERE version < ?", (self._version - GONE_VERSIONS,))
        connection.execute("UPDATE counters SET value = ? WHERE name = 'version'", (self._version,))

    def _write_events(self, connection: Any) -> None:
        if self._new_events:
            connection.executemany(
                f"INSERT OR REPLACE INTO events (number, {rows.EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [rows.event_row(number, event) for number, event in self._new_events.items()],
            )
            oldest = max(self._new_events) - self._event_limit * _EVENTS_ON_DISK
            connection.execute("DELETE FROM events WHERE number <= ?", (oldest,))

    def _load(self) -> None:
        read = self._database.read
        [(self._version,)] = read("SELECT value FROM counters WHERE name = 'version'")
        pool = Pool()
        entries = rows.grouped(read("SELECT uid, field, body FROM entries ORDER BY uid, field, position"))
        for uid, kind, body in read("SELECT uid, kind, body FROM objects ORDER BY sequence"):
            try:
                obj = rows.object_of(kind, body, entries.pop(uid, {}))
            except msgspec.MsgspecError as error:
                raise StorageFailed(f"{self.path}: the {kind} with uid {uid} cannot be read: {error}") from error
            obj = pool.share(obj)
            self._keep(obj.reference, obj)
        last_events = read(
            f"SELECT number, {rows.EVENT_COLUMNS} FROM events ORDER BY number DESC LIMIT ?", (self._event_limit,)
        )
        events = [(Event(*columns), number) for number, *columns in last_events]
        for event, number in sorted(events, key=lambda entry: (entry[0].time, entry[1])):
            self._events.restore(number, event)
