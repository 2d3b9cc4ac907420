"""Whether the program beside the sidecar still runs, how it ended, and how it is stopped early.

Containers of a Pod have users of their own, so neither may signal the other. What they share is a folder:
`WrappedProgram` reads there what the wrapper around the program writes (see `pykatib.kube.injection_wrapping`), which
is right whoever was first: a program that ended before the sidecar started has left its exit code.
"""

import errno
import os
from pathlib import Path
from typing import Final, Protocol

from pykatib.kube.injection_wrapping import EXIT_FILE

_LOOKS_BEFORE_LOST: Final = 2


class Program(Protocol):
    """The main process of the Pod."""

    def has_ended(self) -> bool:
        """Whether it will write nothing more. Ask before reading, and what was read then is all there is."""
        ...

    @property
    def has_failed(self) -> bool:
        """Whether it is known to have ended badly."""
        ...

    @property
    def was_stopped(self) -> bool:
        """Whether it ended, or is ending, because it was stopped early."""
        ...

    def stop(self) -> bool:
        """Has it stopped early; False where it cannot be told, perhaps only not yet."""
        ...


class WrappedProgram:
    """A program within the wrapper. `restarts` says that the kubelet starts it again when it fails."""

    def __init__(self, folder: Path, *, restarts: bool) -> None:
        self._folder = folder
        self._restarts = restarts
        self._looks_without = 0
        self._exit_code: int | None = None

    def has_ended(self) -> bool:
        """Whether it has written its exit code, or is gone without: killed with all that was around it."""
        self._exit_code = self._written_code()
        if self._exit_code is not None:
            return self._exit_code == 0 or not self._restarts
        if self._restarts or not self._is_gone():
            self._looks_without = 0
            return False
        self._looks_without += 1
        return self._looks_without >= _LOOKS_BEFORE_LOST

    @property
    def has_failed(self) -> bool:
        """Whether its exit code was another than 0, or none was written."""
        return self._exit_code != 0

    @property
    def was_stopped(self) -> bool:
        """Whether the wrapper has begun to end it."""
        return (self._folder / "early-stopped").exists()

    def stop(self) -> bool:
        """Asks the wrapper, which waits at a FIFO."""
        try:
            fd = os.open(self._folder / "stop", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):  # it does not wait yet, or any more
                return False
            raise
        try:
            os.write(fd, b"stop\n")
        finally:
            os.close(fd)
        return True

    def _written_code(self) -> int | None:
        try:
            text = (self._folder / EXIT_FILE).read_text()
        except FileNotFoundError:
            return None
        return int(text.split()[0]) if text.endswith("\n") else None

    def _is_gone(self) -> bool:
        """Whether the wrapper was started and holds its FIFO no longer."""
        if not (self._folder / "started").exists():
            return False
        try:
            fd = os.open(self._folder / "alive", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return os.read(fd, 1) == b""
        except BlockingIOError:  # nothing to read, and somebody who could write
            return False
        finally:
            os.close(fd)
