"""Storage that fails, for real: full, read-only, damaged, not ours, not there."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Raw

from pykatib.api.errors import StorageFailed
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial, TrialSpec
from pykatib.store.reader import SqliteReader
from pykatib.store.sqlite import SqliteStore


def clock() -> float:
    return 1_750_000_000.0


def trial(name: str, size: int = 10) -> Trial:
    spec = TrialSpec(run_spec=Raw(b'"' + b"x" * size + b'"'))
    return Trial(metadata=ObjectMeta(name, namespace="default"), spec=spec)


def names(store: SqliteStore | SqliteReader) -> list[str]:
    return [obj.metadata.name for obj in store.list("Trial")]


def filled(path: Path, count: int = 200) -> None:
    store = SqliteStore(path, clock)
    for number in range(count):
        store.create(trial(f"t-{number}", 1_000))
        store.observations.report("default", "t-0", [MetricLog(float(number), "loss", "0.5" * 20)])
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def run_as_nobody(script: str, *arguments: str) -> str:
    """Runs a script whose `become_nobody()` makes it a user whom file modes bind, which root is not."""
    become = """
        import os

        def become_nobody() -> None:
            if os.geteuid() == 0:
                os.setuid(65534)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(become) + textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_a_full_disk_loses_nothing_and_is_overcome(small_disk: Path) -> None:
    path = small_disk / "katib.db"
    store = SqliteStore(path, clock)
    store.create(trial("safe"))
    store.observations.report("default", "safe", [MetricLog(1.0, "loss", "1")])
    store.flush()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(2**20))
    store.create(trial("waiting", 200_000))
    store.observations.report("default", "safe", [MetricLog(2.0, "loss", "2")])
    with pytest.raises(StorageFailed, match=r"katib\.db: the disk is full; free some space"):
        store.flush()
    with pytest.raises(StorageFailed, match="the disk is full"):
        store.create(trial("refused"))
    with pytest.raises(StorageFailed, match="the disk is full"):
        store.observations.report("default", "safe", [MetricLog(3.0, "loss", "3")])
    assert names(store) == ["safe", "waiting"]
    with pytest.raises(StorageFailed):
        store.flush()
    ballast.unlink()
    store.flush()
    store.create(trial("after"))
    store.close()
    store = SqliteStore(path, clock)
    assert names(store) == ["safe", "waiting", "after"]
    assert [log.value for log in store.observations.logs("default", "safe")] == ["1", "2"]
    store.close()


def test_closing_on_a_full_disk_says_so_and_lets_go(small_disk: Path) -> None:
    path = small_disk / "katib.db"
    store = SqliteStore(path, clock)
    store.create(trial("safe"))
    store.flush()
    store.create(trial("too-large", 2_000_000))
    with pytest.raises(StorageFailed, match="the disk is full"):
        store.close()
    store = SqliteStore(path, clock)
    assert names(store) == ["safe"]
    store.close()


def test_a_file_size_limit_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from msgspec import Raw
        from pykatib.api.errors import StorageFailed
        from pykatib.api.meta import ObjectMeta
        from pykatib.api.trial import Trial, TrialSpec
        from pykatib.store.sqlite import SqliteStore

        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        store = SqliteStore(Path(sys.argv[1]), lambda: 0.0)
        spec = TrialSpec(run_spec=Raw(b'"' + b"x" * 10_000 + b'"'))
        try:
            for number in range(1_000):
                store.create(Trial(metadata=ObjectMeta(f"t-{number}", namespace="default"), spec=spec))
                store.flush()
                print(number, flush=True)
        except StorageFailed as error:
            print(error)
    """
    path = tmp_path / "katib.db"
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], capture_output=True, text=True, check=True
    )
    *committed, message = result.stdout.splitlines()
    assert "katib.db: the disk" in message
    assert len(committed) > 5
    store = SqliteStore(path, clock)
    assert names(store) == [f"t-{number}" for number in committed]
    store.close()


def test_a_read_only_file_system_is_refused_for_writing_and_can_be_read(small_disk: Path) -> None:
    path = small_disk / "katib.db"
    store = SqliteStore(path, clock)
    store.create(trial("t"))
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageFailed, match=r"katib\.db.*: it cannot be written.*use another home folder"):
        SqliteStore(path, clock)
    reader = SqliteReader(path)
    assert names(reader) == ["t"]
    reader.close()


@pytest.mark.parametrize("which", ["folder", "file", "lock"])
def test_what_this_user_may_not_write_is_refused(which: str) -> None:
    home = Path(tempfile.mkdtemp())
    try:
        path = home / "katib.db"
        filled(path, 1)
        lock = home / "katib.db.lock"
        for entry, mode in ((path, 0o666), (lock, 0o666), (home, 0o777)):
            entry.chmod(mode)
        {"folder": home, "file": path, "lock": lock}[which].chmod(0o555)
        told = run_as_nobody(
            """
            import sys
            from pathlib import Path
            from pykatib.api.errors import StorageFailed
            from pykatib.store.sqlite import SqliteStore

            become_nobody()
            try:
                SqliteStore(Path(sys.argv[1]), lambda: 0.0)
            except StorageFailed as error:
                print(error)
            """,
            str(path),
        )
        assert str(home) in told
        assert "make" in told
        assert "writable" in told or "write" in told
    finally:
        shutil.rmtree(home)


def test_a_missing_folder_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "katib.db"
    for opening in (lambda: SqliteStore(path, clock), lambda: SqliteReader(path)):
        with pytest.raises(StorageFailed, match=f"its folder does not exist; create it with: mkdir -p {path.parent}"):
            opening()


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "katib.db"
    path.mkdir()
    with pytest.raises(StorageFailed, match=r"katib\.db: it cannot be opened; make sure"):
        SqliteStore(path, clock)


@pytest.mark.parametrize("content", [b"my diary\n" * 1_000, b"x", bytes(100_000)], ids=["text", "one byte", "zeros"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "katib.db"
    path.write_bytes(content)
    with pytest.raises(StorageFailed, match=r"katib\.db: it is not a pykatib database; move it away"):
        SqliteStore(path, clock)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "katib.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE diary (entry TEXT)")
    connection.commit()
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StorageFailed, match=r"katib\.db: this database belongs to another program; move it away"):
        SqliteStore(path, clock)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "katib.db"
    path.touch()
    filled(path, 1)
    reader = SqliteReader(path)
    assert names(reader) == ["t-0"]
    reader.close()


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1], ids=["a little", "half", "most"])
def test_a_truncated_database_is_said_to_be_damaged(tmp_path: Path, share: float) -> None:
    path = tmp_path / "katib.db"
    filled(path)
    os.truncate(path, int(path.stat().st_size * share))
    for opening in (lambda: SqliteStore(path, clock), lambda: names(SqliteReader(path))):
        with pytest.raises(StorageFailed, match=r"katib\.db: it is damaged; put a copy in its place or move it away"):
            opening()


def test_a_scribbled_on_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "katib.db"
    filled(path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"scribble" * ((len(content) - 4096) // 8)
    path.write_bytes(content)
    with pytest.raises(StorageFailed, match=r"katib\.db: it is damaged"):
        SqliteStore(path, clock)


def test_an_object_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "katib.db"
    filled(path, 1)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE objects SET body = '{\"metadata\": 7}'")
    connection.commit()
    connection.close()
    with pytest.raises(StorageFailed, match=r"katib\.db: the Trial .* cannot be read"):
        SqliteStore(path, clock)


def test_a_store_that_failed_to_open_lets_go_of_the_home(tmp_path: Path) -> None:
    path = tmp_path / "katib.db"
    path.write_bytes(b"my diary\n" * 1_000)
    with pytest.raises(StorageFailed):
        SqliteStore(path, clock)
    path.unlink()
    filled(path, 1)


def test_another_program_that_keeps_it_locked_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykatib.store.database._BUSY_SECONDS", 0.01)
    path = tmp_path / "katib.db"
    store = SqliteStore(path, clock)
    store.create(trial("t"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageFailed, match=r"katib\.db: another program keeps it locked; end that program"):
        store.flush()
    other.execute("ROLLBACK")
    other.close()
    store.close()
    reader = SqliteReader(path)
    assert names(reader) == ["t"]
    reader.close()
