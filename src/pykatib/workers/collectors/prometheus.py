"""PrometheusMetric: asks the program for its metrics over HTTP, again and again while it runs.

A thread of its own does the asking, since a program that is busy may take seconds to answer and the control plane must
not wait for it. A value is recorded when it differs from the series' last one, or when its own timestamp does: the
program's state, not the rhythm of our questions. So a value that is reported twice in a row and is the same counts
once, and one that lives shorter than the interval may be missed; programs for which each report matters push instead.

That nobody answers is normal before the program listens and after it has ended, and no error.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from pykatib.api.shared import HTTPGet, MetricLog
from pykatib.workers.collectors.exposition import Sample, parse_series, samples_of
from pykatib.workers.collectors.moments import seconds_within_calendar
from pykatib.workers.collectors.position import SeriesState
from pykatib.workers.collectors.problems import Problems

INTERVAL_SECONDS = 1.0
TIMEOUT_SECONDS = 2.0
LARGEST_ANSWER = 16 << 20
_ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5"
_NAMES_REMEMBERED = 20


class SampleTracker:
    """Expositions in, metric logs out.

    A metric is the series of that name; `name{label="x"}` asks for those that carry the label; where there is none of
    the name, `name_total` (a counter's sample) is taken.
    """

    def __init__(self, metric_names: Sequence[str]) -> None:
        self._wanted = {name: parse_series(name) or (name, {}) for name in dict.fromkeys(metric_names) if name}
        self._last: dict[tuple[str, str, tuple[tuple[str, str], ...]], tuple[str, float | None]] = {}
        self._told: set[str] = set()
        self.other_names: dict[str, None] = {}
        self.problems = Problems()

    def state(self) -> tuple[SeriesState, ...]:
        """The last sample of each series."""
        return tuple(SeriesState(*key, *last) for key, last in self._last.items())

    def resume(self, state: Sequence[SeriesState]) -> None:
        """Takes over what an earlier tracker has seen."""
        for one in state:
            self._last[(one.metric, one.series, one.labels)] = (one.value, one.timestamp)

    def observe(self, text: str, now: float, *, timestamps_in_seconds: bool = False) -> list[MetricLog]:
        """What has changed since the last exposition; `now` is the time of samples that state none."""
        by_name: dict[str, list[Sample]] = {}
        for sample in samples_of(text, timestamps_in_seconds=timestamps_in_seconds):
            by_name.setdefault(sample.name, []).append(sample)
        logs: list[MetricLog] = []
        for metric_name, (name, labels) in self._wanted.items():
            series = by_name.get(name) or by_name.get(f"{name}_total") or []
            found = [sample for sample in series if _carries(sample, labels)]
            if len(found) > 1 and metric_name not in self._told:
                self._told.add(metric_name)
                self.problems.add(
                    f"{len(found)} series are called {metric_name!r}, and their values mix; "
                    f"name one by its labels, as in {name}{{{_first_label(found[0])}}}"
                )
            for sample in found:
                key = (metric_name, sample.name, tuple(sorted(sample.labels.items())))
                state = (sample.value, sample.timestamp)
                if self._last.get(key) != state:
                    self._last[key] = state
                    stated = seconds_within_calendar(sample.timestamp) if sample.timestamp is not None else None
                    logs.append(MetricLog(now if stated is None else stated, metric_name, sample.value))
        if not logs and len(self.other_names) < _NAMES_REMEMBERED:
            self.other_names.update(dict.fromkeys(list(by_name)[:_NAMES_REMEMBERED]))
        return logs


def _carries(sample: Sample, labels: Mapping[str, str]) -> bool:
    return all(sample.labels.get(label) == value for label, value in labels.items())


def _first_label(sample: Sample) -> str:
    return next((f'{label}="{value}"' for label, value in sample.labels.items()), "")


class Scraper:
    """Asks one endpoint each interval, in its own thread, from `start` to `stop`; `take` hands over what came.

    Args:
        source: Where to ask; `host` is 127.0.0.1 where none is given, and certificates of HTTPS are not verified, as
            with Kubernetes' own probes.
        metric_names: The wanted metrics.
        clock: Seconds since the epoch.
        start: What an earlier scraper had seen; `taken` of it.
    """

    def __init__(
        self,
        source: HTTPGet,
        metric_names: Sequence[str],
        *,
        clock: Callable[[], float] = time.time,
        interval_seconds: float = INTERVAL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        start: Sequence[SeriesState] = (),
    ) -> None:
        self._source = source
        self._port = int(source.port or 0)
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._logs: list[MetricLog] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"scrape {self.url}", daemon=True)
        self.tracker = SampleTracker(metric_names)
        self.tracker.resume(start)
        self.taken = tuple(start)
        self.answer_count = 0
        self.last_failure = ""

    @property
    def url(self) -> str:
        """What is asked."""
        scheme = (self._source.scheme or "HTTP").lower()
        return f"{scheme}://{self._source.host or '127.0.0.1'}:{self._port}{self._source.path or '/metrics'}"

    def start(self) -> None:
        """Begins to ask."""
        self._thread.start()

    def take(self) -> list[MetricLog]:
        """What came since the last time."""
        with self._lock:
            logs, self._logs = self._logs, []
            if logs:
                self.taken = self.tracker.state()
        return logs

    def stop(self) -> None:
        """Asks no more; an answer that is on its way is let go."""
        self._ended.set()

    def join(self) -> None:
        """Waits for the thread, not longer than one answer may take."""
        if self._thread.is_alive():
            self._thread.join(self._timeout_seconds + 1)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                text, in_seconds = self._fetch()
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.last_failure = f"{error}" or type(error).__name__
            else:
                with self._lock:
                    self._logs += self.tracker.observe(text, self._clock(), timestamps_in_seconds=in_seconds)
                    self.answer_count += 1
            self._ended.wait(self._interval_seconds)

    def _fetch(self) -> tuple[str, bool]:
        host, timeout = self._source.host or "127.0.0.1", self._timeout_seconds
        connection: http.client.HTTPConnection
        if self._source.scheme.upper() == "HTTPS":
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(host, self._port, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(host, self._port, timeout=timeout)
        try:
            headers = {"Accept": _ACCEPT, **{header.name: header.value for header in self._source.http_headers}}
            connection.request("GET", self._source.path or "/metrics", headers=headers)
            response = connection.getresponse()
            body = response.read(LARGEST_ANSWER)
            if response.status != 200:
                raise ValueError(f"it answered {response.status} {response.reason}")
            in_seconds = response.headers.get_content_type() == "application/openmetrics-text"
            return body.decode("utf-8", "replace"), in_seconds
        finally:
            connection.close()
