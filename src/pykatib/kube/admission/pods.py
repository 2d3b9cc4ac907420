"""`/mutate-pod`: finds the Trial that a new Pod works for, and has the Pod report to it.

A Pod is a Trial's where its owners say so: its Job, or whatever lies between, is owned by the Trial. A label says
nothing here, for labels are copied. Where an owner cannot be read because it is gone, of an unknown kind, or none of
our business, the Pod is somebody else's and let in as it is. Where the API server does not answer, the question stays
open, and the failure policy of the webhook that asked decides.

Nothing here needs to lead or to have read the cluster: any replica answers, with two or three requests a Pod.
"""

import logging
import time
from collections.abc import Collection, Iterable
from typing import Any, Protocol

import msgspec

from pykatib.api import names, wire
from pykatib.api.errors import InvalidInput, NotFound
from pykatib.api.meta import ObjectMeta, OwnerReference, Reference
from pykatib.api.trial import Trial
from pykatib.kube.admission.patches import differences
from pykatib.kube.admission.reviews import ALLOWED, CREATE, Request, Verdict
from pykatib.store.kubernetes.api_server import ApiServer, Forbidden
from pykatib.store.kubernetes.objects import meta_in
from pykatib.store.kubernetes.resources import OURS, Catalog

logger = logging.getLogger(__name__)


class Injection(Protocol):
    """Makes Pods report; any thread may ask."""

    def inject(self, pod: dict[str, Any], trial: Trial) -> dict[str, Any]:
        """The Pod of a Trial as it is to be created. Raises InvalidInput where it could not report."""
        ...

    def collector_kinds(self) -> Collection[str]:
        """The kinds of metrics collector that can be had."""
        ...


class NoInjection:
    """Lets Pods be as they are."""

    def inject(self, pod: dict[str, Any], trial: Trial) -> dict[str, Any]:
        """The Pod as it is."""
        return pod

    def collector_kinds(self) -> Collection[str]:
        """All: somebody else takes care of them."""
        return names.COLLECTOR_KINDS


MOST_OWNERS = 20
"""More than any chain of owners has; who makes longer ones gets no answer out of us."""

_TRIALS = next(each for each in OURS if each.kind == names.TRIAL)


class PodAdmission:
    """Has Trials' Pods report, on any number of threads."""

    def __init__(self, server: ApiServer, injection: Injection) -> None:
        self._server = server
        self._injection = injection
        self._catalog = Catalog(server, time.monotonic)

    def mutate(self, request: Request) -> Verdict:
        """Makes a Trial's Pod report; leaves every other as it is."""
        pod = request.object
        if request.operation != CREATE or request.kind.kind != "Pod" or not isinstance(pod, dict):
            return ALLOWED
        try:
            meta = msgspec.convert(pod.get("metadata") or {}, ObjectMeta)
        except msgspec.ValidationError:
            return ALLOWED  # the API server has words for it
        if meta.deletion_timestamp is not None:
            return ALLOWED
        trial = self._trial_of(request.namespace, meta)
        if trial is None:
            return ALLOWED
        try:
            injected = self._injection.inject(pod, trial)
        except InvalidInput as error:
            logger.warning("no Pod for Trial %s/%s: %s", request.namespace, trial.metadata.name, error)
            return Verdict(errors=error.errors)
        return Verdict(patch=differences(pod, injected))

    def _trial_of(self, namespace: str, meta: ObjectMeta) -> Trial | None:
        waiting, seen = list(meta.owner_references), 0
        while waiting and seen < MOST_OWNERS:
            owner = waiting.pop(0)
            seen += 1
            if owner.kind == names.TRIAL and owner.api_version == names.API_VERSION:
                trial = self._trial(namespace, owner)
                if trial is not None:
                    return trial
            else:
                waiting.extend(self._owners_of(namespace, owner))
        return None

    def _trial(self, namespace: str, owner: OwnerReference) -> Trial | None:
        try:
            answer = self._server.request("GET", _TRIALS.path(Reference(names.TRIAL, namespace, owner.name)))
        except NotFound:
            return None
        trial = wire.decode(answer, Trial)
        return trial if trial.metadata.uid == owner.uid else None

    def _owners_of(self, namespace: str, owner: OwnerReference) -> Iterable[OwnerReference]:
        try:
            resource = self._catalog.of(owner.kind, owner.api_version)
            if resource is None:
                return ()
            answer = self._server.request("GET", resource.path(resource.reference(namespace, owner.name)))
            meta = meta_in(answer)
        except (NotFound, Forbidden, msgspec.MsgspecError):
            return ()
        return meta.owner_references if meta.uid == owner.uid else ()
