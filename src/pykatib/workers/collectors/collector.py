"""A Trial's collector: what its manifest's `metricsCollectorSpec` asks for, over the places where the job runs.

`poll` reads what is new, from a bounded amount of input; `finish` reads the rest, batch by batch, when the job has
ended. Neither waits for anything. Logs come in the order in which they were written, and only those of wanted metrics;
times that pykatib itself gives never run backwards, whatever the machine's clock does.

What a program pushes is read for every kind, as Katib's database takes a push from any Trial; with the kind None there
is nothing else.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.shared import FileSystemPath, HTTPGet, MetricLog, MetricsCollectorSpec, SourceSpec
from pykatib.workers.collectors.filters import check_filter
from pykatib.workers.collectors.json_lines import JsonLinesParser
from pykatib.workers.collectors.position import Position
from pykatib.workers.collectors.sources import EventSource, FileSource, LogSource, Parser, Source
from pykatib.workers.collectors.text import TextParser
from pykatib.workers.logfile import LogBound

POLL_BYTES = 4 << 20
_SLICE_BYTES = 1 << 20


class Collector:
    """Reads the metrics of one Trial. Made by `make_collector`."""

    def __init__(self, sources: Sequence[Source], *, objective_metric_name: str) -> None:
        self._sources = tuple(sources)
        self._objective = objective_metric_name
        self._objective_seen = False
        self._finished = False
        self._latest = 0.0

    @property
    def positions(self) -> tuple[Position, ...]:
        """How far each source has been read, for a collector that goes on from here."""
        return tuple(source.position() for source in self._sources)

    @property
    def caught_up(self) -> bool:
        """Whether the last `poll` left nothing unread; if not, poll again soon."""
        return all(source.caught_up for source in self._sources)

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be used so far; once finished, also why the objective's metric never came."""
        lines = [line for source in self._sources for line in source.problems()]
        if self._finished and self._sources and not self._objective_seen:
            lines.append(f"no value of {self._objective!r}: " + "; ".join(source.hint() for source in self._sources))
        return tuple(lines)

    def poll(self, now: float, *, max_bytes: int = POLL_BYTES) -> list[MetricLog]:
        """The values written since the last time, from at most `max_bytes` of each source."""
        now = self._later(now)
        logs: list[MetricLog] = []
        for source in self._sources:
            unread = max_bytes
            while unread > 0:
                logs += source.read(now, min(unread, _SLICE_BYTES))
                unread -= _SLICE_BYTES
                if source.caught_up:
                    break
        return self._seen(logs)

    def finish(self, now: float) -> Iterator[list[MetricLog]]:
        """All that is left, in batches of bounded input, when nobody writes any more; then closes."""
        now = self._later(now)
        for source in self._sources:
            while True:
                logs = source.read(now, _SLICE_BYTES)
                if logs:
                    yield self._seen(logs)
                if source.caught_up:
                    break
            logs = source.finish(now)
            if logs:
                yield self._seen(logs)
        self._finished = True
        self.close()

    def close(self) -> None:
        """Lets go of files and threads; enough for a job that is given up."""
        for source in self._sources:
            source.close()

    def _later(self, now: float) -> float:
        self._latest = max(self._latest, now)
        return self._latest

    def _seen(self, logs: list[MetricLog]) -> list[MetricLog]:
        if not self._objective_seen:
            self._objective_seen = any(log.name == self._objective for log in logs)
        return logs


def make_collector(
    spec: MetricsCollectorSpec,
    *,
    metric_names: Sequence[str],
    log_path: Path,
    source_path: Path | None = None,
    push_path: Path | None = None,
    collector_log_path: Path | None = None,
    port: int | None = None,
    log_bound: LogBound | None = None,
    scrape_interval_seconds: float = 1.0,
    start: Sequence[Position] = (),
) -> Collector:
    """The collector of a Trial whose job is about to start.

    Args:
        spec: What the manifest says, defaults filled in.
        metric_names: The wanted metrics, the objective's first.
        log_path: Where the primary process' output goes.
        source_path: Where `fileSystemPath.path` lies on this machine; the path itself where None.
        push_path: What the job knows as PYKATIB_METRICS_FILE.
        collector_log_path: Where the output of a Custom collector goes; it is read as lines of text.
        port: Where the program listens, if not at `httpGet.port`.
        log_bound: How much of the log is to be kept.
        scrape_interval_seconds: How often PrometheusMetric asks.
        start: The `positions` of an earlier collector of the same Trial.

    Raises:
        InvalidInput: the spec cannot be followed; see `check_collector`.
    """
    errors = check_collector(spec)
    if errors:
        raise InvalidInput(errors)
    source = spec.source or SourceSpec()
    filters = source.filter.metrics_format if source.filter is not None else ()
    file = source.file_system_path or FileSystemPath()
    path = source_path or Path(file.path)
    sources: list[Source] = []
    first = start[0] if start else None
    if spec.kind == names.STDOUT:
        sources.append(LogSource(log_path, TextParser(metric_names, filters=filters), bound=log_bound, start=first))
    elif spec.kind == names.FILE:
        is_json = file.format == "JSON"
        parser: Parser = JsonLinesParser(metric_names) if is_json else TextParser(metric_names, filters=filters)
        sources.append(FileSource(path, parser, start=first))
    elif spec.kind == names.TENSORFLOW_EVENT:
        sources.append(EventSource(path, metric_names, start=first))
    elif spec.kind == names.PROMETHEUS_METRIC:
        scrape = source.http_get or HTTPGet()
        scrape = HTTPGet(
            path=scrape.path,
            port=port or scrape.port,
            host=scrape.host,
            scheme=scrape.scheme,
            http_headers=scrape.http_headers,
        )
        from pykatib.workers.collectors.scrape_source import ScrapeSource  # 6 MB that other kinds do without

        sources.append(ScrapeSource(scrape, metric_names, interval_seconds=scrape_interval_seconds, start=first))
    elif spec.kind == names.CUSTOM and collector_log_path is not None:
        sources.append(
            LogSource(collector_log_path, TextParser(metric_names, filters=filters), bound=log_bound, start=first)
        )
    if push_path is not None:
        is_needed = spec.kind in (names.PUSH, names.NONE)
        pushed = start[len(sources)] if len(start) > len(sources) else None
        sources.append(FileSource(push_path, JsonLinesParser(metric_names), is_needed=is_needed, start=pushed))
    return Collector(sources, objective_metric_name=metric_names[0] if metric_names else "")


def check_collector(spec: MetricsCollectorSpec, *, path: str = "spec.metricsCollectorSpec") -> tuple[FieldError, ...]:
    """What of the spec cannot be followed where the job runs as a process of this machine, in words for its author."""
    errors: list[FieldError] = []
    source = spec.source or SourceSpec()
    kind_path = f"{path}.collector.kind"
    if spec.kind not in names.COLLECTOR_KINDS:
        errors.append(FieldError(kind_path, f"{spec.kind!r} is none of {', '.join(names.COLLECTOR_KINDS)}"))
    elif spec.kind in (names.FILE, names.TENSORFLOW_EVENT):
        if source.file_system_path is None or not source.file_system_path.path:
            errors.append(FieldError(f"{path}.source.fileSystemPath.path", f"{spec.kind} needs it: where metrics are"))
    elif spec.kind == names.PROMETHEUS_METRIC:
        errors += _check_http(source.http_get or HTTPGet(), f"{path}.source.httpGet")
    for index, pattern in enumerate(source.filter.metrics_format if source.filter is not None else ()):
        problem = check_filter(pattern)
        if problem is not None:
            errors.append(FieldError(f"{path}.source.filter.metricsFormat[{index}]", problem))
    return tuple(errors)


def _check_http(http_get: HTTPGet, path: str) -> Iterator[FieldError]:
    port = str(http_get.port if http_get.port is not None else "")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        yield FieldError(f"{path}.port", f"{port!r} is no port number of 1 to 65535; a port's name is not looked up")
    if http_get.scheme.upper() not in ("", "HTTP", "HTTPS"):
        yield FieldError(f"{path}.scheme", f"{http_get.scheme!r} is neither HTTP nor HTTPS")
