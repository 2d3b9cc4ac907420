"""What a Suggestion wants next: more assignments, or its end.

The planner says how many assignments are missing; the runtime asks the algorithm; `with_proposals` makes the new
status of the answer. Names of Trials are a function of the Experiment's uid and the number of the assignment and of
nothing else, so that asking again, after a crash or after somebody deleted the Suggestion, gives the same names with
the same values.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from pykatib.api import names
from pykatib.api.conditions import (
    Conditions,
    find_condition,
    is_true,
    set_condition,
    set_terminal,
    without_condition,
)
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.shared import EarlyStoppingRule, ParameterAssignment, Setting
from pykatib.api.suggestion import Suggestion, SuggestionStatus, TrialAssignment
from pykatib.api.times import rfc3339


class Proposed(msgspec.Struct, frozen=True):
    """One answer of an algorithm, in words of the wire."""

    assignments: tuple[ParameterAssignment, ...]
    labels: dict[str, str] | None = None
    name: str = ""  # of the Trial to be, where the algorithm insists on one, as some services of Katib do


class Answer(msgspec.Struct, frozen=True):
    """What an algorithm has answered. `settings` are kept in the Suggestion's status and come back with each question.

    `rules` of an early stopping service are for each of the Trials to be.
    `is_deployed` says that it came from a service that was made for this Experiment, which is therefore ready.
    """

    proposals: tuple[Proposed, ...] = ()
    settings: tuple[Setting, ...] = ()
    is_deployed: bool = False
    rules: tuple[EarlyStoppingRule, ...] = ()


def missing_count(suggestion: Suggestion, experiment: Experiment) -> int:
    """How many assignments are to be asked for now."""
    status = suggestion.status
    if (
        suggestion.metadata.deletion_timestamp is not None
        or experiment.metadata.deletion_timestamp is not None
        or status.exhausted
        or is_true(status.conditions, names.FAILED)
        or is_completed(experiment)
        or experiment.spec.suspend
    ):
        return 0
    return max(0, suggestion.spec.requests - status.suggestion_count)


def settled_status(suggestion: Suggestion, experiment: Experiment, now: float) -> SuggestionStatus:
    """The status that follows from the Experiment's state alone; the very same object when nothing changes."""
    status = suggestion.status
    conditions = status.conditions
    start_time = status.start_time
    if not conditions:
        conditions = set_condition(
            conditions, names.CREATED, reason=names.SUGGESTION_CREATED, message="Suggestion is created", now=now
        )
        start_time = rfc3339(now)
    completion_time = status.completion_time
    if is_true(conditions, names.FAILED):
        pass
    elif is_completed(experiment):
        if suggestion.spec.resume_policy != names.LONG_RUNNING and not is_true(conditions, names.SUCCEEDED):
            conditions = _succeeded(_retired(conditions, now), suggestion.spec.resume_policy, now)
            completion_time = rfc3339(now)
    elif is_true(conditions, names.SUCCEEDED):
        conditions = _set_running(
            without_condition(conditions, names.SUCCEEDED),
            names.FALSE,
            names.EXPERIMENT_IS_RESTARTING,
            "Suggestion is not running",
            now,
        )
        conditions = _set_running(conditions, names.TRUE, names.SUGGESTION_RUNNING, "Suggestion is running", now)
        completion_time = None
    elif not _awaits_its_service(status):
        conditions = _set_running(conditions, names.TRUE, names.SUGGESTION_RUNNING, "Suggestion is running", now)
    if conditions is status.conditions:
        return status
    return msgspec.structs.replace(
        status, conditions=conditions, start_time=start_time, completion_time=completion_time
    )


def _set_running(conditions: Conditions, status: str, reason: str, message: str, now: float) -> Conditions:
    return set_condition(conditions, names.RUNNING, status=status, reason=reason, message=message, now=now)


def _succeeded(conditions: Conditions, resume_policy: str, now: float) -> Conditions:
    if is_true(conditions, names.RUNNING):
        conditions = _set_running(
            conditions, names.FALSE, names.SUGGESTION_IS_SUCCEEDED, "Suggestion is not running", now
        )
    message = (
        "Suggestion is succeeded, suggestion volume is not deleted, can be restarted"
        if resume_policy == names.FROM_VOLUME
        else "Suggestion is succeeded, can't be restarted"
    )
    return set_condition(conditions, names.SUCCEEDED, reason=names.SUGGESTION_SUCCEEDED, message=message, now=now)


def _awaits_its_service(status: SuggestionStatus) -> bool:
    deployment = find_condition(status.conditions, names.DEPLOYMENT_READY)
    return deployment is not None and deployment.status == names.FALSE and not status.suggestion_count


def _retired(conditions: Conditions, now: float) -> Conditions:
    """The conditions of a Suggestion whose service is no longer needed."""
    if find_condition(conditions, names.DEPLOYMENT_READY) is None:
        return conditions
    return set_condition(
        conditions,
        names.DEPLOYMENT_READY,
        status=names.FALSE,
        reason=names.SUGGESTION_IS_SUCCEEDED,
        message="Deployment is not ready",
        now=now,
    )


def deployment_status(status: SuggestionStatus, *, is_ready: bool, now: float) -> SuggestionStatus:
    """The status while a service is made for the Suggestion, which runs from when that is ready on."""
    if is_ready:
        conditions = set_condition(
            status.conditions,
            names.DEPLOYMENT_READY,
            reason=names.DEPLOYMENT_READY,
            message="Deployment is ready",
            now=now,
        )
        conditions = _set_running(conditions, names.TRUE, names.SUGGESTION_RUNNING, "Suggestion is running", now)
    else:
        conditions = (
            status.conditions if status.suggestion_count else without_condition(status.conditions, names.RUNNING)
        )
        conditions = set_condition(
            conditions,
            names.DEPLOYMENT_READY,
            status=names.FALSE,
            reason=names.DEPLOYMENT_NOT_READY,
            message="Deployment is not ready",
            now=now,
        )
    return msgspec.structs.replace(status, conditions=conditions)


def was_deployed(suggestion: Suggestion) -> bool:
    """Whether a service was ever made for the Suggestion."""
    return find_condition(suggestion.status.conditions, names.DEPLOYMENT_READY) is not None


def is_settled(status: SuggestionStatus) -> bool:
    """Whether nothing is asked of the algorithm any more, and what serves it may go."""
    return is_true(status.conditions, names.SUCCEEDED) or is_true(status.conditions, names.FAILED)


def failed_status(suggestion: Suggestion, message: str, now: float) -> SuggestionStatus:
    """The status of a Suggestion whose algorithm cannot go on."""
    conditions = set_terminal(
        _retired(suggestion.status.conditions, now),
        names.FAILED,
        reason=names.SUGGESTION_FAILED,
        message=message,
        now=now,
    )
    return msgspec.structs.replace(suggestion.status, conditions=conditions, completion_time=rfc3339(now))


def with_proposals(
    suggestion: Suggestion,
    experiment: Experiment,
    proposals: Sequence[Proposed],
    *,
    wanted: int,
    settings: Sequence[Setting] = (),
    rules: tuple[EarlyStoppingRule, ...] = (),
) -> SuggestionStatus:
    """The status with an algorithm's answer appended; fewer proposals than `wanted` mean that there are no more.

    `settings` replace those of the same names that the status has, and are added otherwise.
    """
    status = suggestion.status
    meta = experiment.metadata
    assignments = [
        TrialAssignment(
            name=proposal.name or trial_name(meta.name, meta.uid, status.suggestion_count + place),
            parameter_assignments=proposal.assignments,
            labels=proposal.labels,
            early_stopping_rules=rules,
        )
        for place, proposal in enumerate(proposals[:wanted])
    ]
    return msgspec.structs.replace(
        status,
        algorithm_settings=_merged(status.algorithm_settings, settings) if settings else status.algorithm_settings,
        suggestions=status.suggestions.extend(assignments) if assignments else status.suggestions,
        suggestion_count=status.suggestion_count + len(assignments),
        exhausted=len(assignments) < wanted,
    )


def _merged(kept: Sequence[Setting], given: Sequence[Setting]) -> tuple[Setting, ...]:
    merged = {setting.name: setting for setting in kept} | {setting.name: setting for setting in given}
    return tuple(merged.values())


_NAME_COUNT = len(names.NAME_ALPHABET) ** names.NAME_SUFFIX_LENGTH


def trial_name(experiment_name: str, experiment_uid: str, index: int) -> str:
    """The name of Trial number `index`: the Experiment's and eight letters. No two numbers have the same one."""
    digest = hashlib.blake2b(experiment_uid.encode(), digest_size=16).digest()
    start, step = int.from_bytes(digest[:8]), int.from_bytes(digest[8:])
    step += step % 3 == 0  # without a factor in common with 27**8, the walk meets every name before any comes again
    number = (start + index * step) % _NAME_COUNT
    letters = []
    for _ in range(names.NAME_SUFFIX_LENGTH):
        number, place = divmod(number, len(names.NAME_ALPHABET))
        letters.append(names.NAME_ALPHABET[place])
    return f"{experiment_name}-{''.join(letters)}"
