"""Following a file that a program writes as it likes: it appears late, grows, is truncated, rotated or written anew.

What has been read is never read again: a program that saves its whole history after each epoch, in place or by
renaming a new file over the old one, must not report its first epochs a hundred times. So a shrunk or replaced file
is compared with what is remembered of the old content: where it goes on from there, reading goes on; while it is a
beginning of it, it is waited for; else it is something new and read from its start.

(The log that a worker process writes through us only ever grows; `pykatib.workers.logfile` reads it, and bounds it.)
"""

import os
from pathlib import Path

from pykatib.workers.collectors.position import head_sum

_HEAD_BYTES = 64 * 1024
_RECENT_BYTES = 1024


class FollowedFile:
    """Reads a file as far as it has been written.

    `caught_up` says whether the last `read` came to the end; `restarted`, whether it returned the beginning of a new
    content, so that an unfinished line before it will never be finished. `start` and `start_head` are an offset, with
    the `head_sum` before it, of an earlier reader; where the file is another by now, it is read from its beginning.
    """

    def __init__(self, path: Path, *, start: int = 0, start_head: int = 0) -> None:
        self.path = path
        self._start = (start, start_head)
        self.caught_up = False
        self.restarted = False
        self.read_bytes = 0
        self._fd: int | None = None
        self._offset = 0
        self._head = bytearray()
        self._recent = b""

    @property
    def was_found(self) -> bool:
        """Whether the file has ever been there."""
        return self._fd is not None or self.read_bytes > 0

    @property
    def offset(self) -> int:
        """How far the content has been read."""
        return self._offset if self._offset or self._fd is not None else self._start[0]

    def head_before(self, offset: int) -> int:
        """The `head_sum` before an offset."""
        return head_sum(bytes(self._head[:offset]), offset) if self._head else self._start[1]

    def read(self, max_bytes: int) -> bytes:
        """The next bytes; none when there is nothing new.

        Raises:
            OSError: the file is there and cannot be read.
        """
        self.restarted = False
        self.caught_up = True
        if self._fd is None:
            try:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                return b""
            self._go_to_start(self._fd)
        chunk = self._read_on(self._fd, max_bytes)
        if not chunk and self._is_replaced(self._fd):  # the old one has been read to its end
            self._take_replacement()
            if self._fd is not None:
                chunk = self._read_on(self._fd, max_bytes)
        return chunk

    def close(self) -> None:
        """Closes the file; the next `read` opens it again and goes on."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _go_to_start(self, fd: int) -> None:
        (start, expected), self._start = self._start, (0, 0)
        if start and os.fstat(fd).st_size >= start:
            head = os.pread(fd, min(start, _HEAD_BYTES), 0)
            if head_sum(head, start) == expected:
                self._offset = start
                self._head = bytearray(head)
                self._recent = os.pread(fd, min(start, _RECENT_BYTES), max(0, start - _RECENT_BYTES))

    def _read_on(self, fd: int, max_bytes: int) -> bytes:
        size = os.fstat(fd).st_size
        if size < self._offset:
            if self._is_beginning(fd, size):
                return b""
            self._begin_anew()
        elif size > self._offset and not self._goes_on(fd):
            self._begin_anew()
        chunk = os.pread(fd, max_bytes, self._offset)
        self._offset += len(chunk)
        self.read_bytes += len(chunk)
        self._head += chunk[: _HEAD_BYTES - len(self._head)]
        self._recent = (self._recent + chunk[-_RECENT_BYTES:])[-_RECENT_BYTES:]
        self.caught_up = len(chunk) < max_bytes
        return chunk

    def _begin_anew(self) -> None:
        self._offset = 0
        self._head.clear()
        self._recent = b""
        self.restarted = True

    def _is_replaced(self, fd: int) -> bool:
        try:
            now_there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return not os.path.samestat(now_there, os.fstat(fd))

    def _take_replacement(self) -> None:
        self.close()
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:  # it has gone again
            return
        size = os.fstat(self._fd).st_size
        same_head = os.pread(self._fd, len(self._head), 0) == self._head
        goes_on = size >= self._offset and same_head and self._goes_on(self._fd)
        if not goes_on and not self._is_beginning(self._fd, size):
            self._begin_anew()

    def _is_beginning(self, fd: int, size: int) -> bool:
        return size <= len(self._head) and os.pread(fd, size, 0) == self._head[:size]

    def _goes_on(self, fd: int) -> bool:
        return os.pread(fd, len(self._recent), self._offset - len(self._recent)) == self._recent
