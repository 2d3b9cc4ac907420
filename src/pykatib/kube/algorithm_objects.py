"""What is made in a cluster for a suggestion service of one Suggestion, as Katib makes it: bodies for the API server.

A Deployment and a Service of the name `<suggestion>-<algorithm>`; a claim of a volume where the Experiment is to be
resumed from one; a service account with a Role where early stopping runs beside it, for that changes Trials. All
belong to the Suggestion and go with it.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.shared import AlgorithmSpec
from pykatib.api.suggestion import Suggestion
from pykatib.kube.katib_config import (
    DEFAULT_CLAIM,
    EARLY_STOPPING_PORT,
    EARLY_STOPPING_PORT_NAME,
    PORT,
    PORT_NAME,
    EarlyStoppingEntry,
    SuggestionEntry,
)

VOLUME: Final = "suggestion-volume"
HEALTH_SERVICE: Final = "manager.v1beta1.Suggestion"
MAX_NAME_LENGTH: Final = 63
STOPPING_VERBS: Final = ("get", "list", "watch", "update", "patch")
"""What stopping Trials takes. Nobody may grant what he does not have: Katib grants all, so its operator may do all."""


class KubeObject(NamedTuple):
    """An object: the path of its collection, its name, and the body that makes it."""

    collection: str
    name: str
    body: dict[str, Any]

    @property
    def path(self) -> str:
        """Where it is."""
        return f"{self.collection}/{self.name}"


def service_name(suggestion: Suggestion) -> str:
    """The name of everything that is made for a Suggestion."""
    return service_name_of(suggestion.metadata.name, (suggestion.spec.algorithm or AlgorithmSpec()).algorithm_name)


def service_name_of(suggestion: str, algorithm: str) -> str:
    """The same, by the names of both."""
    return f"{suggestion}-{algorithm}"


def deployment_path(suggestion: Suggestion) -> str:
    """Where the Deployment of a Suggestion is."""
    return f"/apis/apps/v1/namespaces/{suggestion.metadata.namespace}/deployments/{service_name(suggestion)}"


def service_path(suggestion: Suggestion) -> str:
    """Where the Service of a Suggestion is."""
    return f"/api/v1/namespaces/{suggestion.metadata.namespace}/services/{service_name(suggestion)}"


def objects_of(
    suggestion: Suggestion,
    entry: SuggestionEntry,
    early_stopping: EarlyStoppingEntry | None,
    *,
    probes: bool,
    grpc_probes: bool,
) -> list[KubeObject]:
    """All objects in the order in which they are made; the Deployment is the last.

    Args:
        suggestion: whom they serve.
        entry: what katib-config says of the algorithm.
        early_stopping: what runs beside it.
        probes: whether the kubelet asks for the service's health where the entry says nothing of probes.
        grpc_probes: whether the cluster knows probes by gRPC (Kubernetes 1.24); else the port alone is tried.

    Raises:
        InvalidInput: the name of the objects would be too long.
    """
    name, namespace = service_name(suggestion), suggestion.metadata.namespace
    if len(name) > MAX_NAME_LENGTH:
        text = f"its service would be called {name!r}, which has more than {MAX_NAME_LENGTH} characters"
        raise InvalidInput([FieldError("metadata.name", text)])
    found: list[KubeObject] = []
    on_volume = suggestion.spec.resume_policy == names.FROM_VOLUME
    if on_volume:
        found.extend(_volume(suggestion, entry))
    ports = [{"name": PORT_NAME, "port": PORT}]
    if early_stopping is not None:
        ports.append({"name": EARLY_STOPPING_PORT_NAME, "port": EARLY_STOPPING_PORT})
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned(suggestion),
        "spec": {"type": "ClusterIP", "selector": _pod_labels(suggestion), "ports": ports},
    }
    found.append(KubeObject(f"/api/v1/namespaces/{namespace}/services", name, service))
    account = entry.service_account_name
    if early_stopping is not None and not account:
        account = name
        found.extend(_account(suggestion))
    pod: dict[str, Any] = {"containers": [_container(entry, on_volume=on_volume, probes=probes, grpc=grpc_probes)]}
    if early_stopping is not None:
        pod["containers"].append(
            {
                "name": "early-stopping",
                "image": early_stopping.image,
                "imagePullPolicy": early_stopping.image_pull_policy,
                "resources": early_stopping.resources,
                "ports": [{"name": EARLY_STOPPING_PORT_NAME, "containerPort": EARLY_STOPPING_PORT}],
            }
        )
    if on_volume:
        pod["volumes"] = [{"name": VOLUME, "persistentVolumeClaim": {"claimName": name}}]
    if account:
        pod["serviceAccountName"] = account
    meta = suggestion.metadata
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**_owned(suggestion), "labels": meta.labels, "annotations": meta.annotations},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _pod_labels(suggestion)},
            "template": {
                "metadata": {"labels": _pod_labels(suggestion), "annotations": meta.annotations},
                "spec": pod,
            },
        },
    }
    found.append(KubeObject(f"/apis/apps/v1/namespaces/{namespace}/deployments", name, deployment))
    return found


def volume_objects(suggestion: Suggestion, entry: SuggestionEntry | None) -> list[KubeObject]:
    """The volume of a Suggestion whose algorithm runs in the operator's process: the claim, of what the entry says."""
    return _volume(suggestion, entry or SuggestionEntry())


def _owned(suggestion: Suggestion) -> dict[str, Any]:
    meta = suggestion.metadata
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.SUGGESTION,
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"name": service_name(suggestion), "namespace": meta.namespace, "ownerReferences": [owner]}


def _pod_labels(suggestion: Suggestion) -> dict[str, str]:
    name = suggestion.metadata.name
    return {
        **suggestion.metadata.labels,
        names.LABEL_DEPLOYMENT: service_name(suggestion),
        names.LABEL_EXPERIMENT: name,
        names.LABEL_SUGGESTION: name,
        "sidecar.istio.io/inject": "false",
    }


def _container(entry: SuggestionEntry, *, on_volume: bool, probes: bool, grpc: bool) -> dict[str, Any]:
    container = dict(entry.container)
    container["ports"] = [*(container.get("ports") or ()), {"name": PORT_NAME, "containerPort": PORT}]
    if probes:
        health = {"grpc": {"port": PORT, "service": HEALTH_SERVICE}} if grpc else {"tcpSocket": {"port": PORT}}
        # Katib waits 10 s before it looks for the first time; a service is ready as soon as it answers.
        container.setdefault("readinessProbe", {**health, "initialDelaySeconds": 1, "periodSeconds": 2})
        container.setdefault(
            "livenessProbe", {**health, "initialDelaySeconds": 10, "periodSeconds": 120, "failureThreshold": 12}
        )
    mounts = container.get("volumeMounts") or []
    if on_volume and not any(mount.get("name") == VOLUME for mount in mounts if isinstance(mount, Mapping)):
        container["volumeMounts"] = [*mounts, {"name": VOLUME, "mountPath": entry.volume_mount_path}]
    return container


def _volume(suggestion: Suggestion, entry: SuggestionEntry) -> list[KubeObject]:
    name, namespace = service_name(suggestion), suggestion.metadata.namespace
    found: list[KubeObject] = []
    if entry.persistent_volume_spec is not None:
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{name}-{namespace}", "labels": entry.persistent_volume_labels},
            "spec": {**entry.persistent_volume_spec, "persistentVolumeReclaimPolicy": "Delete"},
        }
        found.append(KubeObject("/api/v1/persistentvolumes", f"{name}-{namespace}", volume))
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _owned(suggestion),
        "spec": entry.persistent_volume_claim_spec or dict(DEFAULT_CLAIM),
    }
    found.append(KubeObject(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", name, claim))
    return found


def _account(suggestion: Suggestion) -> list[KubeObject]:
    name, namespace = service_name(suggestion), suggestion.metadata.namespace
    owned = _owned(suggestion)
    group = "rbac.authorization.k8s.io"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": owned}
    role = {
        "apiVersion": f"{group}/v1",
        "kind": "Role",
        "metadata": owned,
        "rules": [{"apiGroups": [names.GROUP], "resources": ["trials", "trials/status"], "verbs": STOPPING_VERBS}],
    }
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": owned,
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
    }
    return [
        KubeObject(f"/api/v1/namespaces/{namespace}/serviceaccounts", name, account),
        KubeObject(f"/apis/{group}/v1/namespaces/{namespace}/roles", name, role),
        KubeObject(f"/apis/{group}/v1/namespaces/{namespace}/rolebindings", name, binding),
    ]
