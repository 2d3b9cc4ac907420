"""JSON metrics: Katib's format with its defects repaired, and broken lines that cost only themselves."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api.shared import MetricLog
from pykatib.workers.collectors.json_lines import JsonLinesParser

NOW = 1_700_000_000.0


def read(text: str, *names: str) -> list[tuple[str, str]]:
    parser = JsonLinesParser(names or ("loss", "acc"))
    return [(log.name, log.value) for log in [*parser.feed(text.encode(), NOW), *parser.finish(NOW)]]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('{"loss": "0.3"}', "0.3"),
        ('{"loss": 0.30}', "0.30"),
        ('{"loss": -7}', "-7"),
        ('{"loss": 1e-400}', "1e-400"),
        ('{"loss": NaN}', "NaN"),
        ('{"loss": -Infinity}', "-Infinity"),
        ('{"loss": 1, "loss": 2}', "2"),
        ('\ufeff {"loss": 1} \r', "1"),
    ],
)
def test_numbers_and_strings_are_values_as_they_are_written(line: str, value: str) -> None:
    assert read(line + "\n") == [("loss", value)]


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        ("1638422847.28721", 1638422847.28721),
        ("1638422847", 1638422847.0),
        ('"1638422847.5"', 1638422847.5),
        (
            '"2021-12-02T14:27:50.000035161+09:00"',
            datetime(2021, 12, 2, 5, 27, 50, 35, tzinfo=UTC).timestamp(),
        ),
        ('"yesterday"', NOW),
        ("1e300", NOW),
        ("NaN", NOW),
        ("[1]", NOW),
    ],
)
def test_the_time_is_the_timestamp_or_the_arrival(timestamp: str, time: float) -> None:
    logs = JsonLinesParser(["loss"]).feed(f'{{"timestamp": {timestamp}, "loss": 1}}\n'.encode(), NOW)
    assert logs == [MetricLog(time, "loss", "1")]


def test_other_members_are_ignored() -> None:
    assert read('{"epoch": 3, "nested": {"loss": 5}, "größe": 2}\n{"acc": null}\n\n', "loss", "größe") == [
        ("größe", "2")
    ]


def test_a_broken_line_costs_itself_and_is_told_by_its_number() -> None:
    parser = JsonLinesParser(["loss"])
    lines = ['{"loss": 1}', '{"loss": 2', "[3]", '{"loss": [4]}', "[" * 100_000, '{"loss": 5}', ""]
    logs = parser.feed("\n".join(lines).encode(), NOW)
    assert [log.value for log in logs] == ["1", "5"]
    assert [line.split(" is")[0] for line in parser.problems.lines()] == ["line 2", "line 3", "line 4", "line 5"]


def test_only_the_first_problems_are_kept_and_all_are_counted() -> None:
    parser = JsonLinesParser(["loss"])
    parser.feed(b"broken\n" * 1000, NOW)
    assert parser.problems.count == 1000
    assert parser.problems.lines()[-1] == "and 990 more"


def test_a_line_beyond_the_cap_is_skipped_without_being_held() -> None:
    parser = JsonLinesParser(["loss"], line_cap=100)
    for _ in range(50):
        assert parser.feed(b'{"x": "' + b"y" * 60, NOW) == []
    assert parser.pending_bytes <= 101
    assert parser.feed(b'\n{"loss": 1}\n', NOW) == [MetricLog(NOW, "loss", "1")]
    assert parser.problems.count == 1


PIECES = st.sampled_from(
    ['{"loss": 1}', '{"acc": "2", "timestamp": 5}', "\n", "\r\n", "{", '"é"', "}", '{"x": "' + "y" * 40 + '"}']
)


@given(pieces=st.lists(PIECES, max_size=12), cuts=st.lists(st.integers(0, 500), max_size=8))
def test_no_cut_of_the_input_changes_the_json_logs(pieces: list[str], cuts: list[int]) -> None:
    data = "".join(pieces).encode()
    whole, parser = (JsonLinesParser(["loss", "acc"], line_cap=40) for _ in range(2))
    expected = [*whole.feed(data, NOW), *whole.finish(NOW)]
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    logs = [log for begin, end in pairwise(edges) for log in parser.feed(data[begin:end], NOW)]
    assert [*logs, *parser.finish(NOW)] == expected
    assert parser.problems.lines() == whole.problems.lines()
