"""TEXT metrics: lines such as `2024-05-01T08:00:00Z epoch 3: loss=0.31, accuracy=.98`.

A line counts only if it holds a wanted metric's name; each match of each filter on it is one value. The time is the
line's first word where that is RFC 3339, else the moment the line arrived, so that a curve can be drawn while the
program runs (Katib: the zero time for all). `\\n` and `\\r` both end a line: progress bars use the latter.

Training output is mostly other things. Text is therefore searched for the wanted names before it is cut into lines;
what holds none is passed over at the speed of a search.

Bounds: a line counts up to `LINE_CAP` bytes, and of an unfinished one no more is kept. With filters of the user's it
counts up to `FILTERED_LINE_CAP`: an innocent `(\\w+)=(.*)` takes time by the square of the line's length where nothing
matches, seconds for 16 KiB. In a line that was cut, a match that touches the cut is not recorded, since its number may
be half a number.
"""

import re
from collections.abc import Sequence

from pykatib.api.shared import MetricLog
from pykatib.workers.collectors.filters import compile_filter, default_filter
from pykatib.workers.collectors.moments import LONGEST, rfc3339_seconds
from pykatib.workers.collectors.problems import Problems

LINE_CAP = 16 * 1024
FILTERED_LINE_CAP = 4 * 1024

_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class TextParser:
    """Bytes in, metric logs out.

    `unmatched` is the first line that named a wanted metric and gave no value: the hint for an author whose metric
    never comes.

    Raises:
        ValueError: a filter is no good; see `filters.check_filter`.
    """

    line_ends = b"\n\r"

    def __init__(
        self, metric_names: Sequence[str], *, filters: Sequence[str] = (), line_cap: int | None = None
    ) -> None:
        self._names = tuple(dict.fromkeys(name for name in metric_names if name))
        self._wanted = frozenset(self._names)
        self._needles = tuple(name.encode() for name in self._names)
        self._filters = [compile_filter(text, self._names) for text in filters] or [default_filter(self._names)]
        self._cap = line_cap or (FILTERED_LINE_CAP if filters else LINE_CAP)
        self._pending = b""
        self.problems = Problems()
        self.unmatched = ""

    @property
    def pending_bytes(self) -> int:
        """How many bytes of the unfinished line are held; at most one more than the cap."""
        return len(self._pending)

    def feed(self, chunk: bytes, now: float) -> list[MetricLog]:
        """The values of the lines that `chunk` completes; `now` is the time of those that state none."""
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if not end:
            self._hold(self._pending + chunk[: self._cap + 1])
            return []
        logs: list[MetricLog] = []
        begin = 0
        if self._pending:
            begin = _line_end(chunk, 0, end) + 1
            first = self._pending + chunk[: min(begin - 1, self._cap + 1)]
            self._scan(first, 0, len(first), now, logs)
        self._scan(chunk, begin, end, now, logs)
        self._hold(chunk[end : end + self._cap + 1])
        return logs

    def finish(self, now: float) -> list[MetricLog]:
        """The values of a last line without an end."""
        logs: list[MetricLog] = []
        self._scan(self._pending, 0, len(self._pending), now, logs)
        self.reset()
        return logs

    def reset(self) -> None:
        """Forgets the unfinished line: what comes next is the beginning of something else."""
        self._pending = b""

    def _hold(self, unfinished: bytes) -> None:
        self._pending = unfinished[: self._cap + 1]  # one more than counts, which tells that it is to be cut

    def _scan(self, text: bytes, begin: int, end: int, now: float, logs: list[MetricLog]) -> None:
        hits = {needle: text.find(needle, begin, end) for needle in self._needles}
        while True:
            found = min((hit for hit in hits.values() if hit >= 0), default=-1)
            if found < 0:
                return
            start = text.rfind(b"\n", begin, found) + 1 or begin
            start = text.rfind(b"\r", start, found) + 1 or start
            stop = _line_end(text, found, end)
            self._read(text[start : min(stop, start + self._cap + 1)], now, logs)
            begin = stop
            for needle, hit in hits.items():
                if 0 <= hit < begin:
                    hits[needle] = text.find(needle, begin, end)

    def _read(self, raw: bytes, now: float, logs: list[MetricLog]) -> None:
        is_cut = len(raw) > self._cap
        raw = raw[: self._cap]
        if not any(needle in raw for needle in self._needles):
            return
        line = raw.decode("utf-8", "replace")
        if "\x1b" in line:
            line = _ESCAPE_SEQUENCE.sub("", line)
        if is_cut:
            self.problems.add(f"a line is longer than {self._cap} bytes; the rest of it was not read: {line[:80]!r}…")
        space = line.find(" ", 0, LONGEST + 1)
        stated = rfc3339_seconds(line[:space]) if space > 0 else None
        time = now if stated is None else stated
        count = len(logs)
        for pattern in self._filters:
            for match in pattern.finditer(line):
                name, value = (match[1] or "").strip(), (match[2] or "").strip()
                if name in self._wanted and value and not (is_cut and match.end() == len(line)):
                    logs.append(MetricLog(time, name, value))
        if len(logs) == count and not self.unmatched:
            self.unmatched = line.strip()[:200]


def _line_end(text: bytes, begin: int, end: int) -> int:
    """Where the line that holds `begin` ends: at its `\\n` or `\\r`, or at `end`."""
    newline = text.find(b"\n", begin, end)
    limit = newline if newline >= 0 else end
    carriage_return = text.find(b"\r", begin, limit)
    return carriage_return if carriage_return >= 0 else limit
