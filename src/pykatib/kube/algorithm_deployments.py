"""Suggestion services of a cluster: asked where they run, or made for one Suggestion from the image of katib-config.

Everything here happens on the thread that waits for an answer, never on the operator's loop. Objects are made when a
question is asked and the Deployment is not there, whoever has deleted it; they are never changed. When the Suggestion
has ended its Deployment and Service are deleted before that is recorded, so that they go whenever this process dies.
"""

import json
import logging
import threading
from collections.abc import Callable

import msgspec

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.errors import AlreadyExists, FieldError, InvalidInput, NotFound, Unavailable
from pykatib.api.experiment import Experiment
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.shared import AlgorithmSpec, EarlyStoppingSpec
from pykatib.api.suggestion import Suggestion
from pykatib.control.suggestion_plan import was_deployed
from pykatib.kube.algorithm_objects import (
    KubeObject,
    deployment_path,
    objects_of,
    service_name,
    service_path,
    volume_objects,
)
from pykatib.kube.checkpoint_claims import CheckpointClaims
from pykatib.kube.katib_config import EARLY_STOPPING_PORT, PORT, EarlyStoppingEntry, KatibConfig, SuggestionEntry
from pykatib.kube.live_config import LiveConfig
from pykatib.rpc.algorithm_services import FixedAddress, ServiceAsker, Station
from pykatib.runtime.algorithm_host import AlgorithmGateway, AlgorithmHost
from pykatib.runtime.algorithm_routes import AlgorithmRoutes
from pykatib.runtime.thinking import ThinkingHost
from pykatib.store.kubernetes.api_server import ApiServer

logger = logging.getLogger(__name__)

FIRST_LOOK_SECONDS = 0.2
LONGEST_LOOK_SECONDS = 5.0
GRPC_PROBES_SINCE = (1, 24)


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""
    message: str = ""


class _Status(msgspec.Struct):
    conditions: list[_Condition] | None = None


class _Deployment(msgspec.Struct):
    metadata: ObjectMeta
    status: _Status = msgspec.field(default_factory=_Status)


class _Version(msgspec.Struct):
    major: str = ""
    minor: str = ""


def cluster_address(suggestion: Suggestion, port: int) -> str:
    """Where the cluster's DNS has the service of a Suggestion."""
    return f"{service_name(suggestion)}.{suggestion.metadata.namespace}:{port}"


class AlgorithmDeployments:
    """Knows where the service of each Experiment is, and makes those that are made for one.

    Args:
        server: the cluster.
        config: katib-config.
        changed: told, from any thread, of an Experiment whose service has become ready, or is no longer.
        address_of: where a port of a Suggestion's Service is reached.
    """

    def __init__(
        self,
        server: ApiServer,
        config: LiveConfig,
        *,
        changed: Callable[[Reference], None],
        address_of: Callable[[Suggestion, int], str] = cluster_address,
    ) -> None:
        self._server = server
        self._config = config
        self._changed = changed
        self._address_of = address_of
        self._making = threading.Lock()  # nothing is made for a Suggestion while, or after, what it has is deleted
        self._grpc_probes: bool | None = None

    def station(self, experiment: Experiment, suggestion: Suggestion) -> Station:
        """Where an Experiment's service is. Raises InvalidInput, Unavailable where katib-config names none."""
        config = self._config.current
        name = (suggestion.spec.algorithm or AlgorithmSpec()).algorithm_name
        early = suggestion.spec.early_stopping
        beside = config.early_stopping_service_of(early.algorithm_name) if early is not None else None
        entry = config.service_of(name, early.algorithm_name if early is not None else "")
        if beside is not None and (entry is None or entry.address):
            text = (
                f"{beside.algorithm_name!r} runs beside its algorithm's image, and katib-config has none for {name!r}"
            )
            raise InvalidInput([FieldError("spec.earlyStopping.algorithmName", text)])
        if entry is None:
            if self._config.problem:
                raise Unavailable(f"katib-config, which may name {name!r}, cannot be used: {self._config.problem}")
            text = f"katib-config names no service for {name!r}; pykatib itself has {', '.join(registry.names())}"
            if suggestion.status.suggestion_count:
                raise Unavailable(f"{text}; the Experiment goes on when it does")
            raise InvalidInput([FieldError(registry.NAME_PATH, text)])
        if entry.address:
            return FixedAddress(entry.address)
        return _DeployedService(self, config, entry, beside, suggestion, lambda: self._changed(experiment.reference))

    def retire(self, suggestion: Suggestion) -> None:
        """Deletes the Deployment and the Service of a Suggestion, if there are any; volumes stay."""
        name = (suggestion.spec.algorithm or AlgorithmSpec()).algorithm_name
        early = (suggestion.spec.early_stopping or EarlyStoppingSpec()).algorithm_name
        entry = self._config.current.service_of(name, early)
        if not was_deployed(suggestion) and (entry is None or entry.address):
            return
        with self._making:
            for path in (deployment_path(suggestion), service_path(suggestion)):
                self._delete(path, suggestion.metadata.uid)

    def _delete(self, path: str, uid: str) -> None:
        try:
            found = msgspec.json.decode(self._server.request("GET", path), type=_Deployment).metadata
            if not found.is_controlled_by(uid):
                return
            body = {"propagationPolicy": "Background", "preconditions": {"uid": found.uid}}
            self._server.request("DELETE", path, body=json.dumps(body).encode())
        except NotFound:
            pass

    def make(self, objects: list[KubeObject], suggestion: Suggestion, *, is_over: Callable[[], bool]) -> None:
        """Makes what is not there yet."""
        with self._making:
            for each in objects:
                if is_over():
                    raise Unavailable("nobody waits for this service any more")
                try:
                    self._server.request("POST", each.collection, body=json.dumps(each.body).encode())
                    logger.info("made %s for Suggestion %s", each.path, suggestion.reference)
                except AlreadyExists:
                    self._check_owner(each, suggestion)

    def _check_owner(self, each: KubeObject, suggestion: Suggestion) -> None:
        if "ownerReferences" not in each.body["metadata"]:
            return
        found = msgspec.json.decode(self._server.request("GET", each.path), type=_Deployment).metadata
        if not found.is_controlled_by(suggestion.metadata.uid) or found.deletion_timestamp is not None:
            raise Unavailable(f"the {each.body['kind']} {each.name} is there already, and is not this Suggestion's")

    def find(self, suggestion: Suggestion) -> bool | None:
        """Whether the Deployment of a Suggestion is available; None where there is none of its own.

        Raises:
            Unavailable: it will not become so by itself.
        """
        try:
            found = msgspec.json.decode(self._server.request("GET", deployment_path(suggestion)), type=_Deployment)
        except NotFound:
            return None
        meta = found.metadata
        if not meta.is_controlled_by(suggestion.metadata.uid) or meta.deletion_timestamp is not None:
            return None
        conditions = {each.type: each for each in found.status.conditions or ()}
        available = conditions.get("Available")
        if available is not None and available.status == names.TRUE:
            return True
        for kind, bad in (("ReplicaFailure", names.TRUE), ("Progressing", names.FALSE)):
            trouble = conditions.get(kind)
            if trouble is not None and trouble.status == bad:
                raise Unavailable(f"the Deployment {meta.name} is not available: {trouble.message}")
        return False

    def address_of(self, suggestion: Suggestion, port: int = PORT) -> str:
        """Where its Service is reached."""
        return self._address_of(suggestion, port)

    def knows_grpc_probes(self) -> bool:
        """Whether the cluster's kubelets ask for health by gRPC."""
        if self._grpc_probes is None:
            version = msgspec.json.decode(self._server.request("GET", "/version"), type=_Version)
            numbers = ["".join(filter(str.isdigit, part)) or "0" for part in (version.major, version.minor)]
            self._grpc_probes = (int(numbers[0]), int(numbers[1])) >= GRPC_PROBES_SINCE
        return self._grpc_probes


class _DeployedService:
    """The service that is made for one Suggestion."""

    def __init__(
        self,
        deployments: AlgorithmDeployments,
        config: KatibConfig,
        entry: SuggestionEntry,
        early_stopping: EarlyStoppingEntry | None,
        suggestion: Suggestion,
        changed: Callable[[], None],
    ) -> None:
        self._deployments = deployments
        self._config = config
        self._entry = entry
        self._early_stopping = early_stopping
        self._suggestion = suggestion
        self._changed = changed
        self._over = threading.Event()
        # One that was ready is taken to be so until it is seen not to be: a restart of this process is no news.
        self.is_ready: bool | None = None if is_true(suggestion.status.conditions, names.DEPLOYMENT_READY) else False

    def reach(self) -> str:
        """The service's address, once its Deployment is available. Raises Unavailable, InvalidInput."""
        if self.is_ready is True:
            return self._deployments.address_of(self._suggestion)
        # All of it, though the Deployment be there: somebody may have deleted the Service.
        self._deployments.make(self._objects(), self._suggestion, is_over=self._over.is_set)
        pause = FIRST_LOOK_SECONDS
        while True:
            is_available = self._deployments.find(self._suggestion)
            if is_available is None:
                raise Unavailable(f"the Deployment {service_name(self._suggestion)} has gone; it is made again")
            if is_available is not self.is_ready:
                self.is_ready = is_available
                self._changed()
            if is_available:
                return self._deployments.address_of(self._suggestion)
            if self._over.wait(pause):
                raise Unavailable("nobody waits for this service any more")
            pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)

    def _objects(self) -> list[KubeObject]:
        probes = self._config.init.controller.enable_grpc_probe_in_suggestion
        return objects_of(
            self._suggestion,
            self._entry,
            self._early_stopping,
            probes=probes,
            grpc_probes=probes and self._deployments.knows_grpc_probes(),
        )

    @property
    def stopping_address(self) -> str:
        """Where the early stopping service in the same Pod is; empty where none is."""
        if self._early_stopping is None:
            return ""
        return self._deployments.address_of(self._suggestion, EARLY_STOPPING_PORT)

    def close(self) -> None:
        """Ends `reach`."""
        self._over.set()


def cluster_algorithms(
    server: ApiServer,
    config: LiveConfig,
    done: Callable[[Reference], None],
    *,
    db_manager_address: str = names.DEFAULT_DB_MANAGER_ADDRESS,
    address_of: Callable[[Suggestion, int], str] = cluster_address,
) -> AlgorithmGateway:
    """The algorithms of a cluster: pykatib's own in this process, the others where katib-config says."""
    deployments = AlgorithmDeployments(server, config, changed=done, address_of=address_of)

    def is_served(experiment: Experiment) -> bool:
        name = (experiment.spec.algorithm or AlgorithmSpec()).algorithm_name
        early = (experiment.spec.early_stopping or EarlyStoppingSpec()).algorithm_name
        known = config.current
        return (
            name not in registry.names()
            or known.service_of(name) is not None
            or known.early_stopping_service_of(early) is not None
        )

    def make_volume(suggestion: Suggestion) -> None:
        name = (suggestion.spec.algorithm or AlgorithmSpec()).algorithm_name
        objects = volume_objects(suggestion, config.current.suggestions.get(name))
        deployments.make(objects, suggestion, is_over=lambda: False)

    return AlgorithmRoutes(
        ThinkingHost(CheckpointClaims(AlgorithmHost(registry.create), make_volume), done=done),
        lambda: ThinkingHost(
            ServiceAsker(deployments.station, retire=deployments.retire, db_manager_address=db_manager_address),
            done=done,
        ),
        is_served=is_served,
    )
