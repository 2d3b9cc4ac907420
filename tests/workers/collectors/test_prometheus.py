"""PrometheusMetric: the exposition format, what counts as a report, and a real endpoint that comes and goes."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pykatib.api.shared import HTTPGet, HTTPHeader, MetricLog
from pykatib.workers.collectors.exposition import Sample, parse_series, samples_of
from pykatib.workers.collectors.prometheus import SampleTracker, Scraper

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("loss 0.5", Sample("loss", {}, "0.5", None)),
        ("loss NaN", Sample("loss", {}, "NaN", None)),
        ("loss +Inf 1000", Sample("loss", {}, "+Inf", 1.0)),
        ("  a:b_1{}  3 ", Sample("a:b_1", {}, "3", None)),
        ('loss{phase="a b",x="1",} 2', Sample("loss", {"phase": "a b", "x": "1"}, "2", None)),
        (r'loss{p="a\"b\\c\nd}"} 2', Sample("loss", {"p": 'a"b\\c\nd}'}, "2", None)),
        ('{"val.acc", phase="train"} 2', Sample("val.acc", {"phase": "train"}, "2", None)),
        ('n_total 17 # {trace_id="x"} 0.5', Sample("n_total", {}, "17", None)),
    ],
)
def test_a_line_is_a_sample(line: str, sample: Sample) -> None:
    assert list(samples_of(line)) == [sample]


@pytest.mark.parametrize("line", ["", "# TYPE loss gauge", "# EOF", "loss", "loss x", "loss{a=1} 2", 'loss{a="1 2'])
def test_a_line_that_is_no_sample_is_passed_over(line: str) -> None:
    assert list(samples_of(line)) == []


def test_openmetrics_states_seconds() -> None:
    assert next(iter(samples_of("loss 1 1.5", timestamps_in_seconds=True))).timestamp == 1.5


def test_a_series_is_named_with_its_labels() -> None:
    assert parse_series('loss{phase="train"}') == ("loss", {"phase": "train"})
    assert parse_series("val/acc") is None


def test_a_value_is_recorded_when_it_or_its_timestamp_has_changed() -> None:
    tracker = SampleTracker(["loss"])
    texts = ["loss 1", "loss 1", "loss 2", "loss 2 5000", "loss 2 5000", "loss 2 6000"]
    logs = [log for second, text in enumerate(texts) for log in tracker.observe(text, NOW + second)]
    assert logs == [
        MetricLog(NOW, "loss", "1"),
        MetricLog(NOW + 2, "loss", "2"),
        MetricLog(5.0, "loss", "2"),
        MetricLog(6.0, "loss", "2"),
    ]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("acc", ["3"]),
        ('loss{phase="val"}', ["2"]),
        ("loss", ["1", "2"]),
        ("steps", ["7"]),
        ("los", []),
        ("val/acc", []),
    ],
)
def test_a_metric_takes_its_series(name: str, values: list[str]) -> None:
    text = 'loss{phase="train"} 1\nloss{phase="val"} 2\nacc 3\nsteps_total 7\n'
    assert [log.value for log in SampleTracker([name]).observe(text, NOW)] == values


def test_series_that_mix_are_told_once() -> None:
    tracker = SampleTracker(["loss"])
    for value in ("1", "2"):
        tracker.observe(f'loss{{p="a"}} {value}\nloss{{p="b"}} {value}', NOW)
    assert tracker.problems.count == 1
    assert 'loss{p="a"}' in tracker.problems.lines()[0]


class Endpoint:
    """A program that serves what it is told to, and tells when it was asked."""

    def __init__(self) -> None:
        self.text = ""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = threading.Semaphore(0)
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint.headers = dict(self.headers.items())
                self.send_response(endpoint.status)
                self.end_headers()
                self.wfile.write(endpoint.text.encode() if self.path == "/m" else b"")
                endpoint.asked.release()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def scrape() -> Iterator[Callable[[HTTPGet], Scraper]]:
    started: list[Scraper] = []

    def start(source: HTTPGet) -> Scraper:
        scraper = Scraper(source, ["loss"], clock=lambda: NOW, interval_seconds=0.01)
        started.append(scraper)
        scraper.start()
        return scraper

    yield start
    for scraper in started:
        scraper.stop()
        scraper.join()


def _await(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never became true")


def test_a_running_program_is_asked_again_and_again(endpoint: Endpoint, scrape: Callable[[HTTPGet], Scraper]) -> None:
    endpoint.text = "loss 1\n"
    header = HTTPHeader("Authorization", "Bearer x")
    scraper = scrape(HTTPGet(path="/m", port=str(endpoint.port), http_headers=(header,)))
    _await(lambda: scraper.answer_count > 1)
    assert scraper.take() == [MetricLog(NOW, "loss", "1")]
    endpoint.text = "loss 2\n"
    answered = scraper.answer_count
    _await(lambda: scraper.answer_count > answered + 1)
    assert scraper.take() == [MetricLog(NOW, "loss", "2")]
    assert endpoint.headers["Authorization"] == "Bearer x"


def test_a_program_that_does_not_answer_is_no_error(endpoint: Endpoint, scrape: Callable[[HTTPGet], Scraper]) -> None:
    endpoint.status = 500
    scraper = scrape(HTTPGet(path="/m", port=endpoint.port))
    _await(lambda: "500" in scraper.last_failure)
    endpoint.close()
    _await(lambda: "500" not in scraper.last_failure)
    assert scraper.take() == []
    assert scraper.answer_count == 0
