"""The places that metrics come from, all alike: read what is new, say what went wrong, tell why nothing came.

A source that is given a `start`, the `position` of an earlier one, goes on from there.

`hint` is for the author of a program whose metric never came: what was read, and what was nearly a metric in it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pykatib.api.shared import MetricLog
from pykatib.workers.collectors.event_folder import EventFolder
from pykatib.workers.collectors.files import FollowedFile
from pykatib.workers.collectors.position import Position
from pykatib.workers.collectors.problems import Problems
from pykatib.workers.logfile import LogBound, LogTail


class Source(Protocol):
    """One place that metrics come from. `caught_up` says whether the last `read` left nothing unread."""

    @property
    def caught_up(self) -> bool: ...

    def read(self, now: float, max_bytes: int) -> list[MetricLog]:
        """What is new, from at most `max_bytes` of input."""
        ...

    def finish(self, now: float) -> list[MetricLog]:
        """What an end of input completes."""
        ...

    def position(self) -> Position:
        """How far it has been read."""
        ...

    def problems(self) -> tuple[str, ...]:
        """What could not be used."""
        ...

    def hint(self) -> str:
        """Why nothing may have come."""
        ...

    def close(self) -> None:
        """Lets go of files and threads."""
        ...


class Parser(Protocol):
    """What `TextParser` and `JsonLinesParser` have in common."""

    problems: Problems
    unmatched: str
    line_ends: bytes

    def feed(self, chunk: bytes, now: float) -> list[MetricLog]: ...
    def finish(self, now: float) -> list[MetricLog]: ...
    def reset(self) -> None: ...


class LogSource:
    """The log of the worker process, read through the tail that also keeps it in bounds."""

    def __init__(self, path: Path, parser: Parser, *, bound: LogBound | None, start: Position | None = None) -> None:
        offset = start.offsets.get("", 0) if start is not None else 0
        self._tail = LogTail(path, bound=bound, start=offset)
        self._parser = parser
        self._line_count = 0

    @property
    def caught_up(self) -> bool:
        return self._tail.caught_up

    def read(self, now: float, max_bytes: int) -> list[MetricLog]:
        return self._feed(self._tail.read(max_bytes), now)

    def finish(self, now: float) -> list[MetricLog]:
        return self._feed(self._tail.finish(), now)

    def position(self) -> Position:
        return Position(offsets={"": self._tail.position})

    def problems(self) -> tuple[str, ...]:
        return self._parser.problems.lines()

    def hint(self) -> str:
        nearly = f"; the nearest was {self._parser.unmatched!r}" if self._parser.unmatched else ""
        return f"the program printed {self._line_count} lines{nearly}"

    def close(self) -> None:
        self._tail.close()

    def _feed(self, lines: list[bytes], now: float) -> list[MetricLog]:
        if not lines:
            return []
        self._line_count += len(lines)
        return self._parser.feed(b"\n".join([*lines, b""]), now)


class FileSource:
    """A file that the program writes. `is_needed` is False for a file that may well never come."""

    def __init__(self, path: Path, parser: Parser, *, is_needed: bool = True, start: Position | None = None) -> None:
        self._line_start = start.offsets.get("", 0) if start is not None else 0
        self._file = FollowedFile(path, start=self._line_start, start_head=start.head if start is not None else 0)
        self._parser = parser
        self._is_needed = is_needed
        self._failure = ""

    @property
    def caught_up(self) -> bool:
        return self._file.caught_up

    def read(self, now: float, max_bytes: int) -> list[MetricLog]:
        try:
            chunk = self._file.read(max_bytes)
        except OSError as error:
            self._failure = f"{self._file.path} cannot be read: {error.strerror}"
            return []
        begin = self._file.offset - len(chunk)
        if self._file.restarted:
            self._parser.reset()
        if self._file.restarted or self._line_start > begin:
            self._line_start = begin
        if not chunk:
            return []
        line_end = max(chunk.rfind(byte) for byte in self._parser.line_ends)
        if line_end >= 0:
            self._line_start = begin + line_end + 1
        return self._parser.feed(chunk, now)

    def finish(self, now: float) -> list[MetricLog]:
        self._line_start = self._file.offset
        return self._parser.finish(now)

    def position(self) -> Position:
        return Position(offsets={"": self._line_start}, head=self._file.head_before(self._line_start))

    def problems(self) -> tuple[str, ...]:
        head = (self._failure,) if self._failure else ()
        return (*head, *(f"{self._file.path}: {line}" for line in self._parser.problems.lines()))

    def hint(self) -> str:
        if not self._file.was_found:
            return f"the file {self._file.path} was never there" if self._is_needed else "it pushed nothing"
        nearly = f"; the nearest was {self._parser.unmatched!r}" if self._parser.unmatched else ""
        return f"{self._file.read_bytes} bytes of {self._file.path} were read{nearly}"

    def close(self) -> None:
        self._file.close()


class EventSource:
    """A folder of TensorFlow event files."""

    def __init__(self, path: Path, metric_names: Sequence[str], *, start: Position | None = None) -> None:
        self._folder = EventFolder(path, metric_names, start=start.offsets if start is not None else None)

    @property
    def caught_up(self) -> bool:
        return self._folder.caught_up

    def read(self, now: float, max_bytes: int) -> list[MetricLog]:
        return self._folder.read(max_bytes, now)

    def finish(self, now: float) -> list[MetricLog]:
        return []

    def position(self) -> Position:
        return Position(offsets=self._folder.offsets)

    def problems(self) -> tuple[str, ...]:
        return self._folder.problems.lines()

    def hint(self) -> str:
        path = self._folder.path
        if not os.path.isdir(path):
            return f"the folder {path} was never there"
        tags = ", ".join(self._folder.other_tags) or "none"
        return f"{self._folder.file_count} event files below {path} were read; other tags in them: {tags}"

    def close(self) -> None:
        pass
