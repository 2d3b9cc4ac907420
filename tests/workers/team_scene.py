"""Experiments whose Trials are distributed jobs, made of few words, and what is seen of their replicas."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from job_bench import JobBench, manifest

from pykatib.api.meta import Reference
from pykatib.api.objects import WorkerJob
from pykatib.api.trial import Trial

MEMBERS = {
    "PyTorchJob": "pytorchReplicaSpecs",
    "TFJob": "tfReplicaSpecs",
    "XGBoostJob": "xgbReplicaSpecs",
    "MPIJob": "mpiReplicaSpecs",
    "JAXJob": "jaxReplicaSpecs",
    "PaddleJob": "paddleReplicaSpecs",
}


def replica(
    command: Sequence[str],
    *,
    count: int = 1,
    policy: str = "Never",
    pod: Mapping[str, Any] | None = None,
    **container: Any,
) -> dict[str, Any]:
    """The replicas of one type."""
    own = {"name": "main", "image": "none", "command": list(command), **container}
    own["env"] = [{"name": "X", "value": "${trialParameters.x}"}, *own.get("env", [])]
    return {"replicas": count, "restartPolicy": policy, "template": {"spec": {"containers": [own], **(pod or {})}}}


def job_of_kind(
    kind: str, *, version: str = "kubeflow.org/v1", spec: Mapping[str, Any], **types: Any
) -> dict[str, Any]:
    """A distributed job with replicas of these types."""
    return {"apiVersion": version, "kind": kind, "spec": {MEMBERS[kind]: types, **spec}}


def team(
    kind: str = "PyTorchJob",
    *,
    spec: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    retain: bool = False,
    **types: Any,
) -> dict[str, Any]:
    """An Experiment of such jobs; `options` are those of `manifest`."""
    template: dict[str, Any] = {"trialSpec": job_of_kind(kind, spec=spec or {}, **types), "retain": retain}
    if labels is not None:
        template["primaryPodLabels"] = dict(labels)
    return manifest(["true"], template=template, **(options or {}))


def replica_log(bench: JobBench, trial: Trial, name: str) -> str:
    """What a replica that is not the primary one has printed, in the last attempt."""
    return (bench.attempts(trial)[-1].path / "replicas" / f"{name}.log").read_text()


def status_of(bench: JobBench, trial: Trial) -> dict[str, Any]:
    """The status of a Trial's worker job that was retained."""
    run_spec = msgspec.json.decode(trial.spec.run_spec)
    reference = Reference(run_spec["kind"], "default", trial.metadata.name, run_spec["apiVersion"])
    job = bench.home.store.find(reference)
    assert isinstance(job, WorkerJob)
    status: dict[str, Any] = msgspec.json.decode(job.status)
    return status
