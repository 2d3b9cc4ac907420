"""What an Experiment does next: Katib's rules of completion, budget and restart, with their repairs."""

from typing import Any

import msgspec
import pytest
from planner_samples import (
    NOW,
    NOW_TEXT,
    experiment,
    in_state,
    objective,
    status_in,
    suggestion,
    told,
    trials_of,
    view_of,
)

from pykatib.api import names
from pykatib.api.conditions import find_condition
from pykatib.api.experiment import Experiment
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.control.blueprint import Blueprint
from pykatib.control.experiment_plan import plan_experiment
from pykatib.control.plan import NOTHING, Delete, Plan, UpdateStatus

S, F, K, E, M = names.SUCCEEDED, names.FAILED, names.KILLED, names.EARLY_STOPPED, names.METRICS_UNAVAILABLE
R, P = names.RUNNING, "Pending"


def plan(of: Experiment, made: Suggestion | None, trials: list[Trial], now: float = NOW) -> Plan:
    return plan_experiment(of, made, view_of(trials), Blueprint(of, None), now)


def after(of: Experiment, done: Plan) -> Experiment:
    """The Experiment once a plan has been carried out."""
    found = [action.object for action in done.actions if isinstance(action, UpdateStatus)]
    return found[0] if found and isinstance(found[0], Experiment) else of


def running(**spec: Any) -> Experiment:
    """An Experiment that is under way."""
    of = experiment(**{**spec, "suspend": False})
    going = after(of, plan(of, suggestion(of, 1), trials_of(of, [R]), NOW - 100))
    return msgspec.structs.replace(going, spec=experiment(**spec).spec)


def ended(of: Experiment, trials: list[Trial]) -> Experiment:
    """The Experiment after its last look at these Trials."""
    done = after(of, plan(of, suggestion(of, len(trials)), trials))
    assert done.status.completion_time is not None
    return done


# Beginning


def test_a_new_experiment_is_created_and_asks_for_its_first_assignments() -> None:
    of = experiment(max_trial_count=10, labels={"team": "a"})
    first = plan(of, None, [])
    assert told(first) == ["status Experiment Created=True ExperimentCreated", "create Suggestion e"]
    status = status_in(first)
    assert [(c.type, c.message) for c in status.conditions] == [("Created", "Experiment is created")]
    assert (status.start_time, status.completion_time) == (NOW_TEXT, None)
    made = first.actions[1].object  # type: ignore[union-attr]
    assert isinstance(made, Suggestion)
    assert (made.spec.requests, made.spec.resume_policy, made.metadata.labels) == (3, "LongRunning", {"team": "a"})
    assert made.metadata.is_controlled_by(of.metadata.uid)


def test_it_is_running_once_a_trial_exists_and_not_before() -> None:
    of = experiment()
    created = after(of, plan(of, None, []))
    assert told(plan(created, suggestion(of, 0, requests=3), [])) == []
    seen = plan(created, suggestion(of, 3), trials_of(of, [P]))
    assert told(seen)[0] == "status Experiment Running=True ExperimentRunning"
    assert find_condition(status_in(seen).conditions, R).message == "Experiment is running"  # type: ignore[union-attr]


def test_an_experiment_that_is_being_deleted_does_nothing() -> None:
    assert plan(experiment(deleting=True), None, []) is NOTHING


def test_without_its_template_nothing_starts_and_the_rest_goes_on() -> None:
    of = running(max_trial_count=1)
    assert told(plan_experiment(of, suggestion(of, 5), view_of([]), None, NOW)) == [
        "status Experiment Running=True ExperimentRunning"
    ]
    done = plan_experiment(of, suggestion(of, 5), view_of(trials_of(of, [S], value="1")), None, NOW)
    assert told(done)[0].endswith("ExperimentMaxTrialsReached")


# Completion: the first test that holds decides


@pytest.mark.parametrize(
    ("spec", "states", "value", "kind", "reason", "message"),
    [
        pytest.param(
            {"objective": objective(0.5), "max_trial_count": 1},
            [S, R],
            "0.5",
            S,
            "ExperimentGoalReached",
            "Experiment has succeeded because Objective goal has reached",
            id="goal reached, inclusive, minimize",
        ),
        pytest.param(
            {"objective": objective(0.5, "maximize")},
            [S, R],
            "0.75",
            S,
            "ExperimentGoalReached",
            "Experiment has succeeded because Objective goal has reached",
            id="goal reached, maximize",
        ),
        pytest.param(
            {"objective": objective(0.0), "max_failed_trial_count": 1},
            [S, F],
            "-1",
            S,
            "ExperimentGoalReached",
            "Experiment has succeeded because Objective goal has reached",
            id="goal goes before failures, and zero is a goal",
        ),
        pytest.param(
            {"max_failed_trial_count": 2, "max_trial_count": 2},
            [F, M],
            None,
            F,
            "ExperimentFailed",
            "Experiment has failed because max failed count has reached",
            id="failed and metrics-unavailable count together, before the budget",
        ),
        pytest.param(
            {"max_failed_trial_count": 0},
            [F, R],
            None,
            F,
            "ExperimentFailed",
            "Experiment has failed because max failed count has reached",
            id="zero allowed failures: the first is fatal",
        ),
        pytest.param(
            {"max_trial_count": 5},
            [S, F, K, E, M],
            "1",
            S,
            "ExperimentMaxTrialsReached",
            "Experiment has succeeded because max trial count has reached",
            id="every end counts against the budget",
        ),
        pytest.param(
            {"max_trial_count": 2},
            [F, F],
            None,
            S,
            "ExperimentMaxTrialsReached",
            "Experiment has succeeded because max trial count has reached; no Trial has an objective value",
            id="all failed, no limit on failures: as in Katib, but it says so",
        ),
    ],
)
def test_the_first_end_that_holds_is_the_end(
    spec: dict[str, object], states: list[str], value: str | None, kind: str, reason: str, message: str
) -> None:
    of = running(**spec)
    done = plan(of, suggestion(of, len(states)), trials_of(of, states, value=value))
    assert told(done) == [f"status Experiment {kind}=True {reason}"]
    status = status_in(done)
    assert [(c.type, c.status) for c in status.conditions] == [
        ("Created", "True"),
        ("Running", "False"),
        (kind, "True"),
    ]
    assert status.conditions[1].reason == "ExperimentRunning"
    assert status.conditions[2].message == message
    assert status.completion_time == NOW_TEXT


@pytest.mark.parametrize(
    ("spec", "states", "value"),
    [
        pytest.param({"objective": objective(0.5)}, [S], "0.6", id="goal not reached"),
        pytest.param({"objective": objective(0.5)}, [S], "nan", id="NaN reaches no goal"),
        pytest.param({"objective": objective(0.5)}, [S], "sgd", id="a text reaches no goal"),
        pytest.param({"max_failed_trial_count": 0}, [S, R], "1", id="zero allowed failures and none failed"),
        pytest.param({"max_failed_trial_count": 3}, [F, M, R], None, id="fewer failures than allowed"),
        pytest.param({"max_trial_count": 3}, [S, S, R], "1", id="budget not used up"),
        pytest.param({}, [S, F, K, E, M], "1", id="no budget at all"),
    ],
)
def test_it_goes_on_while_no_end_has_come(spec: dict[str, object], states: list[str], value: str | None) -> None:
    of = running(**spec)
    going = after(of, plan(of, suggestion(of, len(states)), trials_of(of, states, value=value)))
    assert [(c.type, c.status) for c in going.status.conditions] == [("Created", "True"), ("Running", "True")]


def test_running_trials_run_to_their_ends_after_the_goal_and_are_still_counted() -> None:
    of = running(objective=objective(0.5))
    trials = trials_of(of, [S, R], value="0.1")
    done = ended(of, trials)
    assert told(plan(done, suggestion(of, 2), trials)) == []
    late = [trials[0], in_state(trials[1], S, "0.05")]
    seen = plan(done, suggestion(of, 2), late)
    status = status_in(seen)
    assert (status.trials_running, status.trials_succeeded) == (0, 2)
    assert status.current_optimal_trial.best_trial_name == "e-1"
    assert status.conditions == done.status.conditions


def test_a_failed_suggestion_fails_the_experiment_and_hands_on_its_reason() -> None:
    of = running()
    done = plan(of, suggestion(of, 1, failed="Validation failed: no"), trials_of(of, [R]))
    status = status_in(done)
    assert (status.conditions[-1].reason, status.conditions[-1].message) == (
        "ExperimentFailed",
        "Suggestion has failed: Validation failed: no",
    )
    assert status.completion_time == NOW_TEXT


@pytest.mark.parametrize(
    ("states", "count", "is_over"),
    [
        pytest.param([S, S], 2, True, id="all assignments evaluated"),
        pytest.param([S, R], 2, False, id="one still runs"),
        pytest.param([S], 2, False, id="one has no Trial yet"),
        pytest.param([], 0, True, id="nothing was ever proposed"),
    ],
)
def test_an_exhausted_search_ends_when_all_of_it_is_evaluated(states: list[str], count: int, *, is_over: bool) -> None:
    of = running()
    done = plan(of, suggestion(of, count, exhausted=True), trials_of(of, states, value="1"))
    assert (after(of, done).status.completion_time is not None) == is_over
    if is_over:
        last = after(of, done).status.conditions[-1]
        assert (last.type, last.reason) == (S, "ExperimentSuggestionEndReached")
        assert last.message == "Experiment has succeeded because suggestion service has reached the end"


# Tallies


def test_every_trial_is_in_one_list_and_one_count() -> None:
    of = running()
    status = status_in(plan(of, suggestion(of, 7), trials_of(of, [S, F, K, E, M, R, P], value="2")))
    lists = {
        S: status.succeeded_trial_list,
        F: status.failed_trial_list,
        K: status.killed_trial_list,
        E: status.early_stopped_trial_list,
        M: status.metrics_unavailable_trial_list,
        R: status.running_trial_list,
        P: status.pending_trial_list,
    }
    assert [list(lists[state]) for state in (S, F, K, E, M, R, P)] == [[f"e-{index}"] for index in range(7)]
    counts = (
        status.trials_succeeded,
        status.trials_failed,
        status.trials_killed,
        status.trials_early_stopped,
        status.trial_metrics_unavailable,
        status.trials_running,
        status.trials_pending,
    )
    assert counts == (1,) * 7
    assert status.trials == 7


def test_the_best_trial_is_told_with_all_its_metrics_and_kept_when_it_is_deleted() -> None:
    of = running()
    best = after(of, plan(of, suggestion(of, 1), trials_of(of, [S], value="2")))
    optimal = best.status.current_optimal_trial
    assert (optimal.best_trial_name, optimal.observation.metrics[0].latest) == ("e-0", "2")
    assert optimal.parameter_assignments[0].value == "0"
    assert after(best, plan(best, suggestion(of, 1), [])).status.current_optimal_trial == optimal


# Budget


@pytest.mark.parametrize(
    ("spec", "states", "known", "expected"),
    [
        pytest.param({}, [], 3, ["create e-0", "create e-1", "create e-2"], id="up to parallel"),
        pytest.param({}, [R, P], 3, ["create e-2"], id="pending and running ones are active"),
        pytest.param({"max_trial_count": 4}, [S, S, S], 6, ["create e-3"], id="no more than the budget leaves"),
        pytest.param({"max_trial_count": 4}, [S, M, K], 6, ["create e-3"], id="every end uses the budget up"),
        pytest.param({"max_trial_count": 4}, [S, S, R, R], 6, [], id="active ones use it up as well"),
        pytest.param({}, [R, R, R], 5, [], id="as many as allowed are active"),
        pytest.param({}, [S, R], 2, ["requests=4"], id="known assignments are used up: two more are asked for"),
        pytest.param({}, [R, E], 5, ["create e-2", "create e-3"], id="an early-stopped Trial takes no slot"),
    ],
)
def test_trials_are_added_within_the_budget(
    spec: dict[str, object], states: list[str], known: int, expected: list[str]
) -> None:
    of = running(**spec)
    done = told(plan(of, suggestion(of, known), trials_of(of, states, value="1")))
    short = [word.removeprefix("create Trial ").join(["create ", ""]) for word in done if word.startswith("create")]
    short += [word.rpartition(" ")[2] for word in done if "requests" in word]
    assert short == expected


def test_no_more_is_asked_for_than_the_budget_can_use() -> None:
    of = running(max_trial_count=5, parallel_trial_count=4)
    done = told(plan(of, suggestion(of, 3), trials_of(of, [S, S, R], value="1")))
    assert [word for word in done if "Suggestion" in word] == ["update Suggestion e requests=5"]


def test_requests_never_go_down() -> None:
    of = running(parallel_trial_count=1)
    assert not [
        word for word in told(plan(of, suggestion(of, 2, requests=9), trials_of(of, [S, S]))) if "update" in word
    ]


def test_nothing_more_is_asked_of_an_exhausted_search() -> None:
    of = running()
    assert not [word for word in told(plan(of, suggestion(of, 1, exhausted=True), trials_of(of, [R]))) if "req" in word]


def test_a_deleted_trial_comes_back_under_its_name_with_its_values() -> None:
    of = running()
    trials = trials_of(of, [S, S, S, R, R], value="1")
    [made] = [
        action.object
        for action in plan(of, suggestion(of, 5), [t for t in trials if t.metadata.name != "e-1"]).actions
        if hasattr(action, "object") and isinstance(action.object, Trial)
    ]
    assert (made.metadata.name, made.spec.parameter_assignments) == ("e-1", trials[1].spec.parameter_assignments)


def test_lowered_parallelism_deletes_the_newest_active_trials_and_no_finished_one() -> None:
    of = running(parallel_trial_count=1)
    done = plan(of, suggestion(of, 5), trials_of(of, [R, S, R, P, S], value="1"))
    assert [word for word in told(done) if "delete" in word] == ["delete Trial e-2", "delete Trial e-3"]
    assert [action.uid for action in done.actions if isinstance(action, Delete)] == ["t2", "t3"]
    assert not [word for word in told(done) if "create" in word or "update" in word]


def test_trials_carry_what_the_experiment_says() -> None:
    of = running(labels={"team": "a", names.LABEL_EXPERIMENT: "wrong"})
    [made] = [
        action.object
        for action in plan(of, suggestion(of, 1), []).actions
        if hasattr(action, "object") and isinstance(action.object, Trial)
    ]
    assert made.metadata.labels == {"team": "a", "katib.kubeflow.org/experiment": "e"}
    assert made.metadata.finalizers == ("clean-metrics-in-db",)
    assert made.metadata.is_controlled_by(of.metadata.uid)
    assert made.spec.objective == of.spec.objective
    assert msgspec.json.decode(made.spec.run_spec)["metadata"] == {"name": "e-0", "namespace": "ns"}


# Restart


@pytest.mark.parametrize("policy", [names.LONG_RUNNING, names.FROM_VOLUME])
def test_more_trials_restart_an_experiment_that_used_them_up(policy: str) -> None:
    of = running(max_trial_count=1, resume_policy=policy)
    trials = trials_of(of, [S], value="1")
    done = ended(of, trials)
    raised = msgspec.structs.replace(done, spec=msgspec.structs.replace(done.spec, max_trial_count=2))
    again = plan(raised, suggestion(of, 2), trials, NOW + 50)
    status = status_in(again)
    assert [(c.type, c.status) for c in status.conditions] == [
        ("Created", "True"),
        ("Restarting", "True"),
        ("Running", "True"),
    ]
    assert (status.conditions[1].reason, status.conditions[1].message) == (
        "ExperimentRestarting",
        "Experiment is restarted",
    )
    assert status.completion_time is None
    assert "create Trial e-1" in told(again)


@pytest.mark.parametrize(
    ("spec", "raised", "states", "value"),
    [
        pytest.param({"max_trial_count": 1, "resume_policy": names.NEVER}, 5, [S], "1", id="policy Never"),
        pytest.param({"max_trial_count": 1}, 1, [S], "1", id="budget not raised"),
        pytest.param({"objective": objective(0.5), "max_trial_count": 9}, 19, [S], "0.1", id="goal was reached"),
        pytest.param({"max_failed_trial_count": 1, "max_trial_count": 9}, 19, [F], None, id="it had failed"),
        pytest.param({"objective": objective(0.5)}, None, [S], "0.1", id="there was never a budget"),
    ],
)
def test_nothing_else_restarts_one(
    spec: dict[str, object], raised: int | None, states: list[str], value: str | None
) -> None:
    of = running(**spec)
    trials = trials_of(of, states, value=value)
    done = ended(of, trials)
    edited = msgspec.structs.replace(done, spec=msgspec.structs.replace(done.spec, max_trial_count=raised))
    assert plan(edited, suggestion(of, 1), trials, NOW + 50).actions == ()


def test_a_trial_deleted_after_the_end_is_counted_off_and_not_run_again() -> None:
    of = running(max_trial_count=2)
    trials = trials_of(of, [S, S], value="1")
    done = ended(of, trials)
    seen = plan(done, suggestion(of, 2), trials[:1], NOW + 50)
    assert status_in(seen).trials == 1
    counted = after(done, seen)
    assert plan(counted, suggestion(of, 2), trials[:1], NOW + 60).actions == ()
    raised = msgspec.structs.replace(counted, spec=msgspec.structs.replace(counted.spec, max_trial_count=3))
    assert [word for word in told(plan(raised, suggestion(of, 3), trials[:1], NOW + 70)) if "create" in word] == [
        "create Trial e-1",
        "create Trial e-2",
    ]


def test_restarting_stays_and_a_second_restart_does_not_touch_it() -> None:
    of = running(max_trial_count=1)
    for count in (1, 2):
        trials = trials_of(of, [S] * count, value="1")
        of = ended(of, trials)
        of = msgspec.structs.replace(of, spec=msgspec.structs.replace(of.spec, max_trial_count=count + 1))
        of = after(of, plan(of, suggestion(of, count + 1), trials, NOW + 50 * count))
    restarting = find_condition(of.status.conditions, names.RESTARTING)
    assert restarting is not None
    assert restarting.last_update_time == "2025-06-15T15:07:30Z"


# Suspending


def test_suspending_holds_active_trials_back_and_resuming_lets_them_go() -> None:
    of = running(suspend=True)
    trials = trials_of(of, [S, R, P], value="1")
    stop = plan(of, suggestion(of, 5), trials)
    assert told(stop) == [
        "status Experiment Suspended=True ExperimentSuspended",
        "update Trial e-1 stop='Suspend'",
        "update Trial e-2 stop='Suspend'",
    ]
    stopped = after(of, stop)
    assert [(c.type, c.status) for c in stopped.status.conditions[1:]] == [("Running", "False"), ("Suspended", "True")]
    held = [
        msgspec.structs.replace(t, spec=msgspec.structs.replace(t.spec, stop="Suspend")) if t is not trials[0] else t
        for t in trials
    ]
    assert told(plan(stopped, suggestion(of, 5), held)) == []
    resumed = msgspec.structs.replace(stopped, spec=msgspec.structs.replace(stopped.spec, suspend=False))
    go = plan(resumed, suggestion(of, 5), held)
    assert told(go) == [
        "status Experiment Running=True ExperimentRunning",
        "update Trial e-1 stop=''",
        "update Trial e-2 stop=''",
        "create Trial e-3",
    ]
    suspended = find_condition(status_in(go).conditions, names.SUSPENDED)
    assert suspended is not None
    assert (suspended.status, suspended.reason) == ("False", "ExperimentResumed")


def test_a_suspended_experiment_takes_no_kill_back() -> None:
    of = running(suspend=True)
    [trial] = trials_of(of, [R])
    doomed = msgspec.structs.replace(trial, spec=msgspec.structs.replace(trial.spec, stop="Kill"))
    assert not [word for word in told(plan(of, suggestion(of, 1), [doomed])) if word.startswith("update")]


def test_an_end_that_comes_with_the_resume_ends_the_trials_that_were_held_back() -> None:
    of = running(suspend=True, objective=objective(0.5))
    done, [held] = trials_of(of, [S], value="0.1"), trials_of(of, [P])
    held = msgspec.structs.replace(
        held,
        metadata=msgspec.structs.replace(held.metadata, name="e-1"),
        spec=msgspec.structs.replace(held.spec, stop="Suspend"),
    )
    stopped = after(of, plan(of, suggestion(of, 2), [*done, held]))
    resumed = msgspec.structs.replace(stopped, spec=msgspec.structs.replace(stopped.spec, suspend=False))
    end = plan(resumed, suggestion(of, 2), [*done, held])
    assert told(end)[1:] == ["update Trial e-1 stop='Kill'"]
    assert told(plan(after(resumed, end), suggestion(of, 2), [*done, held])) == ["update Trial e-1 stop='Kill'"]


# Time limits


def test_it_looks_again_when_its_time_is_up() -> None:
    of = experiment(active_deadline_seconds=60)
    first = plan(of, None, [])
    assert first.look_again_seconds == 60.0
    going = after(of, first)
    assert plan(going, suggestion(of, 0, requests=3), [], NOW + 15).look_again_seconds == 45.0


@pytest.mark.parametrize(
    ("states", "kind"), [pytest.param([S, R], S, id="with a result"), pytest.param([F, R], F, id="without any")]
)
def test_a_time_limit_ends_it_and_its_trials(states: list[str], kind: str) -> None:
    of = after(experiment(active_deadline_seconds=60), plan(experiment(active_deadline_seconds=60), None, []))
    trials = trials_of(of, states, value="1")
    end = plan(of, suggestion(of, 2), trials, NOW + 60)
    assert told(end) == [f"status Experiment {kind}=True ExperimentTimeLimitReached", "update Trial e-1 stop='Kill'"]
    assert status_in(end).conditions[-1].message == (
        "Experiment has ended because its time limit of 60 s has been reached"
    )
    # Dying between the two: the next look finds the Trial still running.
    assert told(plan(after(of, end), suggestion(of, 2), trials, NOW + 61)) == ["update Trial e-1 stop='Kill'"]


def test_time_in_suspension_does_not_count() -> None:
    of = after(experiment(active_deadline_seconds=60), plan(experiment(active_deadline_seconds=60), None, []))

    def with_suspend(of: Experiment, *, suspend: bool) -> Experiment:
        return msgspec.structs.replace(of, spec=msgspec.structs.replace(of.spec, suspend=suspend))

    of = with_suspend(of, suspend=True)
    stopped = plan(of, suggestion(of), [], NOW + 20)
    assert stopped.look_again_seconds is None
    of = with_suspend(after(of, stopped), suspend=False)
    assert plan(of, suggestion(of), [], NOW + 5000).look_again_seconds == 40.0


def test_time_between_the_end_and_a_restart_does_not_count() -> None:
    of = experiment(active_deadline_seconds=60, max_trial_count=1)
    of = after(of, plan(of, None, []))
    trials = trials_of(of, [S], value="1")
    of = after(of, plan(of, suggestion(of, 1), trials, NOW + 20))
    of = msgspec.structs.replace(of, spec=msgspec.structs.replace(of.spec, max_trial_count=2))
    again = plan(of, suggestion(of, 2), trials, NOW + 90_000)
    assert "create Trial e-1" in told(again)
    assert again.look_again_seconds == 40.0
