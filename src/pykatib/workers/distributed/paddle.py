"""PaddleJob: Workers alone, or a Master that is the parameter server beside them."""

from pykatib.api.job import Json
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

MASTER, WORKER = "Master", "Worker"


class PaddleJobSpec(JobSpec, frozen=True):
    """The spec of a PaddleJob."""

    elastic_policy: Json | None = None
    paddle_replica_specs: dict[str, ReplicaSpec] = {}


def _offer(team: Team, replica: Replica, surroundings: Surroundings) -> Offer:
    lead = first_of(team, MASTER, WORKER)
    assert lead is not None
    variables = {
        "PADDLE_JOB_ID": team.name,
        "PADDLE_NNODES": str(len(team.replicas)),
        "PADDLE_MASTER": f"{ADDRESS}:{port_token(lead.name)}",
    }
    if lead == replica:
        variables["POD_IP_DUMMY"] = ADDRESS
    if team.of_type(MASTER):  # each pod has one server or one trainer
        variables["PADDLE_SERVER_NUM" if replica.type == MASTER else "PADDLE_TRAINER_NUM"] = "1"
    return Offer(variables=variables)


KIND = Kind(
    name="PaddleJob",
    api_versions=("kubeflow.org/v1",),
    spec_type=PaddleJobSpec,
    member="paddleReplicaSpecs",
    replica_types=(MASTER, WORKER),
    offer=_offer,
    leader=lambda team: first_of(team, MASTER, WORKER),
    success=lambda team: (team.of_type(WORKER) or team.of_type(MASTER),),
)
