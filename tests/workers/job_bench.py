"""A home with its control plane and real processes, and Experiments made of few words, for tests of the runner."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import yaml

from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.manifest import decode_object, load_documents
from pykatib.api.meta import Reference
from pykatib.api.objects import ConfigMap, Event, Secret
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.embedded.home import open_home
from pykatib.workers.attempts import AttemptFolder, attempts_in
from pykatib.workers.places import place_annotations
from pykatib.workers.strays import find_strays, find_supervisors

PATIENCE_SECONDS = 60.0  # how long until a condition counts as never to come
PYTHON = (sys.executable, "-I", "-S", "-c")


def sh(script: str) -> list[str]:
    return ["sh", "-c", script.replace("$$", "$$$$")]  # in a manifest, two dollars stand for one


def py(program: str) -> list[str]:
    return [*PYTHON, program]


def manifest(
    command: Sequence[str],
    *,
    name: str = "tuning",
    container: Mapping[str, Any] | None = None,
    pod: Mapping[str, Any] | None = None,
    job: Mapping[str, Any] | None = None,
    template: Mapping[str, Any] | None = None,
    trials: int = 1,
    parallel: int = 1,
    failed: int | None = None,
    collector: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An Experiment that runs a command; `${trialParameters.x}` in it is a number of [0, 1]."""
    names_x = "${trialParameters.x}"
    own = {
        "name": "main",
        "image": "none",
        "command": list(command),
        **(container or {}),
    }
    own["env"] = [{"name": "X", "value": names_x}, *own.get("env", [])]
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "objective": {"type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": ["acc"]},
            "algorithm": {
                "algorithmName": "random",
                "algorithmSettings": [{"name": "random_state", "value": "7"}],
            },
            "parameters": [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": "0", "max": "1"}}],
            "parallelTrialCount": parallel,
            "maxTrialCount": trials,
            **({"maxFailedTrialCount": failed} if failed is not None else {}),
            **({"metricsCollectorSpec": collector} if collector is not None else {}),
            "trialTemplate": {
                "primaryContainerName": "main",
                "trialParameters": [{"name": "x", "reference": "x"}],
                "trialSpec": {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "spec": {
                        "template": {"spec": {"restartPolicy": "Never", "containers": [own], **(pod or {})}},
                        **(job or {}),
                    },
                },
                **(template or {}),
            },
        },
    }


class JobBench:
    """An open home. Its processes find the bench's folder as their working folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = open_home(folder / "home")
        self.plane = self.home.plane
        self.home_id = self.home.folders.home_id()
        self.plane.start()
        self.is_open = True

    def create(self, document: Mapping[str, Any], *beside: Mapping[str, Any], folder: Path | None = None) -> Experiment:
        return self.create_from(yaml.safe_dump_all([document, *beside]), folder=folder)

    def create_from(
        self,
        text: str,
        *,
        folder: Path | None = None,
        change: Callable[[Experiment], Experiment] = lambda found: found,
        images: Mapping[str, Path] | None = None,
    ) -> Experiment:
        experiment: Experiment | None = None
        beside: list[ConfigMap | Secret] = []
        for found in map(decode_object, load_documents(text.encode(), source="test")):
            meta = msgspec.structs.replace(found.metadata, namespace=found.metadata.namespace or "default")
            if isinstance(found, Experiment):
                annotations = place_annotations(folder or self.folder, images or {})
                meta = msgspec.structs.replace(meta, annotations=annotations)
                experiment = change(msgspec.structs.replace(found, metadata=meta))
            else:
                assert isinstance(found, ConfigMap | Secret)
                beside.append(msgspec.structs.replace(found, metadata=meta))
        assert experiment is not None
        for item in beside:
            self.plane.front_door.keep(item)
        return self.plane.front_door.create(experiment)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS

        def holds() -> bool:
            assert time.monotonic() < deadline, "the condition never came"
            return condition()

        self.plane.run(holds)

    def finish(self, *experiments: Experiment) -> list[Trial]:
        """Runs Experiments to their ends; all their Trials, in the order of their creation."""

        def over(experiment: Experiment) -> bool:
            meta = experiment.metadata
            found = self.plane.front_door.experiment(meta.namespace, meta.name)
            return is_completed(found) and not self.plane.control_plane.view(meta.namespace, meta.name).active_count

        self.until(lambda: all(map(over, experiments)))
        return [trial for experiment in experiments for trial in self.trials(experiment)]

    def run(self, document: Mapping[str, Any], *beside: Mapping[str, Any]) -> list[Trial]:
        return self.finish(self.create(document, *beside))

    def trials(self, experiment: Experiment | None = None) -> list[Trial]:
        namespace = experiment.metadata.namespace if experiment is not None else None
        labels = {names.LABEL_EXPERIMENT: experiment.metadata.name} if experiment is not None else None
        found = self.home.store.list(names.TRIAL, namespace=namespace, labels=labels)
        return [trial for trial in found if isinstance(trial, Trial)]

    def status_of(self, experiment: Experiment) -> Experiment:
        return self.plane.front_door.experiment(experiment.metadata.namespace, experiment.metadata.name)

    def logs(self, trial: Trial) -> list[MetricLog]:
        return list(self.home.store.observations.logs(trial.metadata.namespace, trial.metadata.name))

    def values(self, trial: Trial, metric: str = "loss") -> list[str]:
        return [log.value for log in self.logs(trial) if log.name == metric]

    def events(self, reason: str) -> list[Event]:
        return [event for event in self.home.store.events(namespace="default") if event.reason == reason]

    def attempts(self, trial: Trial) -> list[AttemptFolder]:
        meta = trial.metadata
        labels = meta.labels[names.LABEL_EXPERIMENT]
        return attempts_in(self.home.folders.trial(meta.namespace, labels, meta.name))

    def log(self, trial: Trial) -> str:
        attempts = self.attempts(trial)
        return attempts[-1].log.read_text() if attempts and attempts[-1].log_bytes() else ""

    def job_of(self, trial: Trial) -> Any:
        return self.home.store.find(Reference(names.JOB, "default", trial.metadata.name, "batch/v1"))

    def file(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def processes(self) -> list[psutil.Process]:
        return find_strays(self.home_id)

    def supervisor(self) -> psutil.Process:
        (found,) = find_supervisors(self.home_id)
        return found

    def close(self, *, now: bool = True) -> None:
        if self.is_open:
            self.is_open = False
            self.plane.close(now=now)

    def reopen(self) -> "JobBench":
        """Another life of the same home."""
        return JobBench(self.folder)

    def end(self) -> None:
        """Lets go, and makes sure that nothing is left."""
        self.close()
        assert find_strays(self.home_id) == []
        assert find_supervisors(self.home_id) == []


def condition_of(trial: Trial) -> str:
    """The terminal condition of a Trial."""
    kinds = (names.SUCCEEDED, names.FAILED, names.KILLED, names.EARLY_STOPPED, names.METRICS_UNAVAILABLE)
    (found,) = [kind for kind in kinds if is_true(trial.status.conditions, kind)]
    return found


def words_of(trial: Trial) -> tuple[str, str]:
    """Reason and message of the terminal condition."""
    kind = condition_of(trial)
    (found,) = [condition for condition in trial.status.conditions if condition.type == kind]
    return found.reason, found.message


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
