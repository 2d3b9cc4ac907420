"""Objects as the API server has them now, and as they change: for commands that look once, or look on.

Lists that the wire holds shortened (`store.kubernetes.long_lists`) are given as they are; `whole` completes an object
that is to be shown in full.
"""

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from pykatib.api import names
from pykatib.api.errors import NotFound, NotSupported, Unavailable
from pykatib.api.experiment import Experiment, ExperimentStatus
from pykatib.api.meta import Reference
from pykatib.api.objects import Event, Object
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.control.view import PENDING, ExperimentView
from pykatib.store.kubernetes import objects
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.events import events_of
from pykatib.store.kubernetes.long_lists import Chunks
from pykatib.store.kubernetes.reflector import Delta, Gone, Reflector, Replaced, Seen
from pykatib.store.kubernetes.resources import OURS, UNCACHED, Resource

_RESOURCES = {resource.kind: resource for resource in (*OURS, *UNCACHED)}


def resource_of(kind: str) -> Resource:
    """How a kind that commands know is served."""
    return _RESOURCES[kind]


def selection_of(*, name: str | None = None, labels: Mapping[str, str] | None = None) -> dict[str, str]:
    """Parameters that leave all else out."""
    found: dict[str, str] = {}
    if name is not None:
        found["fieldSelector"] = f"metadata.name={name}"
    if labels:
        found["labelSelector"] = ",".join(f"{key}={value}" for key, value in labels.items())
    return found


def not_installed(kind: str) -> NotSupported:
    """What is said of a cluster without Katib's definitions."""
    return NotSupported(
        f"the cluster has no {names.API_VERSION} {kind}: neither pykatib nor Katib is installed there; "
        "install it with: kubectl apply -k manifests/standalone"
    )


class ClusterReader:
    """Reads Katib's objects, without keeping any."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        resource = resource_of(reference.kind)
        try:
            return self._decoded(resource, self._server.request("GET", resource.path(reference)))
        except NotFound:
            return None

    def list(self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Object]:
        """All objects of a kind, oldest first; `labels` must all be carried."""
        return _by_age(self._reflector(kind, namespace, selection_of(labels=labels), lambda _: None))

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an object, or of a namespace, oldest first."""
        return events_of(self._server.request, namespace=namespace, name=name, kind=kind)

    def whole(self, found: Object) -> Object:
        """The object with what the wire leaves out."""
        if isinstance(found, Suggestion):
            return Chunks(self._server).whole(found, None)
        if isinstance(found, Experiment) and _is_shortened(found.status):
            view = ExperimentView()
            labels = {names.LABEL_EXPERIMENT: found.metadata.name}
            for trial in self.list(names.TRIAL, namespace=found.metadata.namespace, labels=labels):
                if isinstance(trial, Trial):
                    view.apply(None, trial)
            return replace(found, status=_with_all_names(found.status, view))
        return found

    def changes(
        self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Iterator[Sequence[Object]]:
        """All objects of a kind that are there, then whatever changes, without end. What is deleted is not told."""
        heard: queue.SimpleQueue[Delta] = queue.SimpleQueue()
        reflector = self._reflector(kind, namespace, selection_of(labels=labels), heard.put)
        there = _by_age(reflector)
        versions = {one.metadata.uid: objects.version_of(one) for one in there}
        yield there
        reflector.start()
        try:
            while True:
                delta = heard.get()
                if isinstance(delta, Gone):
                    versions.pop(delta.uid, None)
                found = (
                    delta.objects if isinstance(delta, Replaced) else [delta.object] if isinstance(delta, Seen) else []
                )
                new = [one for one in found if objects.version_of(one) > versions.get(one.metadata.uid, 0)]
                versions.update((one.metadata.uid, objects.version_of(one)) for one in new)
                if new:
                    yield new
        finally:
            reflector.stop()

    def _reflector(
        self, kind: str, namespace: str | None, selection: Mapping[str, str], take: Callable[[Delta], None]
    ) -> Reflector:
        return Reflector(
            self._server,
            resource_of(kind),
            namespace,
            take=take,
            is_wanted=lambda _: True,
            is_known=lambda *_: False,
            selection=selection,
        )

    def _decoded(self, resource: Resource, data: bytes) -> Object:
        try:
            return objects.decode(resource, data)
        except msgspec.MsgspecError as error:
            raise Unavailable(f"what the cluster has as {resource.kind} cannot be read: {error}") from error


def _by_age(reflector: Reflector) -> list[Object]:
    try:
        found = reflector.read_all().objects
    except NotFound as error:
        raise not_installed(reflector.resource.kind) from error
    return sorted(found, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name))


# The name lists of an Experiment's status: how many there are, and the state of the Trials in each.
_NAME_LISTS = {
    "failed_trial_list": ("trials_failed", names.FAILED),
    "succeeded_trial_list": ("trials_succeeded", names.SUCCEEDED),
    "killed_trial_list": ("trials_killed", names.KILLED),
    "early_stopped_trial_list": ("trials_early_stopped", names.EARLY_STOPPED),
    "metrics_unavailable_trial_list": ("trial_metrics_unavailable", names.METRICS_UNAVAILABLE),
    "running_trial_list": ("trials_running", names.RUNNING),
    "pending_trial_list": ("trials_pending", PENDING),
}


def _is_shortened(status: ExperimentStatus) -> bool:
    return any(getattr(status, count) > len(getattr(status, field)) for field, (count, _) in _NAME_LISTS.items())


def _with_all_names(status: ExperimentStatus, view: ExperimentView) -> ExperimentStatus:
    lists = {
        field: view.active_names(state) if state in (names.RUNNING, PENDING) else view.finished_names(state)
        for field, (_, state) in _NAME_LISTS.items()
    }
    return replace(status, **lists)
