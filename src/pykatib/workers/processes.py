"""What is said about a process of a worker job: what to start, and how it began and ended.

These values cross the wire between `supervision` (the client) and `supervisor` (the program), and an exit is also a
line of the process's own exit file, so that it is known after everybody who could have told it is gone.
"""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

MARKER_VARIABLE = "PYKATIB_WORKER"
"""The variable by which every descendant of a worker process is known: `<home id>/<unique id>`."""

SUPERVISOR_VARIABLE = "PYKATIB_SUPERVISOR"
"""The same for supervisors. They don't carry the other one: whoever ends a worker's tree must not end those."""


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A process to start: no shell, a complete environment, all output to the end of one file.

    `exit_path` receives a line of JSON when the process has ended; processes may share it, which is cheaper than a file
    for each. `limits` are soft and hard resource limits by their
    names in lower case (`core`, `nofile`, `as`, …), applied where the system can (Linux). `grace_seconds` is the time
    between SIGTERM and SIGKILL if it differs from the supervision's. One that `vouches` exits with 0 only when it has
    completed, so that even after SIGTERM its code is believed; others may just mean that they heard it.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    log_path: Path
    exit_path: Path
    limits: Mapping[str, int] = {}
    grace_seconds: float | None = None
    vouches: bool = False


class ProcessStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="started"):
    """A process runs; it leads a session and a process group of its own, both numbered `pid`."""

    process_id: str
    pid: int
    started_at: float


class ProcessExit(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="exit"):
    """A process has ended: with an exit code, or by a signal.

    `ended_by_supervisor` says that it ended because we ended it. One that completed (code 0) while our SIGTERM was on
    its way has ended by itself. `oom_killed` is a well-founded guess. CPU and memory include children it waited for.
    """

    process_id: str
    marker: str
    pid: int
    exit_code: int | None
    signal: str | None
    ended_by_supervisor: bool
    started_at: float
    ended_at: float
    cpu_seconds: float
    max_rss_bytes: int
    oom_killed: bool

    @property
    def container_exit_code(self) -> int:
        """The code that a container runtime would give: 128 + the signal's number where a signal ended it."""
        if self.exit_code is not None:
            return self.exit_code
        name = self.signal or ""
        number = getattr(signal, name, None)
        return 128 + (int(number) if number is not None else int(name.removeprefix("SIG") or 0))

    def describe(self) -> str:
        """One clause for people: `exited with code 1`, `was ended by SIGKILL from outside`, …"""
        if self.exit_code is not None:
            return f"exited with code {self.exit_code}" + (
                " when it was told to end" if self.ended_by_supervisor else ""
            )
        if self.ended_by_supervisor:
            return f"was ended with {self.signal}"
        if self.oom_killed:
            return f"was ended by {self.signal}: killed by the kernel, perhaps out of memory"
        if self.signal == "SIGKILL":
            return "was ended by SIGKILL from outside"
        return f"was ended by {self.signal}"


class StartFailed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="failed"):
    """A process could not be started; `message` is a sentence for the user.

    `exit_code` is a shell's: 127 no such program, 126 not executable; else 128, a container's `StartError`.
    """

    process_id: str
    message: str
    exit_code: int


class SupervisorLost(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor is gone; the processes named ran (or were about to) and have been killed, their exits unknown."""

    process_ids: tuple[str, ...]
    message: str


SupervisorEvent: TypeAlias = ProcessStarted | ProcessExit | StartFailed
ProcessEvent: TypeAlias = SupervisorEvent | SupervisorLost

_event_decoder = msgspec.json.Decoder(SupervisorEvent)
_exit_decoder = msgspec.json.Decoder(ProcessExit)


def decode_event(line: bytes) -> SupervisorEvent:
    """The event that a line from the supervisor tells."""
    event: SupervisorEvent = _event_decoder.decode(line)
    return event


def encode_spawn(process_id: str, marker: str, spec: ProcessSpec) -> bytes:
    """The request to start a process, one line.

    Not by msgspec: arguments that came as bytes are texts with lone surrogates, which only the standard library writes.
    """
    request = {
        "op": "spawn",
        "id": process_id,
        "marker": marker,
        "argv": spec.argv,
        "cwd": os.path.abspath(spec.cwd),
        "env": {**spec.env, MARKER_VARIABLE: marker},
        "log": os.path.abspath(spec.log_path),
        "exit": os.path.abspath(spec.exit_path),
        "limits": dict(spec.limits),
        "grace": spec.grace_seconds,
        "vouches": spec.vouches,
    }
    return json.dumps(request).encode() + b"\n"


def encode_end(process_id: str, *, now: bool) -> bytes:
    """The request to end a process."""
    return json.dumps({"op": "end", "id": process_id, "now": now}).encode() + b"\n"


def encode_close(*, now: bool) -> bytes:
    """The request to end everything and leave."""
    return json.dumps({"op": "close", "now": now}).encode() + b"\n"


def read_exit(path: Path, *, process_id: str | None = None, marker: str | None = None) -> ProcessExit | None:
    """The last exit recorded in a file, of the given process where one is given; None where there is none."""
    needle = json.dumps(process_id if marker is None else marker).encode() if process_id or marker else b""
    for line in reversed(_lines(path)):
        if needle in line:
            found = _decode_exit(line)
            if found and process_id in (None, found.process_id) and marker in (None, found.marker):
                return found
    return None


def read_exits(path: Path) -> dict[str, ProcessExit]:
    """The last exit of each process that a file tells of, by process id."""
    return {found.process_id: found for line in _lines(path) if (found := _decode_exit(line)) is not None}


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")
    except OSError:
        return []


def _decode_exit(line: bytes) -> ProcessExit | None:
    try:
        return _exit_decoder.decode(line)
    except msgspec.MsgspecError:
        return None  # the empty end, or a line torn by a full disk
