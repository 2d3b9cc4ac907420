"""PyTorchJob: a Master and Workers that meet at the Master, or with an `elasticPolicy` at the first Worker.

`WORLD_SIZE` and `RANK` count replicas, as `torch.distributed` wants them when each is one process; the `PET_*` ones are
read by torchrun.
"""

from typing import Any

from pykatib.api.job import Json, JsonList
from pykatib.api.meta import Value
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
)
from pykatib.workers.findings import Findings
from pykatib.workers.pod_rules import GPU_RESOURCES

MASTER, WORKER = "Master", "Worker"


class ElasticPolicy(Value, frozen=True):
    """How torchrun finds and restarts its processes."""

    min_replicas: int | None = None
    max_replicas: int | None = None
    rdzv_backend: str | None = None
    rdzv_port: int | None = None
    rdzv_host: str | None = None
    rdzv_id: str | None = None
    rdzv_conf: JsonList = ()
    standalone: bool = False
    n_proc_per_node: int | None = None
    max_restarts: int | None = None
    metrics: tuple[Json, ...] = ()


class PyTorchJobSpec(JobSpec, frozen=True):
    """The spec of a PyTorchJob."""

    elastic_policy: ElasticPolicy | None = None
    pytorch_replica_specs: dict[str, ReplicaSpec] = {}
    nproc_per_node: str | int | None = None


def _spec(team: Team) -> PyTorchJobSpec:
    spec = team.spec
    assert isinstance(spec, PyTorchJobSpec)
    return spec


def _offer(team: Team, replica: Replica, surroundings: Surroundings) -> Offer:
    spec = _spec(team)
    processes = _processes_per_node(spec, replica)
    variables = {"PET_NPROC_PER_NODE": str(processes)}
    if team.of_type(MASTER):
        port = port_token("master-0")
        rank = team.replicas.index(replica)
        variables |= {
            "MASTER_ADDR": ADDRESS,
            "MASTER_PORT": port,
            "WORLD_SIZE": str(len(team.replicas) * (processes if _is_number(spec.nproc_per_node) else 1)),
            "RANK": str(rank),
            "PET_MASTER_ADDR": ADDRESS,
            "PET_MASTER_PORT": port,
            "PET_NODE_RANK": str(rank),
            "PET_NNODES": str(len(team.replicas)),
        }
    if spec.elastic_policy is not None:
        variables |= _elastic(spec.elastic_policy, team)
    return Offer(variables=variables)


def _elastic(policy: ElasticPolicy, team: Team) -> dict[str, str]:
    workers = len(team.of_type(WORKER))
    least, most = policy.min_replicas, policy.max_replicas
    nodes = str(workers) if least is None and most is None else f"{least or 1}:{most or workers}"
    variables = {
        "PET_RDZV_ENDPOINT": f"{ADDRESS}:{port_token('worker-0')}",
        "PET_RDZV_BACKEND": policy.rdzv_backend or "c10d",
        "PET_RDZV_ID": policy.rdzv_id or team.name,
        "PET_NNODES": nodes,
    }
    if policy.max_restarts is not None:
        variables["PET_MAX_RESTARTS"] = str(policy.max_restarts)
    if policy.rdzv_conf:
        pairs: list[Any] = [(entry.get("key"), entry.get("value")) for entry in policy.rdzv_conf]
        variables["PET_RDZV_CONF"] = ",".join(f"{key}={value}" for key, value in pairs)
    if policy.standalone:
        variables["PET_STANDALONE"] = ""
    return variables


def _processes_per_node(spec: PyTorchJobSpec, replica: Replica) -> int:
    """A number for torchrun: its own `auto` would count all CPUs of the machine for each replica."""
    written = spec.nproc_per_node
    if written is None and spec.elastic_policy is not None:
        written = spec.elastic_policy.n_proc_per_node
    if _is_number(written):
        return max(1, int(str(written)))
    for container in replica.spec.template.spec.containers:
        for resource in GPU_RESOURCES:
            amount = str(container.resources.limits.get(resource, ""))
            if amount.isdigit() and int(amount) and written != "cpu":
                return int(amount)
    return 1


def _is_number(written: str | int | None) -> bool:
    return str(written).isdigit()


def _success(team: Team) -> tuple[tuple[Replica, ...], ...]:
    return (team.of_type(MASTER) or team.of_type(WORKER),)


def _check(team: Team, surroundings: Surroundings, findings: Findings) -> None:
    spec = _spec(team)
    path = "spec.pytorchReplicaSpecs"
    if len(team.of_type(MASTER)) > 1:
        findings.refuse(f"{path}.Master.replicas", "found more than 1; a PyTorchJob has one Master")
    if not team.of_type(MASTER) and spec.elastic_policy is None:
        findings.refuse(path, "has no Master, where replicas meet; add one, or an elasticPolicy")
    if spec.elastic_policy is not None and not team.of_type(WORKER):
        findings.refuse(path, "has no Worker, which elasticPolicy needs")
    written = spec.nproc_per_node
    if written is not None and not _is_number(written) and written not in ("auto", "cpu", "gpu"):
        findings.refuse("spec.nprocPerNode", f"found {written!r}; a number, auto, cpu or gpu would do")


KIND = Kind(
    name="PyTorchJob",
    api_versions=("kubeflow.org/v1",),
    spec_type=PyTorchJobSpec,
    member="pytorchReplicaSpecs",
    replica_types=(MASTER, WORKER),
    offer=_offer,
    leader=lambda team: first_of(team, MASTER),
    success=_success,
    check=_check,
)
