"""Trials as messages and back.

A Trial has one condition on the wire and one value a metric, chosen by the metric's strategy. As in Katib, a Trial
without metrics is not sent at all, nor is one that was stopped early before it had any (`is_sent`).
"""

from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.meta import Condition, ObjectMeta
from pykatib.api.shared import Metric, ObjectiveSpec, Observation, ParameterAssignment
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.control.observation import has_objective, value_text
from pykatib.control.view import PENDING, trial_state
from pykatib.rpc import messages
from pykatib.rpc.experiment_messages import objective_from, objective_message

_CONDITIONS = {
    PENDING: messages.TrialStatus.CREATED,
    names.RUNNING: messages.TrialStatus.RUNNING,
    names.SUCCEEDED: messages.TrialStatus.SUCCEEDED,
    names.KILLED: messages.TrialStatus.KILLED,
    names.FAILED: messages.TrialStatus.FAILED,
    names.METRICS_UNAVAILABLE: messages.TrialStatus.METRICSUNAVAILABLE,
    names.EARLY_STOPPED: messages.TrialStatus.EARLYSTOPPED,
}
_CONDITION_NAMES = {number: name for name, number in _CONDITIONS.items()} | {
    messages.TrialStatus.CREATED: names.CREATED,
    messages.TrialStatus.UNKNOWN: names.METRICS_UNAVAILABLE,  # what Katib's mapping makes of it
}


def is_sent(trial: Trial) -> bool:
    """Whether Katib tells a service of this Trial."""
    state = _state(trial)
    if state == names.EARLY_STOPPED:
        objective = trial.spec.objective
        return objective is not None and has_objective(trial.status.observation, objective)
    return state != names.METRICS_UNAVAILABLE


def _state(trial: Trial) -> str:
    # For a service a Trial is stopped as soon as it is marked so; here only once its worker job has ended.
    state = trial_state(trial)
    if state in (PENDING, names.RUNNING) and is_true(trial.status.conditions, names.EARLY_STOPPED):
        return names.EARLY_STOPPED
    return state


def trial_message(trial: Trial) -> messages.Trial:
    """The message of a Trial."""
    spec, status = trial.spec, trial.status
    message = messages.Trial(name=trial.metadata.name)
    # Katib sends none of the labels that a service has given; its own services cope, and ours need not.
    message.spec.labels.update(trial.metadata.labels)
    message.spec.labels.update(spec.labels or {})
    message.spec.parameter_assignments.SetInParent()
    for assignment in spec.parameter_assignments:
        message.spec.parameter_assignments.assignments.add(name=assignment.name, value=assignment.value)
    message.status.start_time = status.start_time or ""
    message.status.completion_time = status.completion_time or ""
    message.status.condition = _CONDITIONS[_state(trial)]
    if spec.objective is not None:
        message.spec.objective.CopyFrom(objective_message(spec.objective))
        if status.observation is not None:
            message.status.observation.SetInParent()
            for metric in status.observation.metrics:
                text = value_text(status.observation, spec.objective, metric.name)
                message.status.observation.metrics.add(name=metric.name, value=text)
    return message


def trial_from(message: messages.Trial) -> Trial:
    """The Trial of a message."""
    status = message.status
    objective: ObjectiveSpec | None = None
    if message.spec.HasField("objective"):
        objective = objective_from(message.spec.objective)
    observation: Observation | None = None
    if status.HasField("observation"):
        # Of several values of one metric the last one counts, as in Katib's services.
        values = {metric.name: metric.value for metric in status.observation.metrics}
        observation = Observation(tuple(Metric(name, value, value, value) for name, value in values.items()))
    completion_time = status.completion_time or None
    if status.condition == messages.TrialStatus.EARLYSTOPPED and completion_time is None:
        completion_time = status.start_time or names.ZERO_TIME  # Katib's early stopping sets none
    return Trial(
        metadata=ObjectMeta(name=message.name),
        spec=TrialSpec(
            objective=objective,
            parameter_assignments=tuple(
                ParameterAssignment(assignment.name, assignment.value)
                for assignment in message.spec.parameter_assignments.assignments
            ),
            labels=dict(message.spec.labels) or None,
        ),
        status=TrialStatus(
            start_time=status.start_time or None,
            completion_time=completion_time,
            conditions=(Condition(_CONDITION_NAMES[status.condition], names.TRUE),),
            observation=observation,
        ),
    )
