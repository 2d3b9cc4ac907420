import contextlib
import os
import re
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from pykatib.api.errors import AlreadyExists, Unavailable
from pykatib.workers.processes import (
    MARKER_VARIABLE,
    ProcessEvent,
    ProcessExit,
    ProcessSpec,
    ProcessStarted,
    StartFailed,
    SupervisorLost,
    read_exit,
    read_exits,
)
from pykatib.workers.strays import end_strays, find_strays, find_supervisors
from pykatib.workers.supervision import Supervision
from pykatib.workers.supervisor import TIE_FD

PATIENCE_SECONDS = 60.0  # how long until a condition counts as never to come
SLEEP = ("sleep", "600")
IGNORES_TERM = ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
DAEMON = (  # leaves its group and session, and is orphaned
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        print('daemon', os.getpid(), flush=True)\n"
    "        time.sleep(600)\n"
    "    os._exit(0)\n"
    "os.wait()\n"
)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Bench:
    """A supervision at work, with a folder, and memory of every event."""

    def __init__(self, folder: Path, home_id: str) -> None:
        self.folder = folder
        self.home_id = home_id
        self.supervision = Supervision(home_id, grace_seconds=0.5)
        self.events: list[ProcessEvent] = []

    def spec(
        self,
        *argv: str,
        env: dict[str, str] | None = None,
        grace: float | None = None,
        cwd: Path | None = None,
        log_path: Path | None = None,
        exit_path: Path | None = None,
    ) -> ProcessSpec:
        return ProcessSpec(
            argv=argv,
            cwd=cwd or self.folder,
            env={"PATH": os.environ["PATH"]} if env is None else env,
            log_path=log_path or self.folder / "log",
            exit_path=exit_path or self.folder / "exit.json",
            grace_seconds=grace,
        )

    def spawn(self, process_id: str, *argv: str) -> None:
        self.supervision.spawn(process_id, self.spec(*argv))

    def python(self, process_id: str, program: str) -> None:
        self.spawn(process_id, sys.executable, "-I", "-S", "-c", program)

    def poll(self) -> None:
        self.events += self.supervision.poll()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.events
            with contextlib.suppress(Unavailable):
                select.select([self.supervision], [], [], 0.02)
            self.poll()

    def exit_of(self, process_id: str) -> ProcessExit:
        def found() -> list[ProcessExit]:
            return [event for event in self.events if isinstance(event, ProcessExit) and event.process_id == process_id]

        self.until(lambda: bool(found()))
        assert len(found()) == 1
        return found()[0]

    def pid_of(self, process_id: str) -> int:
        def found() -> list[int]:
            return [e.pid for e in self.events if isinstance(e, ProcessStarted) and e.process_id == process_id]

        self.until(lambda: bool(found()))
        return found()[0]

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def logged_pid(self, word: str) -> int:
        pattern = re.compile(rf"^{word} (\d+)$", re.MULTILINE)
        self.until(lambda: pattern.search(self.log()) is not None)
        match = pattern.search(self.log())
        assert match is not None
        return int(match[1])


@pytest.fixture
def home_id() -> Iterator[str]:
    home_id = uuid4().hex
    yield home_id
    end_strays(home_id, grace_seconds=0)


@pytest.fixture
def bench(tmp_path: Path, home_id: str) -> Iterator[Bench]:
    bench = Bench(tmp_path, home_id)
    bench.supervision.start()
    yield bench
    bench.supervision.close(now=True)
    assert find_strays(home_id) == []


# How processes begin


def test_a_process_gets_its_folder_environment_and_output_file(bench: Bench) -> None:
    folder = bench.folder / "sub"
    folder.mkdir()
    spec = bench.spec(
        "sh", "-c", "pwd; echo $VALUE; echo oops >&2", env={"PATH": "/usr/bin:/bin", "VALUE": "ünï"}, cwd=folder
    )
    bench.supervision.spawn("a", spec)
    bench.exit_of("a")
    assert bench.log() == f"{folder}\nünï\noops\n"


def test_nothing_is_inherited_but_what_was_given(bench: Bench) -> None:
    os.environ["PYKATIB_TEST_SECRET"] = "x"
    try:
        bench.python("a", "import os; print(sorted(os.environ)); print(sorted(map(int, os.listdir('/proc/self/fd'))))")
        bench.exit_of("a")
    finally:
        del os.environ["PYKATIB_TEST_SECRET"]
    names, descriptors = bench.log().splitlines()
    assert set(re.findall(r"'(\w+)'", names)) <= {"PATH", MARKER_VARIABLE, "LC_CTYPE"}
    assert descriptors == f"[0, 1, 2, 3, {TIE_FD}]"  # 3 is the listing's own, the last ties it to the supervisor


def test_a_process_reads_nothing_leads_a_session_and_ignores_no_signal(bench: Bench) -> None:
    bench.python("a", "import os, sys; print(repr(sys.stdin.read()), os.getsid(0) == os.getpgid(0) == os.getpid())")
    bench.exit_of("a")
    bench.spawn("b", "grep", "-E", "Sig(Ign|Blk)", "/proc/self/status")
    bench.exit_of("b")
    nothing_read, leads, _, blocked, _, ignored = bench.log().split()
    assert (nothing_read, leads) == ("''", "True")
    assert int(blocked, 16) == 0
    assert int(ignored, 16) & 0x7FFFFFFF == 0  # beyond are glibc's own


def test_output_is_appended(bench: Bench) -> None:
    for process_id in ("a", "b"):
        bench.spawn(process_id, "echo", process_id)
        bench.exit_of(process_id)
    assert bench.log() == "a\nb\n"


def test_a_program_is_found_by_the_path_of_its_own_environment(bench: Bench) -> None:
    program = bench.folder / "bin" / "train"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho trained\n")
    program.chmod(0o755)
    bench.supervision.spawn("a", bench.spec("train", env={"PATH": str(program.parent)}))
    bench.supervision.spawn("b", bench.spec("bin/train", env={}))
    assert bench.exit_of("a").exit_code == bench.exit_of("b").exit_code == 0
    assert bench.log() == "trained\ntrained\n"


def test_limits_are_applied(bench: Bench) -> None:
    spec = ProcessSpec(
        argv=("sh", "-c", "sleep 0.2; ulimit -n"),
        cwd=bench.folder,
        env={"PATH": os.environ["PATH"]},
        log_path=bench.folder / "log",
        exit_path=bench.folder / "exit.json",
        limits={"nofile": 99},
    )
    bench.supervision.spawn("a", spec)
    bench.exit_of("a")
    assert bench.log() == "99\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] != 99


def write(path: Path, text: str, mode: int) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("argv", "exit_code", "message"),
    [
        pytest.param(
            ["no-such-program"],
            127,
            r"there is no program 'no-such-program' in the PATH of the process \(",
            id="not in PATH",
        ),
        pytest.param(["./missing"], 127, r"there is no program './missing'", id="no such file"),
        pytest.param(["./plain"], 126, r"cannot run './plain': it is not executable \(chmod \+x", id="not executable"),
        pytest.param(["./folder"], 126, r"cannot run './folder': it is a folder", id="folder"),
        pytest.param(
            ["./headless"],
            126,
            r"cannot run './headless': this machine does not know its format; .*#!/bin/sh",
            id="no first line",
        ),
        pytest.param(
            ["./orphan"],
            127,
            r"cannot run './orphan': the interpreter that its first line names does not exist",
            id="no interpreter",
        ),
        pytest.param(["echo", "x" * 3_000_000], 128, r"too long for this system: 30\d{5} bytes", id="too long"),
        pytest.param(["echo", "a\0b"], 128, r"null byte", id="null byte"),
        pytest.param([], 127, r"there is no command to run", id="no command"),
    ],
)
def test_a_process_that_cannot_start_is_reported_with_the_reason(
    bench: Bench, argv: list[str], exit_code: int, message: str
) -> None:
    write(bench.folder / "plain", "text", 0o644)
    write(bench.folder / "headless", "text", 0o755)
    write(bench.folder / "orphan", "#!/no/such/interpreter\n", 0o755)
    (bench.folder / "folder").mkdir()
    bench.spawn("a", *argv)
    bench.until(lambda: bool(bench.events))
    [event] = bench.events
    assert isinstance(event, StartFailed)
    assert event.process_id == "a"
    assert event.exit_code == exit_code
    assert re.search(message, event.message)
    assert len(event.message) < 2000
    assert bench.supervision.running == frozenset()


def test_a_missing_working_folder_is_reported(bench: Bench) -> None:
    bench.supervision.spawn("a", bench.spec("echo", cwd=bench.folder / "gone"))
    bench.until(lambda: bool(bench.events))
    [event] = bench.events
    assert isinstance(event, StartFailed)
    assert re.search("cannot enter the working folder .*/gone': no such file", event.message)


def test_a_log_that_cannot_be_written_is_reported(bench: Bench) -> None:
    bench.supervision.spawn("a", bench.spec("echo", log_path=bench.folder / "gone" / "log"))
    bench.until(lambda: bool(bench.events))
    [event] = bench.events
    assert isinstance(event, StartFailed)
    assert re.search("cannot write the log .*/gone/log': no such file", event.message)


def test_one_id_names_one_running_process(bench: Bench) -> None:
    bench.spawn("a", *SLEEP)
    with pytest.raises(AlreadyExists, match="'a' is running"):
        bench.spawn("a", *SLEEP)


# How they end


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_an_exit_code_is_reported(bench: Bench, code: int) -> None:
    bench.spawn("a", "sh", "-c", f"exit {code}")
    ended = bench.exit_of("a")
    assert (ended.exit_code, ended.signal, ended.ended_by_supervisor) == (code, None, False)
    assert ended.container_exit_code == code
    assert ended.describe() == f"exited with code {code}"


@pytest.mark.parametrize(
    ("name", "number"), [("SIGTERM", 15), ("SIGKILL", 9), ("SIGSEGV", 11), ("SIGABRT", 6), ("SIG40", 40)]
)
def test_a_signal_from_elsewhere_is_reported(bench: Bench, name: str, number: int) -> None:
    bench.spawn("a", "sh", "-c", f"ulimit -c 0; kill -{number} $$")
    ended = bench.exit_of("a")
    assert (ended.exit_code, ended.signal, ended.ended_by_supervisor) == (None, name, False)
    assert ended.container_exit_code == 128 + number
    assert not ended.oom_killed
    assert name in ended.describe()


def test_an_exit_tells_times_and_resources(bench: Bench) -> None:
    before = time.time()
    bench.python("a", "import time; data = bytearray(60_000_000)\nwhile time.process_time() < 0.1: pass")
    ended = bench.exit_of("a")
    assert before <= ended.started_at <= ended.ended_at <= time.time()
    assert 0.1 <= ended.cpu_seconds < 60
    assert 60_000_000 <= ended.max_rss_bytes < 200_000_000


def test_an_exit_is_in_its_file_before_it_is_reported(bench: Bench) -> None:
    for number in range(20):
        path = bench.folder / f"{number}.json"
        bench.supervision.spawn(str(number), bench.spec("true", exit_path=path))
        assert read_exit(path) in (None, bench.exit_of(str(number)))
        assert read_exit(path) == bench.exit_of(str(number))


def test_the_file_of_a_process_that_ran_twice_tells_the_last_exit_and_each(bench: Bench) -> None:
    for process_id, code in (("a", "1"), ("b", "2")):
        bench.spawn(process_id, "sh", "-c", f"exit {code}")
        bench.exit_of(process_id)
    path = bench.folder / "exit.json"
    with open(path, "a") as file:
        file.write('{"event": "exit", "torn')
    assert read_exit(path) == bench.exit_of("b")
    assert read_exit(path, process_id="a") == bench.exit_of("a")
    assert read_exit(path, process_id="c") is None
    assert read_exits(path) == {"a": bench.exit_of("a"), "b": bench.exit_of("b")}


def test_an_exit_file_that_was_removed_is_made_anew(bench: Bench) -> None:
    path = bench.folder / "exit.json"
    for process_id in ("a", "b"):
        path.unlink(missing_ok=True)
        bench.spawn(process_id, "true")
        bench.exit_of(process_id)
    assert set(read_exits(path)) == {"b"}


def test_an_exit_that_cannot_be_recorded_is_still_reported(bench: Bench) -> None:
    bench.supervision.spawn("a", bench.spec("true", exit_path=bench.folder / "gone" / "exit.json"))
    assert bench.exit_of("a").exit_code == 0


def test_many_processes_run_at_once(bench: Bench) -> None:
    gate = bench.folder / "gate"
    for number in range(50):
        bench.spawn(str(number), "sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.2; done; exit {number}")
    bench.until(lambda: len(bench.events) == 50)
    assert all(isinstance(event, ProcessStarted) for event in bench.events)
    gate.touch()
    assert [bench.exit_of(str(number)).exit_code for number in range(50)] == list(range(50))
    assert bench.supervision.running == frozenset()


def test_much_output_is_all_in_the_log(bench: Bench) -> None:
    bench.python("a", "import sys\nfor i in range(400): sys.stdout.write('x' * 99_999 + '\\n')")
    bench.exit_of("a")
    assert (bench.folder / "log").stat().st_size == 40_000_000


# How they are ended


def obeying(code: int) -> str:
    return (
        f"import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit({code}))\n"
        "print('pid 0', flush=True)\ntime.sleep(600)"
    )


def test_a_process_is_asked_to_end_first(bench: Bench) -> None:
    bench.python(
        "a",
        obeying(3),
    )
    bench.logged_pid("pid")
    bench.supervision.end("a")
    ended = bench.exit_of("a")
    assert (ended.exit_code, ended.ended_by_supervisor) == (3, True)


def test_one_that_takes_the_request_and_exits_with_zero_has_still_been_ended(bench: Bench) -> None:
    bench.python(
        "a",
        obeying(0),
    )
    bench.logged_pid("pid")
    bench.supervision.end("a")
    ended = bench.exit_of("a")
    assert (ended.exit_code, ended.ended_by_supervisor) == (0, True)


def test_one_that_never_noticed_the_request_and_completed_has_ended_by_itself(bench: Bench) -> None:
    gate = bench.folder / "gate"
    program = f"trap '' TERM; echo pid 0; while [ ! -e {gate} ]; do sleep 0.05; done"
    bench.supervision.spawn("a", bench.spec("sh", "-c", program, grace=PATIENCE_SECONDS))
    bench.logged_pid("pid")
    bench.supervision.end("a")
    bench.spawn("later", "true")
    bench.exit_of("later")  # so the request has been obeyed
    gate.touch()
    ended = bench.exit_of("a")
    assert (ended.exit_code, ended.ended_by_supervisor) == (0, False)


def test_one_that_does_not_listen_is_killed_after_the_grace(bench: Bench) -> None:
    bench.spawn("a", *IGNORES_TERM)
    bench.until(lambda: "ready" in bench.log())
    bench.supervision.end("a")
    ended = bench.exit_of("a")
    assert (ended.signal, ended.ended_by_supervisor) == ("SIGKILL", True)
    assert ended.describe() == "was ended with SIGKILL"


def test_an_impatient_end_waits_for_nothing(bench: Bench) -> None:
    bench.supervision.spawn("a", bench.spec(*IGNORES_TERM, grace=10 * PATIENCE_SECONDS))
    bench.until(lambda: "ready" in bench.log())
    bench.supervision.end("a")
    bench.supervision.end("a", now=True)
    assert bench.exit_of("a").signal == "SIGKILL"


def test_a_stopped_process_is_ended_too(bench: Bench) -> None:
    bench.supervision.spawn("a", bench.spec(*SLEEP, grace=10 * PATIENCE_SECONDS))
    os.kill(bench.pid_of("a"), signal.SIGSTOP)
    bench.supervision.end("a")
    assert bench.exit_of("a").signal == "SIGTERM"


def test_ending_one_process_leaves_the_others_alone(bench: Bench) -> None:
    bench.spawn("a", *SLEEP)
    bench.spawn("b", *SLEEP)
    bench.supervision.end("a")
    bench.exit_of("a")
    bench.supervision.end("a")  # it has ended already
    assert runs(bench.pid_of("b"))
    assert bench.supervision.running == {"b"}


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            "import os, time\nif os.fork() == 0:\n    print('child', os.getpid(), flush=True)\n    time.sleep(600)",
            id="in its group",
        ),
        pytest.param(DAEMON.replace("daemon", "child"), id="daemon"),
    ],
)
@pytest.mark.parametrize("how", ["by itself", "ended", "killed"])
def test_what_a_process_leaves_behind_ends_with_it(bench: Bench, program: str, how: str) -> None:
    go = bench.folder / "go"
    waits = f"\nimport time, os\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    bench.python("other", DAEMON.replace("daemon", "other") + "import time; time.sleep(600)")
    bench.python("a", program + waits)
    child, other = bench.logged_pid("child"), bench.logged_pid("other")
    if how == "by itself":
        go.touch()
    else:
        bench.supervision.end("a", now=how == "killed")
    assert bench.exit_of("a").ended_by_supervisor == (how != "by itself")
    bench.until(lambda: not runs(child))
    assert runs(other)


def test_a_descendant_that_hid_its_environment_is_ended_with_the_tree(bench: Bench) -> None:
    program = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        "    os.execve('/bin/sh', ['sh', '-c', 'echo child $$; exec sleep 600'], {})\ntime.sleep(600)"
    )
    bench.python("a", program)
    child = bench.logged_pid("child")
    bench.supervision.end("a")
    bench.exit_of("a")
    bench.until(lambda: not runs(child))


def test_closing_ends_everything_and_tells_how(bench: Bench) -> None:
    bench.spawn("a", *SLEEP)
    bench.spawn("b", *IGNORES_TERM)
    bench.python("c", DAEMON + "import time; time.sleep(600)")
    daemon = bench.logged_pid("daemon")
    bench.until(lambda: "ready" in bench.log())
    bench.events += bench.supervision.close()
    assert bench.exit_of("a").signal == "SIGTERM"
    assert bench.exit_of("b").signal == "SIGKILL"
    assert not any(isinstance(event, SupervisorLost) for event in bench.events)
    assert not runs(daemon)
    assert find_supervisors(bench.home_id) == []
    assert bench.supervision.close() == []


def test_after_closing_nothing_starts_until_the_next_start(bench: Bench) -> None:
    bench.supervision.close()
    with pytest.raises(Unavailable, match="start"):
        bench.spawn("a", "true")
    bench.supervision.start()
    bench.spawn("a", "true")
    assert bench.exit_of("a").exit_code == 0


def test_while_everything_is_being_ended_nothing_more_starts(bench: Bench) -> None:
    bench.spawn("a", *IGNORES_TERM)
    bench.until(lambda: "ready" in bench.log())
    bench.supervision.end_all()
    bench.spawn("b", "true")
    bench.until(lambda: any(isinstance(event, SupervisorLost) for event in bench.events))
    assert bench.exit_of("a").ended_by_supervisor
    assert isinstance(bench.events[-1], SupervisorLost)
    assert bench.events[-1].process_ids == ("b",)


# When somebody dies

CLIENT = """
import os, select, sys, time
from pathlib import Path
from pykatib.workers.processes import ProcessSpec, ProcessStarted
from pykatib.workers.supervision import Supervision

folder, home_id, fork = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "fork"
supervision = Supervision(home_id, grace_seconds=0.5)
supervision.start()
programs = {
    "sleeper": ["sleep", "600"],
    "deaf": ["sh", "-c", "trap '' TERM; touch deaf; while :; do sleep 0.05; done"],
    "daemoniser": [sys.executable, "-I", "-S", "-c", sys.argv[4] + "import time; time.sleep(600)"],
    "completed": ["sh", "-c", "exit 7"],
}
for name, argv in programs.items():
    supervision.spawn(name, ProcessSpec(
        argv=tuple(argv), cwd=folder, env=dict(os.environ), log_path=folder / (name + ".log"),
        exit_path=folder / (name + ".json")))
while len(supervision.running) > 3 or not (folder / "deaf").exists() or not (folder / "daemoniser.log").read_text():
    select.select([supervision], [], [], 0.02)
    supervision.poll()
if fork and os.fork() == 0:
    time.sleep(600)
print(supervision.pid, flush=True)
time.sleep(600)
"""


class Client:
    """Another program that runs processes, to be killed."""

    def __init__(self, folder: Path, home_id: str, *, fork: bool = False) -> None:
        self.program = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(folder), home_id, "fork" if fork else "", DAEMON],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.program.stdout is not None
        self.supervisor = psutil.Process(int(self.program.stdout.readline()))

    def kill(self) -> None:
        self.program.kill()
        self.program.wait()

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.program.pid, signal.SIGKILL)
        self.program.wait()
        assert self.program.stdout is not None
        self.program.stdout.close()


@pytest.fixture(params=["", "fork"], ids=["alone", "with a forked child"])
def client(tmp_path: Path, home_id: str, request: pytest.FixtureRequest) -> Iterator[Client]:
    client = Client(tmp_path, home_id, fork=bool(request.param))
    yield client
    client.end()


def test_when_the_client_is_killed_everything_is_ended_and_every_exit_recorded(
    client: Client, tmp_path: Path, home_id: str
) -> None:
    strays = find_strays(home_id)
    assert len(strays) >= 4
    client.kill()
    until(lambda: not client.supervisor.is_running())
    assert [process for process in strays if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
    exits = {name: read_exit(tmp_path / f"{name}.json") for name in ("sleeper", "deaf", "daemoniser", "completed")}
    found = {name: (e.exit_code, e.signal, e.ended_by_supervisor) for name, e in exits.items() if e is not None}
    assert found == {
        "sleeper": (None, "SIGTERM", True),
        "deaf": (None, "SIGKILL", True),
        "daemoniser": (None, "SIGTERM", True),
        "completed": (7, None, False),
    }


def test_the_next_life_waits_for_a_supervisor_that_is_still_ending_what_its_client_left(
    client: Client, tmp_path: Path, home_id: str
) -> None:
    client.kill()
    end_strays(home_id)
    assert find_strays(home_id) == []
    assert find_supervisors(home_id) == []
    recorded = read_exit(tmp_path / "deaf.json")
    assert recorded is not None
    assert recorded.ended_by_supervisor


def test_when_both_are_killed_the_next_life_finds_and_ends_what_is_left(
    client: Client, tmp_path: Path, home_id: str, bench: Bench
) -> None:
    stranger = Supervision(uuid4().hex)
    stranger.start()
    stranger.spawn("a", bench.spec(*SLEEP))
    client.supervisor.suspend()  # or it would see the client's end
    client.kill()
    client.supervisor.kill()
    until(lambda: not client.supervisor.is_running() or client.supervisor.status() == psutil.STATUS_ZOMBIE)
    bench.supervision.close()
    # Most have died with the supervisor; what left its group has not.
    until(lambda: not {"sleep", "sh"} & {process.name() for process in find_strays(home_id)})
    strays = find_strays(home_id)
    daemon = int((tmp_path / "daemoniser.log").read_text().split()[1])
    assert daemon in {process.pid for process in strays}
    assert daemon in end_strays(home_id, grace_seconds=0.5)
    assert not any(runs(process.pid) for process in strays)
    assert find_strays(home_id) == []
    assert read_exit(tmp_path / "sleeper.json") is None
    assert stranger.running == {"a"}
    [*_, ended] = stranger.close()
    assert isinstance(ended, ProcessExit)


def test_when_the_supervisor_is_killed_its_processes_are_killed_and_reported_lost(bench: Bench) -> None:
    bench.spawn("a", *SLEEP)
    bench.python("b", DAEMON + "import time; time.sleep(600)")
    bench.spawn("c", "sh", "-c", "exit 5")
    bench.exit_of("c")
    a, b, daemon = bench.pid_of("a"), bench.pid_of("b"), bench.logged_pid("daemon")
    assert bench.supervision.pid is not None
    os.kill(bench.supervision.pid, signal.SIGKILL)
    bench.until(lambda: isinstance(bench.events[-1], SupervisorLost))
    lost = bench.events[-1]
    assert isinstance(lost, SupervisorLost)
    assert set(lost.process_ids) == {"a", "b"}
    assert "signal 9" in lost.message
    until(lambda: not any(map(runs, (a, b, daemon))))
    assert bench.supervision.running == frozenset()


def test_after_a_killed_supervisor_another_can_be_started(bench: Bench) -> None:
    assert bench.supervision.pid is not None
    os.kill(bench.supervision.pid, signal.SIGKILL)
    bench.until(lambda: bool(bench.events))
    with pytest.raises(Unavailable):
        bench.supervision.fileno()
    bench.supervision.start()
    bench.spawn("a", "true")
    assert bench.exit_of("a").exit_code == 0


def test_what_is_asked_of_a_dead_supervisor_is_reported_lost(bench: Bench) -> None:
    assert bench.supervision.pid is not None
    supervisor = psutil.Process(bench.supervision.pid)
    supervisor.kill()
    until(lambda: supervisor.status() == psutil.STATUS_ZOMBIE)
    bench.spawn("a", "true")
    bench.until(lambda: bool(bench.events))
    assert [event.process_ids for event in bench.events if isinstance(event, SupervisorLost)] == [("a",)]


def test_an_exit_that_a_killed_supervisor_recorded_but_did_not_report_is_not_lost(bench: Bench) -> None:
    # The process plays the supervisor's part: it writes the record of its own exit.
    program = (
        "import json, os, time\n"
        "record = dict(event='exit', process_id='a', marker=os.environ['PYKATIB_WORKER'], pid=os.getpid(), exit_code=0,"
        " signal=None, ended_by_supervisor=False, started_at=1.0, ended_at=2.0, cpu_seconds=0.5, max_rss_bytes=1,"
        " oom_killed=False)\n"
        "open('exit.json', 'w').write(json.dumps(record) + '\\n')\n"
        "print('pid 0', flush=True); time.sleep(600)"
    )
    bench.python("a", program)
    bench.logged_pid("pid")
    assert bench.supervision.pid is not None
    os.kill(bench.supervision.pid, signal.SIGKILL)
    assert bench.exit_of("a").exit_code == 0
    assert [event.process_ids for event in bench.events if isinstance(event, SupervisorLost)] == [()]


def test_a_supervisor_that_is_told_to_end_ends_everything_and_reports_it(bench: Bench) -> None:
    bench.spawn("a", *SLEEP)
    bench.pid_of("a")
    assert bench.supervision.pid is not None
    os.kill(bench.supervision.pid, signal.SIGTERM)
    assert bench.exit_of("a").ended_by_supervisor
    bench.until(lambda: isinstance(bench.events[-1], SupervisorLost))


def test_a_terminals_signals_do_not_reach_supervisor_or_processes(bench: Bench) -> None:
    bench.spawn("a", *SLEEP)
    bench.pid_of("a")  # so the supervisor is past its own beginning
    assert bench.supervision.pid is not None
    assert os.getsid(bench.supervision.pid) == bench.supervision.pid != os.getsid(0)
    os.kill(bench.supervision.pid, signal.SIGINT)
    os.kill(bench.supervision.pid, signal.SIGHUP)
    bench.spawn("b", "true")
    assert bench.exit_of("b").exit_code == 0
    assert runs(bench.pid_of("a"))
