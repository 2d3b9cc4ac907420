"""Evaluating Trials by hand: ask, tell, report, and coming back to it."""

from pathlib import Path
from typing import Any

import pytest

import pykatib
from pykatib import InvalidInput, NotFound, TuningSession, search

SPACE: dict[str, Any] = {"x": search.double(-1, 1), "n": search.int(1, 3), "data": "constant"}


def session(**arguments: Any) -> TuningSession:
    given: dict[str, Any] = {
        "parameters": SPACE,
        "objective_type": "minimize",
        "max_trial_count": 4,
        "algorithm_settings": {"random_state": 1},
    }
    return pykatib.session(**{**given, **arguments})


def test_a_search_by_hand_asks_and_tells_until_there_is_no_more() -> None:
    with session() as mine:
        seen = []
        while trial := mine.ask():
            assert (type(trial.parameters["x"]), type(trial.parameters["n"])) == (float, int)
            assert trial.parameters["data"] == "constant"
            told = mine.tell(trial, trial.parameters["x"] ** 2)
            assert (told.name, told.state, told.value) == (trial.name, "Succeeded", trial.parameters["x"] ** 2)
            seen.append(trial)
        result = mine.result()
        assert mine.is_over()
        assert mine.ask() is None
    assert [trial.name for trial in result.trials] == [trial.name for trial in seen]
    assert len(seen) == 4
    assert result.best_value == min(trial.parameters["x"] ** 2 for trial in seen)


def test_it_proposes_what_tune_proposes() -> None:
    with session() as mine:
        by_hand = []
        while trial := mine.ask():
            by_hand.append(trial.parameters)
            mine.tell(trial, 1.0)
    tuned = pykatib.tune(
        objective=lambda p: 1.0,
        parameters=SPACE,
        objective_type="minimize",
        max_trial_count=4,
        algorithm_settings={"random_state": 1},
        run_in="inline",
    )
    assert by_hand == [trial.parameters for trial in tuned.trials]


def test_as_many_trials_are_open_as_are_allowed() -> None:
    with session(parallel_trial_count=2) as mine:
        first, second = mine.ask(), mine.ask()
        assert first is not None
        assert second is not None
        assert first.name != second.name
        with pytest.raises(RuntimeError, match="2 Trials are open, as many as parallel_trial_count allows"):
            mine.ask()
        mine.tell(second, 1.0)
        third = mine.ask()
        assert third is not None
        assert third.name not in (first.name, second.name)


@pytest.mark.parametrize(
    ("result", "state", "value"),
    [
        pytest.param(0.5, "Succeeded", 0.5, id="a number"),
        pytest.param({"objective": 0.25, "acc": 1}, "Succeeded", 0.25, id="metrics"),
        pytest.param({"acc": 1}, "MetricsUnavailable", None, id="metrics without the objective"),
        pytest.param(None, "MetricsUnavailable", None, id="nothing"),
    ],
)
def test_what_can_be_told(result: Any, state: str, value: float | None) -> None:
    with session() as mine:
        trial = mine.ask()
        assert trial is not None
        told = mine.tell(trial.name, result)
        assert (told.state, told.value) == (state, value)


def test_a_failure_can_be_told_and_says_why() -> None:
    with session() as mine:
        trial = mine.ask()
        assert trial is not None
        told = mine.tell(trial, error="out of memory")
        assert told.state == "Failed"
        assert "out of memory" in told.message


def test_what_is_no_metric_is_refused_and_the_trial_stays_open() -> None:
    with session() as mine:
        trial = mine.ask()
        assert trial is not None
        with pytest.raises(TypeError, match="a number is expected"):
            mine.tell(trial, "good")  # type: ignore[arg-type]
        assert mine.tell(trial, 1.0).state == "Succeeded"


def test_a_trial_is_told_once() -> None:
    with session() as mine:
        trial = mine.ask()
        assert trial is not None
        mine.tell(trial, 1.0)
        for again in (lambda: mine.tell(trial, 1.0), lambda: mine.report(trial, {"objective": 1.0})):
            with pytest.raises(NotFound, match="it may have been told already"):
                again()
        with pytest.raises(NotFound):
            mine.tell("no-such-trial", 1.0)


def test_metrics_reported_on_the_way_are_a_learning_curve() -> None:
    with session() as mine:
        trial = mine.ask()
        assert trial is not None
        for value in (3.0, 1.0, 2.0):
            mine.report(trial, {"objective": value})
        assert [log.value for log in mine.metrics(trial.name)] == ["3.0", "1.0", "2.0"]
        assert mine.tell(trial).value == 1.0


def test_a_goal_ends_it() -> None:
    with session(max_trial_count=None, objective_goal=0.0) as mine:
        trial = mine.ask()
        assert trial is not None
        mine.tell(trial, 0.0)
        assert mine.ask() is None


def test_a_grid_comes_to_its_end() -> None:
    with session(parameters={"n": search.int(1, 3)}, algorithm_name="grid", max_trial_count=None) as mine:
        seen = []
        while trial := mine.ask():
            seen.append(trial.parameters["n"])
            mine.tell(trial, 1.0)
    assert sorted(seen) == [1, 2, 3]


def test_a_search_that_is_not_well_stated_is_refused_and_leaves_nothing_locked(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        session(home=tmp_path, name="s", objective_type="sideways")
    with session(home=tmp_path, name="s") as mine:
        assert mine.ask() is not None


def test_what_was_told_and_what_is_open_outlive_the_session(tmp_path: Path) -> None:
    with session(home=tmp_path, name="s") as mine:
        told, left_open = mine.ask(), None
        assert told is not None
        mine.tell(told, 1.0)
        left_open = mine.ask()
        assert left_open is not None
    with session(home=tmp_path, name="s") as mine:
        again = mine.ask()
        assert again == left_open
        assert [trial.state for trial in mine.result().trials] == ["Succeeded", "Running"]
        mine.tell(again, 2.0)
        assert mine.result().best_value == 1.0


def test_a_session_that_runs_its_trials_itself_takes_no_answers() -> None:
    from pykatib.sdk.tune import session_of
    from pykatib.workers.callables import InlineExecutor

    mine = session_of(
        None,
        parameters=SPACE,
        namespace=None,
        home=None,
        executor=lambda sink, _: InlineExecutor(sink, lambda p: 1.0, objective_metric_name="objective"),
        algorithm_name="random",
        algorithm_settings=None,
        objective_metric_name="objective",
        additional_metric_names=(),
        objective_type="minimize",
        objective_goal=None,
        max_trial_count=2,
        parallel_trial_count=1,
        max_failed_trial_count=None,
    )
    with mine:
        with pytest.raises(RuntimeError, match="this session runs its Trials itself"):
            mine.ask()
        mine.run()
        assert len(mine.result().trials) == 2
