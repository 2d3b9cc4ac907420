"""The kinds of distributed jobs: those that run on this machine, and those that are known to need a cluster."""

from typing import Final

import msgspec

from pykatib.api.errors import FieldError
from pykatib.api.schema_walk import shown, walk_tree
from pykatib.workers.distributed import jax, mpi, paddle, pytorch, tensorflow, xgboost
from pykatib.workers.distributed.team import RESTART_POLICIES, Document, JobSpec, Kind, Replica, ReplicaSpec, Team

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind for kind in (tensorflow.KIND, pytorch.KIND, mpi.KIND, xgboost.KIND, jax.KIND, paddle.KIND)
}
"""What runs here, by kind."""

_ELSEWHERE: Final = {
    "TrainJob": "Kubeflow Trainer, for what it runs is in a TrainingRuntime there",
    "RayJob": "KubeRay",
    "Workflow": "Argo Workflows",
    "PipelineRun": "Tekton",
    "MXJob": "the training operator",
}
MOST_REPLICAS: Final = 256


def is_distributed(kind: str) -> bool:
    """Whether a worker job of that kind runs as replicas here."""
    return kind in KINDS


def not_here(kind: str, api_version: str) -> FieldError:
    """Why a worker job of that kind does not run on this machine, and what would do."""
    found = f"found {kind or 'no kind'} of {api_version or 'no apiVersion'}"
    here = ", ".join(("Job", *KINDS))
    if kind in KINDS or kind == "Job":
        versions = " or ".join(KINDS[kind].api_versions) if kind in KINDS else "batch/v1"
        return FieldError("apiVersion", f"{found}; on this machine {kind} of {versions} runs")
    needs = f"a cluster with {_ELSEWHERE[kind]}" if kind in _ELSEWHERE else "a cluster that knows it"
    return FieldError("kind", f"{found}, which needs {needs}; on this machine {here} run")


def read_team(kind: Kind, name: str, run_spec: bytes) -> Team | tuple[FieldError, ...]:
    """The replicas of a job, or why it cannot be read, each mistake with its path within the job."""
    tree = msgspec.json.decode(run_spec)
    document, outer_errors, _ = walk_tree(tree, Document)
    spec, spec_errors, _ = walk_tree(tree.get("spec") or {}, kind.spec_type, path="spec")
    errors = [*outer_errors, *spec_errors]
    if document is None or not isinstance(spec, JobSpec) or errors:
        return tuple(errors)
    specs = _specs(kind, spec)
    canonical = {one.lower(): one for one in kind.replica_types}
    replicas: dict[str, list[Replica]] = {one: [] for one in kind.replica_types}
    for written, replica_spec in specs.items():
        path = f"spec.{kind.member}.{written}"
        role = canonical.get(written.lower())
        if role is None:
            errors.append(FieldError(path, f"is no type of {kind.name}; it has {', '.join(kind.replica_types)}"))
            continue
        count = 1 if replica_spec.replicas is None else replica_spec.replicas
        if not 0 <= count <= MOST_REPLICAS:
            errors.append(FieldError(f"{path}.replicas", f"found {count}; 0 to {MOST_REPLICAS} run on one machine"))
            continue
        policy = replica_spec.restart_policy
        if policy and policy not in RESTART_POLICIES:
            message = f"found {shown(policy)}; {', '.join(RESTART_POLICIES)} would do"
            errors.append(FieldError(f"{path}.restartPolicy", message))
        replicas[role] += [Replica(role, index, replica_spec, path) for index in range(count)]
    every = tuple(replica for role in kind.replica_types for replica in replicas[role])
    if not every and not errors:
        errors.append(FieldError(f"spec.{kind.member}", "has no replicas, so nothing would run"))
    if spec.run_policy.suspend:
        errors.append(FieldError("spec.runPolicy.suspend", "a suspended job never starts; take it out"))
    if errors:
        return tuple(errors)
    return Team(kind=kind.name, name=name, spec=spec, run_policy=spec.run_policy, replicas=every)


def _specs(kind: Kind, spec: JobSpec) -> dict[str, ReplicaSpec]:
    member = next(field.name for field in msgspec.structs.fields(spec) if field.encode_name == kind.member)
    specs: dict[str, ReplicaSpec] = getattr(spec, member)
    return specs
