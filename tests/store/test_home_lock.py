import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykatib.api.errors import HomeLocked, StorageFailed
from pykatib.store.lock import HomeLock, holder_of
from pykatib.store.sqlite import SqliteStore

OWNER = """
import sys, time
from pathlib import Path
from pykatib.store.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]), lambda: 1_750_000_000.0)
print("owned", flush=True)
sys.stdin.read()
"""

FORKING_OWNER = """
import os, signal, sys
from pathlib import Path
from pykatib.store.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]), lambda: 1_750_000_000.0)
child = os.fork()
if child == 0:
    sys.stdin.read()  # outlives its parent, until the test lets it go
    os._exit(0)
print("owned", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "katib.db"


@pytest.fixture
def owner(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that owns the database."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path), "--some-flag"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        yield process
        process.kill()


def test_the_holder_is_named_with_what_to_do(path: Path, owner: "subprocess.Popen[str]") -> None:
    with pytest.raises(HomeLocked) as raised:
        SqliteStore(path, lambda: 0.0)
    message = str(raised.value)
    assert str(path.parent) in message
    assert f"process {owner.pid} (" in message
    assert "--some-flag" in message
    assert "since 2025-06-15T15:06:40Z" in message
    assert message.endswith("wait until it ends, stop it, or use another home folder")


def test_who_holds_it_can_be_asked(path: Path, owner: "subprocess.Popen[str]") -> None:
    holder = holder_of(path)
    assert holder is not None
    assert holder.pid == owner.pid
    owner.kill()
    owner.wait()
    assert holder_of(path) is None


def test_asking_takes_nothing_away(path: Path) -> None:
    assert holder_of(path) is None
    with HomeLock(path, now=0.0):
        assert holder_of(path) is not None
        with pytest.raises(HomeLocked):
            HomeLock(path, now=0.0).acquire()


def test_a_killed_owner_is_no_obstacle(path: Path, owner: "subprocess.Popen[str]") -> None:
    owner.kill()
    owner.wait()
    assert str(owner.pid) in (path.parent / "katib.db.lock").read_text()
    store = SqliteStore(path, lambda: 0.0)
    holder = holder_of(path)
    assert holder is not None
    assert holder.pid == os.getpid()
    store.close()


def test_a_forked_child_does_not_hold_on_after_its_parent(path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING_OWNER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        process.wait()
        deadline = time.monotonic() + 30.0
        while (holder := holder_of(path)) is not None:  # the child lets go as soon as it gets to run
            assert time.monotonic() < deadline, f"still held: {holder}"
            time.sleep(0.01)
        SqliteStore(path, lambda: 0.0).close()


@pytest.mark.parametrize("content", [b"", b"not json", b'{"pid":1}'], ids=["empty", "garbage", "incomplete"])
def test_what_is_written_in_a_lock_that_nobody_holds_is_no_obstacle(path: Path, content: bytes) -> None:
    (path.parent / "katib.db.lock").write_bytes(content)
    SqliteStore(path, lambda: 0.0).close()


def test_one_process_cannot_own_a_home_twice(path: Path) -> None:
    store = SqliteStore(path, lambda: 0.0)
    with pytest.raises(HomeLocked, match=f"process {os.getpid()}"):
        SqliteStore(path, lambda: 0.0)
    store.close()
    SqliteStore(path, lambda: 0.0).close()


def test_a_lock_can_be_taken_again_after_release(path: Path) -> None:
    lock = HomeLock(path, now=0.0)
    for _ in range(2):
        lock.acquire()
        lock.acquire()
        lock.release()
        lock.release()
    assert holder_of(path) is None


def test_a_missing_folder_is_named(path: Path) -> None:
    with pytest.raises(StorageFailed, match="mkdir -p"):
        HomeLock(path / "deeper" / "katib.db", now=0.0).acquire()
