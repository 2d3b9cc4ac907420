"""What every stored object has: metadata, owners, conditions. Frozen values with Kubernetes' field names.

Values never form cycles, so the cyclic garbage collector is told to leave them alone (`gc=False`): with ten thousand
Trials in memory it would otherwise walk all of them again and again.
"""

import msgspec


class Value(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Base of all API values: immutable, compared by value, camelCase on the wire, empty members left out."""


class OwnerReference(Value, frozen=True):
    """The object that another belongs to; it is collected when its owner goes."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(Value, frozen=True):
    """Kubernetes' object metadata. Times are RFC 3339 in UTC, whole seconds; `resource_version` is opaque."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that controls it, or None."""
        for owner in self.owner_references:  # asked at every change; a generator costs double
            if owner.controller:
                return owner
        return None

    def is_controlled_by(self, uid: str) -> bool:
        """Whether the object of that uid controls it; one of the same name may be another."""
        controller = self.controller
        return controller is not None and controller.uid == uid


class Condition(Value, frozen=True, omit_defaults=False):
    """One line of an object's state. The last of a list is the one that is printed."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_update_time: str | None = None
    last_transition_time: str | None = None


class Reference(msgspec.Struct, frozen=True, gc=False, order=True):
    """Names one object: the key of reconcilers and stores. `api_version` is said for worker jobs only."""

    kind: str
    namespace: str
    name: str
    api_version: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
