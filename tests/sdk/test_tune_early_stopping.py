"""Early stopping of Python functions: what becomes of the function, and of its Trial."""

import multiprocessing
import threading
from pathlib import Path
from typing import Any, Literal

import pytest

import pykatib
from pykatib import EarlyStoppingSpec, Setting, TrialStopped, report_metrics, search, tune

MODES: tuple[Literal["inline", "threads", "processes"], ...] = ("inline", "threads", "processes")
THRESHOLD = EarlyStoppingSpec("threshold", (Setting("value", "5"),))
PLATEAU = EarlyStoppingSpec("patience", (Setting("patience", "2"),))


def climbing(parameters: dict[str, Any]) -> None:
    """Reports 0, 1, 2, … and waits after each for its Trial to be stopped."""
    report_metrics({"loss": 0.5})
    report_metrics({"loss": 9.0})
    gate = multiprocessing.Event()
    for _ in range(3_000):  # a Trial that nobody stops fails by its value, not by waiting forever
        gate.wait(0.01)
        report_metrics({"loss": 7.0})
    raise AssertionError("nobody stopped this Trial")


def settings(mode: Literal["inline", "threads", "processes"], **fields: Any) -> dict[str, Any]:
    return {
        "parameters": {"x": search.int(1, 4)},
        "objective_metric_name": "loss",
        "objective_type": "minimize",
        "max_trial_count": 2,
        "parallel_trial_count": 1,
        "run_in": mode,
        **fields,
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_function_is_stopped_and_its_trial_keeps_what_it_reported(
    mode: Literal["inline", "threads", "processes"],
) -> None:
    result = tune(objective=climbing, early_stopping=THRESHOLD, **settings(mode))

    assert [trial.state for trial in result.trials] == ["EarlyStopped"] * 2
    assert [trial.value for trial in result.trials] == [0.5] * 2
    assert {trial.message for trial in result.trials} == {
        "Trial is early stopped: at report 2 loss is 9, above the threshold 5"
    }
    assert result.experiment.status.trials_early_stopped == 2
    assert result.experiment.status.conditions[-1].reason == "ExperimentMaxTrialsReached"


@pytest.mark.parametrize("mode", ["inline", "threads"])
def test_the_function_can_clean_up_and_except_exception_does_not_catch_the_stop(
    mode: Literal["inline", "threads"],
) -> None:
    cleaned = threading.Event()

    def objective(parameters: dict[str, Any]) -> float:
        try:
            for _ in range(3_000):
                try:
                    report_metrics({"loss": 9.0})
                except Exception as error:
                    raise AssertionError("caught what was not to be caught") from error
                multiprocessing.Event().wait(0.01)
        finally:
            cleaned.set()
        return 0.0

    result = tune(objective=objective, early_stopping=THRESHOLD, **settings(mode, max_trial_count=1))

    assert [trial.state for trial in result.trials] == ["EarlyStopped"]
    assert cleaned.wait(60)


@pytest.mark.parametrize("mode", MODES)
def test_a_function_can_give_up_by_itself(mode: Literal["inline", "threads", "processes"]) -> None:
    result = tune(objective=giving_up, **settings(mode))

    assert [trial.state for trial in result.trials] == ["EarlyStopped"] * 2
    assert [trial.value for trial in result.trials] == [3.0] * 2
    assert result.trials[0].message == "Trial is early stopped: its function raised TrialStopped"


def giving_up(parameters: dict[str, Any]) -> float:
    report_metrics({"loss": 3.0})
    raise TrialStopped


def test_a_function_that_returns_all_the_same_has_succeeded() -> None:
    def stubborn(parameters: dict[str, Any]) -> float:
        try:
            report_metrics({"loss": 9.0})
        except TrialStopped:
            return 1.0
        raise AssertionError("it was not stopped")

    result = tune(objective=stubborn, early_stopping=THRESHOLD, **settings("inline", max_trial_count=1))

    assert [(trial.state, trial.value) for trial in result.trials] == [("Succeeded", 1.0)]


def test_trials_are_compared_with_those_before() -> None:
    def objective(parameters: dict[str, Any]) -> None:
        for step in range(1, 9):
            report_metrics({"accuracy": 1.0 - parameters["x"] / step / 10})

    median = EarlyStoppingSpec("medianstop", (Setting("min_trials_required", "1"), Setting("start_step", "2")))
    result = tune(
        objective=objective,
        early_stopping=median,
        algorithm_name="grid",
        parameters={"x": search.int(1, 4)},
        objective_metric_name="accuracy",
        max_trial_count=4,
        run_in="inline",
    )

    assert [trial.state for trial in result.trials] == ["Succeeded", "EarlyStopped", "EarlyStopped", "EarlyStopped"]
    assert result.best_parameters == {"x": 1}


def test_a_session_says_whether_to_go_on() -> None:
    with pykatib.session(
        parameters={"x": search.int(1, 9)},
        early_stopping=PLATEAU,
        objective_metric_name="loss",
        objective_type="minimize",
        max_trial_count=2,
    ) as session:
        first = session.ask()
        assert first is not None
        assert [session.report(first, {"loss": value}) for value in (2.0, 2.0, 2.0)] == [True, True, False]
        with pytest.raises(pykatib.NotFound):
            session.report(first, {"loss": 1.0})
        second = session.ask()
        assert second is not None
        assert second.name != first.name
        assert session.report(second, {"loss": 1.0})
        session.tell(second, 0.5)
        assert session.ask() is None
        result = session.result()
    assert [(trial.state, trial.value) for trial in result.trials] == [("EarlyStopped", 2.0), ("Succeeded", 0.5)]


def test_what_was_stopped_stays_stopped_in_a_home_folder(tmp_path: Path) -> None:
    fields = settings("inline", early_stopping=THRESHOLD, name="kept", home=tmp_path / "home")
    first = tune(objective=climbing, **fields)
    again = tune(objective=climbing, **fields | {"max_trial_count": 3})

    assert [trial.state for trial in first.trials] == ["EarlyStopped"] * 2
    assert [trial.state for trial in again.trials] == ["EarlyStopped"] * 3
    assert [trial.name for trial in again.trials][:2] == [trial.name for trial in first.trials]
