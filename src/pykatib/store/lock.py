"""One owner of a home folder at a time, held by the kernel: it ends with the process, however that ends.

The file's text only says who holds it. What a dead owner left there is no obstacle.
"""

import errno
import fcntl
import os
import shlex
import sys
import weakref
from pathlib import Path

import msgspec

from pykatib.api.errors import HomeLocked, StorageFailed
from pykatib.api.times import rfc3339


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock."""

    pid: int
    command: str
    started_at: str


class HomeLock:
    """The lock that makes this process the owner of a database. A context manager; `acquire` may be called again."""

    def __init__(self, database: Path, *, now: float) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._now = now
        self._file: int | None = None

    def acquire(self) -> None:
        """Takes the lock. Raises HomeLocked, StorageFailed."""
        if self._file is not None:
            return
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise _cannot_lock(self.path, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.pwrite(file, msgspec.json.encode(Holder(os.getpid(), _command(), rfc3339(self._now))), 0)
        except BlockingIOError:
            os.close(file)
            raise HomeLocked(_held(self.path)) from None
        except OSError as error:
            os.close(file)
            raise _cannot_lock(self.path, error) from error
        self._file = file
        _held_here.add(self)

    def release(self) -> None:
        """Gives the lock back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "HomeLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


_held_here: "weakref.WeakSet[HomeLock]" = weakref.WeakSet()


def _release_in_child() -> None:
    # A forked child shares the lock: were it to outlive its parent, nobody could own the home again.
    for lock in _held_here:
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)


def holder_of(database: Path) -> Holder | None:
    """Who owns a database now, or None."""
    path = database.with_name(database.name + ".lock")
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path) or Holder(0, "", "")
    finally:
        os.close(file)
    return None


def _read(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def _held(path: Path) -> str:
    home, holder = path.parent, _read(path)
    who = f"process {holder.pid} ({holder.command}) since {holder.started_at}" if holder else "another process"
    return f"{home} is in use by {who}; wait until it ends, stop it, or use another home folder"


def _command() -> str:
    return shlex.join(sys.orig_argv)


def _cannot_lock(path: Path, error: OSError) -> StorageFailed:
    if error.errno == errno.ENOENT:
        return StorageFailed(f"{path}: its folder does not exist; create it with: mkdir -p {path.parent}")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageFailed(
            f"{path}: it cannot be written ({error.strerror}); make its folder writable, or use another home folder"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFailed(f"{path}: the disk is full ({error.strerror}); free some space")
    return StorageFailed(f"{path}: it cannot be locked ({error.strerror}); use a home folder on a local disk")
