"""What an Experiment wants next: its status from its Trials, its end, and its budget.

Katib's rules (the control plane's sections 4.1 to 4.7), with one definition of "completed" for the end and for the
budget, no Trial deleted that has ended, no restart that nobody asked for, and a search space that may come to an end.
"""

import msgspec

from pykatib.api import names
from pykatib.api.conditions import (
    end_running,
    find_condition,
    is_true,
    set_condition,
    set_terminal,
    without_condition,
)
from pykatib.api.experiment import Experiment, ExperimentStatus
from pykatib.api.lifecycle import is_completed, is_restartable
from pykatib.api.meta import ObjectMeta
from pykatib.api.objectives import Direction, directions_of
from pykatib.api.suggestion import Suggestion, SuggestionSpec
from pykatib.api.times import rfc3339
from pykatib.api.trial import Trial
from pykatib.control.blueprint import Blueprint, owned_by
from pykatib.control.observation import reaches_goal
from pykatib.control.plan import NOTHING, Action, Create, Delete, Plan, Update, UpdateStatus
from pykatib.control.view import PENDING, ExperimentView


def plan_experiment(
    experiment: Experiment,
    suggestion: Suggestion | None,
    view: ExperimentView,
    blueprint: Blueprint | None,
    now: float,
    *,
    at_once: int | None = None,
) -> Plan:
    """The next steps of an Experiment, given its Suggestion and what is known of its Trials.

    `blueprint` is None where the template cannot be had; the runtime says so, and nothing new is started. A plan
    creates at most `at_once` Trials, and asks to look again where there are more to create.
    """
    if experiment.metadata.deletion_timestamp is not None:
        return NOTHING
    status = _with_created(experiment.status, now)
    status = _with_tallies(status, view, directions_of(experiment.spec))
    if is_completed(experiment):
        if _wants_restart(experiment):
            status = _restarted(status, now)
        else:
            return _plan_completed(experiment, status, view)
    if experiment.spec.suspend:
        return _plan_suspended(experiment, status, view, now)
    status = _active(_resumed(status, now), now)
    status, ended = _decided(experiment, suggestion, status, view, now)
    if ended:
        return _plan_completed(experiment, status, view)
    actions, wanted, is_cut = _budget(experiment, suggestion, view, blueprint, at_once)
    if suggestion is None:
        if wanted:
            actions.append(Create(_new_suggestion(experiment, wanted)))
    else:
        requests = (
            max(suggestion.spec.requests, wanted) if not suggestion.status.exhausted else suggestion.spec.requests
        )
        if requests != suggestion.spec.requests:
            changed = msgspec.structs.replace(suggestion.spec, requests=requests)
            actions.append(Update(msgspec.structs.replace(suggestion, spec=changed)))
    if status != experiment.status:
        actions.insert(0, UpdateStatus(msgspec.structs.replace(experiment, status=status)))
    return Plan(tuple(actions), 0.0 if is_cut else _seconds_left(experiment, status, now))


def _with_created(status: ExperimentStatus, now: float) -> ExperimentStatus:
    if find_condition(status.conditions, names.CREATED) is not None:
        return status
    conditions = set_condition(
        status.conditions, names.CREATED, reason=names.EXPERIMENT_CREATED, message="Experiment is created", now=now
    )
    return msgspec.structs.replace(status, conditions=conditions, start_time=rfc3339(now))


def _with_tallies(
    status: ExperimentStatus, view: ExperimentView, directions: tuple[Direction, ...]
) -> ExperimentStatus:
    pending, running = view.active_names(PENDING), view.active_names(names.RUNNING)
    succeeded, failed = view.finished_names(names.SUCCEEDED), view.finished_names(names.FAILED)
    killed, early_stopped = view.finished_names(names.KILLED), view.finished_names(names.EARLY_STOPPED)
    unavailable = view.finished_names(names.METRICS_UNAVAILABLE)
    front = view.pareto_front(directions)
    return ExperimentStatus(
        start_time=status.start_time,
        completion_time=status.completion_time,
        last_reconcile_time=status.last_reconcile_time,
        conditions=status.conditions,
        current_optimal_trial=view.optimal_trial() or status.current_optimal_trial,
        running_trial_list=running,
        pending_trial_list=pending,
        failed_trial_list=failed,
        succeeded_trial_list=succeeded,
        killed_trial_list=killed,
        early_stopped_trial_list=early_stopped,
        metrics_unavailable_trial_list=unavailable,
        trials=view.trial_count,
        trials_succeeded=len(succeeded),
        trials_failed=len(failed),
        trials_killed=len(killed),
        trials_pending=len(pending),
        trials_running=len(running),
        trials_early_stopped=len(early_stopped),
        trial_metrics_unavailable=len(unavailable),
        pareto_set=front.shown() if front is not None else (),
        pareto_set_size=len(front) if front is not None else 0,
        active_seconds=status.active_seconds,
        active_since=status.active_since,
        reached_trial_count=status.reached_trial_count,
    )


def _wants_restart(experiment: Experiment) -> bool:
    """Whether the budget was raised. That a Trial was deleted afterwards is no wish to have it run again."""
    limit, reached = experiment.spec.max_trial_count, experiment.status.reached_trial_count
    if reached is None:  # ended under Katib itself
        reached = experiment.status.trials
    return is_restartable(experiment) and limit is not None and limit > reached


def _restarted(status: ExperimentStatus, now: float) -> ExperimentStatus:
    conditions = without_condition(without_condition(status.conditions, names.SUCCEEDED), names.FAILED)
    conditions = set_condition(
        conditions,
        names.RESTARTING,
        reason=names.EXPERIMENT_RESTARTING,
        message="Experiment is restarted",
        now=now,
    )
    return msgspec.structs.replace(status, conditions=conditions, completion_time=None)


def _plan_completed(experiment: Experiment, status: ExperimentStatus, view: ExperimentView) -> Plan:
    """A finished Experiment keeps its tallies true while Trials that were running come to their ends.

    They run to their ends, as in Katib, but for a time limit, which is a limit, and those that a suspension holds back:
    nobody would ever take them up again.
    """
    actions: list[Action] = []
    if status != experiment.status:
        actions.append(UpdateStatus(msgspec.structs.replace(experiment, status=status)))
    end = find_condition(status.conditions, names.SUCCEEDED) or find_condition(status.conditions, names.FAILED)
    is_late = end is not None and end.reason == names.EXPERIMENT_TIME_LIMIT_REACHED
    actions += [
        _stopped(trial, names.STOP_KILL)
        for trial in (view.active_trials() if is_late or view.stopped_count else ())
        if trial.spec.stop == names.STOP_SUSPEND or (is_late and trial.spec.stop != names.STOP_KILL)
    ]
    return Plan(tuple(actions))


def _stopped(trial: Trial, stop: str) -> Update:
    return Update(msgspec.structs.replace(trial, spec=msgspec.structs.replace(trial.spec, stop=stop)))


def _plan_suspended(experiment: Experiment, status: ExperimentStatus, view: ExperimentView, now: float) -> Plan:
    """Stop without delete: the worker jobs of active Trials are ended, the Trials wait to be run again."""
    actions: list[Action] = [
        _stopped(trial, names.STOP_SUSPEND) for trial in view.active_trials() if not trial.spec.stop
    ]
    if not is_true(status.conditions, names.SUSPENDED):
        conditions = end_running(status.conditions, now=now)
        conditions = set_condition(
            conditions,
            names.SUSPENDED,
            reason=names.EXPERIMENT_SUSPENDED,
            message="Experiment is stopped; resuming takes it up where it was",
            now=now,
        )
        status = _passive(msgspec.structs.replace(status, conditions=conditions), now)
    if status != experiment.status:
        actions.insert(0, UpdateStatus(msgspec.structs.replace(experiment, status=status)))
    return Plan(tuple(actions))


def _resumed(status: ExperimentStatus, now: float) -> ExperimentStatus:
    if not is_true(status.conditions, names.SUSPENDED):
        return status
    conditions = set_condition(
        status.conditions,
        names.SUSPENDED,
        status=names.FALSE,
        reason=names.EXPERIMENT_RESUMED,
        message="Experiment is resumed",
        now=now,
    )
    return msgspec.structs.replace(status, conditions=conditions)


def _active(status: ExperimentStatus, now: float) -> ExperimentStatus:
    """Lets the time count against the limit: from the start, and again from each resume and restart on."""
    return status if status.active_since is not None else msgspec.structs.replace(status, active_since=now)


def _passive(status: ExperimentStatus, now: float) -> ExperimentStatus:
    """Lets the time count no more: what has been spent is kept."""
    return msgspec.structs.replace(status, active_seconds=_active_seconds(status, now), active_since=None)


def _active_seconds(status: ExperimentStatus, now: float) -> float:
    return status.active_seconds + (max(0.0, now - status.active_since) if status.active_since is not None else 0.0)


def _seconds_left(experiment: Experiment, status: ExperimentStatus, now: float) -> float | None:
    limit = experiment.spec.active_deadline_seconds
    return None if limit is None else max(0.0, limit - _active_seconds(status, now))


def _decided(
    experiment: Experiment, suggestion: Suggestion | None, status: ExperimentStatus, view: ExperimentView, now: float
) -> tuple[ExperimentStatus, bool]:
    """The status with the Experiment's end in it, if it has come; the first test that holds decides."""
    spec = experiment.spec
    failed_count = view.count(names.FAILED) + view.count(names.METRICS_UNAVAILABLE)
    kind, reason, message = names.SUCCEEDED, "", ""
    if spec.objective is not None and view.best is not None and reaches_goal(view.best_value, spec.objective):
        reason = names.EXPERIMENT_GOAL_REACHED
        message = "Experiment has succeeded because Objective goal has reached"
    elif spec.max_failed_trial_count is not None and failed_count and failed_count >= spec.max_failed_trial_count:
        kind, reason = names.FAILED, names.EXPERIMENT_FAILED
        message = "Experiment has failed because max failed count has reached"
    elif spec.max_trial_count is not None and view.finished_count >= spec.max_trial_count:
        reason = names.EXPERIMENT_MAX_TRIALS_REACHED
        message = "Experiment has succeeded because max trial count has reached"
        if view.best is None:
            message += "; no Trial has an objective value"
    elif _seconds_left(experiment, status, now) == 0.0:
        reason = names.EXPERIMENT_TIME_LIMIT_REACHED
        message = f"Experiment has ended because its time limit of {spec.active_deadline_seconds} s has been reached"
        kind = names.SUCCEEDED if view.best is not None else names.FAILED
    elif suggestion is not None and is_true(suggestion.status.conditions, names.FAILED):
        kind, reason = names.FAILED, names.EXPERIMENT_FAILED
        failure = find_condition(suggestion.status.conditions, names.FAILED)
        message = "Suggestion has failed" + (f": {failure.message}" if failure and failure.message else "")
    elif (
        suggestion is not None
        and suggestion.status.exhausted
        and not view.active_count
        and not view.unstarted(suggestion.status.suggestions, 1)
    ):
        reason = names.EXPERIMENT_SUGGESTION_END_REACHED
        message = "Experiment has succeeded because suggestion service has reached the end"
    if reason:
        conditions = set_terminal(status.conditions, kind, reason=reason, message=message, now=now)
        status = msgspec.structs.replace(
            status,
            conditions=conditions,
            completion_time=rfc3339(now),
            reached_trial_count=spec.max_trial_count if reason == names.EXPERIMENT_MAX_TRIALS_REACHED else None,
        )
        return _passive(status, now), True
    if view.trial_count:
        conditions = set_condition(
            status.conditions, names.RUNNING, reason=names.EXPERIMENT_RUNNING, message="Experiment is running", now=now
        )
        if conditions is not status.conditions:
            status = msgspec.structs.replace(status, conditions=conditions)
    return status, False


def _budget(
    experiment: Experiment,
    suggestion: Suggestion | None,
    view: ExperimentView,
    blueprint: Blueprint | None,
    at_once: int | None,
) -> tuple[list[Action], int, bool]:
    """Trials to create or delete, the number of assignments wanted in all, and whether there are more to create."""
    spec = experiment.spec
    parallel = spec.parallel_trial_count or 1
    required = parallel
    if spec.max_trial_count is not None:
        required = min(spec.max_trial_count - view.finished_count, parallel)
    surplus = view.active_count - parallel
    actions: list[Action] = []
    if surplus > 0:  # parallelTrialCount was lowered: the newest go, and come back from their assignments later
        newest = view.active_trials()[-surplus:]
        return [Delete(trial.reference, trial.metadata.uid) for trial in newest], 0, False
    actions.extend(
        _stopped(trial, "")
        for trial in (view.active_trials() if view.stopped_count else ())
        if trial.spec.stop == names.STOP_SUSPEND
    )
    missing = max(0, required - view.active_count)
    is_cut = False
    if suggestion is not None and missing and blueprint is not None:
        assignments = view.unstarted(suggestion.status.suggestions, missing)
        is_cut = at_once is not None and len(assignments) > at_once
        actions.extend(Create(blueprint.trial(assignment)) for assignment in assignments[:at_once])
    return actions, view.trial_count + missing if missing else 0, is_cut


def _new_suggestion(experiment: Experiment, requests: int) -> Suggestion:
    meta = experiment.metadata
    return Suggestion(
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            labels=meta.labels,
            annotations=meta.annotations,
            owner_references=owned_by(experiment),
        ),
        spec=SuggestionSpec(
            experiment.spec.algorithm, experiment.spec.early_stopping, requests, experiment.spec.resume_policy
        ),
    )
