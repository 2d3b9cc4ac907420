"""From logs to observations, and from observations to the one value that counts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api.shared import Metric, MetricLog, MetricStrategy, ObjectiveSpec, Observation
from pykatib.control.observation import has_objective, number_of, observe, reaches_goal, value_text

OBJECTIVE = ObjectiveSpec(
    "minimize", None, "loss", ("acc",), (MetricStrategy("loss", "min"), MetricStrategy("acc", "max"))
)


def logs(*entries: tuple[float, str]) -> list[MetricLog]:
    return [MetricLog(time, "loss", value) for time, value in entries]


def loss(*entries: tuple[float, str]) -> tuple[str, str, str]:
    seen = observe(logs(*entries), OBJECTIVE)
    assert seen is not None
    metric = seen.metric("loss")
    assert metric is not None
    return metric.min, metric.max, metric.latest


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([(1, "2"), (2, "1"), (3, "3")], ("1", "3", "3"), id="numbers"),
        pytest.param([(1, "1.0"), (2, "1"), (3, "1e0")], ("1.0", "1.0", "1e0"), id="equal values keep the first text"),
        pytest.param([(3, "1"), (1, "2")], ("1", "2", "1"), id="latest is by time"),
        pytest.param([(1, "1"), (1, "2")], ("1", "2", "2"), id="of equal times the last to arrive"),
        pytest.param([(0.0, "5"), (0.0, "4")], ("4", "5", "4"), id="reports without a time"),
        pytest.param([(1, "sgd"), (2, "1"), (3, "x")], ("1", "1", "x"), id="texts count as latest only"),
        pytest.param([(1, "sgd")], ("unavailable", "unavailable", "sgd"), id="texts alone"),
        pytest.param([(1, "nan"), (2, "1"), (3, "NaN")], ("1", "1", "NaN"), id="NaN is no minimum"),
        pytest.param([(1, "inf"), (2, "1"), (3, "-inf")], ("-inf", "inf", "-inf"), id="infinities are numbers"),
        pytest.param(
            [(1, "1_000"), (2, "0x10")], ("unavailable", "unavailable", "0x10"), id="not Python's own numbers"
        ),
        pytest.param([(1, "unavailable")], ("unavailable",) * 3, id="reported as unavailable"),
    ],
)
def test_logs_fold_into_minimum_maximum_and_latest(entries: list[tuple[float, str]], expected: tuple[str, ...]) -> None:
    assert loss(*entries) == expected


def test_metrics_with_a_strategy_are_there_and_no_others() -> None:
    seen = observe([MetricLog(1, "loss", "1"), MetricLog(1, "other", "2")], OBJECTIVE)
    assert seen == Observation((Metric("loss", "1", "1", "1"), Metric("acc", *["unavailable"] * 3)))
    assert observe([MetricLog(1, "other", "2")], OBJECTIVE) == Observation(
        (Metric("loss", *["unavailable"] * 3), Metric("acc", *["unavailable"] * 3))
    )
    assert observe([], OBJECTIVE) is None


VALUES = st.floats().map(repr) | st.sampled_from(["sgd", "nan", "1_0", "", " 1 ", "1e400"])


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0, 3.0]), VALUES), min_size=1))
def test_folding_equals_a_plain_recomputation(entries: list[tuple[float, str]]) -> None:
    numbers = [(number_of(text), text) for _, text in entries]
    real = [(value, text) for value, text in numbers if value is not None and not math.isnan(value)]
    at = max(time for time, _ in entries)
    expected = (
        min(real, key=lambda pair: pair[0])[1] if real else "unavailable",
        max(real, key=lambda pair: pair[0])[1] if real else "unavailable",
        [text for time, text in entries if time == at][-1],
    )
    assert loss(*entries) == expected


@pytest.mark.parametrize(
    ("strategy", "metric", "expected"),
    [
        ("min", Metric("loss", "1", "3", "2"), "1"),
        ("max", Metric("loss", "1", "3", "2"), "3"),
        ("latest", Metric("loss", "1", "3", "2"), "2"),
        ("min", Metric("loss", "unavailable", "unavailable", "sgd"), "sgd"),
        ("max", Metric("loss", "unavailable", "unavailable", "sgd"), "sgd"),
        ("median", Metric("loss", "1", "3", "2"), "unavailable"),
        ("min", Metric("other", "1", "3", "2"), "unavailable"),
        ("min", None, "unavailable"),
    ],
)
def test_a_metrics_value_is_by_its_strategy(strategy: str, metric: Metric | None, expected: str) -> None:
    spec = ObjectiveSpec("minimize", None, "loss", (), (MetricStrategy("loss", strategy),))
    seen = None if metric is None else Observation((metric,))
    assert value_text(seen, spec, "loss") == expected


def test_the_objective_is_there_when_its_latest_value_is() -> None:
    assert has_objective(Observation((Metric("loss", "unavailable", "unavailable", "nan"),)), OBJECTIVE)
    assert not has_objective(Observation((Metric("loss", "1", "1", "unavailable"),)), OBJECTIVE)
    assert not has_objective(None, OBJECTIVE)


@pytest.mark.parametrize(
    ("kind", "goal", "value", "reached"),
    [
        ("minimize", 1.0, 1.0, True),
        ("minimize", 1.0, 1.1, False),
        ("maximize", 1.0, 1.0, True),
        ("maximize", 1.0, 0.9, False),
        ("minimize", 0.0, -math.inf, True),
        ("minimize", 0.0, math.nan, False),
        ("maximize", None, math.inf, False),
    ],
)
def test_a_goal_is_reached_inclusively(kind: str, goal: float | None, value: float, *, reached: bool) -> None:
    assert reaches_goal(value, ObjectiveSpec(kind, goal, "loss")) == reached
