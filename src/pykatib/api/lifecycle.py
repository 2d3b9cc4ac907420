"""Where an Experiment is in its life: the questions that admission, planners and users' tools all ask."""

from pykatib.api import names
from pykatib.api.conditions import find_condition, is_true
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment


def is_completed(experiment: Experiment) -> bool:
    """True when the Experiment has succeeded or failed."""
    conditions = experiment.status.conditions
    return is_true(conditions, names.SUCCEEDED) or is_true(conditions, names.FAILED)


def is_restartable(experiment: Experiment) -> bool:
    """True when a larger budget takes the Experiment up again: its Trials are used up, and its search is kept."""
    succeeded = find_condition(experiment.status.conditions, names.SUCCEEDED)
    return (
        succeeded is not None
        and succeeded.status == names.TRUE
        and succeeded.reason == names.EXPERIMENT_MAX_TRIALS_REACHED
        and experiment.spec.resume_policy in (names.LONG_RUNNING, names.FROM_VOLUME)
    )


def check_resumable(old: Experiment, max_trial_count: int | None) -> None:
    """Raises InvalidInput where an Experiment has ended and is given no more Trials."""
    if is_completed(old) and (max_trial_count is None or max_trial_count <= (old.spec.max_trial_count or 0)):
        ended = "has failed" if is_true(old.status.conditions, names.FAILED) else "has succeeded"
        message = (
            f"Experiment {old.metadata.namespace}/{old.metadata.name} {ended}; to run more Trials, give a "
            f"maxTrialCount above {old.spec.max_trial_count}"
        )
        raise InvalidInput([FieldError("spec.maxTrialCount", message)])
