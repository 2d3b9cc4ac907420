"""A disk that fills up while Trials run: katib says so and ends; with space again, it goes on and nothing was lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.trial import Trial
from pykatib.embedded.folders import HomeFolders
from pykatib.store.reader import SqliteReader
from pykatib.workers.strays import find_strays

MANIFEST = """
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {name: full}
spec:
  objective: {type: minimize, objectiveMetricName: loss}
  algorithm: {algorithmName: random, algorithmSettings: [{name: random_state, value: "3"}]}
  parallelTrialCount: 2
  maxTrialCount: 20
  parameters: [{name: x, parameterType: double, feasibleSpace: {min: "0", max: "1"}}]
  trialTemplate:
    primaryContainerName: main
    trialParameters: [{name: x, reference: x}]
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
                command: [sh, -c, "echo loss=$0; ./fill", "${trialParameters.x}"]
"""
FILL = f"""#!{sys.executable} -IS
import os
with open("runs", "a") as runs:
    runs.write("run\\n")
with open("runs") as runs:
    number = len(runs.readlines())
try:
    if number >= 8:
        os.mkdir("filled")
    else:
        raise FileExistsError
except FileExistsError:
    raise SystemExit
target = os.open("home/filling", os.O_WRONLY | os.O_CREAT)
for size in (1 << 16, 1 << 12, 1):
    try:
        while True: os.write(target, bytes(size))
    except OSError:
        pass
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder whose `home` is a disk of its own, of a few megabytes."""
    home = tmp_path / "home"
    home.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(home)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(home)], check=True)


def katib(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pykatib.cli.main", *arguments, "--home", str(folder / "home"), "--quiet"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def trials_in(folder: Path) -> list[Trial]:
    reader = SqliteReader(HomeFolders(folder / "home").database)
    try:
        return [trial for trial in reader.list(names.TRIAL) if isinstance(trial, Trial)]
    finally:
        reader.close()


def test_a_full_disk_ends_the_run_with_a_sentence_and_loses_nothing(small_disk: Path) -> None:
    (small_disk / "full.yaml").write_text(MANIFEST)
    (small_disk / "fill").write_text(FILL)
    (small_disk / "fill").chmod(0o755)
    ended = katib(small_disk, "run", "full.yaml")
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "free some space, what was committed is safe" in ended.stderr
    assert find_strays(HomeFolders(small_disk / "home").home_id()) == []
    before = [trial for trial in trials_in(small_disk) if is_true(trial.status.conditions, names.SUCCEEDED)]
    assert 5 <= len(before) < 20

    (small_disk / "home" / "filling").unlink()
    ended = katib(small_disk, "resume", "full")
    assert ended.returncode == 0, ended.stderr
    trials = trials_in(small_disk)
    assert len(trials) == 20
    assert all(is_true(trial.status.conditions, names.SUCCEEDED) for trial in trials)
    kept = {trial.metadata.name: trial for trial in trials}
    assert [kept[trial.metadata.name] for trial in before] == before
