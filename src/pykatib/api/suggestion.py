"""The Suggestion: what the algorithm of one Experiment has proposed, in order."""

import msgspec

from pykatib.api import names
from pykatib.api.meta import Condition, ObjectMeta, Reference, Value
from pykatib.api.sequences import EMPTY_LOG, AppendLog
from pykatib.api.shared import AlgorithmSpec, EarlyStoppingRule, EarlyStoppingSpec, ParameterAssignment, Setting


class TrialAssignment(Value, frozen=True):
    """The name of a Trial to be, decided once and recorded here before it is used, and its parameters."""

    name: str
    parameter_assignments: tuple[ParameterAssignment, ...] = ()
    early_stopping_rules: tuple[EarlyStoppingRule, ...] = ()
    labels: dict[str, str] | None = None


class SuggestionSpec(Value, frozen=True):
    """`requests` is the number of assignments wanted in all."""

    algorithm: AlgorithmSpec | None = None
    early_stopping: EarlyStoppingSpec | None = None
    requests: int = 0
    resume_policy: str = ""


class SuggestionStatus(Value, frozen=True):
    """What has been proposed."""

    algorithm_settings: tuple[Setting, ...] = ()
    suggestion_count: int = 0
    suggestions: AppendLog[TrialAssignment] = EMPTY_LOG
    start_time: str | None = None
    completion_time: str | None = None
    last_reconcile_time: str | None = None
    conditions: tuple[Condition, ...] = ()
    exhausted: bool = False  # pykatib's own: the algorithm has said that there is nothing more
    omitted_suggestions: int = 0  # pykatib's own: on a cluster, so many of the first are kept in ConfigMaps, not here


class Suggestion(Value, frozen=True, omit_defaults=False, kw_only=True):
    """What the algorithm proposes; one per Experiment, of the same name."""

    api_version: str = names.API_VERSION
    kind: str = names.SUGGESTION
    metadata: ObjectMeta
    spec: SuggestionSpec
    status: SuggestionStatus = msgspec.field(default_factory=SuggestionStatus)

    @property
    def reference(self) -> Reference:
        """The object's key."""
        return Reference(self.kind, self.metadata.namespace, self.metadata.name)
