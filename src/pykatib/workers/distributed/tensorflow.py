"""TFJob: chief, parameter servers, workers and an evaluator, each of which listens; `TF_CONFIG` tells who is where.

The job ends with its chief, or where there is none with worker 0; with `successPolicy: AllWorkers` with all workers.
"""

import json
from typing import Any

from pykatib.workers.distributed.ports import port_token
from pykatib.workers.distributed.team import (
    ADDRESS,
    JobSpec,
    Kind,
    Offer,
    Replica,
    ReplicaSpec,
    Surroundings,
    Team,
    first_of,
    first_or_all,
)
from pykatib.workers.findings import Findings

CHIEF, MASTER, WORKER, PS, EVALUATOR = "Chief", "Master", "Worker", "PS", "Evaluator"
ALL_WORKERS = "AllWorkers"


class TFJobSpec(JobSpec, frozen=True):
    """The spec of a TFJob."""

    success_policy: str | None = None
    tf_replica_specs: dict[str, ReplicaSpec] = {}
    enable_dynamic_worker: bool = False


def _spec(team: Team) -> TFJobSpec:
    spec = team.spec
    assert isinstance(spec, TFJobSpec)
    return spec


def _offer(team: Team, replica: Replica, surroundings: Surroundings) -> Offer:
    if len(team.replicas) == 1:
        return Offer()  # a program alone must not take itself for one of several
    cluster: dict[str, list[str]] = {}
    for one in team.replicas:
        if one.type != EVALUATOR:  # it watches the others from outside
            cluster.setdefault(one.type.lower(), []).append(f"{ADDRESS}:{port_token(one.name)}")
    task = {"type": replica.type.lower(), "index": replica.index}
    config: dict[str, Any] = {"cluster": cluster, "task": task, "environment": "cloud"}
    if _spec(team).enable_dynamic_worker:
        config = {"sparseCluster": _sparse(cluster, replica), "task": task}
    return Offer(variables={"TF_CONFIG": json.dumps(config, separators=(",", ":"))})


def _sparse(cluster: dict[str, list[str]], replica: Replica) -> dict[str, Any]:
    """What a replica needs to know where workers come and go: itself, and for a worker the parameter servers."""
    if replica.type == PS:
        return {"worker": {}, "ps": [cluster["ps"][replica.index]]}
    worker = {str(replica.index): cluster["worker"][replica.index]} if replica.type == WORKER else {}
    return {"worker": worker, "ps": cluster.get("ps", []) if worker else []}


def _success(team: Team) -> tuple[tuple[Replica, ...], ...]:
    leaders = team.of_type(CHIEF, MASTER)
    if leaders:
        return (leaders,)
    return (team.of_type(WORKER),) if _spec(team).success_policy == ALL_WORKERS else first_or_all(team, WORKER)


def _check(team: Team, surroundings: Surroundings, findings: Findings) -> None:
    if not team.of_type(CHIEF, MASTER, WORKER):
        findings.refuse("spec.tfReplicaSpecs", "has neither Chief nor Worker, so nothing would train")
    if _spec(team).enable_dynamic_worker:
        findings.warn("spec.enableDynamicWorker", "sets TF_CONFIG; that a worker fails still fails the job here")
    policy = _spec(team).success_policy
    if policy not in (None, "", "Default", ALL_WORKERS):
        findings.refuse("spec.successPolicy", f"found {policy!r}; {ALL_WORKERS} would do, or nothing")


KIND = Kind(
    name="TFJob",
    api_versions=("kubeflow.org/v1",),
    spec_type=TFJobSpec,
    member="tfReplicaSpecs",
    replica_types=(CHIEF, MASTER, WORKER, PS, EVALUATOR),
    offer=_offer,
    leader=lambda team: first_of(team, CHIEF, MASTER, WORKER),
    success=_success,
    check=_check,
    endless=(PS, EVALUATOR),
)
