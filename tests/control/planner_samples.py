"""Experiments, Suggestions, Trials and worker jobs as values, for the tests of planners."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pykatib.api import names
from pykatib.api.conditions import set_condition, set_terminal
from pykatib.api.experiment import Experiment, ExperimentSpec, RetryPolicy, TrialParameterSpec, TrialTemplate
from pykatib.api.meta import ObjectMeta, OwnerReference
from pykatib.api.objects import WorkerJob
from pykatib.api.sequences import AppendLog
from pykatib.api.shared import (
    AlgorithmSpec,
    Metric,
    MetricStrategy,
    ObjectiveSpec,
    Observation,
    ParameterAssignment,
    Setting,
)
from pykatib.api.suggestion import Suggestion, SuggestionSpec, SuggestionStatus, TrialAssignment
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.control.blueprint import Blueprint, owned_by
from pykatib.control.plan import Action, Create, Delete, Plan, Tell, Update, UpdateStatus
from pykatib.control.trial_plan import JobView
from pykatib.control.verdict import Verdict
from pykatib.control.view import ExperimentView

NOW = 1_750_000_000.0
NOW_TEXT = "2025-06-15T15:06:40Z"
EXPERIMENT_UID, TRIAL_UID, JOB_UID = "experiment-uid", "trial-uid", "job-uid"

SUCCESS = 'status.conditions.#(type=="Complete")#|#(status=="True")#'
FAILURE = 'status.conditions.#(type=="Failed")#|#(status=="True")#'


def objective(goal: float | None = None, kind: str = "minimize", strategy: str = "") -> ObjectiveSpec:
    value = strategy or {"minimize": "min", "maximize": "max"}[kind]
    return ObjectiveSpec(kind, goal, "loss", (), (MetricStrategy("loss", value),))


def template(**fields: Any) -> TrialTemplate:
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"template": {"spec": {"containers": [{"name": "main", "args": ["--x=${trialParameters.x}"]}]}}},
    }
    return TrialTemplate(
        trial_spec=msgspec.Raw(msgspec.json.encode(body)),
        trial_parameters=(TrialParameterSpec("x", "", "x"),),
        primary_container_name="main",
        success_condition=SUCCESS,
        failure_condition=FAILURE,
        **fields,
    )


def experiment(*, labels: dict[str, str] | None = None, deleting: bool = False, **spec: Any) -> Experiment:
    given: dict[str, Any] = {
        "objective": objective(),
        "algorithm": AlgorithmSpec("random", (Setting("random_state", "1"),)),
        "trial_template": template(),
        "parallel_trial_count": 3,
        "resume_policy": names.LONG_RUNNING,
    }
    meta = ObjectMeta(
        name="e",
        namespace="ns",
        uid=EXPERIMENT_UID,
        resource_version="1",
        generation=1,
        labels=labels or {},
        deletion_timestamp=NOW_TEXT if deleting else None,
    )
    return Experiment(metadata=meta, spec=ExperimentSpec(**{**given, **spec}))


def assignments(count: int, *, start: int = 0) -> list[TrialAssignment]:
    return [
        TrialAssignment(f"e-{index}", (ParameterAssignment("x", str(index)),)) for index in range(start, start + count)
    ]


def suggestion(
    of: Experiment, count: int = 0, *, requests: int | None = None, exhausted: bool = False, failed: str | None = None
) -> Suggestion:
    conditions = set_condition((), names.CREATED, reason="", message="", now=NOW)
    if failed is not None:
        conditions = set_terminal(conditions, names.FAILED, reason=names.SUGGESTION_FAILED, message=failed, now=NOW)
    return Suggestion(
        metadata=ObjectMeta(name="e", namespace="ns", uid="s", resource_version="1", owner_references=owned_by(of)),
        spec=SuggestionSpec(
            of.spec.algorithm, None, count if requests is None else requests, resume_policy=of.spec.resume_policy
        ),
        status=SuggestionStatus(
            suggestion_count=count,
            suggestions=AppendLog(assignments(count)),
            conditions=conditions,
            exhausted=exhausted,
        ),
    )


def observation(value: str, name: str = "loss") -> Observation:
    return Observation((Metric(name, value, value, value),))


def in_state(trial: Trial, state: str, value: str | None = None) -> Trial:
    """The Trial as it is in a state: Pending, Running or one of the ends."""
    conditions = set_condition((), names.CREATED, reason=names.TRIAL_CREATED, message="", now=NOW)
    if state != "Pending":
        conditions = set_condition(conditions, names.RUNNING, reason=names.TRIAL_RUNNING, message="", now=NOW)
        if state != names.RUNNING:
            conditions = set_terminal(conditions, state, reason=f"Trial{state}", message="", now=NOW)
    seen = None if value is None else observation(value)
    ended = None if state in ("Pending", names.RUNNING) else NOW_TEXT
    status = TrialStatus(conditions=conditions, observation=seen, completion_time=ended)
    return msgspec.structs.replace(trial, status=status)


def trials_of(of: Experiment, states: Sequence[str], *, value: str | None = None) -> list[Trial]:
    """Trials e-0, e-1, … in these states."""
    blueprint = Blueprint(of, None)
    found = []
    for index, (assignment, state) in enumerate(zip(assignments(len(states)), states, strict=True)):
        made = blueprint.trial(assignment)
        meta = msgspec.structs.replace(made.metadata, uid=f"t{index}", resource_version=str(10 + index))
        has_value = value if state in (names.SUCCEEDED, names.EARLY_STOPPED) else None
        found.append(in_state(msgspec.structs.replace(made, metadata=meta), state, has_value))
    return found


def view_of(trials: Iterable[Trial]) -> ExperimentView:
    view = ExperimentView()
    for each in trials:
        view.apply(None, each)
    return view


# One Trial and its job


def trial(
    *,
    stop: str = "",
    retain: bool = False,
    limit: int | None = None,
    retries: RetryPolicy | None = None,
    state: str | None = None,
    retry_counts: dict[str, int] | None = None,
    deleting: bool = False,
) -> Trial:
    made = Trial(
        metadata=ObjectMeta(
            name="e-0",
            namespace="ns",
            uid=TRIAL_UID,
            resource_version="7",
            labels={names.LABEL_EXPERIMENT: "e"},
            finalizers=(names.FINALIZER_TRIAL,),
            deletion_timestamp=NOW_TEXT if deleting else None,
        ),
        spec=TrialSpec(
            objective=objective(),
            parameter_assignments=(ParameterAssignment("x", "0"),),
            run_spec=msgspec.Raw(
                b'{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"e-0","namespace":"ns","labels":{"a":"b"},'
                b'"annotations":{"c":"d"}},"spec":{"x":1}}'
            ),
            retain_run=retain,
            success_condition=SUCCESS,
            failure_condition=FAILURE,
            active_deadline_seconds=limit,
            retries=retries,
            stop=stop,
        ),
    )
    if state is not None:
        made = in_state(made, state)
    return msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, retry_counts=retry_counts))


def job(
    *,
    owner_uid: str = TRIAL_UID,
    annotations: dict[str, str] | None = None,
    deleting: bool = False,
    status: Mapping[str, Any] | None = None,
) -> WorkerJob:
    meta = ObjectMeta(
        name="e-0",
        namespace="ns",
        uid=JOB_UID,
        annotations=annotations or {},
        owner_references=(OwnerReference(names.API_VERSION, names.TRIAL, "e-0", owner_uid, True, True),),
        deletion_timestamp=NOW_TEXT if deleting else None,
    )
    raw = msgspec.Raw(msgspec.json.encode(status or {}))
    return WorkerJob(api_version="batch/v1", kind="Job", metadata=meta, status=raw)


def job_view(
    verdict: Verdict | None = None, *, seen: Observation | None = None, of: WorkerJob | None = None
) -> JobView:
    return JobView(of or job(), verdict or Verdict("running"), seen)


# Reading plans


def told(plan: Plan) -> list[str]:
    """Each action in a few words."""
    return [_words(action) for action in plan.actions]


def _words(action: Action) -> str:
    match action:
        case Create(obj):
            return f"create {obj.kind} {obj.metadata.name}"
        case Update(obj):
            stop = f" stop={obj.spec.stop!r}" if isinstance(obj, Trial) else ""
            requests = f" requests={obj.spec.requests}" if isinstance(obj, Suggestion) else ""
            return f"update {obj.kind} {obj.metadata.name}{stop}{requests}"
        case UpdateStatus(obj):
            assert isinstance(obj, Experiment | Suggestion | Trial)
            last = obj.status.conditions[-1]
            return f"status {obj.kind} {last.type}={last.status} {last.reason}"
        case Delete(reference):
            return f"delete {reference.kind} {reference.name}"
        case Tell(_, kind, reason, message):
            return f"tell {kind} {reason}: {message}"
        case _:
            return "forget logs"


def status_in(plan: Plan) -> Any:
    """The status that a plan writes."""
    [found] = [action.object for action in plan.actions if isinstance(action, UpdateStatus)]
    assert isinstance(found, Experiment | Suggestion | Trial)
    return found.status
