"""What a Trial wants next: its worker job, a retry, its end.

Each worker job carries the number of the attempt that it is (`ANNOTATION_ATTEMPT`). A retry first counts itself in the
Trial's status, then deletes the failed job; a job of an earlier attempt is only deleted, never counted again, so that
dying between the two steps does no harm.

The status is written before the job is created: whoever decides on an old reading of a Trial that has ended meanwhile
(and whose job is gone) meets a Conflict, and does not run it a second time.
"""

from typing import Any

import msgspec

from pykatib.api import names
from pykatib.api.conditions import (
    Conditions,
    end_running,
    find_condition,
    is_true,
    set_condition,
    set_terminal,
    without_condition,
)
from pykatib.api.experiment import RetryPolicy
from pykatib.api.meta import ObjectMeta, OwnerReference, Reference
from pykatib.api.objects import WorkerJob
from pykatib.api.shared import Observation
from pykatib.api.times import rfc3339, seconds_of
from pykatib.api.trial import Trial, TrialStatus
from pykatib.api.wire import decode
from pykatib.control.observation import has_objective
from pykatib.control.plan import NOTHING, Action, Create, Delete, ForgetObservations, Plan, Tell, Update, UpdateStatus
from pykatib.control.verdict import Verdict
from pykatib.control.view import is_finished, trial_state

ANNOTATION_ATTEMPT = "pykatib.dev/attempt"

CRASH, TIMEOUT, LOST = "crash", "timeout", "lost"

FOREIGN_JOB_SECONDS = 5.0
EARLY_STOP_SECONDS = 60.0
"""How long a retained job may take to end after its Trial was stopped early."""


class JobView(msgspec.Struct, frozen=True):
    """A worker job as the planner sees it. `observation` is read for jobs that have succeeded, before they go."""

    job: WorkerJob
    verdict: Verdict
    observation: Observation | None = None


class _Head(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: msgspec.Raw = msgspec.Raw(b"{}")


def worker_reference(trial: Trial) -> Reference:
    """The key of a Trial's worker job, which has the Trial's name."""
    head = decode(bytes(trial.spec.run_spec), _Kind)
    return Reference(head.kind, trial.metadata.namespace, trial.metadata.name, head.api_version)


class _Kind(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""


def is_being_stopped(trial: Trial) -> bool:
    """Whether an active Trial is to end now with what it has reported, whatever has become of its job."""
    announced = is_true(trial.status.conditions, names.EARLY_STOPPED)
    return (announced or trial.spec.stop == names.STOP_KILL) and not is_finished(trial)


def plan_trial(trial: Trial, view: JobView | None, now: float, *, reported: Observation | None = None) -> Plan:
    """The next steps of a Trial, given its worker job if there is one.

    `reported` is what the logs say so far; it is read for Trials that are being stopped, and for no others.
    """
    if trial.metadata.deletion_timestamp is not None:
        return _plan_deleted(trial)
    if view is not None and not view.job.metadata.is_controlled_by(trial.metadata.uid):
        return NOTHING if is_finished(trial) else _plan_foreign(trial, view)
    if is_finished(trial):
        return NOTHING if view is None else _plan_ended(trial, view, now)
    has_succeeded = view is not None and view.verdict.state == "succeeded"
    if is_true(trial.status.conditions, names.EARLY_STOPPED):
        if not has_succeeded or _is_ended_by_a_sidecar(trial):
            return _plan_early_stopped(trial, view, reported, now)
        trial = _without_announcement(trial)
    if view is not None and has_succeeded:  # what has been done is not thrown away
        return _plan_succeeded(trial, view, now)
    if view is not None and attempt_of(view.job) < _attempts(trial.status):
        return _again(view)
    if trial.spec.stop == names.STOP_KILL:
        return _plan_killed(trial, view, reported, now)
    if view is not None and view.verdict.state == "failed":
        return _plan_failed(trial, view, now, retain=trial.spec.retain_run)
    if trial.spec.stop == names.STOP_SUSPEND:
        return _plan_suspended(trial, view, now)
    if view is None:
        return _plan_started(trial, now)
    if view.job.metadata.deletion_timestamp is not None:
        return NOTHING
    return _plan_running(trial, view, now)


def attempt_of(job: WorkerJob) -> int:
    """Which attempt of its Trial a worker job is, from 0."""
    text = job.metadata.annotations.get(ANNOTATION_ATTEMPT, "0")
    return int(text) if text.isdecimal() else 0


def _plan_ended(trial: Trial, view: JobView, now: float) -> Plan:
    """Deletes the job of an ended Trial. What `retain` keeps is a job that has ended, not one that runs on.

    A job that its sidecar ends, because of the rules that its Trial carries, is given some time to do so.
    """
    if trial.spec.retain_run:
        if view.verdict.state != "running":
            return NOTHING
        was_stopped = trial_state(trial) == names.EARLY_STOPPED and _is_ended_by_a_sidecar(trial)
        if was_stopped and trial.status.completion_time is not None:
            left = seconds_of(trial.status.completion_time) + EARLY_STOP_SECONDS - now
            if left > 0:
                return Plan((), left)
    return Plan(_delete_job(trial, view))


def _plan_foreign(trial: Trial, view: JobView) -> Plan:
    """A job of that name belongs to somebody else, perhaps to an earlier Trial of the same name: wait until it goes."""
    text = f"There is a {view.job.kind} {view.job.metadata.name} that is not this Trial's; it waits until that is gone"
    return Plan((Tell(trial.reference, names.WARNING, names.RECONCILE_ERROR, text),), FOREIGN_JOB_SECONDS)


def _again(view: JobView) -> Plan:
    """Deletes the job of an attempt that is over; the next look, at once, starts the next one."""
    if view.job.metadata.deletion_timestamp is not None:
        return NOTHING
    return Plan((Delete(view.job.reference, view.job.metadata.uid),), 0.0)


def _attempts(status: TrialStatus) -> int:
    return sum(status.retry_counts.values()) if status.retry_counts else 0


def _plan_deleted(trial: Trial) -> Plan:
    remaining = tuple(name for name in trial.metadata.finalizers if name != names.FINALIZER_TRIAL)
    if len(remaining) == len(trial.metadata.finalizers):
        return NOTHING
    metadata = msgspec.structs.replace(trial.metadata, finalizers=remaining)
    return Plan(
        (
            ForgetObservations(trial.metadata.namespace, trial.metadata.name),
            Update(msgspec.structs.replace(trial, metadata=metadata)),
        )
    )


def _delete_job(trial: Trial, view: JobView) -> tuple[Action, ...]:
    if view.job.metadata.deletion_timestamp is not None:
        return ()
    name = view.job.metadata.name
    return (
        Delete(view.job.reference, view.job.metadata.uid),
        Tell(trial.reference, names.NORMAL, names.JOB_DELETED, f"Job {name} has been deleted"),
    )


def _with_status(trial: Trial, **changes: Any) -> UpdateStatus:
    return UpdateStatus(msgspec.structs.replace(trial, status=msgspec.structs.replace(trial.status, **changes)))


def _created(trial: Trial, now: float) -> Conditions:
    return set_condition(
        trial.status.conditions, names.CREATED, reason=names.TRIAL_CREATED, message="Trial is created", now=now
    )


def _running(conditions: Conditions, now: float) -> Conditions:
    return set_condition(conditions, names.RUNNING, reason=names.TRIAL_RUNNING, message="Trial is running", now=now)


def _plan_started(trial: Trial, now: float) -> Plan:
    job = _new_job(trial)
    name = trial.metadata.name
    return Plan(
        (
            _with_status(
                trial,
                conditions=_running(_created(trial, now), now),
                start_time=trial.status.start_time or rfc3339(now),
            ),
            Create(job),
            Tell(trial.reference, names.NORMAL, names.JOB_CREATED, f"Job {name} has been created"),
        ),
        _deadline(trial, None, now),
    )


def _new_job(trial: Trial) -> WorkerJob:
    head = decode(bytes(trial.spec.run_spec), _Head)
    attempts = _attempts(trial.status)
    annotations = head.metadata.annotations
    metadata = ObjectMeta(
        name=trial.metadata.name,
        namespace=trial.metadata.namespace,
        labels=head.metadata.labels,
        annotations={**annotations, ANNOTATION_ATTEMPT: str(attempts)} if attempts else annotations,
        owner_references=(
            OwnerReference(trial.api_version, trial.kind, trial.metadata.name, trial.metadata.uid, True, True),
        ),
    )
    return WorkerJob(api_version=head.api_version, kind=head.kind, metadata=metadata, spec=head.spec)


def _plan_running(trial: Trial, view: JobView, now: float) -> Plan:
    left = _deadline(trial, view, now)
    if left == 0.0:
        limit = trial.spec.active_deadline_seconds
        late = Verdict("failed", names.DEADLINE_EXCEEDED, f"Trial was active longer than its limit of {limit} s")
        return _plan_failed(trial, msgspec.structs.replace(view, verdict=late), now, retain=False)
    conditions = _running(_created(trial, now), now)
    if conditions is trial.status.conditions:
        return Plan((), left)
    start_time = trial.status.start_time or rfc3339(now)
    return Plan((_with_status(trial, conditions=conditions, start_time=start_time),), left)


class _JobStatus(msgspec.Struct, rename="camel"):
    start_time: str | None = None


def _deadline(trial: Trial, view: JobView | None, now: float) -> float | None:
    """Seconds that the Trial's own time limit leaves; it counts from the start of the job, not of the waiting."""
    limit = trial.spec.active_deadline_seconds
    if limit is None or view is None:
        return None
    started = decode(bytes(view.job.status), _JobStatus).start_time
    # The start is cut to whole seconds: counted from the end of that second, a limit is never short.
    return None if started is None else max(0.0, seconds_of(started) + 1.0 + limit - now)


def _plan_succeeded(trial: Trial, view: JobView, now: float) -> Plan:
    objective = trial.spec.objective
    name = trial.metadata.name
    if objective is not None and has_objective(view.observation, objective):
        kind, reason, message = names.SUCCEEDED, names.TRIAL_SUCCEEDED, "Trial has succeeded"
        event = Tell(trial.reference, names.NORMAL, names.JOB_SUCCEEDED, f"Job {name} has succeeded")
    else:
        kind = reason = names.METRICS_UNAVAILABLE
        message = "Metrics are not available"
        text = f"Metrics are not available for Job {name}"
        event = Tell(trial.reference, names.WARNING, names.METRICS_UNAVAILABLE, text)
    return _plan_end(trial, view, kind, reason, message, event, now, retain=trial.spec.retain_run)


def _plan_end(
    trial: Trial, view: JobView, kind: str, reason: str, message: str, event: Tell, now: float, *, retain: bool
) -> Plan:
    reason, message = with_job_words(reason, message, view.verdict)
    conditions = set_terminal(_created(trial, now), kind, reason=reason, message=message, now=now)
    status = _with_status(
        trial,
        conditions=conditions,
        completion_time=rfc3339(now),
        observation=view.observation,
        start_time=trial.status.start_time or rfc3339(now),
    )
    deletion = () if retain else _delete_job(trial, view)
    return Plan((status, event, *deletion))


def with_job_words(reason: str, message: str, verdict: Verdict) -> tuple[str, str]:
    """Reason and message of a Trial's condition, with the worker job's own appended where it has any."""
    if verdict.reason:
        reason = f"{reason}. Job reason: {verdict.reason}"
    if verdict.message:
        message = f"{message}. Job message: {verdict.message}"
    return reason, message


def failure_class(verdict: Verdict) -> str:
    """`timeout`, `lost` or `crash`."""
    if verdict.reason == names.DEADLINE_EXCEEDED:
        return TIMEOUT
    return LOST if verdict.reason == names.WORKER_LOST else CRASH


def _retries_left(trial: Trial, kind: str) -> bool:
    policy = trial.spec.retries or RetryPolicy()
    limit = {CRASH: policy.crash or 0, TIMEOUT: policy.timeout or 0, LOST: policy.lost}[kind]
    used = (trial.status.retry_counts or {}).get(kind, 0)
    return limit is None or used < limit


def _plan_failed(trial: Trial, view: JobView, now: float, *, retain: bool) -> Plan:
    kind = failure_class(view.verdict)
    name = trial.metadata.name
    words = " ".join(word for word in (view.verdict.message, view.verdict.reason) if word)
    text = f"Job {name} has failed" + (f". {words}" if words else "")
    event = Tell(trial.reference, names.WARNING, names.JOB_FAILED, text)
    if _retries_left(trial, kind):
        counts = {**(trial.status.retry_counts or {})}
        counts[kind] = counts.get(kind, 0) + 1
        retrying = Tell(
            trial.reference,
            names.NORMAL,
            names.TRIAL_RETRYING,
            f"Trial is run again after {kind} number {counts[kind]}",
        )
        return Plan(
            (
                _with_status(trial, retry_counts=counts),
                event,
                retrying,
                *_again(view).actions,
            ),
            0.0,
        )
    plain = msgspec.structs.replace(view, observation=None)  # a failed Trial has no observation, as in Katib
    kind, reason, message = names.FAILED, names.TRIAL_FAILED, "Trial has failed"
    return _plan_end(trial, plain, kind, reason, message, event, now, retain=retain)


def _plan_early_stopped(trial: Trial, view: JobView | None, reported: Observation | None, now: float) -> Plan:
    """Somebody has announced that the Trial is stopped early: its observation is read before its job goes."""
    conditions = trial.status.conditions
    said = find_condition(conditions, names.EARLY_STOPPED)
    assert said is not None, "the caller has seen it"
    conditions = without_condition(conditions, names.EARLY_STOPPED)
    conditions = set_terminal(conditions, names.EARLY_STOPPED, reason=said.reason, message=said.message, now=now)
    status = _with_status(
        trial,
        conditions=conditions,
        completion_time=rfc3339(now),
        observation=reported,
    )
    if view is None:
        return Plan((status,))
    if trial.spec.retain_run and (view.verdict.state != "running" or _is_ended_by_a_sidecar(trial)):
        return Plan((status,), EARLY_STOP_SECONDS)
    return Plan((status, *_delete_job(trial, view)))


def _is_ended_by_a_sidecar(trial: Trial) -> bool:
    """Whether the sidecar knows the rules and ends the job itself, which then looks as if it had succeeded."""
    return bool(trial.spec.early_stopping_rules)


def _without_announcement(trial: Trial) -> Trial:
    conditions = without_condition(trial.status.conditions, names.EARLY_STOPPED)
    return msgspec.structs.replace(trial, status=msgspec.structs.replace(trial.status, conditions=conditions))


def announced(trial: Trial, reason: str, now: float) -> Trial:
    """The Trial with the word that it is to be stopped early, which whoever stops Trials writes."""
    conditions = set_condition(
        trial.status.conditions,
        names.EARLY_STOPPED,
        reason=names.TRIAL_EARLY_STOPPED,
        message=f"Trial is early stopped: {reason}" if reason else "Trial is early stopped",
        now=now,
    )
    return msgspec.structs.replace(trial, status=msgspec.structs.replace(trial.status, conditions=conditions))


def _plan_suspended(trial: Trial, view: JobView | None, now: float) -> Plan:
    actions: list[Action] = []
    conditions = end_running(_created(trial, now), now=now)
    if conditions is not trial.status.conditions:
        actions.append(_with_status(trial, conditions=conditions))
    if view is not None and view.job.metadata.deletion_timestamp is None:
        actions.append(Delete(view.job.reference, view.job.metadata.uid))
    return Plan(tuple(actions))


def _plan_killed(trial: Trial, view: JobView | None, reported: Observation | None, now: float) -> Plan:
    conditions = set_terminal(
        _created(trial, now), names.KILLED, reason=names.TRIAL_KILLED, message="Trial is killed", now=now
    )
    status = _with_status(
        trial,
        conditions=conditions,
        completion_time=rfc3339(now),
        observation=reported,
        start_time=trial.status.start_time or rfc3339(now),
    )
    return Plan((status, *(_delete_job(trial, view) if view is not None else ())))
