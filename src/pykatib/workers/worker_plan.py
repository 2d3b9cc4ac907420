"""Reads a Trial's worker job, of whatever kind runs on this machine: files and machine in, plan out."""

from collections.abc import Mapping
from pathlib import Path

from pykatib.api import names
from pykatib.api.trial import Trial
from pykatib.workers.distributed.kinds import not_here
from pykatib.workers.distributed.plan import head_of, plan_replicas
from pykatib.workers.pod import Place, PodPlan, Refused, plan_pod


def plan_worker(
    trial: Trial,
    *,
    place: Place,
    folder: Path,
    attempt: int = 0,
    extra_mounts: Mapping[str, Path] | None = None,
) -> PodPlan | Refused:
    """The plan of a Trial's worker job in this attempt's own folder, or why it cannot run on this machine."""
    head = head_of(bytes(trial.spec.run_spec))
    if head is None or (head.api_version, head.kind) == ("batch/v1", names.JOB):
        return plan_pod(trial, place=place, folder=folder, attempt=attempt, extra_mounts=extra_mounts)
    if head.known is None:
        return Refused((not_here(head.kind, head.api_version),))
    return plan_replicas(trial, head.known, place=place, folder=folder, extra_mounts=extra_mounts)
