"""The shell around a program, in the shells that images have: real processes, real signals."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shells import INSTALLED, SHELLS, busybox_only, start_wrapped

shells = pytest.mark.parametrize(
    "shell",
    [
        pytest.param(words, id=name, marks=pytest.mark.skipif(name not in INSTALLED, reason=f"there is no {name}"))
        for name, words in SHELLS.items()
    ],
)


def run(words: list[str], tmp_path: Path, shell: list[str], *, log: bool = True) -> tuple[int, str, str]:
    """Exit code, what was printed, and what the collector reads."""
    path = tmp_path / "log" if log else None
    with start_wrapped(
        words, control=tmp_path / "c", log=path, shell=shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        printed = process.communicate(timeout=30)[0].decode()
    return process.returncode, printed, path.read_text() if path is not None else ""


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@shells
def test_words_reach_the_program_as_they_are(tmp_path: Path, shell: list[str]) -> None:
    words = ["a b", "", "'", '"', "two\nlines", "$HOME", "$(id)", "`id`", "\\", "*", "ünï 日本", "-n", "a=b", ";", "$$"]
    code, printed, kept = run(
        [sys.executable, "-X", "utf8", "-c", "import sys; print(sys.argv[1:])", *words], tmp_path, shell
    )
    assert (code, printed) == (0, f"{words}\n")
    assert kept == printed


@shells
def test_every_exit_code_is_the_program_s(tmp_path: Path, shell: list[str]) -> None:
    codes = range(256) if shell == ["dash"] else (0, 1, 2, 126, 127, 128, 143, 255)
    for code in codes:
        got, _, _ = run(["sh", "-c", f"exit {code}"], tmp_path, shell, log=False)
        assert got == code
        assert (tmp_path / "c" / "exit").read_text() == f"{code} /main\n"


@shells
def test_a_whole_script_is_kept_with_its_errors(tmp_path: Path, shell: list[str]) -> None:
    script = "echo first; (echo second >&2); echo 'th  ird' | cat; printf last; exit 3"
    code, printed, kept = run(["sh", "-c", script], tmp_path, shell)
    assert code == 3
    assert printed == kept == "first\nsecond\nth  ird\nlast"


@shells
def test_a_program_that_is_not_there_is_told(tmp_path: Path, shell: list[str]) -> None:
    code, printed, _ = run(["no-such-program"], tmp_path, shell)
    assert code == 127
    assert "no-such-program" in printed


@shells
def test_a_shells_own_words_are_not_taken_for_the_program(tmp_path: Path, shell: list[str]) -> None:
    code, printed, _ = run(["katib_on", "x"], tmp_path, shell)
    assert code == 127
    assert "katib_on" in printed


@pytest.fixture(autouse=True)
def _signals_as_in_a_container() -> Iterator[None]:
    """What this process ignores, as under nohup or in the background, its children would ignore as well."""
    defaults = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, default) for number, default in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@shells
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1], ids=lambda n: n.name)
def test_signals_reach_the_program_and_its_answer_counts(
    tmp_path: Path, shell: list[str], number: signal.Signals
) -> None:
    program = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: (print('heard', flush=True), sys.exit(42)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "log"
    with start_wrapped(
        [sys.executable, "-c", program], control=tmp_path / "c", log=log, shell=shell, stdout=subprocess.PIPE
    ) as process:
        wait_for(lambda: log.exists() and "ready" in log.read_text())
        process.send_signal(number)
        printed, _ = process.communicate(timeout=30)
    assert process.returncode == 42
    assert printed == b"ready\nheard\n"


@shells
def test_a_signal_that_the_program_survives_does_not_end_the_wait(tmp_path: Path, shell: list[str]) -> None:
    program = "trap 'echo heard' TERM; echo ready; while [ ! -e go ]; do sleep 0.05; done; exit 9"
    log = tmp_path / "log"
    with start_wrapped(
        ["sh", "-c", program], control=tmp_path / "c", log=log, shell=shell, cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: log.exists() and "ready" in log.read_text())
        for count in (1, 2, 3):
            process.send_signal(signal.SIGTERM)
            wait_for(lambda count=count: log.read_text().count("heard") == count)  # type: ignore[misc]
        (tmp_path / "go").touch()
        assert process.wait(30) == 9


@shells
def test_a_killed_program_ends_as_killed(tmp_path: Path, shell: list[str]) -> None:
    assert run(["sh", "-c", "kill -9 $$"], tmp_path, shell)[0] == 137


@shells
def test_the_environment_and_umask_are_the_container_s(tmp_path: Path, shell: list[str]) -> None:
    environment = {**os.environ, "X": "y  z"}
    with start_wrapped(
        ["sh", "-c", "env | grep -c ^katib_; umask; echo $X"],
        control=tmp_path / "c",
        shell=shell,
        env=environment,
        umask=0o027,
        stdout=subprocess.PIPE,
    ) as process:
        printed, _ = process.communicate(timeout=30)
    assert printed.decode().split("\n")[1:] == ["0027", "y z", ""]
    assert printed.startswith(b"0")


@shells
def test_what_a_program_leaves_running_does_not_hold_the_container(tmp_path: Path, shell: list[str]) -> None:
    code, printed, _ = run(["sh", "-c", "sleep 4 & echo done"], tmp_path, shell)
    assert (code, printed) == (0, "done\n")


@shells
def test_stopping_ends_the_whole_group_and_counts_as_success(tmp_path: Path, shell: list[str]) -> None:
    program = "sleep 60 & echo $! > child; echo ready; wait"
    log, control = tmp_path / "log", tmp_path / "c"
    with start_wrapped(
        ["sh", "-c", program],
        control=control,
        log=log,
        stop_seconds="20",
        shell=shell,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    ) as process:
        wait_for(lambda: log.exists() and "ready" in log.read_text())
        with open(control / "stop", "w") as stop:
            stop.write("stop\n")
        printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert printed.decode().splitlines()[-1] == "Training Container was Early Stopped"
    assert (control / "exit").read_text() == "0 /main\n"
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: not Path(f"/proc/{child}").exists() or _is_zombie(child))


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@shells
def test_a_program_that_will_not_stop_is_killed(tmp_path: Path, shell: list[str]) -> None:
    log, control = tmp_path / "log", tmp_path / "c"
    program = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    with start_wrapped(
        ["sh", "-c", program], control=control, log=log, stop_seconds="1", shell=shell, stdout=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: log.exists() and "ready" in log.read_text())
        with open(control / "stop", "w") as stop:
            stop.write("stop\n")
        assert process.wait(30) == 0


@shells
def test_a_restarted_container_begins_anew(tmp_path: Path, shell: list[str]) -> None:
    assert run(["sh", "-c", "echo a; exit 5"], tmp_path, shell)[0] == 5
    code, printed, kept = run(["sh", "-c", "echo b"], tmp_path, shell)
    assert (code, printed, kept) == (0, "b\n", "a\nb\n")
    assert (tmp_path / "c" / "exit").read_text() == "0 /main\n"


@pytest.mark.skipif("busybox" not in INSTALLED, reason="there is no busybox")
def test_an_image_of_busybox_alone_will_do(tmp_path: Path) -> None:
    environment = busybox_only(tmp_path / "bin")
    log = tmp_path / "log"
    words = ["sh", "-c", "trap 'echo heard; exit 6' TERM; echo ready; while :; do sleep 1; done"]
    with start_wrapped(
        words, control=tmp_path / "c", log=log, stop_seconds="9", env=environment, stdout=subprocess.PIPE
    ) as process:
        wait_for(lambda: log.exists() and "ready" in log.read_text())
        process.send_signal(signal.SIGINT)  # which its env cannot give back to the program: it gets SIGTERM
        printed, _ = process.communicate(timeout=30)
    assert process.returncode == 6
    assert printed == b"ready\nheard\n"


def test_an_image_without_what_is_needed_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to(str(shutil.which("sh")))
    with start_wrapped(
        ["sh", "-c", "echo never"],
        control=tmp_path / "c",
        log=tmp_path / "log",
        env={"PATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        printed, _ = process.communicate(timeout=30)
    assert process.returncode == 127
    assert printed == b"katib: this image has no mkfifo, and metrics cannot be collected\n"
