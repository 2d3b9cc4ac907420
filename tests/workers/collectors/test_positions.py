"""A collector that goes on from the positions of another reads what that one would have read."""

import json
from pathlib import Path

import msgspec
import pytest

from pykatib.api.shared import MetricsCollectorSpec
from pykatib.workers.collectors.collector import Collector, make_collector
from pykatib.workers.collectors.position import Position

EVENTS = Path(__file__).parent / "event_files" / "tensorflow2"
LINES = b"epoch 1 loss=1\nloss=2\r  50%\rloss=3\r\n\xc3\xbcber loss=4\nloss=5"


def spec(kind: str, path: Path, file_format: str = "") -> MetricsCollectorSpec:
    file = {"path": str(path), "kind": "File", "format": file_format}
    return msgspec.convert({"collector": {"kind": kind}, "source": {"fileSystemPath": file}}, MetricsCollectorSpec)


def over_the_wire(collector: Collector) -> tuple[Position, ...]:
    return msgspec.json.decode(msgspec.json.encode(collector.positions), type=tuple[Position, ...])


def read_with_a_successor_a_step(of: MetricsCollectorSpec, path: Path, content: bytes, step: int) -> list[str]:
    """What is read where each piece of the file meets another collector."""
    values: list[str] = []
    positions: tuple[Position, ...] = ()
    for end in range(step, len(content) + step, step):
        path.write_bytes(content[:end])
        collector = make_collector(of, metric_names=["loss"], log_path=path, source_path=path, start=positions)
        values += [log.value for log in collector.poll(1.0)]
        positions = over_the_wire(collector)
        collector.close()
    collector = make_collector(of, metric_names=["loss"], log_path=path, source_path=path, start=positions)
    values += [log.value for logs in collector.finish(1.0) for log in logs]
    again = make_collector(of, metric_names=["loss"], log_path=path, source_path=path, start=over_the_wire(collector))
    assert [*again.finish(1.0)] == []
    return values


@pytest.mark.parametrize("step", [1, 2, 7, 1_000])
@pytest.mark.parametrize("kind", ["StdOut", "File"])
def test_lines_are_read_once_wherever_the_reader_is_changed(tmp_path: Path, kind: str, step: int) -> None:
    path = tmp_path / "log"
    assert read_with_a_successor_a_step(spec(kind, path, "TEXT"), path, LINES, step) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("step", [1, 5, 1_000])
def test_objects_are_read_once_wherever_the_reader_is_changed(tmp_path: Path, step: int) -> None:
    path = tmp_path / "log"
    content = "".join(json.dumps({"loss": number, "text": "a\rb"}) + "\n" for number in range(8)).encode()
    assert read_with_a_successor_a_step(spec("File", path, "JSON"), path, content, step) == [str(n) for n in range(8)]


@pytest.mark.parametrize("step", [13, 100])
def test_events_are_read_once_wherever_the_reader_is_changed(tmp_path: Path, step: int) -> None:
    [source] = (file for file in EVENTS.rglob("*tfevents*"))
    content = source.read_bytes()
    (tmp_path / "train").mkdir()
    copy = tmp_path / "train" / source.name
    values: list[str] = []
    positions: tuple[Position, ...] = ()
    of = spec("TensorFlowEvent", tmp_path)
    for end in range(step, len(content) + step, step):
        copy.write_bytes(content[:end])
        collector = make_collector(
            of, metric_names=["train/accuracy"], log_path=tmp_path / "no", source_path=tmp_path, start=positions
        )
        values += [log.value for log in collector.poll(1.0)]
        positions = over_the_wire(collector)
        collector.close()
    assert values == ["0.7", "0.8", "0.9"]


def test_a_file_that_is_another_by_now_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("loss=1\nloss=2\n")
    of = spec("File", path, "TEXT")
    first = make_collector(of, metric_names=["loss"], log_path=path, source_path=path)
    assert [log.value for log in first.poll(1.0)] == ["1", "2"]
    path.unlink()
    path.write_text("loss=7\nloss=8\nloss=9\n")
    second = make_collector(of, metric_names=["loss"], log_path=path, source_path=path, start=first.positions)
    first.close()
    assert [log.value for log in second.poll(1.0)] == ["7", "8", "9"]
    second.close()
