"""The objects that a store holds: Katib's three kinds, ConfigMaps and Secrets, and worker jobs of any kind."""

from typing import TypeAlias

import msgspec

from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.api.meta import ObjectMeta, Reference, Value
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial


class ConfigMap(Value, frozen=True, omit_defaults=False, kw_only=True):
    """Texts by key."""

    api_version: str = "v1"
    kind: str = names.CONFIG_MAP
    metadata: ObjectMeta
    data: dict[str, str] = {}

    @property
    def reference(self) -> Reference:
        """The object's key."""
        return Reference(self.kind, self.metadata.namespace, self.metadata.name)


class Secret(Value, frozen=True, omit_defaults=False, kw_only=True):
    """Base64 texts by key in `data`, plain ones in `string_data`."""

    api_version: str = "v1"
    kind: str = names.SECRET
    metadata: ObjectMeta
    data: dict[str, str] = {}
    string_data: dict[str, str] = {}
    type: str = "Opaque"

    @property
    def reference(self) -> Reference:
        """The object's key."""
        return Reference(self.kind, self.metadata.namespace, self.metadata.name)


class WorkerJob(Value, frozen=True, omit_defaults=False, kw_only=True):
    """A worker job: any kind with a status. `spec` and `status` are its own JSON, read only by who understands them."""

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def reference(self) -> Reference:
        """The object's key."""
        return Reference(self.kind, self.metadata.namespace, self.metadata.name, self.api_version)


Object: TypeAlias = Experiment | Suggestion | Trial | ConfigMap | Secret | WorkerJob

TYPED_KINDS: dict[str, type[Experiment | Suggestion | Trial | ConfigMap | Secret]] = {
    names.EXPERIMENT: Experiment,
    names.SUGGESTION: Suggestion,
    names.TRIAL: Trial,
    names.CONFIG_MAP: ConfigMap,
    names.SECRET: Secret,
}


class Event(Value, frozen=True, omit_defaults=False):
    """Something worth telling about an object. Times are seconds since the epoch; equal events are counted."""

    kind: str
    namespace: str
    name: str
    type: str
    reason: str
    message: str
    time: float
    count: int = 1
