"""TEXT metrics: what Katib's collector tests assert, the repairs, and that no cut of the input changes the result."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api.shared import MetricLog
from pykatib.workers.collectors.filters import KATIB_DEFAULT
from pykatib.workers.collectors.text import LINE_CAP, TextParser

NOW = 1_700_000_000.0


def read(text: str | bytes, *names: str, filters: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    parser = TextParser(names or ("loss", "accuracy"), filters=filters)
    data = text if isinstance(text, bytes) else text.encode()
    return [(log.name, log.value) for log in [*parser.feed(data, NOW), *parser.finish(NOW)]]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("loss=0.3", "0.3"),
        ("loss = .98", ".98"),
        ("loss=-7.53e-05", "-7.53e-05"),
        ("loss=1E0", "1E0"),
        ("loss=+4", "+4"),
        ("loss=888.", "888"),
        ("loss\t=\t12", "12"),
        ("loss=95%", "95"),
        ("[1/3]\tloss=0.12, took 3s", "0.12"),
        ("\x1b[1mloss=0.5\x1b[0m", "0.5"),
    ],
)
def test_a_number_behind_the_name_is_the_value(line: str, value: str) -> None:
    assert read(line) == [("loss", value)]


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "+Inf", "Infinity"])
def test_a_value_that_is_no_number_is_recorded_when_the_line_says_so(text: str) -> None:
    assert read(f"loss={text} next") == [("loss", text)]


@pytest.mark.parametrize(
    "line",
    [
        "loss=",
        "loss= ",
        "loss=-",
        "loss=e5",
        "loss=information",
        "loss=nanometre",
        "loss: 0.3",
        "val-loss=1",
        "my_loss=1",
        "a|loss=1",
        "lossy=1",
        "Loss=1",
        "nothing of the kind",
        "",
    ],
)
def test_a_line_without_a_wanted_name_and_a_value_records_nothing(line: str) -> None:
    assert read(line) == []


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("val/acc", "val/acc=0.9", "0.9"),
        ("val/acc", "train/val/acc=0.9", None),
        ("val.acc", "epoch 3 val.acc = 0.9", "0.9"),
        ("val.acc", "valxacc=0.9", None),
        ("top 1", "the top 1=0.9", "0.9"),
        ("top 1", "stop 1=0.9", None),
        ("acc@1", "acc@1=0.9", "0.9"),
        ("größe", "größe=0.9", "0.9"),
        ("Validation-accuracy", "Validation-accuracy=0.9", "0.9"),
        ("a|b", "a|b=0.9", "0.9"),
    ],
)
def test_a_wanted_name_may_hold_any_character(name: str, line: str, expected: str | None) -> None:
    assert read(line, name) == ([(name, expected)] if expected else [])


def test_the_longer_of_two_wanted_names_is_not_taken_for_the_shorter() -> None:
    assert read("val/acc=0.9 acc=0.8", "acc", "val/acc") == [("val/acc", "0.9"), ("acc", "0.8")]


def test_all_matches_of_a_line_are_recorded_in_order() -> None:
    assert read("loss=1 accuracy=2 other=3 loss=4") == [("loss", "1"), ("accuracy", "2"), ("loss", "4")]


def test_every_filter_is_tried_on_a_line() -> None:
    filters = (r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}", r"([\w-]+) is (\d+)")
    text = "{metricName: accuracy, metricValue: 0.98};{metricName: loss, metricValue: -.3}\nloss is 5, loss=6\n"
    assert read(text, filters=filters) == [("accuracy", "0.98"), ("loss", "5")]


def test_a_filters_value_is_kept_as_text() -> None:
    line = "Best-Genotype=Genotype(normal=[[('max_pooling_3x3', 0)]])"
    assert read(line, "Best-Genotype", filters=(r"([\w-]+)=(Genotype.*)",)) == [
        ("Best-Genotype", "Genotype(normal=[[('max_pooling_3x3', 0)]])")
    ]


def test_a_filter_that_finds_an_empty_value_records_nothing() -> None:
    assert read("loss=\nloss=1", filters=(r"(\w+)=(\d*)",)) == [("loss", "1")]


def test_katibs_default_spelt_out_is_the_default() -> None:
    assert read("loss=nan\nval/acc=2\nloss=", "loss", "val/acc", filters=(KATIB_DEFAULT,)) == [
        ("loss", "nan"),
        ("val/acc", "2"),
    ]


@pytest.mark.parametrize(
    ("first_word", "time"),
    [
        ("2021-12-02T05:27:27Z", datetime(2021, 12, 2, 5, 27, 27, tzinfo=UTC).timestamp()),
        ("2021-12-02T05:27:27.000028721Z", datetime(2021, 12, 2, 5, 27, 27, 28, tzinfo=UTC).timestamp()),
        ("2021-12-02T14:27:27+09:00", datetime(2021, 12, 2, 5, 27, 27, tzinfo=UTC).timestamp()),
        ("2021-12-02", NOW),
        ("20211202T052727Z", NOW),
        ("2021-02-30T00:00:00Z", NOW),
        ("0001-01-01T00:00:00Z", NOW),
        ("INFO", NOW),
    ],
)
def test_the_time_is_the_lines_first_word_or_the_arrival(first_word: str, time: float) -> None:
    assert TextParser(["loss"]).feed(f"{first_word} loss=1\n".encode(), NOW) == [MetricLog(time, "loss", "1")]


def test_progress_bars_rewrite_their_line() -> None:
    assert read("\rloss=3 10%\rloss=2 50%\r\nloss=1\r\n") == [("loss", "3"), ("loss", "2"), ("loss", "1")]


def test_a_line_after_a_carriage_return_has_a_time_of_its_own() -> None:
    logs = TextParser(["loss"]).feed(b"10% done\r1970-01-01T00:00:05Z loss=2\r\n", NOW)
    assert logs == [MetricLog(5.0, "loss", "2")]


def test_undecodable_bytes_do_not_hide_a_value() -> None:
    assert read(b"\xff\xfe loss=1 \x80\n") == [("loss", "1")]


def test_the_unfinished_line_is_bounded() -> None:
    parser = TextParser(["loss"])
    for _ in range(100):
        assert parser.feed(b"x" * 10_000, NOW) == []
    assert parser.pending_bytes <= LINE_CAP + 1


def test_a_number_that_the_cap_cuts_is_not_recorded() -> None:
    line = ("loss=1 ".ljust(LINE_CAP - 6) + "loss=23456\nloss=7\n").encode()
    parser = TextParser(["loss"])
    assert [log.value for log in parser.feed(line, NOW)] == ["1", "7"]
    assert parser.problems.count == 1
    assert str(LINE_CAP) in parser.problems.lines()[0]


def test_the_first_line_that_names_a_metric_without_value_is_kept_as_a_hint() -> None:
    parser = TextParser(["loss"])
    parser.feed(b"start\nloss: 0.3\nloss: 0.4\n", NOW)
    assert parser.unmatched == "loss: 0.3"


def test_a_reset_forgets_the_unfinished_line() -> None:
    parser = TextParser(["loss"])
    parser.feed(b"loss=1", NOW)
    parser.reset()
    assert parser.feed(b"2\nloss=3\n", NOW) == [MetricLog(NOW, "loss", "3")]


PIECES = st.sampled_from(
    [
        b"loss=0.5",
        b"accuracy = .7",
        b"val/acc=1e-3",
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"2021-12-02T05:27:27Z ",
        "é".encode(),
        b"\xff",
        b"x" * 32,
        b"y" * 28,
        b"loss",
        b"=3",
        b"\x1b[31m",
    ]
)


@given(
    pieces=st.lists(PIECES, max_size=12),
    cuts=st.lists(st.integers(min_value=0, max_value=1000), max_size=8),
    filters=st.sampled_from([(), (r"([\w/]+)\s*=\s*(.*)", r"(loss)(=0)")]),
)
def test_no_cut_of_the_input_changes_the_logs(pieces: list[bytes], cuts: list[int], filters: tuple[str, ...]) -> None:
    data = b"".join(pieces)
    names = ["loss", "accuracy", "val/acc"]
    whole = TextParser(names, filters=filters, line_cap=32)
    expected = [*whole.feed(data, NOW), *whole.finish(NOW)]
    parser = TextParser(names, filters=filters, line_cap=32)
    logs: list[MetricLog] = []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for begin, end in pairwise(edges):
        logs += parser.feed(data[begin:end], NOW)
    assert [*logs, *parser.finish(NOW)] == expected
    assert parser.problems.lines() == whole.problems.lines()
    assert parser.unmatched == whole.unmatched
