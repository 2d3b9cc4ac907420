"""Prints what a write costs each store, in microseconds, and what a finished Trial takes of memory and disk.

    python benchmarks/store_writes.py [trials [memory|sqlite]]

A Trial is written as the control plane writes it: created with its worker job, three status writes each, the job
deleted, one log reported, three events; its name is appended to the Experiment's list.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Raw
from msgspec.structs import replace

from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.meta import Condition, ObjectMeta, OwnerReference
from pykatib.api.objects import Event, Object, WorkerJob
from pykatib.api.shared import Metric, MetricLog, Observation, ParameterAssignment
from pykatib.api.trial import Trial, TrialSpec
from pykatib.store.contract import ObservationStore, Store
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore
from pykatib.store.sqlite import SqliteStore

MANIFEST = b'{"apiVersion":"batch/v1","kind":"Job","spec":{"template":{"spec":{"containers":[{"name":"main"}]}}}}'
WRITES_PER_TRIAL = 11


def owned_by(obj: Object) -> tuple[OwnerReference, ...]:
    """What a child of `obj` says about its owner."""
    meta = obj.metadata
    return (OwnerReference(obj.api_version, obj.kind, meta.name, meta.uid, controller=True, block_owner_deletion=True),)


def run(store: Store, observations: ObservationStore, trial_count: int) -> float:
    """Plays the life of so many Trials; answers the seconds that it took."""
    experiment = store.create(Experiment(metadata=ObjectMeta("e", namespace="default"), spec=ExperimentSpec()))
    labels = {"katib.kubeflow.org/experiment": "e"}
    owners = owned_by(experiment)
    began = time.perf_counter()
    for number in range(trial_count):
        name = f"e-{number:08}"
        assignments = (ParameterAssignment("lr", str(number / trial_count)), ParameterAssignment("layers", "3"))
        trial = store.create(
            Trial(
                metadata=ObjectMeta(name, namespace="default", labels=labels, owner_references=owners),
                spec=TrialSpec(parameter_assignments=assignments, run_spec=Raw(MANIFEST), labels=labels),
            )
        )
        meta = ObjectMeta(name, namespace="default", labels=labels, owner_references=owned_by(trial))
        job = store.create(WorkerJob(api_version="batch/v1", kind="Job", metadata=meta))
        for step in ("Created", "Running", "Succeeded"):
            moment = "2026-01-31T08:00:00Z"
            conditions = (*trial.status.conditions, Condition(step, "True", f"Trial{step}", "", moment, moment))
            status = replace(trial.status, conditions=conditions)
            if step == "Succeeded":
                observations.report("default", name, [MetricLog(time.time(), "loss", str(number))])
                value = str(number)
                status = replace(status, observation=Observation((Metric("loss", value, value, value),)))
            trial = store.update_status(replace(trial, status=status))
            job = store.update_status(replace(job, status=Raw(b'{"active":1,"step":"%s"}' % step.encode())))
            store.record(Event("Trial", "default", name, "Normal", f"Trial{step}", "", time.time()))
        store.delete(job.reference)
        names = experiment.status.succeeded_trial_list.append(name)
        experiment = store.update_status(
            replace(experiment, status=replace(experiment.status, succeeded_trial_list=names))
        )
        if isinstance(store, SqliteStore):
            store.commit_if_due(time.monotonic())
    store.flush()
    return time.perf_counter() - began


def measure(kind: str, trial_count: int) -> None:
    """Prints the line of one store; memory is that of this process, which should have done nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "katib.db"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if kind == "memory":
            seconds = run(MemoryStore(time.time), MemoryObservationStore(), trial_count)
        else:
            store = SqliteStore(path, time.time)
            seconds = run(store, store.observations, trial_count)
            store.close()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        each = seconds / trial_count * 1e6
        disk = path.stat().st_size if path.exists() else 0
        print(
            f"{kind:7} {each:6.1f} µs a trial, {each / WRITES_PER_TRIAL:5.2f} µs a write, "
            f"{grown / trial_count:5.0f} bytes of memory and {disk / trial_count:5.0f} of disk a trial"
        )


def main() -> None:
    """Measures the store that is named, or each in a process of its own."""
    trial_count, *kinds = sys.argv[1:] or ["10000"]
    if kinds:
        measure(kinds[0], int(trial_count))
    else:
        for kind in ("memory", "sqlite"):
            subprocess.run([sys.executable, __file__, trial_count, kind], check=True)


if __name__ == "__main__":
    main()
