"""MPIJob: a Launcher that runs mpirun, and Workers that wait for it to start ranks in them.

Here mpirun starts the ranks itself, on this machine, with as many slots as the workers have together. So workers are no
processes of their own: what they would run, an ssh server or a sleep, only waits for the launcher. Ranks are not bound
to cores: mpirun would bind those of every Trial to the same ones.
"""

import os
import shutil

import msgspec

from pykatib.workers.distributed.team import (
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

LAUNCHER, WORKER = "Launcher", "Worker"
_HOSTFILE = "/etc/mpi/hostfile"
_IMPLEMENTATIONS = ("", "OpenMPI", "Intel", "MPICH")


class MPIJobSpec(JobSpec, frozen=True):
    """The spec of an MPIJob, v1 and v2beta1."""

    slots_per_worker: int | None = None
    mpi_replica_specs: dict[str, ReplicaSpec] = {}
    run_launcher_as_worker: bool = False
    launcher_creation_policy: str = ""
    mpi_implementation: str = msgspec.field(default="", name="mpiImplementation")
    ssh_auth_mount_path: str = msgspec.field(default="", name="sshAuthMountPath")
    clean_pod_policy: str = ""
    main_container: str = ""


def _spec(team: Team) -> MPIJobSpec:
    spec = team.spec
    assert isinstance(spec, MPIJobSpec)
    return spec


def _offer(team: Team, replica: Replica, surroundings: Surroundings) -> Offer:
    spec = _spec(team)
    hosts = len(team.of_type(WORKER)) + (1 if spec.run_launcher_as_worker else 0)
    slots = max(1, hosts) * max(1, spec.slots_per_worker or 1)
    implementation = spec.mpi_implementation or "OpenMPI"
    if implementation == "Intel":
        hostfile = f"localhost:{slots}\n"
        variables = {"I_MPI_HYDRA_HOST_FILE": _HOSTFILE, "I_MPI_PERHOST": str(slots), "I_MPI_PIN": "0"}
    elif implementation == "MPICH":
        hostfile = f"localhost:{slots}\n"
        variables = {"HYDRA_HOST_FILE": _HOSTFILE}
    else:
        hostfile = f"localhost slots={slots}\n"
        variables = {
            "OMPI_MCA_orte_default_hostfile": _HOSTFILE,
            "OMPI_MCA_orte_keep_fqdn_hostnames": "true",
            "OMPI_MCA_orte_set_default_slots": str(slots),
            "OMPI_MCA_hwloc_base_binding_policy": "none",
            "OMPI_MCA_mpi_yield_when_idle": "1",  # ranks may outnumber the cores that are free
            "PRTE_MCA_prte_default_hostfile": _HOSTFILE,  # the same for Open MPI 5
            "PRTE_MCA_hwloc_default_binding_policy": "none",
        }
        if os.geteuid() == 0:  # in a container the image says so
            variables |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return Offer(variables=variables, files={_HOSTFILE: hostfile})


def _check(team: Team, surroundings: Surroundings, findings: Findings) -> None:
    spec = _spec(team)
    if len(team.of_type(LAUNCHER)) != 1:
        count = len(team.of_type(LAUNCHER))
        findings.refuse("spec.mpiReplicaSpecs.Launcher.replicas", f"found {count}; an MPIJob has one Launcher")
    if spec.mpi_implementation not in _IMPLEMENTATIONS:
        findings.refuse(
            "spec.mpiImplementation", f"found {spec.mpi_implementation!r}; OpenMPI, Intel or MPICH would do"
        )
    if shutil.which("mpirun", path=surroundings.inherited.get("PATH")) is None:
        message = (
            "an MPIJob needs mpirun, which is not on this machine; install it "
            "(apt install openmpi-bin, brew install open-mpi, conda install openmpi)"
        )
        findings.refuse("kind", message)
    if team.of_type(WORKER):
        message = "is not run here: mpirun starts the ranks on this machine, with the workers' slots and resources"
        findings.warn("spec.mpiReplicaSpecs.Worker.template.spec.containers[0].command", message)


KIND = Kind(
    name="MPIJob",
    api_versions=("kubeflow.org/v1", "kubeflow.org/v2beta1"),
    spec_type=MPIJobSpec,
    member="mpiReplicaSpecs",
    replica_types=(LAUNCHER, WORKER),
    offer=_offer,
    leader=lambda team: first_of(team, LAUNCHER),
    success=lambda team: (team.of_type(LAUNCHER),),
    check=_check,
    runs=lambda replica: replica.type == LAUNCHER,
)
