"""The Experiment: one optimisation, as Katib's v1beta1 writes it, with pykatib's few additions marked as such."""

import msgspec

from pykatib.api import names
from pykatib.api.meta import Condition, ObjectMeta, Reference, Value
from pykatib.api.sequences import EMPTY_LOG, AppendLog
from pykatib.api.shared import (
    AlgorithmSpec,
    EarlyStoppingSpec,
    MetricsCollectorSpec,
    MetricValue,
    ObjectiveSpec,
    Observation,
    ParameterAssignment,
)


class FeasibleSpace(Value, frozen=True):
    """The values that a parameter may take. All numbers are text, as in Katib."""

    max: str = ""
    min: str = ""
    values: tuple[str, ...] = msgspec.field(default=(), name="list")
    step: str = ""
    distribution: str = ""


class ParameterSpec(Value, frozen=True):
    """One dimension of the search space."""

    name: str = ""
    parameter_type: str = ""
    feasible_space: FeasibleSpace = msgspec.field(default_factory=FeasibleSpace)


class GraphConfig(Value, frozen=True):
    """The outer shape of the networks that architecture search builds."""

    num_layers: int | None = None
    input_sizes: tuple[int, ...] = ()
    output_sizes: tuple[int, ...] = ()


class Operation(Value, frozen=True):
    """A kind of layer and its parameters."""

    operation_type: str = ""
    parameters: tuple[ParameterSpec, ...] = ()


class NasConfig(Value, frozen=True):
    """The search space of architecture search."""

    graph_config: GraphConfig = msgspec.field(default_factory=GraphConfig)
    operations: tuple[Operation, ...] = ()


class ConfigMapSource(Value, frozen=True):
    """A Trial template kept in a ConfigMap under the key `template_path`."""

    config_map_name: str = ""
    config_map_namespace: str = ""
    template_path: str = ""


class TrialParameterSpec(Value, frozen=True):
    """A placeholder of the template and what fills it: a search parameter or `${trialSpec.…}` metadata."""

    name: str = ""
    description: str = ""
    reference: str = ""


class RetryPolicy(Value, frozen=True):
    """How often a Trial's worker job is run again, by class of failure (pykatib's own).

    `crash`: the program failed; `timeout`: a deadline passed; `lost`: its machine or supervisor went away. Absent
    means: crash 0, timeout 0, lost without limit.
    """

    crash: int | None = None
    timeout: int | None = None
    lost: int | None = None


class TrialTemplate(Value, frozen=True):
    """What a Trial runs."""

    retain: bool = False
    trial_spec: msgspec.Raw = msgspec.Raw()
    config_map: ConfigMapSource | None = None
    trial_parameters: tuple[TrialParameterSpec, ...] | None = None
    primary_pod_labels: dict[str, str] = {}
    primary_container_name: str = ""
    success_condition: str = ""
    failure_condition: str = ""
    active_deadline_seconds: int | None = None  # pykatib's own: time limit of each Trial
    retries: RetryPolicy | None = None  # pykatib's own


class ExperimentSpec(Value, frozen=True):
    """What the user asks for."""

    parameters: tuple[ParameterSpec, ...] = ()
    objective: ObjectiveSpec | None = None
    algorithm: AlgorithmSpec | None = None
    early_stopping: EarlyStoppingSpec | None = None
    trial_template: TrialTemplate | None = None
    parallel_trial_count: int | None = None
    max_trial_count: int | None = None
    max_failed_trial_count: int | None = None
    metrics_collector_spec: MetricsCollectorSpec | None = None
    nas_config: NasConfig | None = None
    resume_policy: str = ""
    active_deadline_seconds: int | None = None  # pykatib's own: time limit of the Experiment
    suspend: bool = False  # pykatib's own: stop without deleting


class OptimalTrial(Value, frozen=True):
    """The best Trial so far."""

    best_trial_name: str = ""
    parameter_assignments: tuple[ParameterAssignment, ...] = ()
    observation: Observation = msgspec.field(default_factory=Observation)


class ParetoTrial(Value, frozen=True):
    """A Trial that no other beats in all objectives, with its value of each (pykatib's own)."""

    trial_name: str = ""
    metrics: tuple[MetricValue, ...] = ()


class ExperimentStatus(Value, frozen=True):
    """Where the Experiment stands. Lists hold Trial names."""

    start_time: str | None = None
    completion_time: str | None = None
    last_reconcile_time: str | None = None
    conditions: tuple[Condition, ...] = ()
    current_optimal_trial: OptimalTrial = msgspec.field(default_factory=OptimalTrial)
    running_trial_list: tuple[str, ...] = ()
    pending_trial_list: tuple[str, ...] = ()
    failed_trial_list: AppendLog[str] = EMPTY_LOG
    succeeded_trial_list: AppendLog[str] = EMPTY_LOG
    killed_trial_list: AppendLog[str] = EMPTY_LOG
    early_stopped_trial_list: AppendLog[str] = EMPTY_LOG
    metrics_unavailable_trial_list: AppendLog[str] = EMPTY_LOG
    trials: int = 0
    trials_succeeded: int = 0
    trials_failed: int = 0
    trials_killed: int = 0
    trials_pending: int = 0
    trials_running: int = 0
    trials_early_stopped: int = 0
    trial_metrics_unavailable: int = 0
    pareto_set: tuple[ParetoTrial, ...] = ()  # pykatib's own: with several objectives; 100 of them where there are more
    pareto_set_size: int = 0  # pykatib's own: how many there are
    active_seconds: float = 0.0  # pykatib's own: time spent against activeDeadlineSeconds before `active_since`
    active_since: float | None = None  # pykatib's own: since when it counts, in seconds; None while it does not
    reached_trial_count: int | None = None  # pykatib's own: the maxTrialCount that was reached; a larger one restarts


class Experiment(Value, frozen=True, omit_defaults=False, kw_only=True):
    """One optimisation: objective, search space, algorithm, budget, trial template."""

    api_version: str = names.API_VERSION
    kind: str = names.EXPERIMENT
    metadata: ObjectMeta
    spec: ExperimentSpec
    status: ExperimentStatus = msgspec.field(default_factory=ExperimentStatus)

    @property
    def reference(self) -> Reference:
        """The object's key."""
        return Reference(self.kind, self.metadata.namespace, self.metadata.name)
