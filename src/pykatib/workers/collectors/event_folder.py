"""Following the event files below a folder, and deciding which tags are which metrics.

A metric `m` takes the scalars of

* the tag `m`, in any file: `writer.add_scalar("train/accuracy", …)`;
* for `train/accuracy`: the tag `accuracy` in a folder whose path ends with `train`, as TensorFlow's and Keras'
  writers lay their files out;
* either with `_1`, `_2`, … behind the tag, which TensorFlow 1 adds to names that are taken.

Katib takes every tag that begins with `accuracy`, so that `accuracy_top5` mixes with it. We do not; where a metric
found nothing, the tags that were there are told instead.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pykatib.api.shared import MetricLog
from pykatib.workers.collectors.moments import seconds_within_calendar
from pykatib.workers.collectors.problems import Problems
from pykatib.workers.collectors.tfevents import NotAnEvent, scalars_of
from pykatib.workers.collectors.tfrecords import RecordParser

_FILE_MARK = "tfevents"  # in the name of every event file, as TensorBoard finds them
_UNIQUE_SUFFIX = re.compile(r"_\d+$", re.ASCII)
_TAGS_REMEMBERED = 20


class EventFileParser:
    """The wanted scalars of one event file: bytes in, metric logs out. `folder` is the absolute path that holds it."""

    def __init__(self, metric_names: Sequence[str], folder: str, problems: Problems) -> None:
        self._records = RecordParser()
        self._metric_by_tag: dict[str, list[str]] = {}
        for name in dict.fromkeys(metric_names):
            place, _, tag = name.rpartition("/")
            self._metric_by_tag.setdefault(name, []).append(name)
            if place and f"{folder}/".endswith(f"/{place.strip('/')}/"):
                self._metric_by_tag.setdefault(tag, []).append(name)
        self._needles = tuple(tag.encode() for tag in self._metric_by_tag)
        self._folder = folder
        self._problems = problems
        self._told_broken = False
        self.other_tags: dict[str, None] = {}

    @property
    def pending_bytes(self) -> int:
        """How many bytes of the unfinished record are held."""
        return self._records.pending_bytes

    def feed(self, chunk: bytes, now: float) -> list[MetricLog]:
        """The values of the events that `chunk` completes; `now` is the time of those that state none."""
        logs: list[MetricLog] = []
        for record in self._records.feed(chunk):
            wanted = any(needle in record.data for needle in self._needles)
            if not wanted and len(self.other_tags) >= _TAGS_REMEMBERED:
                continue
            try:
                scalars = scalars_of(record.data)
            except NotAnEvent as error:
                self._problems.add(f"{self._folder}: a record is skipped: {error}")
                continue
            if wanted and scalars and not record.is_sound():
                self._problems.add(f"{self._folder}: a record is skipped: its checksum is wrong")
                continue
            for scalar in scalars:
                metric_names = self._metrics_of(scalar.tag)
                if not metric_names and len(self.other_tags) < _TAGS_REMEMBERED:
                    self.other_tags[scalar.tag] = None
                time = seconds_within_calendar(scalar.wall_time) or now
                logs += (MetricLog(time, name, scalar.value) for name in metric_names)
        if self._records.broken and not self._told_broken:
            self._told_broken = True
            self._problems.add(f"{self._folder}: {self._records.broken}")
        return logs

    def _metrics_of(self, tag: str) -> list[str]:
        return self._metric_by_tag.get(tag) or self._metric_by_tag.get(_UNIQUE_SUFFIX.sub("", tag)) or []


class EventFolder:
    """Reads all event files below a folder as far as they have been written; files and folders may come late.

    `start` is how far an earlier reader has read which file.
    """

    def __init__(self, path: Path, metric_names: Sequence[str], *, start: Mapping[str, int] | None = None) -> None:
        self.path = path
        self.problems = Problems()
        self.caught_up = False
        self._metric_names = tuple(metric_names)
        self._parsers: dict[str, EventFileParser] = {}
        self._offsets: dict[str, int] = dict(start or {})

    @property
    def file_count(self) -> int:
        """How many event files were found."""
        return len(self._offsets)

    @property
    def other_tags(self) -> list[str]:
        """The first tags that are nobody's metric."""
        return sorted({tag for parser in self._parsers.values() for tag in parser.other_tags})

    @property
    def offsets(self) -> dict[str, int]:
        """How far which file has been read, up to the last whole record."""
        held = {path: parser.pending_bytes for path, parser in self._parsers.items()}
        return {path: offset - held.get(path, 0) for path, offset in self._offsets.items()}

    def read(self, max_bytes: int, now: float) -> list[MetricLog]:
        """The values written since the last time, from at most `max_bytes` of the files."""
        logs: list[MetricLog] = []
        self.caught_up = True
        for path in self._files():
            offset = self._offsets.get(path, 0)
            try:
                size = os.stat(path).st_size
                if size < offset or path not in self._parsers:
                    offset = 0 if size < offset else offset
                    folder = os.path.dirname(os.path.abspath(path))
                    self._parsers[path] = EventFileParser(self._metric_names, folder, self.problems)
                chunk = b""
                if size > offset:
                    with open(path, "rb") as file:
                        chunk = os.pread(file.fileno(), max_bytes, offset)
            except OSError as error:
                if path not in self._offsets:
                    self.problems.add(f"{path} cannot be read: {error.strerror}")
                self._offsets.setdefault(path, 0)
                continue
            self._offsets[path] = offset + len(chunk)
            logs += self._parsers[path].feed(chunk, now)
            max_bytes -= len(chunk)
            if max_bytes <= 0:
                self.caught_up = False
                break
        return logs

    def _files(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.path):
            folders.sort()
            yield from (os.path.join(folder, name) for name in sorted(files) if _FILE_MARK in name)
