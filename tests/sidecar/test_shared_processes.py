"""Programs found among processes: Katib's own wrapping, and containers whose command only their image knows."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykatib.api.errors import PykatibError
from pykatib.sidecar import shared_processes
from pykatib.sidecar.shared_processes import KatibsProgram, UnwrappedProgram, processes

OF_RULES = (
    " || if test -f {folder}/$$.pid && [ $(head -n 1 {folder}/$$.pid) = early-stopped ]; "
    "then echo Training Container was Early Stopped; else echo Training Container was Failed; exit 1; fi"
)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that other tests share are children of this process too."""
    before = {process.pid for process in processes()}
    monkeypatch.setattr(shared_processes, "processes", lambda: (one for one in processes() if one.pid not in before))


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes that are ended when the test is."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def start_as_katib(words: str, folder: Path, *, rules: bool = False) -> "subprocess.Popen[bytes]":
    """What Katib's webhook makes of a command, after Kubernetes has read its dollars."""
    text = words + (OF_RULES if rules else "") + " && echo completed > {folder}/$$.pid"
    return subprocess.Popen(["sh", "-c", text.replace("{folder}", str(folder))], stdout=subprocess.DEVNULL)


def test_katib_s_marker_tells_how_its_program_ended(tmp_path: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    started.append(start_as_katib("sleep 0.3", tmp_path))
    program = KatibsProgram(tmp_path, waits_for_all=False, root_parent=os.getpid())
    assert not program.has_ended()
    started[0].wait(30)
    assert program.has_ended()
    assert not program.has_failed


def test_a_program_without_katib_s_marker_has_failed(tmp_path: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    started.append(start_as_katib("sleep 0.3; false", tmp_path))
    program = KatibsProgram(tmp_path, waits_for_all=True, root_parent=os.getpid())
    started[0].wait(30)
    assert program.has_ended()
    assert program.has_failed


def test_the_main_process_alone_is_waited_for_where_that_is_asked(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    started.append(subprocess.Popen(["sleep", "60"]))  # a proxy of a service mesh
    started.append(start_as_katib("sleep 0.3", tmp_path))
    main = KatibsProgram(tmp_path, waits_for_all=False, root_parent=os.getpid())
    all_of_them = KatibsProgram(tmp_path, waits_for_all=True, root_parent=os.getpid())
    started[1].wait(30)
    assert main.has_ended()
    assert not all_of_them.has_ended()


def test_a_program_in_katib_s_wrapping_is_stopped_as_a_success(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    started.append(start_as_katib("sleep 60", tmp_path, rules=True))
    program = KatibsProgram(tmp_path, waits_for_all=False, root_parent=os.getpid())
    wait_for(program.stop)
    assert started[0].wait(30) == 0
    assert program.was_stopped
    assert program.has_ended()
    assert not program.has_failed


def test_a_program_that_ended_before_it_was_seen_is_known_by_its_marker(tmp_path: Path) -> None:
    (tmp_path / "17.pid").write_text("completed\n")
    program = KatibsProgram(tmp_path, waits_for_all=False, root_parent=os.getpid())
    assert program.has_ended()
    assert not program.has_failed


def test_nobody_to_wait_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PykatibError, match="shareProcessNamespace"):
        KatibsProgram(tmp_path, waits_for_all=False, root_parent=os.getpid())


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _can_mount(), reason="mounting takes more rights")
def test_a_container_is_known_by_the_volume_that_it_shares(
    tmp_path: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    source, target = tmp_path / "the-control-volume", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    mount = f"mount --bind {source} {target} && touch {tmp_path}/mounted && exec sleep 60"
    started.append(subprocess.Popen(["sleep", "60"]))  # another container
    started.append(subprocess.Popen(["unshare", "--mount", "sh", "-c", mount]))
    wait_for((tmp_path / "mounted").exists)
    program = UnwrappedProgram("the-control-volume", tmp_path / "metrics", root_parent=os.getpid())
    assert not any(program.has_ended() for _ in range(4))
    started[1].kill()
    started[1].wait()
    assert [program.has_ended() for _ in range(3)] == [False, True, True]


def test_a_container_that_was_never_seen_has_ended_once_its_metrics_are_there(tmp_path: Path) -> None:
    program = UnwrappedProgram("no-such-volume", tmp_path / "metrics", root_parent=os.getpid())
    assert not any(program.has_ended() for _ in range(4))
    (tmp_path / "metrics").write_text("loss=1\n")
    assert program.has_ended()
