"""Programs that are found among the processes of the Pod, where those are shared.

`UnwrappedProgram` is one whose command only its image knows. It is recognised by the volume that its container shares
with the sidecar alone. `KatibsProgram` is one in the wrapping of Katib's own controller, which leaves `<pid>.pid` in
the folder of the metrics.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pykatib.api.errors import PykatibError

_LOOKS_BEFORE_ENDED: Final = 2
START_SECONDS: Final = 600.0
"""How long a program that was never seen may still come."""


class Process(NamedTuple):
    """A process: number, parent, and arguments with spaces between."""

    pid: int
    parent: int
    command: str


def processes() -> Iterator[Process]:
    """The processes that this one can see, but for itself."""
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            status = Path(f"/proc/{name}/stat").read_text()
            command = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
        state, parent = status.rpartition(")")[2].split()[:2]
        if state not in "ZX":
            yield Process(int(name), int(parent), command.replace(b"\0", b" ").decode("utf-8", "replace"))


class UnwrappedProgram:
    """The containers that mount `volume`, a piece of a mount's source, as this one does.

    How it ended cannot be seen. `root_parent` is the parent of a container's first process, as its own Pod sees it.
    """

    has_failed = False
    was_stopped = False

    def __init__(self, volume: str, metrics: Path | None, *, root_parent: int = 0) -> None:
        self._volume, self._metrics, self._root_parent = volume, metrics, root_parent
        self._own = _mounts("self")[:1]
        self._was_seen = False
        self._looks_without = 0
        self._since = time.monotonic()

    def has_ended(self) -> bool:
        """Whether it was there and is not any more; or it was never seen, and has left its metrics."""
        if any(self._is_program(process) for process in processes()):
            self._was_seen = True
            self._looks_without = 0
            return False
        self._looks_without += 1
        if self._looks_without < _LOOKS_BEFORE_ENDED:
            return False
        has_written = self._metrics is not None and self._metrics.exists() and not _is_empty(self._metrics)
        return self._was_seen or has_written or time.monotonic() - self._since > START_SECONDS

    def stop(self) -> bool:
        """Nothing can stop it."""
        raise PykatibError("a program that is not wrapped cannot be stopped early")

    def _is_program(self, process: Process) -> bool:
        if process.pid == 1 or process.parent != self._root_parent:
            return False
        mounts = _mounts(str(process.pid))
        return mounts[:1] != self._own and any(self._volume in line for line in mounts)


class KatibsProgram:
    """A program that Katib's wrapping started. `waits_for_all` waits for every container of the Pod."""

    def __init__(self, folder: Path, *, waits_for_all: bool, root_parent: int = 0) -> None:
        self._folder, self._waits_for_all, self._root_parent = folder, waits_for_all, root_parent
        self._roots = [one for one in processes() if one.pid != 1 and one.parent == root_parent]
        mark = f"echo completed > {folder}"
        marked = [one.pid for one in self._roots if mark in one.command]
        others = [one.pid for one in self._roots]
        self._pid = (marked or others or [0])[0]
        if not self._pid and not list(folder.glob("*.pid")):
            raise PykatibError("there is no process to wait for; the Pod has to set shareProcessNamespace")

    def has_ended(self) -> bool:
        """Whether the main process, and where it is asked for all others, are gone."""
        here = {process.pid for process in processes()}
        if self._waits_for_all:
            return not any(process.pid in here for process in self._roots)
        return self._pid not in here

    @property
    def has_failed(self) -> bool:
        """Whether its marker says neither that it has completed nor that it was stopped."""
        return self._marker() not in ("completed", "early-stopped")

    @property
    def was_stopped(self) -> bool:
        """Whether it was stopped by `stop`."""
        return self._stopped

    _stopped = False

    def stop(self) -> bool:
        """Writes the marker that Katib's wrapping looks for, and ends what the wrapping runs."""
        children = [process.pid for process in processes() if process.parent == self._pid]
        if not children:
            return False
        (self._folder / f"{self._pid}.pid").write_text("early-stopped\n")
        self._stopped = True
        for pid in children:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        return True

    def _marker(self) -> str:
        path = self._folder / f"{self._pid}.pid"
        if not self._pid:  # it ended before it was seen
            path = max(self._folder.glob("*.pid"), key=lambda one: one.stat().st_mtime)
        try:
            return path.read_text().partition("\n")[0].strip()
        except OSError:
            return ""


def _mounts(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except OSError:
        return []


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
