"""How conditions change: Katib's rules, in one place.

A condition that has the same status and reason already stays as it is. Any other change takes the old entry out and
puts the new one at the end, so that the last entry is always the latest news; that is what `kubectl get` prints.
"""

from pykatib.api import names
from pykatib.api.meta import Condition
from pykatib.api.times import rfc3339

Conditions = tuple[Condition, ...]

TERMINAL_TRIAL_CONDITIONS = frozenset(
    {names.SUCCEEDED, names.FAILED, names.KILLED, names.EARLY_STOPPED, names.METRICS_UNAVAILABLE}
)


def find_condition(conditions: Conditions, kind: str) -> Condition | None:
    """The condition of that type, or None."""
    for condition in conditions:
        if condition.type == kind:
            return condition
    return None


def is_true(conditions: Conditions, kind: str) -> bool:
    """True when a condition of that type has status True."""
    for condition in conditions:  # noqa: SIM110 - this is asked for every Trial several times; a generator costs double
        if condition.type == kind and condition.status == "True":
            return True
    return False


def set_condition(
    conditions: Conditions, kind: str, *, reason: str, message: str, now: float, status: str = names.TRUE
) -> Conditions:
    """The conditions after one has been set; the very same tuple when nothing changes."""
    old = find_condition(conditions, kind)
    if old is not None and old.status == status and old.reason == reason:
        return conditions
    moment = rfc3339(now)
    since = old.last_transition_time if old is not None and old.status == status else moment
    entry = Condition(kind, status, reason, message, moment, since)
    if old is None:
        return (*conditions, entry)
    return (*[condition for condition in conditions if condition.type != kind], entry)


def without_condition(conditions: Conditions, kind: str) -> Conditions:
    """The conditions without those of that type."""
    return tuple(condition for condition in conditions if condition.type != kind)


def end_running(conditions: Conditions, *, now: float) -> Conditions:
    """The conditions with `Running` turned to False; reason and message stay as they were."""
    running = find_condition(conditions, names.RUNNING)
    if running is None or running.status == names.FALSE:
        return conditions
    return set_condition(
        without_condition(conditions, names.RUNNING),
        names.RUNNING,
        status=names.FALSE,
        reason=running.reason,
        message=running.message,
        now=now,
    )


def set_terminal(conditions: Conditions, kind: str, *, reason: str, message: str, now: float) -> Conditions:
    """The conditions of an object that has come to its end: `Running` False, then the terminal one."""
    return set_condition(end_running(conditions, now=now), kind, reason=reason, message=message, now=now)


def state_of(conditions: Conditions) -> str:
    """The type of the latest condition, which is the visible state; `""` where there is none."""
    return conditions[-1].type if conditions else ""
