"""A Trial's collector, put together from its manifest, over real files; and `report_metrics` at the other end."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from pykatib.api import names
from pykatib.api.errors import InvalidInput, NotSupported, StorageFailed
from pykatib.api.shared import MetricLog, MetricsCollectorSpec
from pykatib.sdk.report import report_metrics
from pykatib.workers.collectors.collector import Collector, check_collector, make_collector
from pykatib.workers.collectors.sources import FileSource
from pykatib.workers.collectors.text import TextParser
from pykatib.workers.reporting import reporting_to

NOW = 1_700_000_000.0
NAMES = ("loss", "accuracy")


def spec_of(text: str) -> MetricsCollectorSpec:
    return msgspec.json.decode(text, type=MetricsCollectorSpec)


def spec_of_kind(kind: str, **source: object) -> MetricsCollectorSpec:
    return spec_of(json.dumps({"collector": {"kind": kind}, "source": source}))


def finish(collector: Collector, now: float = NOW) -> list[tuple[str, str]]:
    return [(log.name, log.value) for batch in collector.finish(now) for log in batch]


def test_stdout_is_read_while_the_job_runs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    collector = make_collector(MetricsCollectorSpec(), metric_names=NAMES, log_path=log)
    assert collector.poll(NOW) == []
    with log.open("ab", buffering=0) as file:
        file.write(b"starting\nloss=1 other=2\nloss=")
        assert collector.poll(NOW) == [MetricLog(NOW, "loss", "1")]
        file.write(b"0.5\r")
        assert collector.poll(NOW + 1) == [MetricLog(NOW + 1, "loss", "0.5")]
        file.write(b"accuracy=0.9")
    assert finish(collector) == [("accuracy", "0.9")]
    assert collector.problems == ()


def test_a_clock_that_runs_backwards_does_not_reorder_the_logs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    collector = make_collector(MetricsCollectorSpec(), metric_names=NAMES, log_path=log)
    log.write_bytes(b"loss=1\n")
    collector.poll(NOW)
    with log.open("ab") as file:
        file.write(b"loss=2\n")
    assert [log.time for log in collector.poll(NOW - 60)] == [NOW]
    collector.close()


def test_the_work_of_a_poll_is_bounded_and_nothing_is_lost(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"loss=%d\n" % number for number in range(1000)))
    collector = make_collector(MetricsCollectorSpec(), metric_names=NAMES, log_path=log)
    first = collector.poll(NOW, max_bytes=1000)
    assert 0 < len(first) < 200
    assert not collector.caught_up
    assert [log.value for log in first] + [value for _, value in finish(collector)] == [str(n) for n in range(1000)]


def test_a_file_is_read_at_its_place_on_this_machine(tmp_path: Path) -> None:
    path = {"path": "/katib/mnist.log", "kind": "File", "format": "TEXT"}
    formats = {"metricsFormat": ["{metricName: ([\\w|-]+), metricValue: ((-?\\d+)(\\.\\d+)?)}"]}
    spec = spec_of_kind("File", fileSystemPath=path, filter=formats)
    collector = make_collector(spec, metric_names=NAMES, log_path=tmp_path / "log", source_path=tmp_path / "m")
    (tmp_path / "m").write_text("{metricName: loss, metricValue: 0.5};{metricName: accuracy, metricValue: 0.25}\n")
    (tmp_path / "log").write_text("loss=7\n")
    assert finish(collector) == [("loss", "0.5"), ("accuracy", "0.25")]


def test_json_lines_are_read_and_broken_ones_told_with_the_files_name(tmp_path: Path) -> None:
    spec = spec_of_kind("File", fileSystemPath={"path": str(tmp_path / "m"), "kind": "File", "format": "JSON"})
    collector = make_collector(spec, metric_names=NAMES, log_path=tmp_path / "log")
    (tmp_path / "m").write_text('{"loss": 1}\n{"loss"\n')
    assert finish(collector) == [("loss", "1")]
    assert len(collector.problems) == 1
    assert str(tmp_path / "m") in collector.problems[0]
    assert "line 2" in collector.problems[0]


def test_event_files_are_read_where_the_folder_lies(tmp_path: Path) -> None:
    real = Path(__file__).parent / "event_files" / "tensorflow2"
    spec = spec_of_kind("TensorFlowEvent", fileSystemPath={"path": "/logs", "kind": "Directory"})
    collector = make_collector(spec, metric_names=["train/accuracy"], log_path=tmp_path / "log", source_path=real)
    assert finish(collector) == [("train/accuracy", value) for value in ("0.7", "0.8", "0.9")]


@pytest.mark.parametrize(
    ("kind", "source", "words"),
    [
        ("StdOut", {}, ["'loss'", "2 lines", "'loss: 0.3'"]),
        ("File", {"fileSystemPath": {"path": "/nowhere/m", "kind": "File", "format": "TEXT"}}, ["never there"]),
        ("TensorFlowEvent", {"fileSystemPath": {"path": "/nowhere", "kind": "Directory"}}, ["never there"]),
        ("Push", {}, ["was never there"]),
    ],
)
def test_a_metric_that_never_came_is_explained(
    tmp_path: Path, kind: str, source: dict[str, object], words: list[str]
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"hello\nloss: 0.3\n")
    push = tmp_path / "push"
    collector = make_collector(spec_of_kind(kind, **source), metric_names=NAMES, log_path=log, push_path=push)
    assert finish(collector) == []
    assert all(word in collector.problems[-1] for word in words)


def test_an_endpoint_that_never_answers_is_explained(tmp_path: Path) -> None:
    spec = spec_of_kind("PrometheusMetric", httpGet={"path": "/m", "port": 1})
    collector = make_collector(spec, metric_names=NAMES, log_path=tmp_path / "log", scrape_interval_seconds=0.01)
    assert collector.poll(NOW) == []
    assert finish(collector) == []
    assert "http://127.0.0.1:1/m" in collector.problems[-1]


def test_kind_none_reads_what_the_program_pushes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"loss=1\n")
    (tmp_path / "push").write_bytes(b'{"loss": 2}\n')
    collector = make_collector(
        spec_of_kind("None"), metric_names=NAMES, log_path=tmp_path / "log", push_path=tmp_path / "push"
    )
    assert finish(collector) == [("loss", "2")]


def test_a_half_line_before_a_truncation_is_never_completed(tmp_path: Path) -> None:
    path = tmp_path / "m"
    source = FileSource(path, TextParser(["loss"]))
    path.write_bytes(b"loss=1\nloss=2")
    assert [log.value for log in source.read(NOW, 1 << 20)] == ["1"]
    path.write_bytes(b"5\nloss=3\n")
    assert [log.value for log in source.read(NOW, 1 << 20)] == ["3"]
    source.close()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ('{"collector": {"kind": "Stdout"}}', "collector.kind"),
        ('{"collector": {"kind": "File"}}', "source.fileSystemPath.path"),
        ('{"source": {"filter": {"metricsFormat": ["(a)=(b)", "(a"]}}}', "source.filter.metricsFormat[1]"),
        ('{"collector": {"kind": "PrometheusMetric"}, "source": {"httpGet": {"port": "http"}}}', "source.httpGet.port"),
        (
            '{"collector": {"kind": "PrometheusMetric"}, "source": {"httpGet": {"port": 1, "scheme": "FTP"}}}',
            "source.httpGet.scheme",
        ),
    ],
)
def test_what_cannot_be_followed_here_is_named_by_its_path(tmp_path: Path, spec: str, path: str) -> None:
    assert [error.path for error in check_collector(spec_of(spec))] == [f"spec.metricsCollectorSpec.{path}"]


def test_a_custom_collectors_job_may_still_push(tmp_path: Path) -> None:
    push = tmp_path / "push"
    push.write_text('{"loss": 1}\n')
    collector = make_collector(spec_of_kind("Custom"), metric_names=NAMES, log_path=tmp_path / "log", push_path=push)
    assert finish(collector) == [("loss", "1")]


def test_a_bad_filter_makes_no_collector(tmp_path: Path) -> None:
    spec = spec_of_kind("StdOut", filter={"metricsFormat": ["(loss"]})
    with pytest.raises(InvalidInput, match="metricsFormat"):
        make_collector(spec, metric_names=NAMES, log_path=tmp_path / "log")


@pytest.fixture
def metrics_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(names.ENV_TRIAL_NAME, "trial-1")
    monkeypatch.setenv(names.ENV_METRICS_FILE, str(tmp_path / "push"))
    return tmp_path / "push"


def pushed(metrics_file: Path, *metric_names: str) -> list[MetricLog]:
    collector = make_collector(
        spec_of_kind("Push"), metric_names=metric_names, log_path=metrics_file.parent / "log", push_path=metrics_file
    )
    return [log for batch in collector.finish(NOW) for log in batch]


def test_reported_metrics_arrive_with_their_times(metrics_file: Path) -> None:
    report_metrics({"loss": 0.1, "val/acc": "0.90", "unwanted": 3}, step=1, timestamp=5.25)
    report_metrics({"loss": float("nan"), "step": 4}, timestamp=6.0)
    assert pushed(metrics_file, "loss", "val/acc") == [
        MetricLog(5.25, "loss", "0.1"),
        MetricLog(5.25, "val/acc", "0.90"),
        MetricLog(6.0, "loss", "nan"),
    ]
    assert json.loads(metrics_file.read_text().splitlines()[0])["step"] == 1


def test_reports_of_threads_and_processes_do_not_mix(metrics_file: Path) -> None:
    program = "from pykatib.sdk.report import report_metrics\nfor n in range(50): report_metrics({'loss': n})"
    processes = [subprocess.Popen([sys.executable, "-c", program], env=os.environ) for _ in range(2)]

    def report_often() -> None:
        for number in range(50):
            report_metrics({"loss": number})

    threads = [threading.Thread(target=report_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0]
    values = sorted(int(log.value) for log in pushed(metrics_file, "loss"))
    assert values == sorted(list(range(50)) * 6)


def test_a_runner_in_the_same_process_is_told_directly(metrics_file: Path) -> None:
    told: list[tuple[dict[str, str], int | None]] = []
    with reporting_to(lambda metrics, *, step, timestamp: told.append((dict(metrics), step))):
        report_metrics({"loss": 1}, step=2)
    assert told == [({"loss": "1"}, 2)]
    assert not metrics_file.exists()


@pytest.mark.parametrize("value", ["high", None, [1, 2], b"1"])
def test_what_is_no_number_is_refused_by_its_metrics_name(metrics_file: Path, value: object) -> None:
    with pytest.raises(ValueError, match="'accuracy'"):
        report_metrics({"loss": 1, "accuracy": value})
    assert not metrics_file.exists()


def test_a_metric_cannot_be_called_timestamp(metrics_file: Path) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        report_metrics({"timestamp": 1})


def test_outside_a_trial_nothing_can_be_reported(metrics_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(names.ENV_TRIAL_NAME)
    with pytest.raises(ValueError, match="The Trial name is not passed to environment variables"):
        report_metrics({"loss": 1})


def test_a_trial_without_a_place_for_metrics_says_so(metrics_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(names.ENV_METRICS_FILE)
    with pytest.raises(NotSupported, match=names.ENV_METRICS_FILE):
        report_metrics({"loss": 1})


def test_a_file_that_cannot_be_written_is_said(metrics_file: Path) -> None:
    metrics_file.mkdir()
    with pytest.raises(StorageFailed, match="push"):
        report_metrics({"loss": 1})
