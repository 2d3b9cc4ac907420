"""What a successor finds of a sidecar that was killed at any byte."""

from pathlib import Path

import pytest

from pykatib.api.shared import MetricLog
from pykatib.sidecar.spool import COMPACT_BYTES, Spool
from pykatib.workers.collectors.position import Position


def add(spool: Spool, number: int, *, width: int = 1) -> None:
    logs = [MetricLog(float(number), "loss", str(number) * width)]
    spool.add(logs, (Position(offsets={"": number}),), is_objective_seen=True)


def values(spool: Spool) -> list[str]:
    return [log.value for report in spool.all() for log in report.logs]


def test_reports_wait_in_their_order_until_they_have_arrived(tmp_path: Path) -> None:
    spool = Spool(tmp_path, keeps_all=False)
    assert spool.next() is None
    for number in range(3):
        add(spool, number)
    first = spool.next()
    assert first is not None
    assert [log.value for log in first.logs] == ["0"]
    spool.arrived()
    spool.close()
    successor = Spool(tmp_path, keeps_all=False)
    second = successor.next()
    assert second is not None
    assert [log.value for log in second.logs] == ["1"]
    assert successor.last is not None
    assert successor.last.positions == (Position(offsets={"": 2}),)
    successor.close()


def test_a_report_that_was_half_written_was_never_made(tmp_path: Path) -> None:
    spool = Spool(tmp_path, keeps_all=False)
    for number in range(3):
        add(spool, number)
    spool.close()
    content = (tmp_path / "spool").read_bytes()
    second_end = content.index(b"\n", content.index(b"\n") + 1) + 1
    for cut in range(second_end, len(content)):
        (tmp_path / "spool").write_bytes(content[:cut])
        successor = Spool(tmp_path, keeps_all=False)
        assert values(successor) == ["0", "1"]
        add(successor, 9)
        assert values(successor) == ["0", "1", "9"]
        successor.close()


@pytest.mark.parametrize("keeps_all", [False, True], ids=["room is used again", "all is kept"])
def test_a_long_spool_is_begun_anew_once_all_has_arrived(tmp_path: Path, *, keeps_all: bool) -> None:
    spool = Spool(tmp_path, keeps_all=keeps_all)
    count = 0
    while (tmp_path / "spool").stat().st_size <= COMPACT_BYTES:
        add(spool, 10_000 + count, width=20_000)
        count += 1
    for _ in range(count):
        spool.arrived()
    assert spool.waiting_bytes == 0
    assert ((tmp_path / "spool").stat().st_size < 1_000) != keeps_all
    spool.close()
    successor = Spool(tmp_path, keeps_all=keeps_all)
    assert successor.next() is None
    assert successor.last is not None
    assert successor.last.positions == (Position(offsets={"": 10_000 + count - 1}),)
    assert successor.last.is_objective_seen
    assert len(values(successor)) == (count if keeps_all else 0)
    add(successor, 1)
    report = successor.next()
    assert report is not None
    assert [log.value for log in report.logs] == ["1"]
    successor.close()


def test_half_characters_become_whole_ones(tmp_path: Path) -> None:
    spool = Spool(tmp_path, keeps_all=False)
    spool.add([MetricLog(1.0, "loss", "\ud800ü")], (), is_objective_seen=True)
    assert values(spool) == ["?ü"]
    spool.close()
