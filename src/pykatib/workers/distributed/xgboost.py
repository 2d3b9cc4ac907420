"""XGBoostJob: a Master, which tracks, and Workers. LightGBM's jobs are of this kind too and read `WORKER_*`.

On one machine the workers share an address, so each gets a port of its own as `WORKER_PORT`; `WORKER_ADDRS` names the
machine once a worker, as in a cluster, and so serves those who ask how many there are.
"""

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

MASTER, WORKER = "Master", "Worker"


class XGBoostJobSpec(JobSpec, frozen=True):
    """The spec of an XGBoostJob."""

    xgb_replica_specs: dict[str, ReplicaSpec] = {}


def _offer(team: Team, replica: Replica, surroundings: Surroundings) -> Offer:
    variables = {
        "MASTER_ADDR": ADDRESS,
        "MASTER_PORT": port_token("master-0"),
        "WORLD_SIZE": str(len(team.replicas)),
        "RANK": str(team.replicas.index(replica)),
    }
    workers = team.of_type(WORKER)
    if workers:
        own = replica if replica.type == WORKER else workers[0]
        variables["WORKER_PORT"] = port_token(own.name)
        variables["WORKER_ADDRS"] = ",".join(ADDRESS for _ in workers)
    return Offer(variables=variables)


def _check(team: Team, surroundings: Surroundings, findings: Findings) -> None:
    if len(team.of_type(MASTER)) != 1:
        count = len(team.of_type(MASTER))
        findings.refuse("spec.xgbReplicaSpecs.Master.replicas", f"found {count}; an XGBoostJob has one Master")


KIND = Kind(
    name="XGBoostJob",
    api_versions=("kubeflow.org/v1",),
    spec_type=XGBoostJobSpec,
    member="xgbReplicaSpecs",
    replica_types=(MASTER, WORKER),
    offer=_offer,
    leader=lambda team: first_of(team, MASTER),
    success=lambda team: (team.of_type(MASTER),),
    check=_check,
)
