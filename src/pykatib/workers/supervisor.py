"""The supervisor: a program of its own that starts, watches and ends the processes of worker jobs.

It exists so that `kill -9` of katib leaves nothing running and loses no exit: it is started by `supervision`, in a
session of its own, and outlives its client by as long as it takes to end what runs. It is small, so that starting a
process is cheap, and uses the standard library alone: it runs as `python -I -S supervisor.py <client's pid> <grace
seconds>` with a socket as its standard input, on which requests and events pass as lines of JSON (see `processes`).

It promises that
- an exit is in the process's exit file before it is told to the client;
- when a process ends, so does what it left behind: its process group, and descendants that made groups of their own;
- when the client goes away, everything gets SIGTERM, after the grace SIGKILL; the exits are recorded; then it leaves;
- when it is killed itself, so are the processes (Linux): none completes while nobody is there to record it.

One thread, no polling: it sleeps in select() until a request, a child's death, the client's end or a grace's.
"""

import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

MARKER_PREFIX = b"PYKATIB_WORKER="
LINUX = sys.platform == "linux"
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there, KiB elsewhere
TIE_FD = 199  # what a worker holds open, see `Tie`: a number that programs do not come to by themselves
LAST_PATIENCE_SECONDS = 10.0  # after SIGKILL, for processes that hang in the kernel, before leaving without them


class CannotStart(Exception):  # noqa: N818 - states the fault
    """A process cannot be started; carries a sentence for the user and a shell's exit code."""

    def __init__(self, message: str, exit_code: int = 128) -> None:
        super().__init__(message if len(message) < 2000 else message[:1000] + " … " + message[-500:])
        self.exit_code = exit_code


class Worker:
    """A running process and what has been done to end it."""

    def __init__(self, request: dict[str, Any], pid: int, started_at: float, oom_kills: int, grace: float) -> None:
        self.process_id: str = request["id"]
        self.marker: str = request["marker"]
        self.exit_path: str = request["exit"]
        self.vouches: bool = request["vouches"]
        self.pid = pid
        self.started_at = started_at
        self.oom_kills = oom_kills  # the kernel's count at the start
        self.grace = grace
        self.kill_at: float | None = None  # monotonic; set by SIGTERM, cleared by SIGKILL
        self.term_sent = False
        self.kill_sent = False
        self.catches_term = False  # at the moment when SIGTERM was sent


class Supervisor:
    """All workers of one client."""

    def __init__(self, channel: socket.socket, client_pid: int, grace: float) -> None:
        self.channel = channel
        self.grace = grace
        self.workers: dict[int, Worker] = {}  # by pid
        self.pids: dict[str, int] = {}  # by process id
        self.orphans: dict[int, str | None] = {}  # adopted descendants, by pid: the marker, None where unknown
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.told_to_leave = False  # by SIGTERM
        self.closing = False
        self.kill_rest_at = 0.0  # monotonic: adopted processes that nobody owns
        self.leave_at = 0.0  # monotonic: with whatever hangs
        self.devnull = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.exit_file = ("", -1)  # the last one written to, and its descriptor
        self.oom_counter = OomCounter()
        self.tie = Tie()
        self.children_file = _open_or_none(f"/proc/self/task/{os.getpid()}/children")
        self.wake_fd, wake_write = os.pipe()
        os.set_blocking(self.wake_fd, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.on_sigterm)
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(ignored, signal.SIG_IGN)
        self.reset = [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ]
        if LINUX:  # orphaned descendants become our children instead of init's
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        # A forked child of the client keeps the socket open beyond the client's death: the end of file is not enough.
        self.client_fd: int | None = None
        if hasattr(os, "pidfd_open"):
            try:
                self.client_fd = os.pidfd_open(client_pid)
            except OSError:
                self.client_fd = None  # no such call, or the client is gone and the end of file comes
        if os.getppid() != client_pid:
            self.close()

    def on_sigterm(self, *_: object) -> None:
        """Takes note; the loop acts."""
        self.told_to_leave = True

    # The loop

    def run(self) -> None:
        """Serves until the client has closed or gone, and everything has ended."""
        channel: int | None = self.channel.fileno()
        while not (self.closing and self.finished()):
            readable = [fd for fd in (channel, self.wake_fd, self.client_fd) if fd is not None]
            writable = [channel] if self.outgoing and channel is not None else []
            ready, can_write, _ = select.select(readable, writable, [], self.patience())
            if self.wake_fd in ready:
                _drain(self.wake_fd)
                self.reap()
                if self.told_to_leave and not self.closing:
                    self.close()
            if self.client_fd in ready:
                self.client_fd = channel = None
                self.outgoing.clear()
            if channel is not None and channel in ready and not self.receive():
                channel = None
                self.outgoing.clear()
            if channel is None and not self.closing:
                self.reap()  # who has ended so far has ended by itself
                self.close()
            if channel is not None and (self.outgoing or can_write):
                self.flush()
            self.kill_overdue()
        if channel is not None and self.outgoing:
            self.channel.settimeout(LAST_PATIENCE_SECONDS)
            self.channel.sendall(self.outgoing)

    def patience(self) -> float | None:
        """Seconds until something is due by itself."""
        due = [worker.kill_at for worker in self.workers.values() if worker.kill_at is not None]
        if self.closing:
            due += [self.leave_at, *([self.kill_rest_at] if self.orphans else [])]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def finished(self) -> bool:
        """Whether nobody is left, or only such as even SIGKILL does not end."""
        now = time.monotonic()
        if not self.workers:
            self.sweep()
            for (
                pid
            ) in self.orphans:  # among them may be the supervisor of a katib that a worker ran: SIGTERM comes first
                _send(pid, signal.SIGTERM if now < self.kill_rest_at else signal.SIGKILL)
            if now >= self.kill_rest_at:
                self.kill_rest_at = self.leave_at
        return not (self.workers or self.orphans) or now >= self.leave_at

    def receive(self) -> bool:
        """Reads and obeys requests; False at the client's end."""
        open_ = True
        while True:
            try:
                chunk = self.channel.recv(1 << 18)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            if not chunk:
                open_ = False
                break
            self.incoming += chunk
        *lines, rest = self.incoming.split(b"\n")
        self.incoming = bytearray(rest)
        for line in lines:
            request = json.loads(line)
            match request["op"]:
                case "spawn":
                    if open_ and not self.closing:
                        self.spawn(request)
                    # else the client takes it for lost when we have left
                case "end":
                    pid = self.pids.get(request["id"])
                    if pid is not None:
                        self.end(self.workers[pid], now=request["now"])
                case "close":
                    self.close(now=request["now"])
        return open_

    def tell(self, event: dict[str, Any]) -> None:
        """Queues an event for the client."""
        self.outgoing += json.dumps(event).encode() + b"\n"

    def tell_failed(self, process_id: str, failure: CannotStart) -> None:
        """Queues the news that a process could not be started."""
        message = str(failure).encode("utf-8", "backslashreplace").decode()
        self.tell({"event": "failed", "process_id": process_id, "message": message, "exit_code": failure.exit_code})

    def flush(self) -> None:
        """Sends what the socket takes."""
        try:
            sent = self.channel.send(self.outgoing)
        except BlockingIOError:
            return
        except OSError:
            self.outgoing.clear()  # the end of file follows
            return
        del self.outgoing[:sent]

    # Starting

    def spawn(self, request: dict[str, Any]) -> None:
        """Starts a process, or tells why not."""
        started_at = time.time()
        oom_kills = self.oom_counter.read()
        try:
            pid = self.start(request)
        except CannotStart as failure:
            self.tell_failed(request["id"], failure)
            return
        grace = self.grace if request["grace"] is None else request["grace"]
        self.workers[pid] = Worker(request, pid, started_at, oom_kills, grace)
        self.pids[request["id"]] = pid
        self.tell({"event": "started", "process_id": request["id"], "pid": pid, "started_at": started_at})

    def start(self, request: dict[str, Any]) -> int:
        """The pid of the process that a request asks for.

        posix_spawn does not copy the address space and tells why an exec failed; the working folder, which it cannot
        set, is ours for that moment.
        """
        argv: list[str] = request["argv"]
        env: dict[str, str] = request["env"]
        cwd: str = request["cwd"]
        try:
            os.chdir(cwd)
        except (OSError, ValueError) as error:
            raise CannotStart(f"cannot enter the working folder {cwd!r}: {_reason(error)}") from error
        log = tie = -1
        program = ""
        try:
            log = _open_log(request["log"])
            tie = self.tie.open()
            program = _find_program(argv, env)
            pid = os.posix_spawn(
                program,
                argv,
                env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, self.devnull, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                    *([(os.POSIX_SPAWN_DUP2, tie, TIE_FD)] if tie >= 0 else []),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=self.reset,
            )
            self.tie.bind(tie, pid)
        except (OSError, ValueError) as error:
            raise _cannot_run(program, argv, env, error) from error
        finally:
            for fd in (log, tie):
                if fd >= 0:
                    os.close(fd)
            os.chdir("/")
        self.limit(pid, request["limits"])
        return pid

    def limit(self, pid: int, limits: dict[str, int]) -> None:
        """Applies resource limits as far as the system and our rights go."""
        for name, value in limits.items():
            kind = getattr(resource, f"RLIMIT_{name.upper()}", None)
            if kind is not None and hasattr(resource, "prlimit"):
                try:
                    resource.prlimit(pid, kind, (value, value))
                except (OSError, ValueError):
                    continue

    # Ending

    def end(self, worker: Worker, *, now: bool) -> None:
        """SIGTERM to a worker's processes, and SIGKILL when its grace is over; or SIGKILL now."""
        if now or worker.grace <= 0:
            self.kill(worker)
        elif not worker.term_sent and not worker.kill_sent:
            worker.term_sent = True
            worker.catches_term = catches_term(worker.pid)
            worker.kill_at = time.monotonic() + worker.grace
            self.signal_all(worker, signal.SIGTERM, signal.SIGCONT)  # stopped, a process would never see the first

    def kill(self, worker: Worker) -> None:
        """SIGKILL to a worker's processes."""
        worker.kill_sent = True
        worker.kill_at = None
        self.signal_all(worker, signal.SIGKILL)

    def signal_all(self, worker: Worker, *numbers: signal.Signals) -> None:
        """Signals to the worker's group, and to its descendants and orphans outside of it."""
        self.sweep()
        roots = [worker.pid, *(pid for pid, marker in self.orphans.items() if marker == worker.marker)]
        outside = [pid for pid, group in _tree(roots) if group != worker.pid]
        for number in numbers:
            _send_group(worker.pid, number)
            for pid in outside:
                _send(pid, number)

    def close(self, *, now: bool = False) -> None:
        """Begins to end everything; `run` leaves when that is done."""
        self.closing = True
        for worker in list(self.workers.values()):
            self.end(worker, now=now)
        self.kill_rest_at = time.monotonic() if now else time.monotonic() + self.grace
        last_kill_at = max((worker.kill_at or 0.0 for worker in self.workers.values()), default=0.0)
        self.leave_at = max(self.kill_rest_at, last_kill_at) + LAST_PATIENCE_SECONDS

    def kill_overdue(self) -> None:
        """SIGKILL to those whose grace is over."""
        now = time.monotonic()
        for worker in list(self.workers.values()):
            if worker.kill_at is not None and worker.kill_at <= now:
                self.kill(worker)

    # Exits

    def reap(self) -> None:
        """Takes notice of every child that has ended."""
        try:
            while True:
                if LINUX:
                    dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                    if dead is None:
                        break
                    # Not reaped yet, a dead leader keeps its number from being given away: no stranger is in its group.
                    if dead.si_pid in self.workers:
                        _send_group(dead.si_pid, signal.SIGKILL)
                    pid, status, usage = os.wait4(dead.si_pid, 0)
                else:
                    pid, status, usage = os.wait4(-1, os.WNOHANG)
                    if pid == 0:
                        break
                    _send_group(pid, signal.SIGKILL)
                self.orphans.pop(pid, None)
                worker = self.workers.get(pid)
                if worker is not None:
                    self.finish(worker, status, usage)
        except ChildProcessError:
            pass
        self.sweep()

    def finish(self, worker: Worker, status: int, usage: resource.struct_rusage) -> None:
        """Records an exit, then tells it."""
        del self.workers[worker.pid], self.pids[worker.process_id]
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        number = os.WTERMSIG(status) if code is None else None
        ended_by_us = worker.term_sent or worker.kill_sent
        if code == 0 and (worker.vouches or not worker.catches_term):
            ended_by_us = False  # our signals would have shown as such: it completed before they arrived
        oom = number == signal.SIGKILL and not ended_by_us and self.oom_counter.read() > worker.oom_kills
        event = {
            "event": "exit",
            "process_id": worker.process_id,
            "marker": worker.marker,
            "pid": worker.pid,
            "exit_code": code,
            "signal": None if number is None else _signal_name(number),
            "ended_by_supervisor": ended_by_us,
            "started_at": worker.started_at,
            "ended_at": time.time(),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 6),
            "max_rss_bytes": usage.ru_maxrss * RSS_UNIT,
            "oom_killed": oom,
        }
        line = json.dumps(event).encode() + b"\n"
        try:
            os.write(self.exit_fd(worker.exit_path), line)
        except OSError as error:
            # The client still learns of it; what is lost is only the memory of it beyond both our deaths.
            print(f"cannot record an exit in {worker.exit_path}: {error}", file=sys.stderr, flush=True)
        self.outgoing += line

    def exit_fd(self, path: str) -> int:
        """An exit file, open to append. Where all processes share one, no file is made for each: that is not cheap."""
        last, fd = self.exit_file
        if fd >= 0:
            if last == path and os.fstat(fd).st_nlink > 0:
                return fd
            os.close(fd)
            self.exit_file = ("", -1)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.exit_file = (path, fd)
        return fd

    def sweep(self) -> None:
        """Kills adopted processes whose worker has ended, and remembers whose the others are."""
        if self.children_file is None:
            return
        children = os.pread(self.children_file, 1 << 20, 0).split()
        if len(children) == len(self.workers) and not self.orphans:
            return
        markers = {worker.marker for worker in self.workers.values()}
        for child in children:
            pid = int(child)
            if pid in self.workers:
                continue
            if pid not in self.orphans:
                self.orphans[pid] = self.owner(pid)
            marker = self.orphans[pid]
            if marker is not None and marker not in markers:
                _send(pid, signal.SIGKILL)  # its own children come to us next, and wake us

    def owner(self, pid: int) -> str | None:
        """The marker of the worker that an adopted process descends from."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                for entry in file.read().split(b"\0"):
                    if entry.startswith(MARKER_PREFIX):
                        return entry[len(MARKER_PREFIX) :].decode()
            worker = self.workers.get(os.getsid(pid))
        except (OSError, UnicodeDecodeError):
            return None
        return worker.marker if worker is not None else None


class Tie:
    """Has the kernel send SIGKILL to the group of each worker when we die, however we die.

    A worker holds one end of a pipe open, we hold the other; when ours is closed, the kernel signals the "owner" of
    theirs. (PR_SET_PDEATHSIG would have to be asked for between fork and exec, where posix_spawn lets nobody in, and
    would reach the first process alone.) Where it cannot be had, workers live on and the next life ends them.
    """

    def __init__(self) -> None:
        self.pipe = ""
        if LINUX and resource.getrlimit(resource.RLIMIT_NOFILE)[0] > TIE_FD:
            read, _ = os.pipe()  # the other end closes with us
            self.pipe = f"/proc/self/fd/{read}"

    def open(self) -> int:
        """A descriptor for one worker, which is an opening of its own and so has an owner of its own; -1 for none."""
        try:
            return os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if self.pipe else -1
        except OSError:
            return -1

    def bind(self, fd: int, group: int) -> None:
        """Makes a worker's process group the owner."""
        if fd >= 0:
            try:
                fcntl.fcntl(fd, fcntl.F_SETOWN, -group)
                fcntl.fcntl(fd, getattr(fcntl, "F_SETSIG", 10), signal.SIGKILL)
                fcntl.fcntl(fd, fcntl.F_SETFL, os.O_RDONLY | os.O_NONBLOCK | os.O_ASYNC)
            except OSError:
                pass  # it has ended already


class OomCounter:
    """The kernel's count of processes killed for want of memory, in our cgroup if that is told, else on the machine."""

    def __init__(self) -> None:
        self.fd = next((fd for fd in map(_open_or_none, _oom_files()) if fd is not None), None)

    def read(self) -> int:
        """The count; 0 where there is none."""
        if self.fd is not None:
            for line in os.pread(self.fd, 1 << 16, 0).splitlines():
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
        return 0


def _oom_files() -> Iterator[str]:
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return
    for _, controllers, path in groups:
        if "memory" in controllers.split(","):
            yield f"/sys/fs/cgroup/memory{path}/memory.oom_control"
            yield "/sys/fs/cgroup/memory/memory.oom_control"
        elif not controllers:
            yield f"/sys/fs/cgroup{path.rstrip('/')}/memory.events"
            yield "/sys/fs/cgroup/memory.events"
    yield "/proc/vmstat"


def _open_or_none(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _drain(fd: int) -> None:
    try:
        while len(os.read(fd, 4096)) == 4096:
            pass
    except BlockingIOError:
        pass


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass


def _send_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except OSError:
        pass


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIG{number}"


def _tree(roots: list[int]) -> list[tuple[int, int]]:
    """(pid, process group) of processes and all their descendants."""
    groups: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    if LINUX:
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat", "rb") as file:
                        fields = file.read().rpartition(b")")[2].split()  # the name before may hold anything
                except OSError:
                    continue
                pid = int(entry)
                groups[pid] = int(fields[2])
                children.setdefault(int(fields[1]), []).append(pid)
    found: list[tuple[int, int]] = []
    waiting = [pid for pid in roots if pid in groups]
    while waiting:
        pid = waiting.pop()
        found.append((pid, groups[pid]))
        waiting += children.get(pid, [])
    return found


def catches_term(pid: int) -> bool:
    """Whether a process has its own way to take SIGTERM, so that it may answer with an exit code.

    That is a handler, or waiting for it while it is blocked. Shells block signals for the moment of a fork, which does
    not mean that they would take one they ignore.
    """
    if not LINUX:
        return True
    bit = 1 << (signal.SIGTERM - 1)
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            masks = {
                line[:6]: int(line[7:], 16) & bit for line in file if line[:6] in (b"SigBlk", b"SigIgn", b"SigCgt")
            }
        return bool(masks[b"SigCgt"] or (masks[b"SigBlk"] and not masks[b"SigIgn"]))
    except (OSError, KeyError):
        return False


# Why a process cannot be started


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)


def _open_log(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except (OSError, ValueError) as error:
        raise CannotStart(f"cannot write the log {path!r}: {_reason(error)}") from error


def _find_program(argv: list[str], env: dict[str, str]) -> str:
    """The file to run: as execvp finds it, but by the PATH that the process itself is given."""
    if not argv or not argv[0]:
        raise CannotStart("there is no command to run", 127)
    name = argv[0]
    if "/" in name:
        return name
    path = env.get("PATH", os.defpath)
    blocked = ""
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            blocked = blocked or candidate
    if blocked:
        raise CannotStart(f"cannot run {blocked!r}: it is not executable (chmod +x would make it so)", 126)
    raise CannotStart(f"there is no program {name!r} in the PATH of the process ({path})", 127)


def _cannot_run(program: str, argv: list[str], env: dict[str, str], error: Exception) -> CannotStart:
    """What the refusal of posix_spawn means to the user."""
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.ENOENT, errno.ENOTDIR):
        if os.path.exists(program):
            return CannotStart(f"cannot run {program!r}: the interpreter that its first line names does not exist", 127)
        return CannotStart(f"there is no program {program!r}", 127)
    if code == errno.EACCES:
        if os.path.isdir(program):
            return CannotStart(f"cannot run {program!r}: it is a folder", 126)
        return CannotStart(f"cannot run {program!r}: it is not executable (chmod +x would make it so)", 126)
    if code == errno.ENOEXEC:
        advice = "a script's first line must name its interpreter, such as #!/bin/sh"
        return CannotStart(f"cannot run {program!r}: this machine does not know its format; {advice}", 126)
    if code == errno.E2BIG:
        size = sum(len(os.fsencode(text)) for text in [*argv, *env, *env.values()])
        return CannotStart(f"the arguments and environment are too long for this system: {size} bytes")
    return CannotStart(f"cannot run {program!r}: {_reason(error)}", 126 if code is not None else 128)


def main() -> None:
    """Takes the socket from standard input and serves."""
    channel = socket.socket(fileno=os.dup(0))
    channel.setblocking(False)
    os.dup2(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), 0)
    supervisor = Supervisor(channel, int(sys.argv[1]), float(sys.argv[2]))
    try:
        supervisor.run()
    except BaseException:
        for pid in supervisor.workers:
            _send_group(pid, signal.SIGKILL)
        raise


if __name__ == "__main__":
    main()
