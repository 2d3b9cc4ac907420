"""The log of a worker process: written by the process itself, read while it grows, kept within bounds.

The process writes straight into the file, so nothing it printed is lost whoever dies; and the file grows as it likes,
by 200 MB where a program prints progress in a loop. So it is read in slices of bounded memory, and what has been read
and lies between the first and the last megabytes is given back to the disk while the process still writes (a hole
punched in the file, where the system can); when the process has ended, `seal_log` closes up the hole and says how much
is missing. No line is ever glued together from both sides of a gap: a number cut short would be a wrong metric.
"""

import ctypes
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from pykatib.api.errors import StorageFailed

SLICE_BYTES = 1 << 18
LONGEST_LINE_BYTES = 1 << 20
_NOTICE_ROOM = 256
_PUNCH_STEP_BYTES = 4 << 20


class LogBound(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a log is kept: its beginning and its end."""

    head_bytes: int = 8 << 20
    tail_bytes: int = 24 << 20


def left_out(count: int) -> bytes:
    """The line that stands for so many bytes that are no longer there."""
    return b"[katib left out %d bytes of output here]" % count


class LogTail:
    r"""Reads a growing file line by line, as far as it has been written.

    A line ends with `\n`, `\r\n` or `\r`: a progress bar redraws itself with the last, and its metrics must not wait
    for the end of training. A line longer than `longest_line_bytes` comes in pieces. A file that is not there yet is
    empty; one that was truncated is read from its beginning again.

    Args:
        path: The file.
        start: Where to begin, a `position` of an earlier reader.
        bound: What to keep of the file; the rest is freed once it has been read. None leaves the file alone.
        longest_line_bytes: How much of an unfinished line is held in memory.
    """

    def __init__(
        self,
        path: Path,
        *,
        start: int = 0,
        bound: LogBound | None = None,
        longest_line_bytes: int = LONGEST_LINE_BYTES,
    ) -> None:
        self.path = path
        self.caught_up = False
        """Whether the last `read` came to the end of what was written."""
        self.left_out_bytes = 0
        """How much could not be read because it had been freed before."""
        self._bound = bound
        self._longest_line_bytes = longest_line_bytes
        self._offset = start
        self._fd: int | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._after_return = False  # the last line ended with \r: a \n to follow belongs to it
        self._skip_fragment = False  # after a gap, up to the next line's beginning
        self._freed_to = 0

    def __enter__(self) -> "LogTail":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def position(self) -> int:
        """Where the first line begins that has not been returned: the `start` for a reader that goes on from here."""
        return self._offset - self._pending_bytes

    def close(self) -> None:
        """Closes the file; the next `read` opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def read(self, max_bytes: int = SLICE_BYTES) -> list[bytes]:
        """The lines completed within the next slice of the file, without their ends; none when there is nothing new."""
        lines: list[bytes] = []
        chunk = self._next_chunk(max_bytes, lines)
        self._offset += len(chunk)
        if chunk:
            self._split(chunk, lines)
            self._free()
        return lines

    def finish(self) -> list[bytes]:
        """The unfinished last line, when nobody writes any more."""
        rest = b"".join(self._pending)
        self._forget_pending()
        return [rest] if rest else []

    def drain(self, max_bytes: int = SLICE_BYTES) -> Iterator[list[bytes]]:
        """All that is left, slice by slice, the unfinished last line included: for a process that has ended."""
        while True:
            yield self.read(max_bytes)
            if self.caught_up:
                break
        yield self.finish()

    def seal(self) -> int:
        """Closes the file and brings it within its bound for good; see `seal_log`."""
        self.close()
        return seal_log(self.path, self._bound) if self._bound is not None else 0

    def _next_chunk(self, max_bytes: int, lines: list[bytes]) -> bytes:
        self.caught_up = True
        if self._fd is None:
            try:
                self._fd = self._open()
            except FileNotFoundError:
                return b""
        chunk = os.pread(self._fd, max_bytes, self._offset)
        if not chunk and os.fstat(self._fd).st_size < self._offset:
            self._offset = self._freed_to = 0
            self._after_return = self._skip_fragment = False
            self._forget_pending()
            chunk = os.pread(self._fd, max_bytes, 0)
        if b"\0" in chunk and hasattr(os, "SEEK_HOLE"):
            hole = os.lseek(self._fd, self._offset, os.SEEK_HOLE)
            if self._offset < hole < self._offset + len(chunk):
                self.caught_up = False
                return chunk[: hole - self._offset]
            if hole == self._offset:
                return self._after_hole(self._fd, max_bytes, lines)
        self.caught_up = len(chunk) < max_bytes
        return chunk

    def _open(self) -> int:
        if self._bound is not None:
            try:
                return os.open(self.path, os.O_RDWR | os.O_CLOEXEC)  # making a hole is writing
            except PermissionError:  # of another user: it is read, and stays as long as it is
                self._bound = None
        return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def _after_hole(self, fd: int, max_bytes: int, lines: list[bytes]) -> bytes:
        try:
            data = os.lseek(fd, self._offset, os.SEEK_DATA)
        except OSError:  # there is none after it
            data = os.fstat(fd).st_size
        gap = data - self._offset + self._pending_bytes
        self._forget_pending()
        self._after_return = False
        self._skip_fragment = True
        self.left_out_bytes += gap
        lines.append(left_out(gap))
        self._offset = data
        chunk = os.pread(fd, max_bytes, data)
        self.caught_up = len(chunk) < max_bytes
        return chunk

    def _split(self, chunk: bytes, lines: list[bytes]) -> None:
        if self._after_return and chunk[:1] == b"\n":
            chunk = chunk[1:]
        self._after_return = chunk[-1:] == b"\r" if chunk else False
        found = chunk.splitlines()  # of bytes: at \n, \r and \r\n only
        if not found:
            return
        rest = b"" if chunk[-1:] in (b"\n", b"\r") else found.pop()
        if found:
            if self._skip_fragment:
                self._skip_fragment = False
                found[0:1] = []
            elif self._pending:
                found[0] = b"".join([*self._pending, found[0]])
            self._forget_pending()
            if max(map(len, found), default=0) > self._longest_line_bytes:
                found = [piece for line in found for piece in self._pieces(line)]
            lines += found
        if rest and not self._skip_fragment:
            self._pending.append(rest)
            self._pending_bytes += len(rest)
            if self._pending_bytes >= self._longest_line_bytes:
                *whole, rest = self._pieces(b"".join(self._pending))
                lines += whole
                self._pending = [rest]
                self._pending_bytes = len(rest)

    def _pieces(self, line: bytes) -> list[bytes]:
        size = self._longest_line_bytes
        return [line[begin : begin + size] for begin in range(0, len(line), size)] or [b""]

    def _forget_pending(self) -> None:
        self._pending = []
        self._pending_bytes = 0

    def _free(self) -> None:
        """Gives back to the disk what has been read between the head and the tail."""
        bound = self._bound
        if bound is None or self._fd is None or _fallocate is None:
            return
        step = min(_PUNCH_STEP_BYTES, max(bound.tail_bytes // 4, 1))
        if self.position - bound.tail_bytes - max(self._freed_to, bound.head_bytes) < step:
            return
        block = max(4096, min(os.fstat(self._fd).st_blksize, 1 << 20))
        begin = max(self._freed_to, -(-bound.head_bytes // block) * block)
        end = (self.position - bound.tail_bytes) // block * block
        if end > begin:
            # Where the file system cannot, the file just stays large until it is sealed.
            _fallocate(self._fd, 0x1 | 0x2, begin, end - begin)  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
            self._freed_to = end


def _find_fallocate() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    function = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

    def fallocate(fd: int, mode: int, begin: int, count: int) -> int:
        return int(function(fd, mode, begin, count))

    return fallocate


_fallocate = _find_fallocate()


def seal_log(path: Path, bound: LogBound) -> int:
    """Shortens a log that nobody writes any more: its head, a line that says how much is missing, its tail.

    A log within the bound stays untouched, and so does one that was sealed. Returns the number of bytes left out.

    Raises:
        StorageFailed: the shorter file cannot be written; the log is as it was.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    shorter = path.with_name(path.name + ".sealing")
    try:
        size = os.fstat(fd).st_size
        if size <= bound.head_bytes + bound.tail_bytes + _NOTICE_ROOM:
            return 0
        head_end = _last_line_end(fd, bound.head_bytes)
        tail_begin = _next_line_begin(fd, size - bound.tail_bytes, size)
        with open(shorter, "wb", buffering=0) as file:
            _copy(fd, file.fileno(), 0, head_end)
            broken = head_end > 0 and os.pread(fd, 1, head_end - 1) != b"\n"
            file.write((b"\n" if broken else b"") + left_out(tail_begin - head_end) + b"\n")
            _copy(fd, file.fileno(), tail_begin, size)
        os.replace(shorter, path)
        return tail_begin - head_end
    except OSError as error:
        shorter.unlink(missing_ok=True)
        raise StorageFailed(f"cannot shorten the log {path}: {error.strerror}") from error
    finally:
        os.close(fd)


def _copy(source: int, target: int, begin: int, end: int) -> None:
    while begin < end and (data := os.pread(source, min(end - begin, 1 << 20), begin)):
        begin += len(data)
        while data:
            data = data[os.write(target, data) :]


def _last_line_end(fd: int, limit: int) -> int:
    """The end of the last whole line before `limit`; `limit` itself where a line is so long that none ends near."""
    window = os.pread(fd, min(limit, LONGEST_LINE_BYTES), max(0, limit - LONGEST_LINE_BYTES))
    found = window.rfind(b"\n")
    return limit if found < 0 else max(0, limit - LONGEST_LINE_BYTES) + found + 1


def _next_line_begin(fd: int, begin: int, size: int) -> int:
    """The beginning of the first whole line after `begin`; `begin` itself where none is near."""
    window = os.pread(fd, LONGEST_LINE_BYTES, begin)
    found = window.find(b"\n")
    return begin if found < 0 or begin + found + 1 >= size else begin + found + 1


_ESCAPE_SEQUENCES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])"
)
_HARMLESS: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code != 0x09},
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    # what turns the direction of writing, and so shows another text than there is
    **dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"),
    0x2028: "\ufffd",
    0x2029: "\ufffd",
}


def printable(line: bytes) -> str:
    r"""A line as it can be shown in any terminal or page: colours gone, control characters as pictures of themselves.

    Of what was overwritten after `\r`, the last state is shown.
    """
    text = line.rstrip(b"\r\n").rpartition(b"\r")[2].decode("utf-8", "replace")
    return _ESCAPE_SEQUENCES.sub("", text).translate(_HARMLESS)


def last_lines(path: Path, count: int, *, max_bytes: int = 1 << 16) -> str:
    """The last lines of a log, fit to be shown; empty where there is no log."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size - max_bytes)
            file.seek(begin)
            data = file.read(max_bytes)
    except OSError:
        return ""
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    if begin > 0 and len(lines) > 1:
        del lines[0]  # most likely a fragment
    elif begin > 0 and lines:
        lines[0] = "…".encode() + lines[0].lstrip(b"\0")
    return "\n".join(printable(line) for line in lines[max(0, len(lines) - count) :])


def _a_moment() -> None:
    time.sleep(0.2)


def follow(path: Path, *, stop: Callable[[], bool], wait: Callable[[], None] = _a_moment) -> Iterator[bytes]:
    """The lines of a log as they are written, until `stop` says that no more will come; then the rest.

    Args:
        path: The log; it may not be there yet.
        stop: Asked before each look at the file, so that nothing written before it became true is missed.
        wait: What to do when there is nothing new.
    """
    with LogTail(path) as tail:
        while True:
            last_time = stop()
            while True:
                yield from tail.read()
                if tail.caught_up:
                    break
            if last_time:
                yield from tail.finish()
                return
            wait()
