"""JAXJob: Workers that meet at the first of them."""

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

WORKER = "Worker"


class JAXJobSpec(JobSpec, frozen=True):
    """The spec of a JAXJob."""

    jax_replica_specs: dict[str, ReplicaSpec] = {}


def _offer(team: Team, replica: Replica, surroundings: Surroundings) -> Offer:
    return Offer(
        variables={
            "COORDINATOR_ADDRESS": ADDRESS,
            "COORDINATOR_PORT": port_token("worker-0"),
            "NUM_PROCESSES": str(len(team.replicas)),
            "PROCESS_ID": str(replica.index),
        }
    )


KIND = Kind(
    name="JAXJob",
    api_versions=("kubeflow.org/v1",),
    spec_type=JAXJobSpec,
    member="jaxReplicaSpecs",
    replica_types=(WORKER,),
    offer=_offer,
    leader=lambda team: first_of(team, WORKER),
    success=lambda team: (team.of_type(WORKER),),
)
