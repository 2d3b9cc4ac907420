"""The rules that a Trial carries, held against what it reports."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api.shared import EarlyStoppingRule, MetricLog, ObjectiveSpec
from pykatib.control.stop_rules import StopRules

LOSS = ObjectiveSpec(type="minimize", objective_metric_name="loss", additional_metric_names=("lr", "norm"))
ACCURACY = ObjectiveSpec(type="maximize", objective_metric_name="accuracy")


def rule(text: str) -> EarlyStoppingRule:
    """A rule as Katib's sidecar is given it."""
    name, value, comparison, start_step = text.split(";")
    return EarlyStoppingRule(name, value, comparison, int(start_step))


def stopped_at(rules: Sequence[str], values: Sequence[str], objective: ObjectiveSpec = LOSS) -> int | None:
    """The number of the report with which the rules want the Trial stopped."""
    judge = StopRules([rule(text) for text in rules], objective=objective)
    for number, text in enumerate(values, 1):
        name, _, value = text.rpartition("=")
        if judge.hear(MetricLog(0.0, name or objective.objective_metric_name, value)):
            return number
    return None


@pytest.mark.parametrize(
    ("rules", "values", "expected"),
    [
        pytest.param([], ["9", "9"], None, id="without rules never"),
        pytest.param(["loss;1;greater;3"], ["9", "9", "9"], 3, id="from the start step on"),
        pytest.param(["loss;1;greater;0"], ["9"], 1, id="at once without a start step"),
        pytest.param(["loss;1;greater;1"], ["1"], None, id="strictly"),
        pytest.param(["loss;1;equal;1"], ["3", "1.0"], 2, id="equal as numbers"),
        pytest.param(["loss;5;less;2"], ["9", "9", "9", "4"], 4, id="also after the start step"),
        pytest.param(["loss;1;greater;2"], ["0.5", "9", "9"], None, id="the best so far counts, not the current one"),
        pytest.param(["lr;1;greater;0"], ["lr=0.5", "lr=9"], 2, id="of another metric the current one counts"),
        pytest.param(["lr;1;greater;2"], ["lr=9", "loss=3", "lr=9"], 3, id="reports are counted by metric"),
        pytest.param(["lr;1;greater;0", "norm;1;less;0"], ["lr=9", "lr=0", "norm=0"], 3, id="rules hold one by one"),
        pytest.param(["lr;1;greater;0", "lr;5;greater;0"], ["lr=2", "lr=9"], 2, id="two rules of one metric"),
        pytest.param(["loss;1;greater;2"], ["nan", "nan", "9"], 3, id="NaN is no reason but counts as a report"),
        pytest.param(["loss;1;greater;1"], ["unavailable", "9"], 2, id="a text is passed over"),
        pytest.param(["loss;x;greater;0"], ["9"], None, id="a rule that is no number never holds"),
        pytest.param(["loss;1;greater;0"], ["inf"], 1, id="infinite"),
        pytest.param(["lr;1;greater;0"], ["other=9"], None, id="a metric without a rule"),
    ],
)
def test_a_trial_is_stopped_once_every_rule_has_held(rules: list[str], values: list[str], expected: int | None) -> None:
    assert stopped_at(rules, values) == expected


def test_of_a_maximised_metric_the_greatest_value_counts() -> None:
    assert stopped_at(["accuracy;0.5;less;2"], ["0.4", "0.45", "0.6"], ACCURACY) == 2
    assert stopped_at(["accuracy;0.5;less;2"], ["0.6", "0.1", "0.1"], ACCURACY) is None


def test_it_stays_stopped_and_says_why() -> None:
    judge = StopRules([rule("loss;0.5;greater;2"), rule("lr;1;equal;0")], objective=LOSS)

    heard = [judge.hear(MetricLog(0.0, *log)) for log in (("loss", "3"), ("loss", "0.75"), ("lr", "1"), ("x", "0"))]

    assert heard == [False, False, True, True]
    assert judge.reason == (
        "the best loss up to report 2 is 0.75, greater than 0.5 and lr up to report 1 is 1, equal to 1"
    )


@given(st.lists(st.floats(allow_nan=True), max_size=12), st.floats(allow_nan=False), st.integers(0, 6))
def test_one_rule_of_the_objective_holds_where_the_best_so_far_is_beyond_it(
    values: list[float], limit: float, start_step: int
) -> None:
    expected = None
    for number in range(max(1, start_step), len(values) + 1):
        seen = [value for value in values[:number] if value == value]
        if seen and min(seen) > limit:
            expected = number
            break

    assert stopped_at([f"loss;{limit!r};greater;{start_step}"], [repr(value) for value in values]) == expected
