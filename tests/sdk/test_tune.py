"""`tune` from the outside: arguments, results, failures, interruption, homes."""

import inspect
import os
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
import tune_objectives

import pykatib
from pykatib import Conflict, InvalidInput, RetryPolicy, TuneResult, report_metrics, search
from pykatib.api import names
from pykatib.api.conditions import find_condition

RUN_IN = ("inline", "threads", "processes")
RunIn = Literal["inline", "threads", "processes"]
SPACE = {"x": search.double(-1, 1)}


def tune(objective: Any = tune_objectives.squared, **arguments: Any) -> TuneResult:
    given: dict[str, Any] = {
        "parameters": SPACE,
        "objective_type": "minimize",
        "max_trial_count": 4,
        "algorithm_settings": {"random_state": 1},
        "run_in": "inline",
        "progress": False,
    }
    return pykatib.tune(objective=objective, **{**given, **arguments})


def reason_of(result: TuneResult) -> str:
    return result.experiment.status.conditions[-1].reason


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Any:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not left


# The signature


def test_katibs_arguments_for_a_function_are_there_under_their_names() -> None:
    katibs = {
        "name",
        "objective",
        "parameters",
        "namespace",
        "env_per_trial",
        "algorithm_name",
        "algorithm_settings",
        "objective_metric_name",
        "additional_metric_names",
        "objective_type",
        "objective_goal",
        "max_trial_count",
        "parallel_trial_count",
        "max_failed_trial_count",
        "resources_per_trial",
        "retain_trials",
        "trial_active_deadline_seconds",
    }
    signature = inspect.signature(pykatib.tune)
    assert katibs <= {*signature.parameters}
    assert signature.parameters["algorithm_name"].default == "default"
    assert signature.parameters["objective_type"].default == "maximize"
    assert next(iter(signature.parameters)) == "name"


@pytest.mark.parametrize(
    "argument",
    [
        "base_image",
        "packages_to_install",
        "pip_index_urls",
        "metrics_collector_config",
        "storage_config",
        "model_provider_parameters",
        "dataset_provider_parameters",
        "trainer_parameters",
    ],
)
def test_arguments_that_make_sense_on_a_cluster_only_are_refused_by_name(argument: str) -> None:
    with pytest.raises(TypeError, match=argument):
        tune(**{argument: None})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"run_in": "containers"}, "run_in is 'containers'", id="unknown place"),
        pytest.param({"env_per_trial": {"A": "1"}}, "env_per_trial needs run_in='processes'", id="environment inline"),
        pytest.param({"trial_active_deadline_seconds": 3}, "trial_active_deadline_seconds needs", id="limit inline"),
        pytest.param({"objective": 3}, "must be callable", id="no function"),
        pytest.param({"parameters": {"x": 3}}, "names nothing to search", id="nothing to search"),
    ],
)
def test_arguments_that_cannot_be_are_said_at_once(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tune(**arguments)


def test_a_search_that_would_never_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"max_trial_count: is required here"):
        tune(max_trial_count=None)


def test_all_mistakes_of_a_search_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        tune(
            parameters={"x": search.double(2, 1), "y": search.int(0, 3, 0)},
            algorithm_name="rondom",
            objective_type="minimise",
            max_trial_count=2,
            parallel_trial_count=5,
        )
    paths = " ".join(error.path for error in caught.value.errors)
    for path in ("parameters[0]", "parameters[1]", "algorithmName", "objective.type", "parallelTrialCount"):
        assert path in paths


@pytest.mark.parametrize("settings", [{"random_sate": 1}, {"random_state": "one"}])
def test_settings_of_the_algorithm_are_judged(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="algorithmSettings"):
        tune(algorithm_settings=settings)


# Results


@pytest.mark.parametrize("run_in", RUN_IN)
def test_a_search_finds_the_best_of_its_trials_wherever_they_run(run_in: RunIn) -> None:
    result = tune(run_in=run_in, max_trial_count=6)
    assert [trial.state for trial in result.trials] == ["Succeeded"] * 6
    best = min(result.trials, key=lambda trial: trial.value or 0.0)
    assert result.best_trial == best
    assert result.best_value == best.parameters["x"] ** 2
    assert result.best_parameters == best.parameters
    assert reason_of(result) == names.EXPERIMENT_MAX_TRIALS_REACHED
    assert not result.interrupted


def test_the_same_seed_gives_the_same_trials_wherever_they_run() -> None:
    runs = [[trial.parameters for trial in tune(run_in=run_in).trials] for run_in in RUN_IN]
    assert runs[0] == runs[1] == runs[2]


def test_without_a_seed_two_searches_differ() -> None:
    first, second = (tune(algorithm_settings=None).trials[0].parameters for _ in range(2))
    assert first != second


def test_parameters_have_their_types_constants_go_through_and_the_dict_is_not_touched() -> None:
    data = object()
    given = {
        "lr": search.double(0.1, 1),
        "layers": search.int(1, 3),
        "size": search.discrete([16, 32]),
        "act": search.categorical(["relu", None]),
        "data": data,
    }
    before = dict(given)
    seen: list[dict[str, Any]] = []

    def objective(parameters: dict[str, Any]) -> float:
        seen.append(parameters)
        return 1.0

    for _ in range(2):
        tune(objective, parameters=given)
    assert given == before
    assert len(seen) == 8
    for parameters in seen:
        assert [type(parameters[name]) for name in ("lr", "layers", "size")] == [float, int, int]
        assert parameters["act"] in ("relu", None)
        assert parameters["data"] is data


def test_metrics_beside_the_objective_are_kept() -> None:
    result = tune(
        lambda p: {"loss": p["x"] ** 2, "x": p["x"], "other": 1},
        objective_metric_name="loss",
        additional_metric_names=["x"],
    )
    for trial in result.trials:
        assert trial.metrics == {"loss": trial.parameters["x"] ** 2, "x": trial.parameters["x"]}


@pytest.mark.parametrize("run_in", RUN_IN)
def test_reported_metrics_count_by_the_direction_of_the_search(run_in: RunIn) -> None:
    result = tune(tune_objectives.reporting, objective_metric_name="loss", run_in=run_in)
    for trial in result.trials:
        assert trial.value == trial.parameters["x"] ** 2


def test_a_function_that_says_nothing_has_no_metrics() -> None:
    result = tune(lambda p: None)
    assert [trial.state for trial in result.trials] == ["MetricsUnavailable"] * 4
    with pytest.raises(LookupError, match="none of 4 Trials has an objective value"):
        _ = result.best_value


def test_trials_as_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = tune().trials_dataframe()
    assert list(frame.columns) == ["name", "state", "value", "parameters.x", "metrics.objective"]
    assert isinstance(frame, pandas.DataFrame)
    assert (frame["value"] == frame["parameters.x"] ** 2).all()


def test_a_missing_pandas_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pykatib\[dataframe\]"):
        tune().trials_dataframe()


# Ends


def test_a_goal_ends_the_search() -> None:
    result = tune(objective_goal=0.5, max_trial_count=None)
    assert reason_of(result) == names.EXPERIMENT_GOAL_REACHED
    assert result.best_value <= 0.5


def test_a_grid_comes_to_its_end() -> None:
    space = {"x": search.int(1, 3), "y": search.categorical(["a", "b"])}
    result = tune(
        lambda p: p["x"], parameters=space, algorithm_name="grid", algorithm_settings=None, max_trial_count=99
    )
    assert reason_of(result) == names.EXPERIMENT_SUGGESTION_END_REACHED
    assert [(t.parameters["x"], t.parameters["y"]) for t in result.trials] == [
        (x, y) for x in (1, 2, 3) for y in ("a", "b")
    ]


def test_failures_fail_their_trials_and_too_many_the_search() -> None:
    def fails_at_times(parameters: dict[str, Any]) -> float:
        if parameters["x"] < 0:
            raise ValueError("below zero")
        return float(parameters["x"])

    result = tune(fails_at_times, max_trial_count=12)
    failed = [trial for trial in result.trials if trial.state == "Failed"]
    assert failed
    assert all(trial.parameters["x"] < 0 for trial in failed)
    assert all(trial.message.endswith("ValueError: below zero\n") for trial in failed)
    assert "fails_at_times" in failed[0].message
    ended = tune(fails_at_times, max_trial_count=12, max_failed_trial_count=2)
    assert reason_of(ended) == names.EXPERIMENT_FAILED
    assert sum(trial.state == "Failed" for trial in ended.trials) == 2


def test_without_any_value_the_result_says_why() -> None:
    result = tune(lambda p: p["no such"])
    with pytest.raises(LookupError, match=r"(?s)none of 4 Trials .*the last one that failed says: .*KeyError"):
        _ = result.best_parameters


def test_a_crash_is_retried_as_often_as_allowed(tmp_path: Path) -> None:
    count = tmp_path / "count"

    def crashes_twice(parameters: dict[str, Any]) -> float:
        tries = len(count.read_text()) if count.exists() else 0
        count.write_text("x" * (tries + 1))
        if tries < 2:
            os._exit(9)
        return 1.0

    arguments: dict[str, Any] = {"run_in": "processes", "max_trial_count": 1, "retries": RetryPolicy(crash=2)}
    [trial] = tune(crashes_twice, **arguments).trials
    assert (trial.state, trial.value) == ("Succeeded", 1.0)
    assert len(count.read_text()) == 3


def test_what_an_attempt_that_failed_has_reported_is_not_the_trials() -> None:
    attempts: list[int] = []

    def reports_and_raises_once(parameters: dict[str, Any]) -> float:
        attempts.append(1)
        if len(attempts) == 1:
            report_metrics({"objective": 0.0})
            raise RuntimeError("the first attempt fails")
        return 5.0

    arguments: dict[str, Any] = {"run_in": "inline", "max_trial_count": 1, "retries": RetryPolicy(crash=1)}
    [trial] = tune(reports_and_raises_once, **arguments).trials
    assert (trial.state, trial.value) == ("Succeeded", 5.0)


def test_a_process_that_dies_fails_its_trial_and_says_how() -> None:
    result = tune(tune_objectives.crashing, run_in="processes", max_trial_count=2)
    assert [trial.state for trial in result.trials] == ["Failed"] * 2
    assert "the worker process ended with exit code 9" in result.trials[0].message


def test_a_trial_that_takes_too_long_is_ended_with_its_process() -> None:
    arguments: dict[str, Any] = {"max_trial_count": 1, "trial_active_deadline_seconds": 1}
    [trial] = tune(tune_objectives.sleeping, run_in="processes", **arguments).trials
    assert trial.state == "Failed"
    assert "active longer than its limit of 1 s" in trial.message


def test_a_search_that_takes_too_long_ends_with_its_processes() -> None:
    result = tune(tune_objectives.sleeping, run_in="processes", max_trial_count=None, active_deadline_seconds=1)
    assert reason_of(result) == names.EXPERIMENT_TIME_LIMIT_REACHED
    assert {trial.state for trial in result.trials} == {"Killed"}


def test_a_search_that_takes_too_long_does_not_wait_for_its_threads() -> None:
    over = threading.Event()

    def hangs(parameters: dict[str, Any]) -> float:
        over.wait()
        return 1.0

    try:
        result = tune(hangs, run_in="threads", max_trial_count=None, active_deadline_seconds=1)
    finally:
        over.set()
    assert reason_of(result) == names.EXPERIMENT_TIME_LIMIT_REACHED
    assert {trial.state for trial in result.trials} == {"Killed"}


def test_ctrl_c_gives_what_was_found_until_then() -> None:
    calls: list[float] = []

    def interrupted(parameters: dict[str, Any]) -> float:
        calls.append(parameters["x"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return float(parameters["x"])

    result = tune(interrupted, max_trial_count=10)
    assert result.interrupted
    assert [trial.state for trial in result.trials] == ["Succeeded", "Succeeded", "Running"]
    assert result.best_value == min(calls[:2])


def test_each_trial_that_ends_is_told() -> None:
    told: list[str] = []
    result = tune(on_trial=lambda trial: told.append(trial.name))
    assert told == [trial.name for trial in result.trials]


@pytest.mark.parametrize("run_in", RUN_IN)
def test_what_the_callback_raises_ends_the_search(run_in: RunIn) -> None:
    def complains(trial: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        tune(on_trial=complains, run_in=run_in)


def test_progress_is_shown_on_stderr_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    tune(progress=True)
    captured = capsys.readouterr()
    assert "4/4" in captured.err
    assert captured.out == ""


# Homes


def test_a_search_in_a_home_goes_on_with_a_larger_budget(tmp_path: Path) -> None:
    first = tune(name="s", home=tmp_path, max_trial_count=3)
    second = tune(name="s", home=tmp_path, max_trial_count=5)
    undisturbed = tune(max_trial_count=5)
    assert [trial.name for trial in second.trials[:3]] == [trial.name for trial in first.trials]
    assert [trial.parameters for trial in second.trials] == [trial.parameters for trial in undisturbed.trials]
    restarting = find_condition(second.experiment.status.conditions, names.RESTARTING)
    assert restarting is not None


def test_a_finished_search_in_a_home_is_there_at_once(tmp_path: Path) -> None:
    first = tune(name="s", home=tmp_path)
    again = tune(lambda p: 1 / 0, name="s", home=tmp_path)
    assert again.trials == first.trials
    assert again.best_trial == first.best_trial


def test_an_interrupted_search_in_a_home_is_taken_up_where_it_was(tmp_path: Path) -> None:
    calls: list[int] = []

    def interrupted_once(parameters: dict[str, Any]) -> float:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return float(parameters["x"])

    assert tune(interrupted_once, name="s", home=tmp_path, max_trial_count=5).interrupted
    whole = tune(interrupted_once, name="s", home=tmp_path, max_trial_count=5)
    assert [trial.parameters for trial in whole.trials] == [
        trial.parameters for trial in tune(max_trial_count=5).trials
    ]
    assert [trial.state for trial in whole.trials] == ["Succeeded"] * 5
    assert len(calls) == 6


def test_budget_and_parallelism_may_be_lowered_together(tmp_path: Path) -> None:
    calls: list[int] = []

    def interrupted(parameters: dict[str, Any]) -> float:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return 1.0

    tune(interrupted, name="s", home=tmp_path, max_trial_count=9, parallel_trial_count=1)
    tune(interrupted, name="s", home=tmp_path, max_trial_count=20, parallel_trial_count=15)
    result = tune(interrupted, name="s", home=tmp_path, max_trial_count=22, parallel_trial_count=2)
    assert len(result.trials) == 22


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"parameters": {"x": search.double(-2, 1)}}, id="another space"),
        pytest.param({"objective_type": "maximize"}, id="another direction"),
        pytest.param({"algorithm_name": "sobol"}, id="another algorithm"),
    ],
)
def test_another_search_of_the_same_name_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    tune(name="s", home=tmp_path)
    with pytest.raises(Conflict, match=r"an Experiment default/s in this home with another search"):
        tune(name="s", home=tmp_path, **other)
    assert tune(name="s", home=tmp_path).trials


def test_a_smaller_budget_than_was_used_is_refused(tmp_path: Path) -> None:
    tune(name="s", home=tmp_path, max_trial_count=4)
    with pytest.raises(InvalidInput, match=r"give a maxTrialCount above 4"):
        tune(name="s", home=tmp_path, max_trial_count=3)
