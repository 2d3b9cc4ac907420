"""Where an Experiment is in its life: the two questions that admission, planners and users' tools all ask."""

from pykatib.api import names
from pykatib.api.conditions import find_condition, is_true
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
