"""What a Trial does next, given its worker job: start, end, retry, stop."""

from typing import Any

import msgspec
import pytest
from planner_samples import NOW, NOW_TEXT, job, job_view, observation, status_in, told, trial

from pykatib.api import names
from pykatib.api.conditions import set_condition
from pykatib.api.experiment import RetryPolicy
from pykatib.api.objects import WorkerJob
from pykatib.api.shared import EarlyStoppingRule, Metric, Observation
from pykatib.api.trial import Trial
from pykatib.control.plan import NOTHING, Create, Delete, Plan, Update, UpdateStatus
from pykatib.control.trial_plan import (
    ANNOTATION_ATTEMPT,
    JobView,
    attempt_of,
    is_being_stopped,
    plan_trial,
    with_job_words,
    worker_reference,
)
from pykatib.control.verdict import Verdict

SUCCEEDED, FAILED = Verdict("succeeded"), Verdict("failed")
LATE = Verdict("failed", "DeadlineExceeded", "too slow")
GONE = Verdict("failed", "WorkerLost", "no heartbeat")


def after(given: Trial, plan: Plan) -> Trial:
    found = [action.object for action in plan.actions if isinstance(action, UpdateStatus)]
    return found[0] if found and isinstance(found[0], Trial) else given


# Start


def test_a_new_trial_writes_that_it_runs_and_then_creates_its_job() -> None:
    plan = plan_trial(trial(), None, NOW)
    assert told(plan) == [
        "status Trial Running=True TrialRunning",
        "create Job e-0",
        "tell Normal JobCreated: Job e-0 has been created",
    ]
    status = status_in(plan)
    assert [(c.type, c.status, c.reason, c.message) for c in status.conditions] == [
        ("Created", "True", "TrialCreated", "Trial is created"),
        ("Running", "True", "TrialRunning", "Trial is running"),
    ]
    assert (status.start_time, status.completion_time) == (NOW_TEXT, None)


def test_the_job_is_the_template_named_and_owned() -> None:
    [made] = [action.object for action in plan_trial(trial(), None, NOW).actions if isinstance(action, Create)]
    assert isinstance(made, WorkerJob)
    assert (made.api_version, made.kind, bytes(made.spec)) == ("batch/v1", "Job", b'{"x":1}')
    meta = made.metadata
    assert (meta.name, meta.namespace, meta.labels, meta.annotations) == ("e-0", "ns", {"a": "b"}, {"c": "d"})
    assert meta.is_controlled_by(trial().metadata.uid)
    assert made.reference == worker_reference(trial())


def test_a_started_trial_whose_job_is_gone_gets_another() -> None:
    started = after(trial(), plan_trial(trial(), None, NOW))
    again = plan_trial(started, None, NOW + 5)
    assert told(again)[:2] == ["status Trial Running=True TrialRunning", "create Job e-0"]
    assert status_in(again) == started.status


def test_a_job_that_was_created_before_a_crash_is_found_and_not_counted_again() -> None:
    plan = plan_trial(trial(), job_view(), NOW)
    assert told(plan) == ["status Trial Running=True TrialRunning"]
    assert plan_trial(after(trial(), plan), job_view(), NOW).actions == ()


def test_a_job_of_that_name_which_is_not_the_trials_is_waited_for_and_said() -> None:
    plan = plan_trial(trial(), job_view(SUCCEEDED, seen=observation("1"), of=job(owner_uid="another")), NOW)
    assert [word.partition(":")[0] for word in told(plan)] == ["tell Warning ReconcileError"]
    assert plan.look_again_seconds is not None
    assert plan_trial(trial(state=names.SUCCEEDED), job_view(of=job(owner_uid="another")), NOW) is NOTHING


# End


@pytest.mark.parametrize(
    ("verdict", "reason", "message"),
    [
        pytest.param(SUCCEEDED, "TrialSucceeded", "Trial has succeeded", id="no words of the job"),
        pytest.param(
            Verdict("succeeded", "R", "M"),
            "TrialSucceeded. Job reason: R",
            "Trial has succeeded. Job message: M",
            id="reason and message of the job are appended",
        ),
    ],
)
def test_a_job_that_succeeded_ends_its_trial_with_the_observation(verdict: Verdict, reason: str, message: str) -> None:
    plan = plan_trial(trial(state=names.RUNNING), job_view(verdict, seen=observation("1")), NOW)
    assert told(plan) == [
        f"status Trial Succeeded=True {reason}",
        "tell Normal JobSucceeded: Job e-0 has succeeded",
        "delete Job e-0",
        "tell Normal JobDeleted: Job e-0 has been deleted",
    ]
    status = status_in(plan)
    assert [(c.type, c.status) for c in status.conditions] == [
        ("Created", "True"),
        ("Running", "False"),
        ("Succeeded", "True"),
    ]
    assert status.conditions[-1].message == message
    assert (status.observation, status.completion_time) == (observation("1"), NOW_TEXT)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(None, id="no log at all"),
        pytest.param(observation("1", "other"), id="only another metric"),
        pytest.param(Observation((Metric("loss", *["unavailable"] * 3),)), id="unavailable was reported"),
    ],
)
def test_without_the_objective_a_success_is_metrics_unavailable(seen: Observation | None) -> None:
    plan = plan_trial(trial(state=names.RUNNING), job_view(SUCCEEDED, seen=seen), NOW)
    assert told(plan)[:2] == [
        "status Trial MetricsUnavailable=True MetricsUnavailable",
        "tell Warning MetricsUnavailable: Metrics are not available for Job e-0",
    ]
    assert status_in(plan).conditions[-1].message == "Metrics are not available"


def test_a_job_that_failed_fails_its_trial_and_says_why_without_an_observation() -> None:
    verdict = Verdict("failed", "BackoffLimitExceeded", "boom")
    plan = plan_trial(trial(state=names.RUNNING), job_view(verdict, seen=observation("1")), NOW)
    assert told(plan)[:2] == [
        "status Trial Failed=True TrialFailed. Job reason: BackoffLimitExceeded",
        "tell Warning JobFailed: Job e-0 has failed. boom BackoffLimitExceeded",
    ]
    status = status_in(plan)
    assert status.conditions[-1].message == "Trial has failed. Job message: boom"
    assert (status.observation, status.completion_time) == (None, NOW_TEXT)


def test_words_of_a_job_that_has_none_change_nothing() -> None:
    assert with_job_words("TrialFailed", "Trial has failed", FAILED) == ("TrialFailed", "Trial has failed")


@pytest.mark.parametrize("verdict", [SUCCEEDED, FAILED])
def test_retained_jobs_stay(verdict: Verdict) -> None:
    given = trial(retain=True, state=names.RUNNING)
    plan = plan_trial(given, job_view(verdict, seen=observation("1")), NOW)
    assert not [action for action in plan.actions if isinstance(action, Delete)]
    assert plan_trial(after(given, plan), job_view(verdict), NOW) is NOTHING


def test_the_job_of_an_ended_trial_is_deleted_even_after_a_crash_in_between() -> None:
    plan = plan_trial(trial(state=names.FAILED), job_view(FAILED), NOW)
    assert told(plan) == ["delete Job e-0", "tell Normal JobDeleted: Job e-0 has been deleted"]
    assert plan_trial(trial(state=names.FAILED), job_view(FAILED, of=job(deleting=True)), NOW).actions == ()


ENDS = (names.SUCCEEDED, names.FAILED, names.KILLED, names.EARLY_STOPPED, names.METRICS_UNAVAILABLE)


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("stop", ["", names.STOP_KILL, names.STOP_SUSPEND])
@pytest.mark.parametrize(
    "view",
    [
        pytest.param(None, id="no job"),
        pytest.param(job_view(SUCCEEDED, seen=observation("1")), id="job succeeded"),
        pytest.param(job_view(FAILED), id="job failed"),
        pytest.param(job_view(), id="job runs"),
    ],
)
def test_an_ended_trial_stays_ended_and_starts_nothing(state: str, stop: str, view: JobView | None) -> None:
    plan = plan_trial(trial(state=state, stop=stop), view, NOW)
    assert not [action for action in plan.actions if isinstance(action, UpdateStatus | Create)]


# Retries


@pytest.mark.parametrize(
    ("policy", "verdict", "counts", "kind"),
    [
        pytest.param(RetryPolicy(crash=1), FAILED, None, "crash", id="crash"),
        pytest.param(RetryPolicy(crash=2), FAILED, {"crash": 1}, "crash", id="crash, second time"),
        pytest.param(RetryPolicy(crash=1), FAILED, {"lost": 4}, "crash", id="each class has its own count"),
        pytest.param(RetryPolicy(timeout=1), LATE, None, "timeout", id="timeout"),
        pytest.param(None, GONE, {"lost": 99}, "lost", id="lost without limit"),
        pytest.param(RetryPolicy(lost=1), GONE, None, "lost", id="lost with a limit"),
    ],
)
def test_a_failure_that_may_be_retried_is_counted_and_run_again_at_once(
    policy: RetryPolicy | None, verdict: Verdict, counts: dict[str, int] | None, kind: str
) -> None:
    given = trial(retries=policy, state=names.RUNNING, retry_counts=counts)
    attempt = sum((counts or {}).values())
    of = job(annotations={ANNOTATION_ATTEMPT: str(attempt)})
    plan = plan_trial(given, job_view(verdict, of=of), NOW)
    number = (counts or {}).get(kind, 0) + 1
    assert [word.partition(":")[0] for word in told(plan)] == [
        "status Trial Running=True TrialRunning",
        "tell Warning JobFailed",
        "tell Normal TrialRetrying",
        "delete Job e-0",
    ]
    assert told(plan)[2].endswith(f"Trial is run again after {kind} number {number}")
    assert status_in(plan).retry_counts == {**(counts or {}), kind: number}
    assert plan.look_again_seconds == 0.0
    retried = after(given, plan)
    # Dying before the deletion: the old job is deleted and not counted again.
    second = plan_trial(retried, job_view(verdict, of=of), NOW)
    assert (told(second), second.look_again_seconds) == (["delete Job e-0"], 0.0)
    assert plan_trial(retried, job_view(verdict, of=job(annotations=of.metadata.annotations, deleting=True)), NOW) is (
        NOTHING
    )
    [made] = [action.object for action in plan_trial(retried, None, NOW).actions if isinstance(action, Create)]
    assert isinstance(made, WorkerJob)
    assert attempt_of(made) == attempt + 1
    assert made.metadata.annotations["c"] == "d"


@pytest.mark.parametrize(
    ("policy", "verdict", "counts"),
    [
        pytest.param(None, FAILED, None, id="crashes are not retried by default"),
        pytest.param(None, LATE, None, id="timeouts are not retried by default"),
        pytest.param(RetryPolicy(crash=1), FAILED, {"crash": 1}, id="crashes used up"),
        pytest.param(RetryPolicy(crash=5), LATE, None, id="crashes do not pay for timeouts"),
        pytest.param(RetryPolicy(lost=1), GONE, {"lost": 1}, id="losses used up"),
        pytest.param(RetryPolicy(lost=0), GONE, None, id="losses are fatal"),
    ],
)
def test_a_failure_that_may_not_be_retried_is_the_end(
    policy: RetryPolicy | None, verdict: Verdict, counts: dict[str, int] | None
) -> None:
    given = trial(retries=policy, state=names.RUNNING, retry_counts=counts)
    of = job(annotations={ANNOTATION_ATTEMPT: str(sum((counts or {}).values()))})
    assert status_in(plan_trial(given, job_view(verdict, of=of), NOW)).conditions[-1].type == names.FAILED


def test_an_attempt_that_was_given_up_and_succeeded_before_it_was_deleted_counts() -> None:
    given = trial(state=names.RUNNING, retries=RetryPolicy(timeout=1), retry_counts={"timeout": 1})
    plan = plan_trial(given, job_view(SUCCEEDED, seen=observation("1")), NOW)
    assert told(plan)[0] == "status Trial Succeeded=True TrialSucceeded"


@pytest.mark.parametrize(("text", "attempt"), [("3", 3), ("", 0), ("x", 0), ("²", 0), ("-1", 0)])
def test_a_jobs_attempt_is_what_its_annotation_says(text: str, attempt: int) -> None:
    assert attempt_of(job(annotations={ANNOTATION_ATTEMPT: text})) == attempt


# Time limit


def test_the_limit_counts_from_the_start_of_the_job_and_is_never_short() -> None:
    of = job(status={"active": 1, "startTime": NOW_TEXT})
    given = trial(limit=10, state=names.RUNNING)
    assert plan_trial(given, job_view(of=of), NOW + 0.9).look_again_seconds == pytest.approx(10.1)
    assert plan_trial(given, job_view(of=of), NOW + 10.9).actions == ()
    late = plan_trial(given, job_view(of=of), NOW + 11)
    assert told(late)[0] == "status Trial Failed=True TrialFailed. Job reason: DeadlineExceeded"
    assert status_in(late).conditions[-1].message == (
        "Trial has failed. Job message: Trial was active longer than its limit of 10 s"
    )
    assert "delete Job e-0" in told(late)


def test_a_retained_job_that_is_late_does_not_run_on() -> None:
    of = job(status={"active": 1, "startTime": NOW_TEXT})
    given = trial(limit=10, state=names.RUNNING, retain=True)
    late = plan_trial(given, job_view(of=of), NOW + 11)
    assert "delete Job e-0" in told(late)
    # Dying before the deletion: the next look finds it running.
    assert told(plan_trial(after(given, late), job_view(of=of), NOW + 12))[0] == "delete Job e-0"


def test_a_retained_job_that_a_sidecar_stops_has_some_time_to_end_by_itself() -> None:
    ended = with_rules(trial(state=names.EARLY_STOPPED, retain=True))
    waiting = plan_trial(ended, job_view(), NOW + 20)
    assert (waiting.actions, waiting.look_again_seconds) == ((), 40.0)
    assert plan_trial(ended, job_view(SUCCEEDED), NOW + 90) is NOTHING
    assert told(plan_trial(ended, job_view(), NOW + 60))[0] == "delete Job e-0"


@pytest.mark.parametrize(
    ("limit", "status"), [pytest.param(10, {}, id="not begun"), pytest.param(None, {"startTime": NOW_TEXT}, id="none")]
)
def test_a_job_that_waits_or_has_no_limit_is_never_late(limit: int | None, status: dict[str, str]) -> None:
    plan = plan_trial(trial(limit=limit, state=names.RUNNING), job_view(of=job(status=status)), NOW + 1e6)
    assert (plan.actions, plan.look_again_seconds) == ((), None)


# Early stopping


def announced(**fields: Any) -> Trial:
    """A running Trial about which somebody has written that it is stopped early."""
    given = trial(state=names.RUNNING, **fields)
    conditions = set_condition(
        given.status.conditions, "EarlyStopped", reason="TrialEarlyStopped", message="Trial is early stopped", now=NOW
    )
    return msgspec.structs.replace(given, status=msgspec.structs.replace(given.status, conditions=conditions))


def with_rules(given: Trial) -> Trial:
    """A Trial whose sidecar ends its job by itself."""
    rules = (EarlyStoppingRule("loss", "1", names.GREATER, 2),)
    return msgspec.structs.replace(given, spec=msgspec.structs.replace(given.spec, early_stopping_rules=rules))


@pytest.mark.parametrize("verdict", [Verdict("running"), FAILED], ids=lambda verdict: verdict.state)
def test_an_early_stopped_trial_keeps_its_observation_and_only_then_loses_its_job(verdict: Verdict) -> None:
    plan = plan_trial(announced(), job_view(verdict), NOW + 5, reported=observation("2"))
    assert told(plan)[:2] == ["status Trial EarlyStopped=True TrialEarlyStopped", "delete Job e-0"]
    status = status_in(plan)
    assert status.observation == observation("2")
    assert status.completion_time == "2025-06-15T15:06:45Z"
    assert [(c.type, c.status) for c in status.conditions] == [
        ("Created", "True"),
        ("Running", "False"),
        ("EarlyStopped", "True"),
    ]
    assert status.conditions[-1].message == "Trial is early stopped"


def test_what_ended_by_itself_before_it_could_be_stopped_has_succeeded() -> None:
    given = announced()
    plan = plan_trial(given, job_view(SUCCEEDED, seen=observation("1")), NOW, reported=observation("1"))
    status = status_in(plan)
    assert [(c.type, c.status) for c in status.conditions] == [
        ("Created", "True"),
        ("Running", "False"),
        ("Succeeded", "True"),
    ]
    assert status.observation == observation("1")
    assert plan_trial(after(given, plan), None, NOW) is NOTHING


def test_a_job_that_its_sidecar_has_ended_only_looks_as_if_it_had_succeeded() -> None:
    plan = plan_trial(with_rules(announced()), job_view(SUCCEEDED), NOW + 5, reported=observation("2"))
    assert told(plan)[:2] == ["status Trial EarlyStopped=True TrialEarlyStopped", "delete Job e-0"]
    assert status_in(plan).observation == observation("2")


def test_retain_does_not_let_the_job_of_an_early_stopped_trial_run_on() -> None:
    given = announced(retain=True)
    plan = plan_trial(given, job_view(), NOW, reported=observation("2"))
    assert told(plan)[:2] == ["status Trial EarlyStopped=True TrialEarlyStopped", "delete Job e-0"]
    # Dying before the deletion: the next look finds it running.
    assert told(plan_trial(after(given, plan), job_view(), NOW))[0] == "delete Job e-0"


def test_retain_keeps_the_job_of_an_early_stopped_trial_that_has_ended() -> None:
    given = announced(retain=True)
    plan = plan_trial(given, job_view(FAILED), NOW, reported=observation("2"))
    assert told(plan) == ["status Trial EarlyStopped=True TrialEarlyStopped"]
    assert plan_trial(after(given, plan), job_view(FAILED), NOW) is NOTHING


def test_retain_keeps_the_job_that_a_sidecar_is_about_to_end() -> None:
    given = with_rules(announced(retain=True))
    plan = plan_trial(given, job_view(), NOW, reported=observation("2"))
    assert told(plan) == ["status Trial EarlyStopped=True TrialEarlyStopped"]
    assert plan.look_again_seconds == 60.0
    assert plan_trial(after(given, plan), job_view(SUCCEEDED, seen=observation("1")), NOW) is NOTHING


def test_an_early_stopped_trial_without_a_job_is_completed_as_well() -> None:
    plan = plan_trial(announced(), None, NOW, reported=observation("2"))
    assert told(plan) == ["status Trial EarlyStopped=True TrialEarlyStopped"]
    assert status_in(plan).observation == observation("2")


# Stops


def test_a_suspended_trial_gives_its_job_up_and_waits() -> None:
    given = trial(stop=names.STOP_SUSPEND, state=names.RUNNING)
    plan = plan_trial(given, job_view(), NOW)
    assert told(plan) == ["status Trial Running=False TrialRunning", "delete Job e-0"]
    held = after(given, plan)
    assert plan_trial(held, None, NOW).actions == ()
    assert plan_trial(held, job_view(of=job(deleting=True)), NOW).actions == ()
    resumed = msgspec.structs.replace(held, spec=msgspec.structs.replace(held.spec, stop=""))
    assert told(plan_trial(resumed, None, NOW))[:2] == ["status Trial Running=True TrialRunning", "create Job e-0"]


def test_a_trial_that_is_suspended_before_it_began_does_not_begin() -> None:
    assert told(plan_trial(trial(stop=names.STOP_SUSPEND), None, NOW)) == ["status Trial Created=True TrialCreated"]


@pytest.mark.parametrize("stop", [names.STOP_SUSPEND, names.STOP_KILL])
def test_what_a_job_has_done_is_not_thrown_away_by_a_stop(stop: str) -> None:
    plan = plan_trial(trial(stop=stop, state=names.RUNNING), job_view(SUCCEEDED, seen=observation("1")), NOW)
    assert told(plan)[0] == "status Trial Succeeded=True TrialSucceeded"


def test_a_failure_during_a_suspension_counts_and_its_retry_waits() -> None:
    given = trial(stop=names.STOP_SUSPEND, state=names.RUNNING, retries=RetryPolicy(crash=1))
    retried = after(given, plan_trial(given, job_view(FAILED), NOW))
    assert retried.status.retry_counts == {"crash": 1}
    assert told(plan_trial(retried, None, NOW)) == ["status Trial Running=False TrialRunning"]


@pytest.mark.parametrize("verdict", [Verdict("running"), FAILED])
def test_a_killed_trial_ends_with_what_it_has_reported(verdict: Verdict) -> None:
    given = trial(stop=names.STOP_KILL, state=names.RUNNING, retries=RetryPolicy(crash=9))
    plan = plan_trial(given, job_view(verdict), NOW, reported=observation("3"))
    assert told(plan)[:2] == ["status Trial Killed=True TrialKilled", "delete Job e-0"]
    status = status_in(plan)
    assert (status.observation, status.completion_time) == (observation("3"), NOW_TEXT)
    assert (status.conditions[-2].type, status.conditions[-2].status) == ("Running", "False")


def test_a_trial_without_a_job_is_killed_too() -> None:
    plan = plan_trial(trial(stop=names.STOP_KILL), None, NOW, reported=observation("3"))
    assert told(plan) == ["status Trial Killed=True TrialKilled"]
    assert status_in(plan).observation == observation("3")


@pytest.mark.parametrize(
    ("given", "stopped"),
    [
        pytest.param(trial(state=names.RUNNING), False, id="runs"),
        pytest.param(trial(state=names.RUNNING, stop=names.STOP_SUSPEND), False, id="suspended"),
        pytest.param(trial(state=names.RUNNING, stop=names.STOP_KILL), True, id="to be killed"),
        pytest.param(trial(state=names.KILLED, stop=names.STOP_KILL), False, id="killed"),
        pytest.param(announced(), True, id="early stop announced"),
        pytest.param(trial(state=names.EARLY_STOPPED), False, id="early stopped"),
    ],
)
def test_logs_are_read_for_trials_that_are_being_stopped(given: Trial, *, stopped: bool) -> None:
    assert is_being_stopped(given) == stopped


# Deletion


def test_a_deleted_trial_forgets_its_logs_before_it_lets_go() -> None:
    plan = plan_trial(trial(deleting=True, state=names.RUNNING), job_view(), NOW)
    assert told(plan) == ["forget logs", "update Trial e-0 stop=''"]
    [update] = [action.object for action in plan.actions if isinstance(action, Update)]
    assert isinstance(update, Trial)
    assert update.metadata.finalizers == ()
    assert plan_trial(update, None, NOW) is NOTHING


def test_a_deleted_trial_leaves_the_finalizers_of_others_and_starts_nothing() -> None:
    given = trial(deleting=True)
    held = msgspec.structs.replace(given, metadata=msgspec.structs.replace(given.metadata, finalizers=("other",)))
    assert plan_trial(held, None, NOW) is NOTHING
