"""Plays the training operator for PyTorchJobs: Pods, a Service for the master, and the job's status.

As much of it as a distributed Trial needs: the Pods carry the operator's labels and variables, belong to the job, and
are made once; the job succeeds with its master and fails with any replica. It talks to the API server only, so it works
where Pods run and where a test plays the kubelet.
"""

import copy
import json
import threading
from typing import Any

from worker_crds import PYTORCH_JOB

from pykatib.api.errors import AlreadyExists, NotFound, PykatibError
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer

LABELS = "training.kubeflow.org"
PORT = 23456
INTERVAL_SECONDS = 0.2
ENDS = ("Succeeded", "Failed")
TYPES = ("Master", "Worker")


class TrainingStandIn:
    """Looks after the PyTorchJobs of a namespace on a thread of its own, from `start` to `stop`."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self._server = server
        self._namespace = namespace
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="training-stand-in")
        self.failure: PykatibError | None = None
        """What the API server refused last, for tests that wait in vain."""

    def __enter__(self) -> "TrainingStandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(INTERVAL_SECONDS):
            try:
                for job in self._list(PYTORCH_JOB.path(self._namespace)):
                    if "deletionTimestamp" not in job["metadata"] and not _has_ended(job):
                        self._reconcile(job)
            except PykatibError as error:
                self.failure = error

    def _list(self, path: str, **params: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self._server.request("GET", path, params=params))["items"]
        return items

    def _core(self, plural: str) -> str:
        return f"/api/v1/namespaces/{self._namespace}/{plural}"

    def _reconcile(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        self._make("services", service_of(job))
        for pod in pods_of(job):
            self._make("pods", pod)
        pods = self._list(self._core("pods"), labelSelector=f"{LABELS}/job-name={name}")
        status = status_of(job, pods)
        body = json.dumps({"status": status}).encode()
        path = f"{PYTORCH_JOB.path(self._namespace)}/{name}/status"
        if status != job.get("status"):
            try:
                self._server.request("PATCH", path, body=body, content_type=MERGE_PATCH)
            except NotFound:
                pass  # it was deleted meanwhile

    def _make(self, plural: str, wanted: dict[str, Any]) -> None:
        try:
            self._server.request("POST", self._core(plural), body=json.dumps(wanted).encode())
        except AlreadyExists:
            pass


def service_of(job: dict[str, Any]) -> dict[str, Any]:
    """The name by which replicas find the master; it resolves before the master is ready."""
    name = f"{job['metadata']['name']}-master-0"
    selector = {f"{LABELS}/job-name": job["metadata"]["name"], f"{LABELS}/replica-type": "master"}
    return {
        "metadata": {"name": name, "ownerReferences": [_owner(job)]},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector,
            "ports": [{"name": "pytorchjob-port", "port": PORT}],
        },
    }


def pods_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The Pods of a job, with the variables by which they meet."""
    name, specs = job["metadata"]["name"], job["spec"]["pytorchReplicaSpecs"]
    replicas = [(kind, index) for kind in TYPES if kind in specs for index in range(specs[kind].get("replicas", 1))]
    pods: list[dict[str, Any]] = []
    for rank, (kind, index) in enumerate(replicas):
        template = copy.deepcopy(specs[kind]["template"])
        variables = {
            "PYTHONUNBUFFERED": "1",
            "MASTER_ADDR": "localhost" if rank == 0 else f"{name}-master-0",
            "MASTER_PORT": str(PORT),
            "WORLD_SIZE": str(len(replicas)),
            "RANK": str(rank),
        }
        for container in template["spec"]["containers"]:
            container.setdefault("env", []).extend({"name": key, "value": value} for key, value in variables.items())
        policy = specs[kind].get("restartPolicy", "OnFailure")
        template["spec"]["restartPolicy"] = "Never" if policy == "ExitCode" else policy
        labels = {
            f"{LABELS}/job-name": name,
            f"{LABELS}/operator-name": "pytorchjob-controller",
            f"{LABELS}/replica-type": kind.lower(),
            f"{LABELS}/replica-index": str(index),
            **({f"{LABELS}/job-role": "master"} if kind == "Master" else {}),
        }
        metadata = template.get("metadata", {})
        pods.append(
            {
                "metadata": {
                    "name": f"{name}-{kind.lower()}-{index}",
                    "labels": {**metadata.get("labels", {}), **labels},
                    "annotations": metadata.get("annotations", {}),
                    "ownerReferences": [_owner(job)],
                },
                "spec": template["spec"],
            }
        )
    return pods


def status_of(job: dict[str, Any], pods: list[dict[str, Any]]) -> dict[str, Any]:
    """Where a job stands, by its Pods."""
    specs = job["spec"]["pytorchReplicaSpecs"]
    tallies = {kind: dict.fromkeys(("active", "succeeded", "failed"), 0) for kind in specs}
    words = {"Running": "active", "Succeeded": "succeeded", "Failed": "failed"}
    for pod in pods:
        word = words.get(pod.get("status", {}).get("phase", ""))
        kind = next(one for one in specs if one.lower() == pod["metadata"]["labels"][f"{LABELS}/replica-type"])
        if word is not None:
            tallies[kind][word] += 1
    conditions = [_condition("Created", "PyTorchJobCreated")]
    if tallies["Master"]["succeeded"] == specs["Master"].get("replicas", 1):
        conditions += [
            _condition("Running", "PyTorchJobRunning", "False"),
            _condition("Succeeded", "PyTorchJobSucceeded"),
        ]
    elif any(tally["failed"] for tally in tallies.values()):
        conditions += [_condition("Running", "PyTorchJobRunning", "False"), _condition("Failed", "PyTorchJobFailed")]
    elif tallies["Master"]["active"]:
        conditions.append(_condition("Running", "PyTorchJobRunning"))
    started = job.get("status", {}).get("startTime") or job["metadata"]["creationTimestamp"]
    return {"conditions": conditions, "replicaStatuses": tallies, "startTime": started}


def _has_ended(job: dict[str, Any]) -> bool:
    found = job.get("status", {}).get("conditions", [])
    return any(one["type"] in ENDS and one["status"] == "True" for one in found)


def _condition(kind: str, reason: str, status: str = "True") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": f"PyTorchJob: {reason}"}


def _owner(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": job["apiVersion"],
        "kind": job["kind"],
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
