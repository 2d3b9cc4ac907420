"""A distributed job as values: its kind, its replicas in order, and what the kinds have in common.

Replica types and labels are the training operator's: a pod carries `training.kubeflow.org/replica-type: worker`,
`replica-index: "0"` and, where it is the one that leads, `job-role: master`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from pykatib.api.job import Json, PodTemplateSpec
from pykatib.api.meta import ObjectMeta, Value
from pykatib.workers.findings import Findings

ADDRESS: Final = "127.0.0.1"
"""Where all replicas are."""

LABELS: Final = "training.kubeflow.org"
EXIT_CODE: Final = "ExitCode"
RESTART_POLICIES: Final = ("Never", "OnFailure", "Always", EXIT_CODE)
RETRYABLE_FROM: Final = 128
"""With the restart policy ExitCode, the first exit code that is worth another attempt: those of signals."""
EXIT_CODE_LIMIT: Final = 6
"""How many other attempts ExitCode gets where no `backoffLimit` says."""


class RunPolicy(Value, frozen=True):
    """How long a job may run, how often it is tried, what is left of it."""

    clean_pod_policy: str = ""
    ttl_seconds_after_finished: int | None = None
    active_deadline_seconds: int | None = None
    backoff_limit: int | None = None
    scheduling_policy: Json | None = None
    suspend: bool = False
    managed_by: str = ""


class ReplicaSpec(Value, frozen=True):
    """The pods of one type."""

    replicas: int | None = None
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)
    restart_policy: str = ""


class JobSpec(Value, frozen=True):
    """What the specs of all kinds have."""

    run_policy: RunPolicy = msgspec.field(default_factory=RunPolicy)


class Document(Value, frozen=True, kw_only=True):
    """The outside of a job; its `spec` is read by its kind."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: Any = None
    status: Json | None = None


class Replica(msgspec.Struct, frozen=True):
    """One pod of a job: `type` as the kind writes it, `index` within its type, `path` of its spec within the job."""

    type: str
    index: int
    spec: ReplicaSpec
    path: str

    @property
    def name(self) -> str:
        """The end of the pod's name: `worker-0`."""
        return f"{self.type.lower()}-{self.index}"

    def may_retry(self, exit_code: int) -> bool:
        """Whether another attempt follows a failure of it, as long as the job allows any."""
        policy = self.spec.restart_policy
        return exit_code >= RETRYABLE_FROM if policy == EXIT_CODE else policy in ("OnFailure", "Always")

    def retry_limit(self, backoff_limit: int | None) -> int:
        """How many attempts may follow. Without a limit there are none, as for a Job: here a person waits."""
        if backoff_limit is None:
            return EXIT_CODE_LIMIT if self.spec.restart_policy == EXIT_CODE else 0
        return backoff_limit


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """A job's replicas, those that lead before the others."""

    kind: str
    name: str
    spec: Any  # of the kind's own type; only the kind's own functions look into it
    run_policy: RunPolicy
    replicas: tuple[Replica, ...]

    def of_type(self, *types: str) -> tuple[Replica, ...]:
        """The replicas of some types, in order."""
        return tuple(replica for replica in self.replicas if replica.type in types)

    def find(self, name: str) -> Replica | None:
        """The replica of that name."""
        return next((replica for replica in self.replicas if replica.name == name), None)

    def counts(self) -> dict[str, int]:
        """How many replicas each type has."""
        return {replica.type: len(self.of_type(replica.type)) for replica in self.replicas}


class Surroundings(msgspec.Struct, frozen=True):
    """What a kind may ask of the machine: the user's own environment, and the folder of this attempt."""

    inherited: Mapping[str, str]
    folder: Path


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind adds to a replica: variables, files (by their path in the container), and how they are named."""

    variables: Mapping[str, str] = {}
    files: Mapping[str, str] = {}


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What pykatib knows of one kind.

    Args:
        name: The kind.
        api_versions: The versions that are read here.
        spec_type: The type of its spec.
        member: The field of the spec that holds the replicas, as it is written.
        replica_types: The types it has, in their order.
        offer: What a replica is told.
        leader: The replica whose pod has the role of the master.
        success: Sets of replicas; the job has succeeded when all of one set have.
        check: Further reasons why a job cannot run here.
        runs: Whether a replica is a process here at all.
        endless: Types whose replicas never end by themselves.
    """

    name: str
    api_versions: tuple[str, ...]
    spec_type: type[JobSpec]
    member: str
    replica_types: tuple[str, ...]
    offer: Callable[[Team, Replica, Surroundings], Offer]
    leader: Callable[[Team], Replica | None]
    success: Callable[[Team], tuple[tuple[Replica, ...], ...]]
    check: Callable[[Team, Surroundings, Findings], None] = lambda team, surroundings, findings: None
    runs: Callable[[Replica], bool] = lambda replica: True
    endless: tuple[str, ...] = ()


def labels_of(team: Team, kind: Kind, replica: Replica) -> dict[str, str]:
    """The labels that the training operator gives to a replica's pod."""
    labels = {
        f"{LABELS}/job-name": team.name,
        f"{LABELS}/operator-name": f"{team.kind.lower()}-controller",
        f"{LABELS}/replica-type": replica.type.lower(),
        f"{LABELS}/replica-index": str(replica.index),
    }
    if kind.leader(team) == replica:
        labels[f"{LABELS}/job-role"] = "master"
    return labels


def first_or_all(team: Team, *types: str) -> tuple[tuple[Replica, ...], ...]:
    """The success of jobs that end with the first replica of a type, or with all of them."""
    replicas = team.of_type(*types)
    return (replicas[:1], replicas)


def first_of(team: Team, *types: str) -> Replica | None:
    """The first replica of the first of these types that has any."""
    return next((replica for name in types for replica in team.of_type(name)), None)
