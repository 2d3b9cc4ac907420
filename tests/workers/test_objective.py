"""What counts as a metric, and what becomes of everything else that a function does."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pykatib.workers.objective import MAX_TRACEBACK_CHARACTERS, Done, NotAMetric, Raised, metric_texts, run_objective
from pykatib.workers.reporting import Reporter, current_reporter, reporting_to


class Tensor:
    """Like a tensor of one element."""

    def __float__(self) -> float:
        return 0.75


class ManyTensor:
    """Like a tensor of several elements."""

    def item(self) -> float:
        raise RuntimeError("a Tensor with 3 elements cannot be converted to Scalar")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        pytest.param(0.5, "0.5", id="float"),
        pytest.param(3, "3", id="int"),
        pytest.param(10**30, "1" + "0" * 30, id="large int"),
        pytest.param(True, "1", id="bool"),
        pytest.param(float("nan"), "nan", id="NaN"),
        pytest.param(float("-inf"), "-inf", id="infinity"),
        pytest.param(np.float64(0.1), "0.1", id="numpy double"),
        pytest.param(np.float32(0.5), "0.5", id="numpy single"),
        pytest.param(np.int64(7), "7.0", id="numpy int"),
        pytest.param(np.array(2.5), "2.5", id="numpy array without dimension"),
        pytest.param(np.array([[2.5]]), "2.5", id="numpy array of one element"),
        pytest.param(Tensor(), "0.75", id="anything with __float__"),
        pytest.param(Decimal("1.5"), "1.5", id="Decimal"),
        pytest.param(Fraction(1, 4), "0.25", id="Fraction"),
    ],
)
def test_numbers_of_all_kinds_are_metrics(result: Any, text: str) -> None:
    assert metric_texts(result, objective_metric_name="loss") == {"loss": text}
    assert metric_texts({"a": result}, objective_metric_name="loss") == {"a": text}


@pytest.mark.parametrize(
    "result",
    ["0.5", b"1", [1.0], (1, 2), object(), 1j, np.array([1.0, 2.0]), ManyTensor(), Fraction(10**400, 1)],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_refused_with_its_type(result: Any) -> None:
    with pytest.raises(NotAMetric, match=f"the objective's return value .* of type {type(result).__name__}"):
        metric_texts(result, objective_metric_name="loss")
    with pytest.raises(NotAMetric, match="the metric 'acc'"):
        metric_texts({"acc": result}, objective_metric_name="loss")


def test_none_is_no_metric_and_no_mistake() -> None:
    assert metric_texts(None, objective_metric_name="loss") == {}
    assert run_objective(lambda _: None, {}, objective_metric_name="loss") == Done({})


def test_a_failure_keeps_the_end_of_its_traceback() -> None:
    def fails(parameters: dict[str, Any]) -> float:
        raise ValueError("x" * 50_000 + " the end")

    outcome = run_objective(fails, {}, objective_metric_name="loss")
    assert isinstance(outcome, Raised)
    assert outcome.error.startswith("ValueError: xxx")
    assert len(outcome.traceback) == MAX_TRACEBACK_CHARACTERS
    assert outcome.traceback.endswith("the end\n")


def test_an_error_that_cannot_be_printed_is_a_failure_all_the_same() -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fails(parameters: dict[str, Any]) -> float:
        raise UnprintableError

    outcome = run_objective(fails, {}, objective_metric_name="loss")
    assert isinstance(outcome, Raised)
    assert "UnprintableError" in outcome.error


def test_what_is_no_metric_is_a_failure_of_the_trial() -> None:
    outcome = run_objective(lambda _: "good", {}, objective_metric_name="loss")
    assert isinstance(outcome, Raised)
    assert "a number is expected" in outcome.error


def test_ctrl_c_is_for_the_one_who_pressed_it() -> None:
    def interrupted(parameters: dict[str, Any]) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_objective(interrupted, {}, objective_metric_name="loss")


def reporter() -> Reporter:
    def report(metrics: object, *, step: int | None, timestamp: float | None) -> None:
        """Takes metrics."""

    return report


@pytest.mark.parametrize("everywhere", [False, True])
def test_reporters_nest_and_end(*, everywhere: bool) -> None:
    outer, inner = reporter(), reporter()
    with reporting_to(outer):
        with reporting_to(inner, from_all_threads=everywhere):
            assert current_reporter() is inner
        assert current_reporter() is outer
    assert current_reporter() is None
