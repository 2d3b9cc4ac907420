"""Plays Job controller, kubelet and collector: every Job of a namespace completes, and its Trial's metrics arrive."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from pykatib.api import names, wire
from pykatib.api.conditions import find_condition, is_true
from pykatib.api.defaults import default_experiment
from pykatib.api.errors import NotFound, Unavailable
from pykatib.api.experiment import (
    Experiment,
    ExperimentSpec,
    FeasibleSpace,
    ParameterSpec,
    TrialParameterSpec,
    TrialTemplate,
)
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import WorkerJob
from pykatib.api.shared import AlgorithmSpec, MetricLog, ObjectiveSpec
from pykatib.api.suggestion import Suggestion
from pykatib.api.times import rfc3339
from pykatib.api.trial import Trial
from pykatib.control.view import trial_state
from pykatib.store.contract import Change, ObservationStore
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer
from pykatib.store.kubernetes.resources import JOB
from pykatib.store.kubernetes.store import KubernetesStore

JOB_TEMPLATE = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "spec": {
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {"name": "training", "image": "example", "command": ["train", "--lr=${trialParameters.lr}"]}
                ],
            }
        }
    },
}


def experiment(
    namespace: str, name: str = "search", *, trials: int, parallel: int, goal: float | None = None
) -> Experiment:
    """An Experiment with its defaults, as the webhook would leave it."""
    return default_experiment(
        Experiment(
            metadata=ObjectMeta(name=name, namespace=namespace),
            spec=ExperimentSpec(
                parameters=(ParameterSpec("lr", names.DOUBLE, FeasibleSpace(min="0.01", max="1.0")),),
                objective=ObjectiveSpec(names.MINIMIZE, goal, "loss"),
                algorithm=AlgorithmSpec("random"),
                trial_template=TrialTemplate(
                    trial_spec=msgspec.Raw(msgspec.json.encode(JOB_TEMPLATE)),
                    trial_parameters=(TrialParameterSpec("lr", "", "lr"),),
                    primary_container_name="training",
                ),
                parallel_trial_count=parallel,
                max_trial_count=trials,
                max_failed_trial_count=0,
            ),
        )
    )


class FolderObservations:
    """An ObservationStore that several processes share: a file of JSON lines a Trial."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _file(self, namespace: str, trial_name: str) -> Path:
        return self._folder / f"{namespace}.{trial_name}.jsonl"

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog]) -> None:
        """Adds logs in their order."""
        with self._file(namespace, trial_name).open("ab") as file:
            file.write(b"".join(msgspec.json.encode(log) + b"\n" for log in logs))

    def logs(
        self,
        namespace: str,
        trial_name: str,
        *,
        metric_name: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> Iterator[MetricLog]:
        """The logs of a Trial; it is only ever asked for all of them here."""
        assert (metric_name, start, end) == (None, None, None)
        file = self._file(namespace, trial_name)
        lines = file.read_bytes().splitlines() if file.exists() else []
        return iter([msgspec.json.decode(line, type=MetricLog) for line in lines])

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """The last log of each metric."""
        return {log.name: log for log in self.logs(namespace, trial_name)}

    def delete(self, namespace: str, trial_name: str) -> None:
        """Forgets the logs of a Trial."""
        self._file(namespace, trial_name).unlink(missing_ok=True)


def loss_of(trial: Trial) -> float:
    """What the Trial would have measured."""
    lr = float(trial.spec.parameter_assignments[0].value)
    return (lr - 0.3) ** 2


class StandIn:
    """Completes Jobs on a thread of its own, from `start` to `stop`."""

    def __init__(self, server: ApiServer, namespace: str, observations: ObservationStore) -> None:
        self._store = KubernetesStore(server, namespace=namespace)
        self._server = server
        self._observations = observations
        self._over = threading.Event()
        self._waiting: list[WorkerJob] = []
        self._reported: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="stand-in")
        self.uids_by_job: dict[str, set[str]] = {}
        """All Jobs that ever were: more than one of a name means that a Trial was run twice."""

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends."""
        self._over.set()
        self._thread.join()
        self._store.close()

    def _run(self) -> None:
        self._store.subscribe([names.JOB], self._hear)
        while not self._over.is_set():
            self._store.pump()
            waiting, self._waiting = self._waiting, []
            for job in waiting:
                self._complete(job)
            if not waiting:
                self._store.wait(0.1)

    def _hear(self, change: Change) -> None:
        job = change.new
        if isinstance(job, WorkerJob) and change.old is None:
            self.uids_by_job.setdefault(job.metadata.name, set()).add(job.metadata.uid)
            if b'"Complete"' not in bytes(job.status):
                self._waiting.append(job)
        elif job is None and change.old is not None:  # nobody runs what is deleted
            gone = change.old.metadata.uid
            self._waiting = [each for each in self._waiting if each.metadata.uid != gone]

    def _complete(self, job: WorkerJob) -> None:
        meta = job.metadata
        path = f"/apis/kubeflow.org/v1beta1/namespaces/{meta.namespace}/trials/{meta.name}"
        try:
            if meta.uid not in self._reported:
                trial = wire.decode(self._server.request("GET", path), Trial)
                log = MetricLog(time.time(), "loss", repr(loss_of(trial)))
                self._observations.report(meta.namespace, meta.name, [log])
                self._reported.add(meta.uid)
            now = rfc3339(time.time())
            done = {"type": "Complete", "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
            status = {"conditions": [done], "succeeded": 1, "startTime": now, "completionTime": now}
            self._server.request(
                "PATCH",
                JOB.path(job.reference, "status"),
                body=json.dumps({"status": status}).encode(),
                content_type=MERGE_PATCH,
            )
        except NotFound:
            pass  # deleted in the meantime
        except Unavailable:  # the server is away
            self._waiting.append(job)
            self._over.wait(0.5)


def wait_for(what: str, reached: Callable[[], bool], *, seconds: float = 120.0) -> None:
    """Returns when `reached()`, asked now and then."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"never came to it: {what}"
        time.sleep(0.1)


def read_all(server: ApiServer, namespace: str, plural: str) -> list[dict[str, object]]:
    """All objects of a kind in a namespace."""
    answer = json.loads(server.request("GET", f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/{plural}"))
    items: list[dict[str, object]] = answer["items"]
    return items


def read_experiment(server: ApiServer, namespace: str, name: str = "search") -> Experiment:
    """An Experiment as it is in the cluster."""
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments/{name}"
    return wire.decode(server.request("GET", path), Experiment)


def read_suggestion(server: ApiServer, namespace: str, name: str = "search") -> Suggestion:
    """A Suggestion as it is in the cluster."""
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/suggestions/{name}"
    return wire.decode(server.request("GET", path), Suggestion)


def has_ended(server: ApiServer, namespace: str, name: str = "search") -> bool:
    """Whether the Experiment is Succeeded or Failed, and its Suggestion, whose turn comes next, has settled too."""
    conditions = read_experiment(server, namespace, name).status.conditions
    if not is_true(conditions, names.SUCCEEDED) and not is_true(conditions, names.FAILED):
        return False
    return not is_true(read_suggestion(server, namespace, name).status.conditions, names.RUNNING)


class JobsSeen(Protocol):
    """Somebody who has seen all Jobs that ever were."""

    uids_by_job: dict[str, set[str]]


def check_invariants(server: ApiServer, namespace: str, stand_in: JobsSeen, name: str = "search") -> None:
    """What Katib's own end-to-end tests assert after success, and that no Trial was run twice."""
    found = read_experiment(server, namespace, name)
    status = found.status
    succeeded = find_condition(status.conditions, names.SUCCEEDED)
    assert succeeded is not None
    assert succeeded.status == "True"
    assert not is_true(status.conditions, names.FAILED)
    objective = found.spec.objective
    assert objective is not None
    best = status.current_optimal_trial.observation.metric(objective.objective_metric_name)
    assert best is not None
    if succeeded.reason == names.EXPERIMENT_MAX_TRIALS_REACHED:
        assert status.trials_succeeded + status.trials_early_stopped == found.spec.max_trial_count
    if succeeded.reason == names.EXPERIMENT_GOAL_REACHED:
        assert objective.goal is not None
        assert float(best.min) <= objective.goal
    suggestion = read_suggestion(server, namespace, name)
    assert not is_true(suggestion.status.conditions, names.RUNNING)
    trials = [wire.decode(json.dumps(each), Trial) for each in read_all(server, namespace, "trials")]
    assert [trial_state(trial) for trial in trials] == [names.SUCCEEDED] * len(trials)
    assert min(loss_of(trial) for trial in trials) == float(best.min)
    assert len(trials) == status.trials == len(suggestion.status.suggestions)
    twice = {job: uids for job, uids in stand_in.uids_by_job.items() if len(uids) > 1}
    assert not twice
    assert {*stand_in.uids_by_job} == {trial.metadata.name for trial in trials}
