"""Kill it anywhere: whoever dies, at whatever instant, the next life goes on as if nothing had been.

An Experiment of short Trials runs through the command line and is killed at random instants: katib alone, the
supervisor of its processes, both, or everything at once as in a power cut. `KATIB_FAULT_SEED` chooses the instants.

The last act of each Trial is to write its name into a file; then it exits. While the supervisor lives, no name can be
there twice: whoever completed is on record before anybody asks. When the supervisor is killed in the very moment
between a program's last act and its exit being recorded, nobody can know that it completed, and it is run again: then a
Trial may have written once for each attempt of which no end is on record, and once more.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.errors import StorageFailed
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.trial import Trial
from pykatib.embedded.folders import HomeFolders
from pykatib.store.reader import SqliteReader
from pykatib.workers.attempts import attempts_in
from pykatib.workers.processes import read_exits
from pykatib.workers.strays import find_strays, find_supervisors

KILLS = 50
TRIALS = 40
PATIENCE_SECONDS = 120.0
NAME = "killed"
MANIFEST = f"""
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata:
  name: {NAME}
spec:
  objective: {{type: minimize, objectiveMetricName: loss}}
  algorithm:
    algorithmName: random
    algorithmSettings: [{{name: random_state, value: "11"}}]
  parallelTrialCount: 2
  maxTrialCount: {TRIALS}
  parameters:
    - {{name: x, parameterType: double, feasibleSpace: {{min: "0.1", max: "0.3"}}}}
  trialTemplate:
    primaryContainerName: main
    trialParameters:
      - {{name: x, reference: x}}
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
              - name: main
                image: none
                command: [sh, -c, "echo loss=$X; sleep $PAUSE; trap '' TERM; echo $KATIB_TRIAL_NAME >> done"]
                env:
                  - {{name: X, value: "${{trialParameters.x}}"}}
                  - {{name: PAUSE, value: "@PAUSE@"}}
"""


class Round:
    """One Experiment in a home of its own, from its first life to its last."""

    def __init__(self, folder: Path, *, pause: str = "${trialParameters.x}") -> None:
        folder.mkdir()
        self.folder = folder
        self.folders = HomeFolders(folder / "home")
        self.program: subprocess.Popen[bytes] | None = None
        self.output = (folder / "output").open("ab")
        (folder / "killed.yaml").write_text(MANIFEST.replace("@PAUSE@", pause))

    def begin_life(self) -> None:
        """Starts katib: with the manifest where the Experiment is not kept yet, else to go on."""
        arguments = ["resume", NAME] if self.experiment() is not None else ["run", "killed.yaml"]
        self.program = subprocess.Popen(
            [sys.executable, "-m", "pykatib.cli.main", *arguments, "--home", str(self.folders.root), "--quiet"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
        )

    def experiment(self) -> Experiment | None:
        """The Experiment as it is kept, if it is."""
        try:
            reader = SqliteReader(self.folders.database)
        except StorageFailed:
            return None
        try:
            found = reader.find(Reference(names.EXPERIMENT, "default", NAME))
        finally:
            reader.close()
        return found if isinstance(found, Experiment) else None

    def is_over(self) -> bool:
        """Whether the Experiment has come to its end."""
        found = self.experiment()
        return found is not None and is_true(found.status.conditions, names.SUCCEEDED)

    def live_a_while(self, instants: random.Random) -> None:
        """Lets katib live until some instant of its start, or of its work: a moment after a Trial was done."""
        assert self.program is not None
        if instants.random() < 0.5:
            time.sleep(instants.uniform(0.0, 0.8))
            return
        done_count = len(self.done())
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.done()) == done_count and self.program.poll() is None:
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.005)
        time.sleep(instants.uniform(0.0, 0.2))

    def kill(self, how: str) -> None:
        assert self.program is not None
        home_id = self.folders.home_id() if (self.folders.root / "home-id").exists() else "none yet"
        victims: list[psutil.Process | subprocess.Popen[bytes]] = []
        if how != "the supervisor":
            victims.append(self.program)
        if how != "katib":
            victims += find_supervisors(home_id)
        if how == "everything":
            victims += find_strays(home_id)
            _signal(victims, signal.SIGSTOP)  # so that nobody sees another die
        _signal(victims, signal.SIGKILL)
        if how != "the supervisor":
            self.program.wait()

    def finish(self) -> None:
        """Waits for the end of a life that nobody cuts short any more."""
        assert self.program is not None
        assert self.program.wait(PATIENCE_SECONDS) in (0, -signal.SIGKILL), self.said()
        assert self.is_over(), self.said()

    def said(self) -> str:
        return (self.folder / "output").read_text()

    def done(self) -> list[str]:
        path = self.folder / "done"
        return path.read_text().split() if path.exists() else []

    def close(self) -> None:
        if self.program is not None and self.program.poll() is None:
            self.kill("everything")
        self.output.close()


def _signal(victims: list[psutil.Process | subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for victim in victims:
        try:
            os.kill(victim.pid, number)
        except ProcessLookupError:
            continue


def assignments_of(round_: Round) -> list[str]:
    reader = SqliteReader(round_.folders.database)
    try:
        trials = reader.list(names.TRIAL, namespace="default")
    finally:
        reader.close()
    return [trial.spec.parameter_assignments[0].value for trial in trials if isinstance(trial, Trial)]


def check(round_: Round, *, expected: list[str], supervisor_was_killed: bool) -> None:
    """Holds what a round has left to what an undisturbed run leaves."""
    assert assignments_of(round_) == expected
    reader = SqliteReader(round_.folders.database)
    try:
        experiment = reader.find(Reference(names.EXPERIMENT, "default", NAME))
        trials = [trial for trial in reader.list(names.TRIAL, namespace="default") if isinstance(trial, Trial)]
        logs = {
            trial.metadata.name: [log.value for log in reader.logs("default", trial.metadata.name)] for trial in trials
        }
    finally:
        reader.close()
    assert isinstance(experiment, Experiment)
    assert is_true(experiment.status.conditions, names.SUCCEEDED)
    assert (experiment.status.trials, experiment.status.trials_succeeded) == (TRIALS, TRIALS)
    assert all(is_true(trial.status.conditions, names.SUCCEEDED) for trial in trials)
    written = Counter(round_.done())
    assert set(written) == {trial.metadata.name for trial in trials}
    for trial in trials:
        name = trial.metadata.name
        assert logs[name] == [trial.spec.parameter_assignments[0].value]
        attempts = attempts_in(round_.folders.trial("default", NAME, name))
        exits = [exit_ for attempt in attempts for exit_ in read_exits(attempt.exit).values()]
        assert sum(exit_.exit_code == 0 and not exit_.ended_by_supervisor for exit_ in exits) == 1
        unrecorded = len(attempts) - len(exits)
        assert written[name] <= 1 + (unrecorded if supervisor_was_killed else 0)
    home_id = round_.folders.home_id()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while find_strays(home_id) or find_supervisors(home_id):  # who was killed at the very end is still leaving
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_killed_at_fifty_instants_an_experiment_ends_as_if_nobody_had_been(tmp_path: Path) -> None:
    seed = int(os.environ.get("KATIB_FAULT_SEED", "2026"))
    print(f"KATIB_FAULT_SEED={seed}")
    instants = random.Random(seed)
    undisturbed = Round(tmp_path / "undisturbed", pause="0")
    undisturbed.begin_life()
    undisturbed.finish()
    undisturbed.close()
    expected = assignments_of(undisturbed)
    assert len(expected) == TRIALS

    kinds: Counter[str] = Counter()
    number = 0
    while kinds.total() < KILLS:
        number += 1
        round_ = Round(tmp_path / f"round-{number}")
        kinds_here: Counter[str] = Counter()
        try:
            round_.begin_life()
            while kinds.total() < KILLS:
                round_.live_a_while(instants)
                if round_.is_over():
                    break
                how = instants.choices(
                    ("katib", "the supervisor", "katib and the supervisor", "everything"), weights=(6, 1, 1, 2)
                )[0]
                round_.kill(how)
                kinds[how] += 1
                kinds_here[how] += 1
                if how != "the supervisor" and not round_.is_over():
                    round_.begin_life()
            round_.finish()
            supervisor_was_killed = kinds_here["katib"] < kinds_here.total()
            print(f"round {number}: {dict(kinds_here)}, {len(round_.done())} names")
            check(round_, expected=expected, supervisor_was_killed=supervisor_was_killed)
        finally:
            round_.close()


@pytest.mark.parametrize("statements", [(), ("PRAGMA journal_mode=WAL",)], ids=["empty file", "no schema"])
def test_a_home_whose_first_owner_died_while_making_it_can_be_used(tmp_path: Path, statements: tuple[str, ...]) -> None:
    round_ = Round(tmp_path / "home-to-be", pause="0")
    round_.folders.make()
    round_.folders.database.touch()
    with closing(sqlite3.connect(round_.folders.database)) as connection:
        for statement in statements:
            connection.execute(statement)
    round_.begin_life()
    round_.finish()
    round_.close()
    assert len(assignments_of(round_)) == TRIALS
