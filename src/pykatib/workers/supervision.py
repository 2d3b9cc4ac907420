"""The client's side of the supervisor: processes are started, ended and heard of through it.

`Supervision` belongs to one thread. Nothing in it waits but `close`: `spawn` and `end` send a line, `poll` returns what
has happened, `fileno` tells a selector when to poll. Whatever becomes of the supervisor, every process that was spawned
is reported exactly once as ended, failed to start, or lost; and if it is killed, what ran is killed with it. Then
`start` brings up another.
"""

import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO
from uuid import uuid4

from pykatib.api.errors import AlreadyExists, Unavailable
from pykatib.workers import supervisor
from pykatib.workers.processes import (
    SUPERVISOR_VARIABLE,
    ProcessEvent,
    ProcessSpec,
    ProcessStarted,
    SupervisorLost,
    decode_event,
    encode_close,
    encode_end,
    encode_spawn,
    read_exit,
)
from pykatib.workers.strays import kill_marked


class _Running:
    """What the client knows of a process that has not been reported as ended."""

    def __init__(self, marker: str, exit_path: Path, grace_seconds: float) -> None:
        self.marker = marker
        self.exit_path = exit_path
        self.grace_seconds = grace_seconds
        self.started: ProcessStarted | None = None


class Supervision:
    """Processes under a supervisor.

    Args:
        home_id: Names the home that the processes belong to, so that a later life finds those left over; no `/` in it.
        grace_seconds: The time between SIGTERM and SIGKILL.
    """

    def __init__(self, home_id: str, *, grace_seconds: float = 5.0) -> None:
        if not home_id or "/" in home_id:
            raise ValueError(f"a home id is a text without '/', not {home_id!r}")
        self._home_id = home_id
        self._grace_seconds = grace_seconds
        self._program: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._complaints: IO[bytes] | None = None
        self._life = ""
        self._count = 0
        self._closing = False
        self._incoming = b""
        self._running: dict[str, _Running] = {}
        self._late_events: list[ProcessEvent] = []

    def __enter__(self) -> "Supervision":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Starts a supervisor, if none is at work."""
        if self._channel is not None:
            return
        self._life = f"{self._home_id}/{uuid4().hex[:12]}"
        self._count = 0
        self._closing = False
        self._incoming = b""
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the supervisor
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._program = subprocess.Popen(
                    [
                        *(sys.executable, "-I", "-S", "-X", "utf8", supervisor.__file__),
                        *(str(os.getpid()), str(self._grace_seconds)),
                    ],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=self._complaints.fileno(),
                    cwd="/",
                    env={SUPERVISOR_VARIABLE: self._life},
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                self._complaints.close()
                raise Unavailable(f"cannot start the supervisor of worker processes: {error}") from error
        self._channel = ours

    @property
    def pid(self) -> int | None:
        """The supervisor's process number while it is at work."""
        return None if self._program is None else self._program.pid

    @property
    def running(self) -> frozenset[str]:
        """The ids of processes that have been spawned and not been reported as ended."""
        return frozenset(self._running)

    def fileno(self) -> int:
        """A descriptor that is readable when `poll` has something to tell; it changes with every `start`."""
        return self._open_channel().fileno()

    def spawn(self, process_id: str, spec: ProcessSpec) -> None:
        """Has a process started; `poll` tells what came of it."""
        channel = self._open_channel()
        if process_id in self._running:
            raise AlreadyExists(f"process {process_id!r} is running")
        self._count += 1
        marker = f"{self._life}-{self._count}"
        request = encode_spawn(process_id, marker, spec)
        self._running[process_id] = _Running(
            marker, spec.exit_path, self._grace_seconds if spec.grace_seconds is None else spec.grace_seconds
        )
        self._send(channel, request)

    def end(self, process_id: str, *, now: bool = False) -> None:
        """Has a process and its descendants ended, by SIGTERM and after the grace by SIGKILL, or by SIGKILL now.

        One that has ended already is left alone.
        """
        if self._channel is not None and process_id in self._running:
            self._send(self._channel, encode_end(process_id, now=now))

    def end_all(self, *, now: bool = False) -> None:
        """Has every process ended, and starts no more; the supervisor leaves when the last is gone."""
        if self._channel is not None:
            self._closing = True
            self._send(self._channel, encode_close(now=now))

    def poll(self) -> list[ProcessEvent]:
        """What has happened since the last time; does not wait."""
        events, self._late_events = self._late_events, []
        if self._channel is None:
            return events
        open_ = True
        chunks = [self._incoming]
        while open_:
            try:
                chunk = self._channel.recv(1 << 18, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            open_ = bool(chunk)
            chunks.append(chunk)
        *lines, self._incoming = b"".join(chunks).split(b"\n")
        for line in lines:
            event = decode_event(line)
            if isinstance(event, ProcessStarted):
                self._running[event.process_id].started = event
            else:
                del self._running[event.process_id]
            events.append(event)
        if not open_:
            events += self._after_supervisor()
        return events

    def close(self, *, now: bool = False) -> list[ProcessEvent]:
        """Ends everything, waits for it, and returns the last events.

        May be interrupted and called again, with `now` for the impatient; no event is lost between the calls.
        """
        events = self.poll()
        try:
            self.end_all(now=now)
            graces = (running.grace_seconds for running in self._running.values())
            grace = 0.0 if now else max(graces, default=self._grace_seconds)
            deadline = time.monotonic() + grace + 2 * supervisor.LAST_PATIENCE_SECONDS
            while self._channel is not None:
                remaining = deadline - time.monotonic()
                if remaining <= 0 and self._program is not None:
                    self._program.kill()
                select.select([self._channel], [], [], max(remaining, 1.0))
                events += self.poll()
        except BaseException:
            self._late_events = events + self._late_events
            raise
        return events

    def _open_channel(self) -> socket.socket:
        if self._channel is None:
            raise Unavailable("no supervisor of worker processes is at work; start() brings one up")
        return self._channel

    def _send(self, channel: socket.socket, request: bytes) -> None:
        """Sends a line; it may wait a moment, but never for us: the supervisor reads whatever we do."""
        try:
            channel.sendall(request, socket.MSG_NOSIGNAL if hasattr(socket, "MSG_NOSIGNAL") else 0)
        except OSError:
            pass  # it is gone; the end of file tells poll()

    def _after_supervisor(self) -> list[ProcessEvent]:
        """Cleans up after a supervisor that has left, and accounts for what it did not report."""
        assert self._channel is not None
        assert self._program is not None
        assert self._complaints is not None
        self._channel.close()
        self._channel = None
        try:
            code = self._program.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._program.kill()
            code = self._program.wait()
        self._program = None
        self._complaints.seek(0)
        complaint = self._complaints.read(1 << 16).decode(errors="replace").strip()
        self._complaints.close()
        if code == 0 and self._closing and not self._running:
            return []
        kill_marked(self._life)
        events: list[ProcessEvent] = []
        lost: list[str] = []
        for process_id, running in self._running.items():
            recorded = read_exit(running.exit_path, marker=running.marker)
            if recorded is None:
                lost.append(process_id)
            else:
                events.append(recorded)
        self._running.clear()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        message = f"the supervisor of worker processes {how}" + (f": {complaint[-2000:]}" if complaint else "")
        return [*events, SupervisorLost(process_ids=tuple(lost), message=message)]
