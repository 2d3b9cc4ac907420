"""The SQLite file: opening it, its schema, its errors in plain words.

One process owns the file and writes it (`pykatib.store.lock`); others read it and leave mail. Write-ahead logging keeps
readers and the owner out of each other's way. `synchronous=NORMAL` makes a commit safe against the death of the
process at once; against a power cut it is safe from the next `sync` on, and an older, whole state is found otherwise.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pykatib.api.errors import StorageFailed

Mode: TypeAlias = Literal["own", "post", "read"]

APPLICATION_ID = 0x6B617469  # "kati", in the file's header
_MAGIC = b"SQLite format 3\0"
_BUSY_SECONDS = 10.0
_AUTOCHECKPOINT_PAGES = 10_000  # a backstop; `sync` is what keeps the write-ahead log short

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO counters VALUES ('version', 0), ('log', 0)",
        # `sequence` keeps the order of creation; `body` is the object's JSON without its append logs.
        """CREATE TABLE objects (
            sequence INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, api_version TEXT NOT NULL,
            namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL)""",
        "CREATE UNIQUE INDEX objects_by_name ON objects (kind, namespace, name, api_version)",
        "CREATE INDEX objects_by_version ON objects (version)",
        """CREATE TABLE entries (
            uid TEXT NOT NULL, field TEXT NOT NULL, position INTEGER NOT NULL, body BLOB NOT NULL,
            PRIMARY KEY (uid, field, position)) WITHOUT ROWID""",
        """CREATE TABLE gone (
            version INTEGER NOT NULL, kind TEXT NOT NULL, api_version TEXT NOT NULL, namespace TEXT NOT NULL,
            name TEXT NOT NULL)""",
        "CREATE INDEX gone_by_version ON gone (version)",
        """CREATE TABLE events (
            number INTEGER PRIMARY KEY, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
            type TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, time REAL NOT NULL,
            count INTEGER NOT NULL)""",
        "CREATE INDEX events_by_object ON events (namespace, name)",
        """CREATE TABLE trials (
            id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (namespace, name))""",
        """CREATE TABLE logs (
            trial INTEGER NOT NULL, metric TEXT NOT NULL, time REAL NOT NULL, id INTEGER NOT NULL, value TEXT NOT NULL,
            PRIMARY KEY (trial, metric, time, id)) WITHOUT ROWID""",
        """CREATE TABLE mailbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
            body TEXT NOT NULL, posted_at REAL NOT NULL)""",
    ),
)
"""How the schema came to be: statement lists; the file's `user_version` says how many have been applied."""

_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space, what was committed is safe",
    sqlite3.SQLITE_READONLY: "it cannot be written; make the file and its folder writable, or use another home folder",
    sqlite3.SQLITE_PERM: "it may not be opened; make the file and its folder writable, or use another home folder",
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened; make sure that it is a file which this user may read and write, in a folder that this "
        "user may write"
    ),
    sqlite3.SQLITE_NOTADB: "it is not a pykatib database; move it away, or use another home folder",
    sqlite3.SQLITE_CORRUPT: "it is damaged; put a copy in its place or move it away, with its -wal and -shm files",
    sqlite3.SQLITE_BUSY: "another program keeps it locked; end that program",
    sqlite3.SQLITE_IOERR: "the disk refused to read or write; check its health, quota and free space",
}


def storage_failed(path: Path, error: Exception) -> StorageFailed:
    """The error in one sentence that names the file and says what to do."""
    code = getattr(error, "sqlite_errorcode", None)
    advice = None if code is None else _ADVICE.get(code & 0xFF)
    if advice is None:
        return StorageFailed(f"{path}: {error}")
    return StorageFailed(f"{path}: {advice} ({error})")


class Database:
    """One connection to the file, usable from any thread; all errors come out as StorageFailed."""

    def __init__(self, path: Path, mode: Mode) -> None:
        self.path = path
        self._mode = mode
        self._lock = threading.RLock()
        if not path.parent.is_dir():
            raise StorageFailed(f"{path}: its folder does not exist; create it with: mkdir -p {path.parent}")
        if mode != "own" and not path.exists():
            raise StorageFailed(f"{path}: there is no such file; nothing has been run with this home folder yet")
        if _is_something_else(path):
            raise StorageFailed(f"{path}: {_ADVICE[sqlite3.SQLITE_NOTADB]}")
        try:
            self._connection = _connect(path, mode)
        except sqlite3.Error as error:
            raise storage_failed(path, error) from error
        try:
            self._check()
            if mode == "own":
                self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise storage_failed(path, error) from error
        except BaseException:
            self._connection.close()
            raise

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self._lock:
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise storage_failed(self.path, error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A short transaction, committed whole or not at all."""
        with self._lock:
            connection = self._connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:  # a full disk may have ended it already
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise storage_failed(self.path, error) from error
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads within see one state of the file; may be nested."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def sync(self) -> None:
        """Returns when what has been committed outlives a power cut. Holds up no commit: it has its own connection."""
        try:
            connection = _connect(self.path, "post")
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise storage_failed(self.path, error) from error

    def close(self) -> None:
        """Lets the file go."""
        with self._lock:
            try:
                self._connection.close()
            except sqlite3.Error as error:
                raise storage_failed(self.path, error) from error

    def _pragma(self, name: str) -> int:
        (value,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return int(value)

    def _check(self) -> None:
        """Refuses files that are not ours or not for this version."""
        application, schema = self._pragma("application_id"), self._pragma("user_version")
        if application != APPLICATION_ID:
            (table_count,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if application or schema or table_count:
                raise StorageFailed(
                    f"{self.path}: this database belongs to another program; move it away, or use another home folder"
                )
            if self._mode != "own":
                raise StorageFailed(f"{self.path}: it is empty; nothing has been run with this home folder yet")
        if schema > len(MIGRATIONS):
            raise StorageFailed(
                f"{self.path}: it was written by a newer pykatib (schema {schema}, this one knows {len(MIGRATIONS)}); "
                "upgrade pykatib, or use another home folder"
            )
        if schema < len(MIGRATIONS) and self._mode != "own":
            raise StorageFailed(
                f"{self.path}: it was written by an older pykatib (schema {schema}, not {len(MIGRATIONS)}); "
                "run something with this version once, which brings it up to date"
            )

    def _prepare(self) -> None:
        """Makes the file ours: write-ahead logging, the newest schema."""
        (journal,) = self._connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if journal != "wal":
            raise StorageFailed(
                f"{self.path}: its file system has no shared memory, so readers would block the run; "
                "use a home folder on a local disk"
            )
        for number in range(self._pragma("user_version"), len(MIGRATIONS)):
            with self.transaction() as connection:
                for statement in MIGRATIONS[number]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={number + 1}")
        with self.transaction() as connection:
            connection.execute("DELETE FROM gone WHERE 0")  # a read-only file says so now


def is_unused(path: Path) -> bool:
    """True where nothing was ever kept: no file, or one whose first owner died before it had a schema.

    Raises:
        StorageFailed: it cannot be read.
    """
    if not path.exists():
        return True
    if _is_something_else(path):
        return False
    try:
        connection = _connect(path, "read")
        try:
            (table_count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise storage_failed(path, error) from error
    return not table_count


def _is_something_else(path: Path) -> bool:
    """True for a file with content that is not SQLite's: SQLite itself takes very short ones for empty."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError:
        return False  # opening it as a database will say what is wrong
    return head not in (b"", _MAGIC)


def _connect(path: Path, mode: Mode) -> sqlite3.Connection:
    uri = path.resolve().as_uri() + {"own": "?mode=rwc", "post": "?mode=rw", "read": "?mode=ro"}[mode]
    if mode == "read" and not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists():
        uri += "&immutable=1"  # nobody has it open, and SQLite could not make its shared memory file here
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_AUTOCHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection
