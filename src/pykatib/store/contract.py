"""What the control plane needs of a place that keeps objects: Kubernetes' semantics, small.

* Every write makes a new `metadata.resourceVersion`. A write of an object whose `resourceVersion` is not the stored
  one raises Conflict; an empty one overwrites.
* `create` fills in `uid`, `creationTimestamp` and `generation`; `generateName` becomes a name. Status is kept as given.
* `update` writes metadata and spec and keeps the stored status; `update_status` writes status alone. `generation`
  grows when the spec changes. A write that changes nothing makes no new version and tells nobody.
* `delete` of an object with finalizers sets `deletionTimestamp`; it goes when the last finalizer is taken off.
  When an owner goes, its dependants (`ownerReferences` by uid) are deleted after it ("Background"), or before it
  ("Foreground": the owner waits with `deletionTimestamp` and a `foregroundDeletion` finalizer until those with
  `blockOwnerDeletion` are gone).
* Subscribers are told of every object that is there, then of every change, in order, each with the version before.

All methods raise StorageFailed when nothing can be kept any more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from pykatib.api.meta import Reference
from pykatib.api.objects import Event, Object
from pykatib.api.shared import MetricLog

O = TypeVar("O", bound=Object)  # noqa: E741 - the one type variable of this contract

Propagation: TypeAlias = Literal["Background", "Foreground"]


class Change(NamedTuple):
    """One change: `old` is None for an object that has come, `new` is None for one that has gone."""

    old: Object | None
    new: Object | None


Handler: TypeAlias = Callable[[Change], None]


class Subscription(Protocol):
    """A standing order for changes."""

    def close(self) -> None:
        """No change is told any more."""
        ...


class Store(Protocol):
    """Keeps objects; the contract is this module's docstring and `pykatib.store.conformance`."""

    def get(self, reference: Reference) -> Object:
        """The object. Raises NotFound."""
        ...

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        ...

    def list(self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Object]:
        """All objects of a kind, oldest first; `labels` must all be carried."""
        ...

    def create(self, obj: O) -> O:
        """Keeps a new object. Raises AlreadyExists."""
        ...

    def update(self, obj: O) -> O:
        """Writes metadata and spec. Raises NotFound, Conflict."""
        ...

    def update_status(self, obj: O) -> O:
        """Writes the status alone. Raises NotFound, Conflict."""
        ...

    def delete(self, reference: Reference, *, uid: str = "", propagation: Propagation = "Background") -> None:
        """Deletes the object; with `uid`, only that very one (else Conflict). Raises NotFound."""
        ...

    def subscribe(self, kinds: Iterable[str] | None, handler: Handler) -> Subscription:
        """Tells `handler` of all objects of these kinds (None: of all kinds) that are there, then of each change."""
        ...

    def record(self, event: Event) -> None:
        """Keeps an event; equal ones (but for time) of one object are counted. Old ones may be forgotten."""
        ...

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an object, or of a namespace, oldest first."""
        ...

    def flush(self) -> None:
        """Returns when everything written so far outlives this process."""
        ...

    def close(self) -> None:
        """Flushes and lets go."""
        ...


class ObservationStore(Protocol):
    """Keeps metric logs by Trial; the contract is here and in `pykatib.store.observation_conformance`."""

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog]) -> None:
        """Adds logs in their order. Reporting twice adds twice."""
        ...

    def logs(
        self,
        namespace: str,
        trial_name: str,
        *,
        metric_name: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> Iterable[MetricLog]:
        """The logs of a Trial by time, equal times in order of arrival; `start` and `end` are inclusive seconds."""
        ...

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial, by metric name."""
        ...

    def delete(self, namespace: str, trial_name: str) -> None:
        """Forgets the logs of a Trial; there may be none."""
        ...
