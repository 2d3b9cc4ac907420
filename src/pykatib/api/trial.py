"""The Trial: one evaluation of one set of assignments."""

import msgspec

from pykatib.api import names
from pykatib.api.experiment import RetryPolicy
from pykatib.api.meta import Condition, ObjectMeta, Reference, Value
from pykatib.api.shared import (
    EarlyStoppingRule,
    MetricsCollectorSpec,
    ObjectiveSpec,
    Observation,
    ParameterAssignment,
)


class TrialSpec(Value, frozen=True):
    """What the Trial runs and how it is read. `run_spec` is the rendered worker job, untouched JSON."""

    objective: ObjectiveSpec | None = None
    parameter_assignments: tuple[ParameterAssignment, ...] = ()
    early_stopping_rules: tuple[EarlyStoppingRule, ...] = ()
    run_spec: msgspec.Raw = msgspec.Raw()
    retain_run: bool = False
    metrics_collector: MetricsCollectorSpec | None = None
    primary_pod_labels: dict[str, str] = {}
    primary_container_name: str = ""
    success_condition: str = ""
    failure_condition: str = ""
    labels: dict[str, str] | None = None
    active_deadline_seconds: int | None = None  # pykatib's own
    retries: RetryPolicy | None = None  # pykatib's own
    stop: str = ""  # pykatib's own: "Suspend" ends the worker job and keeps the Trial, "Kill" ends both


class TrialStatus(Value, frozen=True):
    """Where the Trial stands."""

    start_time: str | None = None
    completion_time: str | None = None
    last_reconcile_time: str | None = None
    conditions: tuple[Condition, ...] = ()
    observation: Observation | None = None
    retry_counts: dict[str, int] | None = None  # pykatib's own: retries used, by class of failure


class Trial(Value, frozen=True, omit_defaults=False, kw_only=True):
    """One evaluation of one set of assignments; runs exactly one worker job and ends with an observation."""

    api_version: str = names.API_VERSION
    kind: str = names.TRIAL
    metadata: ObjectMeta
    spec: TrialSpec
    status: TrialStatus = msgspec.field(default_factory=TrialStatus)

    @property
    def reference(self) -> Reference:
        """The object's key."""
        return Reference(self.kind, self.metadata.namespace, self.metadata.name)
