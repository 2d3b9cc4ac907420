"""JSON metrics: one object a line, `{"timestamp": 1638422847.28721, "loss": 0.31, "accuracy": "0.98"}`.

Metrics are the members whose names are wanted, numbers and strings alike, recorded as they are written; `NaN` and
`Infinity` pass. `timestamp` is RFC 3339 or seconds since the epoch; without one, the line's arrival counts. Other
members are ignored.

A line that is no object is skipped and told as a problem with its number. Katib ends the run there; but training has
succeeded by then, and a program killed in the middle of a write must not take hours of metrics with it.
"""

import json
from collections.abc import Sequence

from pykatib.api.shared import MetricLog
from pykatib.workers.collectors.moments import rfc3339_seconds, seconds_within_calendar
from pykatib.workers.collectors.problems import Problems

LINE_CAP = 1 << 20
TIMESTAMP = "timestamp"


class JsonLinesParser:
    """Bytes in, metric logs out. `unmatched` is the first object that held no wanted metric."""

    line_ends = b"\n"

    def __init__(self, metric_names: Sequence[str], *, line_cap: int = LINE_CAP) -> None:
        self._names = tuple(dict.fromkeys(name for name in metric_names if name))
        self._cap = line_cap
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._line_number = 0
        self.problems = Problems()
        self.unmatched = ""

    @property
    def pending_bytes(self) -> int:
        """How many bytes of the unfinished line are held; at most one more than the cap."""
        return self._pending_bytes

    def feed(self, chunk: bytes, now: float) -> list[MetricLog]:
        """The values of the lines that `chunk` completes; `now` is the time of those that state none."""
        logs: list[MetricLog] = []
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            self._hold(line)
            self._read(now, logs)
        self._hold(rest)
        return logs

    def finish(self, now: float) -> list[MetricLog]:
        """The values of a last line without an end."""
        logs: list[MetricLog] = []
        if self._pending_bytes:
            self._read(now, logs)
        return logs

    def reset(self) -> None:
        """Forgets the unfinished line: what comes next is the beginning of something else."""
        self._pending = []
        self._pending_bytes = 0
        self._line_number = 0

    def _hold(self, part: bytes) -> None:
        part = part[: self._cap + 1 - self._pending_bytes]
        if part:
            self._pending.append(part)
            self._pending_bytes += len(part)

    def _read(self, now: float, logs: list[MetricLog]) -> None:
        raw = b"".join(self._pending)
        self._pending = []
        self._pending_bytes = 0
        self._line_number += 1
        if len(raw) > self._cap:
            self._problem(f"longer than {self._cap} bytes", raw)
            return
        text = raw.decode("utf-8", "replace").strip().removeprefix("\ufeff")
        if not text:
            return
        try:
            record = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)  # values are texts
        except (ValueError, RecursionError) as error:
            self._problem(f"not JSON ({error})", raw)
            return
        if not isinstance(record, dict):
            self._problem("not a JSON object", raw)
            return
        time = now
        if TIMESTAMP in record:
            stated = _seconds(record[TIMESTAMP])
            if stated is None:
                self._problem("its timestamp is neither RFC 3339 nor seconds since 1970; its arrival counts", raw)
            else:
                time = stated
        count = len(logs)
        for name in self._names:
            value = record.get(name)
            if isinstance(value, str):
                if value.strip():
                    logs.append(MetricLog(time, name, value.strip()))
            elif value is not None:
                self._problem(f"{name!r} is neither a number nor a string", raw)
        if len(logs) == count and not self.unmatched:
            self.unmatched = text[:200]

    def _problem(self, what: str, raw: bytes) -> None:
        self.problems.add(f"line {self._line_number} is skipped: {what}: {raw[:80].decode('utf-8', 'replace')!r}")


def _seconds(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    stated = rfc3339_seconds(value)
    if stated is not None:
        return stated
    try:
        return seconds_within_calendar(float(value))
    except ValueError:
        return None
