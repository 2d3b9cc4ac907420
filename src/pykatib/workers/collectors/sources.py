"""The places that metrics come from, all alike: read what is new, say what went wrong, tell why nothing came.

`hint` is for the author of a program whose metric never came: what was read, and what was nearly a metric in it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pykatib.api.shared import HTTPGet, MetricLog
from pykatib.workers.collectors.event_folder import EventFolder
from pykatib.workers.collectors.files import FollowedFile
from pykatib.workers.collectors.problems import Problems
from pykatib.workers.collectors.prometheus import Scraper
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

    def feed(self, chunk: bytes, now: float) -> list[MetricLog]: ...
    def finish(self, now: float) -> list[MetricLog]: ...
    def reset(self) -> None: ...


class LogSource:
    """The log of the worker process, read through the tail that also keeps it in bounds."""

    def __init__(self, path: Path, parser: Parser, *, bound: LogBound | None) -> None:
        self._tail = LogTail(path, bound=bound)
        self._parser = parser
        self._line_count = 0

    @property
    def caught_up(self) -> bool:
        return self._tail.caught_up

    def read(self, now: float, max_bytes: int) -> list[MetricLog]:
        return self._feed(self._tail.read(max_bytes), now)

    def finish(self, now: float) -> list[MetricLog]:
        return self._feed(self._tail.finish(), now)

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

    def __init__(self, path: Path, parser: Parser, *, is_needed: bool = True) -> None:
        self._file = FollowedFile(path)
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
        if self._file.restarted:
            self._parser.reset()
        return self._parser.feed(chunk, now) if chunk else []

    def finish(self, now: float) -> list[MetricLog]:
        return self._parser.finish(now)

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

    def __init__(self, path: Path, metric_names: Sequence[str]) -> None:
        self._folder = EventFolder(path, metric_names)

    @property
    def caught_up(self) -> bool:
        return self._folder.caught_up

    def read(self, now: float, max_bytes: int) -> list[MetricLog]:
        return self._folder.read(max_bytes, now)

    def finish(self, now: float) -> list[MetricLog]:
        return []

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


class ScrapeSource:
    """An HTTP endpoint of the program."""

    caught_up = True  # there is never more to read than what was taken

    def __init__(self, source: HTTPGet, metric_names: Sequence[str], *, interval_seconds: float) -> None:
        self._scraper = Scraper(source, metric_names, interval_seconds=interval_seconds)
        self._scraper.start()

    def read(self, now: float, max_bytes: int) -> list[MetricLog]:
        return self._scraper.take()

    def finish(self, now: float) -> list[MetricLog]:
        self._scraper.stop()
        return self._scraper.take()

    def problems(self) -> tuple[str, ...]:
        return self._scraper.tracker.problems.lines()

    def hint(self) -> str:
        scraper = self._scraper
        if not scraper.answer_count:
            return f"{scraper.url} never answered: {scraper.last_failure or 'it was not asked yet'}"
        names = ", ".join(scraper.tracker.other_names) or "none"
        return f"{scraper.url} answered {scraper.answer_count} times; other metrics there: {names}"

    def close(self) -> None:
        self._scraper.stop()  # without waiting: the thread ends with the answer that is on its way
