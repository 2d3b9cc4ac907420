"""The checkpoint folders of Trials that continue others, on one machine.

An algorithm says by a setting (`suggestion_trial_dir`) where a worker's checkpoints are in its container, and by
labels which Trial is the parent of which (`pykatib.algorithms.lineage`). Every attempt at such a Trial has a folder of
its own, `<attempt>/checkpoint`: empty, or a copy of what the parent's last attempt has left. So a Trial that is tried
again begins with its parent's once more, and a folder never changes after its Trial has ended. A program of its own
copies before the worker's (`checkpoint_copy`); under its final name a folder is whole.

Folders are removed once nobody can descend from their Trials (`Lines`), but for that of the best Trial so far.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from pykatib.algorithms.checkpoint_setting import PATH, checkpoint_path
from pykatib.algorithms.lineage import Lines, LineState, lineage_of
from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.trial import Trial
from pykatib.control.observation import number_of, value_text
from pykatib.control.view import trial_state
from pykatib.store.contract import Change, Store, Subscription
from pykatib.workers import checkpoint_copy
from pykatib.workers.attempts import AttemptFolder, attempts_in
from pykatib.workers.distributed.plan import GangPlan
from pykatib.workers.pod import PodPlan, ProcessPlan

FOLDER: Final = "checkpoint"
_STATES: Final[Mapping[str, LineState]] = {
    names.SUCCEEDED: "with result",
    names.EARLY_STOPPED: "with result",
    names.FAILED: "without result",
    names.KILLED: "without result",
    names.METRICS_UNAVAILABLE: "without result",
}


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint folder of one attempt: `path` in the container, `folder` here, `source` to be copied first."""

    path: str
    folder: Path
    source: Path | None
    stale: tuple[Path, ...]

    @property
    def mounts(self) -> Mapping[str, Path]:
        """Where the container's path is on this machine."""
        return {self.path: self.folder}

    def made(self, plan: PodPlan) -> PodPlan:
        """The plan of an attempt with the folder made, where nothing is copied."""
        return plan if self.source else msgspec.structs.replace(plan, folders=(*plan.folders, self.folder))

    def copying(self) -> ProcessPlan | None:
        """The process that copies."""
        if self.source is None:
            return None
        program = str(Path(checkpoint_copy.__file__).resolve())
        return ProcessPlan(
            name=FOLDER,
            argv=(sys.executable, "-I", "-S", program, str(self.source), str(self.folder)),
            cwd=self.folder.parent,
            env=dict(os.environ),
        )

    def drop_stale(self) -> None:
        """Removes what earlier attempts at the Trial have left, and half copies."""
        for folder in self.stale:
            _remove(folder)

    def unseen(self, plan: PodPlan) -> FieldError | None:
        """What to say where nothing that a worker is given names the folder."""
        processes = [one.main for one in plan.replicas] if isinstance(plan, GangPlan) else [plan.main]
        local = str(self.folder)
        texts = (text for process in processes for text in (*process.argv, *process.env.values()))
        if any(local in text for text in texts):
            return None
        message = (
            f"{names.CHECKPOINT_SETTING} is {self.path}, which neither the command nor a variable of the worker names; "
            f"a program that has the path built in does not find its checkpoints on this machine"
        )
        return FieldError(PATH, message)


class CheckpointFolders:
    """Knows the folders of all Trials of a home, and removes those that have no use any more. One loop owns it."""

    def __init__(self, store: Store, trial_folder: Callable[[str, str, str], Path]) -> None:
        """`trial_folder` has all attempts of a Trial, by namespace, Experiment and Trial."""
        self._store = store
        self._trial_folder = trial_folder
        self._lines: dict[tuple[str, str], Lines] = {}  # by namespace and Experiment
        self._best: dict[tuple[str, str], tuple[float, int, str, str]] = {}  # rank and Trial
        self._useless: set[tuple[str, str, str]] = set()
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Takes up the Trials in the store."""
        self._subscription = self._store.subscribe((names.TRIAL,), self._on_change)

    def close(self) -> None:
        """Hears no more."""
        if self._subscription is not None:
            self._subscription.close()

    def of(self, trial: Trial, experiment: Experiment, attempt: AttemptFolder) -> Checkpoint | None:
        """The folder of an attempt; None where the algorithm keeps none.

        Raises:
            InvalidInput: the parent's folder is not there.
        """
        path = checkpoint_path(experiment.spec.algorithm)
        if not path:
            return None
        folder = attempt.path / FOLDER
        lineage = lineage_of(trial.metadata.labels)
        source: Path | None = None
        if lineage is not None and lineage.parent:
            source = self._left_by(trial.metadata.namespace, experiment.metadata.name, lineage.parent)
            if not folder.is_dir() and (source is None or not source.is_dir()):
                text = f"the checkpoint folder of its parent, the Trial {lineage.parent}, is not there"
                raise InvalidInput([FieldError("metadata.labels", text)])
        earlier = [one for one in attempts_in(attempt.path.parent) if one.number < attempt.number]
        return Checkpoint(
            path=path,
            folder=folder,
            source=source,
            stale=tuple(one.path / FOLDER for one in earlier),
        )

    def _left_by(self, namespace: str, experiment: str, trial: str) -> Path | None:
        attempts = attempts_in(self._trial_folder(namespace, experiment, trial))
        return attempts[-1].path / FOLDER if attempts else None

    def sweep(self) -> bool:
        """Removes folders that have no use any more; True where there were any."""
        if not self._useless:
            return False
        useless, self._useless = self._useless, set()
        for namespace, experiment, trial in useless:
            key = (namespace, experiment)
            lines, best = self._lines.get(key), self._best.get(key)
            if (lines is None or not lines.holds(trial)) and (best is None or best[-1] != trial):
                for attempt in attempts_in(self._trial_folder(namespace, experiment, trial)):
                    _remove(attempt.path / FOLDER)
        return True

    def _on_change(self, change: Change) -> None:
        trial = change.new if change.new is not None else change.old
        if not isinstance(trial, Trial):
            return
        lineage = lineage_of(trial.metadata.labels)
        if lineage is None or not lineage.member:  # of whose line nothing is known
            return
        meta = trial.metadata
        key = (meta.namespace, meta.labels.get(names.LABEL_EXPERIMENT, ""))
        lines = self._lines.setdefault(key, Lines())
        if change.new is None:
            gone = lines.forget(meta.name, lineage)
        else:
            state = _STATES.get(trial_state(trial), "unfinished")
            gone = lines.note(meta.name, lineage, state)
            if state == "with result":
                gone = (*gone, *self._rank(key, trial))
        self._useless.update((*key, name) for name in gone)

    def _rank(self, key: tuple[str, str], trial: Trial) -> tuple[str, ...]:
        """Remembers the best Trial; the one that it was before may have no use any more."""
        objective = trial.spec.objective
        if objective is None:
            return ()
        value = number_of(value_text(trial.status.observation, objective, objective.objective_metric_name))
        if value is None or value != value:
            return ()
        uid = trial.metadata.uid  # of equal ones the first is the best, and uids grow
        rank = (-value if objective.type == names.MAXIMIZE else value, len(uid), uid, trial.metadata.name)
        before = self._best.get(key)
        if before is not None and rank >= before:
            return ()
        self._best[key] = rank
        return (before[-1],) if before is not None else ()


def _remove(folder: Path) -> None:
    for one in (folder, folder.with_name(f"{folder.name}.partial")):
        shutil.rmtree(one, ignore_errors=True)
