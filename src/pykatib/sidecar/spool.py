"""What was read and is on its way: written to the folder shared with the program before it is sent.

A report goes into the spool together with the positions that it was read up to, in one line of one write. So whenever
the sidecar is killed, the one started after it knows what has been read, sends what may not have arrived under the
same report's name, which our DB manager keeps once, and reads on. The spool is also the buffer for a DB manager that
is away: what waits is on disk, not in memory.

Two files: `spool` holds the reports, a line each; `delivered` how much of it has arrived.
"""

import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from pykatib.api.errors import StorageFailed
from pykatib.api.shared import MetricLog
from pykatib.workers.collectors.position import Position

COMPACT_BYTES: Final = 1 << 20


class Report(msgspec.Struct, frozen=True, array_like=True):
    """Logs under a name, how far the sources had been read then, and whether the objective's metric had come."""

    report_id: str
    positions: tuple[Position, ...]
    is_objective_seen: bool
    entries: tuple[tuple[float, str, str], ...] = ()

    @property
    def logs(self) -> list[MetricLog]:
        """The logs."""
        return [MetricLog(*entry) for entry in self.entries]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Report).decode


def _unicode(text: str) -> str:
    """A text without the halves of characters that JSON can smuggle in."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Spool:
    """The reports of one Pod. One thread adds, another delivers.

    Args:
        folder: Where the files are; made if it is not there.
        keeps_all: Whether delivered reports stay readable by `all`; else their room is used again.
    """

    def __init__(self, folder: Path, *, keeps_all: bool) -> None:
        self._path, self._delivered_path = folder / "spool", folder / "delivered"
        self._keeps_all = keeps_all
        self._lock = threading.Lock()
        folder.mkdir(exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = self._cut_unfinished()
        self._delivered = self._read_delivered()
        self.last: Report | None = None
        for report in self.all():
            self.last = report

    @property
    def waiting_bytes(self) -> int:
        """How much has not arrived."""
        with self._lock:
            return self._size - self._delivered

    def all(self) -> Iterator[Report]:
        """The reports that are kept, oldest first."""
        offset = 0
        while (line := self._line_at(offset)) is not None:
            offset += len(line)
            yield _decode(line)

    def add(self, logs: Sequence[MetricLog], positions: tuple[Position, ...], *, is_objective_seen: bool) -> None:
        """Keeps a report.

        Raises:
            StorageFailed: it could not be written; the spool is as it was.
        """
        entries = tuple((log.time, log.name, _unicode(log.value)) for log in logs)
        report = Report(uuid.uuid4().hex, positions, is_objective_seen, entries)
        line = _encode(report) + b"\n"
        with self._lock:
            try:
                written = os.pwrite(self._fd, line, self._size)
                if written < len(line):
                    raise OSError(28, "No space left on device")
            except OSError as error:
                os.ftruncate(self._fd, self._size)
                raise StorageFailed(f"cannot write {self._path}: {error.strerror}") from error
            self._size += len(line)
            self.last = report

    def next(self) -> Report | None:
        """The oldest report that has not arrived, or None."""
        line = self._line_at(self._delivered)
        return None if line is None else _decode(line)

    def arrived(self) -> None:
        """Takes note that the report of `next` has arrived."""
        line = self._line_at(self._delivered)
        assert line is not None, "next has returned it"
        with self._lock:
            self._delivered += len(line)
            if self._delivered == self._size and self._size > COMPACT_BYTES and not self._keeps_all:
                self._compact()
            self._write_delivered()

    def close(self) -> None:
        """Closes the files."""
        os.close(self._fd)

    def _compact(self) -> None:
        """Begins the file anew with what a successor needs: the positions, in a report of nothing."""
        assert self.last is not None, "something was delivered"
        line = _encode(Report("", self.last.positions, self.last.is_objective_seen)) + b"\n"
        self._delivered = 0
        self._write_delivered()
        shorter = self._path.with_name("spool.new")
        shorter.write_bytes(line)
        os.replace(shorter, self._path)
        os.close(self._fd)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        self._size = self._delivered = len(line)

    def _line_at(self, offset: int) -> bytes | None:
        with self._lock:
            end = self._size
        pieces: list[bytes] = []
        while offset < end:
            piece = os.pread(self._fd, min(65536, end - offset), offset)
            line_end = piece.find(b"\n")
            if line_end >= 0:
                return b"".join([*pieces, piece[: line_end + 1]])
            pieces.append(piece)
            offset += len(piece)
        return None

    def _cut_unfinished(self) -> int:
        size = os.fstat(self._fd).st_size
        end = size
        while end > 0:
            begin = max(0, end - 65536)
            line_end = os.pread(self._fd, end - begin, begin).rfind(b"\n")
            if line_end >= 0:
                end = begin + line_end + 1
                break
            end = begin
        if end < size:
            os.ftruncate(self._fd, end)
        return end

    def _read_delivered(self) -> int:
        try:
            offset = int(self._delivered_path.read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return offset if offset <= self._size else 0

    def _write_delivered(self) -> None:
        newer = self._delivered_path.with_name("delivered.new")
        try:
            newer.write_text(str(self._delivered))
            os.replace(newer, self._delivered_path)
        except OSError:  # the disk is full: a successor sends the report again, which is kept once
            pass
