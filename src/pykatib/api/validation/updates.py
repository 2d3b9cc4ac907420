"""Which changes an Experiment allows once it exists.

Only the budget, the time limit and `suspend` may change. A finished Experiment takes a change only where it can be
restarted, and then with more Trials. The old version is defaulted anew before the two are compared, so a release
that adds a default does not lock Experiments that are stored without it.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from pykatib.api import names
from pykatib.api.defaults import default_experiment
from pykatib.api.errors import FieldError
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.lifecycle import is_completed, is_restartable
from pykatib.api.wire import encode

EDITABLE: Final = frozenset(
    {"parallelTrialCount", "maxTrialCount", "maxFailedTrialCount", "activeDeadlineSeconds", "suspend"}
)


def changed_fields(old: ExperimentSpec, new: ExperimentSpec) -> tuple[str, ...]:
    """The fields of the spec that say something else; a missing list and an empty one say the same."""
    before, after = _comparable(old), _comparable(new)
    return tuple(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))


def check_update(old: Experiment, new: Experiment) -> Iterator[FieldError]:
    """The rules of an edit from `old` to `new`."""
    changed = changed_fields(default_experiment(old).spec, new.spec)
    if not changed:
        return
    for name in changed:
        if name not in EDITABLE:
            yield FieldError(
                f"spec.{name}", f"cannot be changed once the Experiment exists; only {', '.join(sorted(EDITABLE))} can"
            )
    completed = is_completed(old)
    if completed and not is_restartable(old):
        yield FieldError(
            "spec.resumePolicy",
            "this Experiment has ended and cannot be restarted; that takes one which has succeeded by reaching "
            f"maxTrialCount, with resumePolicy {names.LONG_RUNNING} or {names.FROM_VOLUME} from its start",
        )
    limit = new.spec.max_trial_count
    if limit is not None and limit <= old.status.trials and (completed or "maxTrialCount" in changed):
        yield FieldError(
            "spec.maxTrialCount",
            f"found {limit}, wanted more than the {old.status.trials} Trials that there are already",
        )


def _comparable(spec: ExperimentSpec) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(encode(spec))
    template = fields.pop("trialTemplate", None)
    comparable = {name: value for name, child in fields.items() if (value := _pruned(child)) not in (None, [], {})}
    if template is not None:
        trial_spec = template.pop("trialSpec", None)  # the author's own, compared as it is
        comparable["trialTemplate"] = [_pruned(template), trial_spec]
    return comparable


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kept for key, child in value.items() if (kept := _pruned(child)) not in (None, [], {})}
    return value
