"""Checkpoint folders of Trials that continue others: real processes, whoever is killed."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from job_bench import JobBench, condition_of, manifest, py, words_of

import pykatib
from pykatib.algorithms.lineage import lineage_of
from pykatib.api import names
from pykatib.api.meta import Reference
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.embedded.folders import HomeFolders
from pykatib.store.reader import SqliteReader
from pykatib.workers import checkpoint_copy
from pykatib.workers.attempts import attempts_in
from pykatib.workers.strays import find_strays, find_supervisors

# Says what it finds, adds its own name, and is better the larger x is.
TRAINS = """
import os, pathlib, sys, time
state = pathlib.Path('/checkpoints', 'state') if len(sys.argv) < 2 else pathlib.Path(sys.argv[1], 'state')
found = state.read_text() if state.exists() else ''
print('found=' + found, flush=True)
state.write_text('half')
time.sleep(float(os.environ.get('PAUSE', '0')))
state.write_text(found + os.environ['KATIB_TRIAL_NAME'] + ' ')
print('loss=' + str(1 - float(os.environ['X'])), flush=True)
"""


def pbt(program: str, *, trials: int, parallel: int = 1, settings: Mapping[str, str] | None = None, **more: Any) -> Any:
    document = manifest([*py(program), "/checkpoints"], trials=trials, parallel=parallel, **more)
    stated = {
        "random_state": "7",
        "suggestion_trial_dir": "/checkpoints/",
        "n_population": "5",
        "truncation_threshold": "0.2",
        **(settings or {}),
    }
    document["spec"]["algorithm"] = {
        "algorithmName": "pbt",
        "algorithmSettings": [{"name": name, "value": value} for name, value in stated.items()],
    }
    return document


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[JobBench]:
    bench = JobBench(tmp_path)
    yield bench
    bench.end()


def parent_of(trial: Trial) -> str:
    lineage = lineage_of(trial.metadata.labels)
    assert lineage is not None
    return lineage.parent


def found_by(log: str) -> str:
    return log.rpartition("found=")[2].partition("\n")[0]


def checkpoints(bench: JobBench, trials: Sequence[Trial]) -> dict[str, str]:
    """What lies in the folders that are still there."""
    states = {trial.metadata.name: attempt.path / "checkpoint" for trial in trials for attempt in bench.attempts(trial)}
    return {name: (path / "state").read_text() for name, path in states.items() if path.exists()}


def test_each_trial_finds_what_its_parent_has_left_and_folders_without_use_go(bench: JobBench) -> None:
    trials = bench.run(pbt(TRAINS, trials=25, parallel=2))

    assert [condition_of(trial) for trial in trials] == [names.SUCCEEDED] * 25
    found = {trial.metadata.name: found_by(bench.log(trial)) for trial in trials}
    for trial in trials:
        parent = parent_of(trial)
        assert found[trial.metadata.name] == (f"{found[parent]}{parent} " if parent else "")
    assert any(text.count(" ") >= 3 for text in found.values())
    left = checkpoints(bench, trials)
    assert all(text == f"{found[name]}{name} " for name, text in left.items())
    best = max(trials, key=lambda trial: float(trial.spec.parameter_assignments[0].value))
    assert best.metadata.name in left
    assert 5 <= len(left) <= 11  # two a member at most, and the best


def test_a_trial_that_is_tried_again_begins_with_its_parent_s_once_more(bench: JobBench) -> None:
    fails_first = TRAINS + "\nif found and not os.environ['POD_NAME'].endswith('-1'): sys.exit('on purpose')\n"
    pod_name = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    document = pbt(fails_first, trials=6, job={"backoffLimit": 1}, container={"env": [pod_name]})
    trials = bench.run(document)

    (last,) = [trial for trial in trials if parent_of(trial)]
    first, second = bench.attempts(last)
    assert found_by(first.log.read_text()) == found_by(second.log.read_text()) == f"{parent_of(last)} "
    assert [(one.path / "checkpoint").exists() for one in (first, second)] == [False, True]


def test_a_parent_s_folder_that_is_gone_is_named(bench: JobBench) -> None:
    experiment = bench.create(pbt(TRAINS, trials=6, failed=1))
    bench.until(lambda: len(bench.trials(experiment)) == 5)
    for trial in bench.trials(experiment)[:4]:
        bench.until(lambda trial=trial: bool(checkpoints(bench, [trial])))  # type: ignore[misc]
    bench.until(lambda: all(trial.status.completion_time for trial in bench.trials(experiment)[:4]))
    for trial in bench.trials(experiment)[:4]:
        for attempt in bench.attempts(trial):
            (attempt.path / "checkpoint").rename(attempt.path / "elsewhere")
    trials = bench.finish(experiment)
    (failed,) = [trial for trial in trials if condition_of(trial) == names.FAILED]
    text = f"the checkpoint folder of its parent, the Trial {parent_of(failed)}, is not there"
    assert text in words_of(failed)[1]


def test_a_command_that_does_not_name_the_folder_is_told_so(bench: JobBench) -> None:
    document = pbt("print('loss=1')", trials=1, settings={"suggestion_trial_dir": "/elsewhere"})
    bench.run(document)
    (event,) = [event for event in bench.events(names.RUNS_HERE) if "suggestion_trial_dir" in event.message]
    assert "/elsewhere, which neither the command nor a variable" in event.message


def test_a_function_is_refused_for_it_has_no_folder() -> None:
    settings = {"suggestion_trial_dir": "/checkpoints", "n_population": 5, "truncation_threshold": 0.2}
    with pytest.raises(pykatib.InvalidInput, match="pbt needs a program in a Job, no function"):
        pykatib.tune(
            objective=lambda parameters: float(parameters["x"]),
            parameters={"x": pykatib.search.double(0, 1)},
            objective_type="minimize",
            algorithm_name="pbt",
            algorithm_settings=settings,
            max_trial_count=2,
            run_in="inline",
            progress=False,
        )


def test_replicas_of_a_job_share_the_folder(bench: JobBench) -> None:
    replica = {
        "replicas": 1,
        "restartPolicy": "Never",
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "pytorch",
                        "image": "none",
                        "command": [*py(TRAINS), "/checkpoints"],
                        "env": [{"name": "X", "value": "${trialParameters.x}"}],
                    }
                ]
            }
        },
    }
    document = pbt(TRAINS, trials=6)
    template = document["spec"]["trialTemplate"]
    template.update(
        primaryContainerName="pytorch",
        trialSpec={
            "apiVersion": "kubeflow.org/v1",
            "kind": "PyTorchJob",
            "spec": {"pytorchReplicaSpecs": {"Master": replica}},
        },
    )
    trials = bench.run(document)
    assert [condition_of(trial) for trial in trials] == [names.SUCCEEDED] * 6
    assert found_by(bench.log(trials[-1])) == f"{parent_of(trials[-1])} "


def test_a_copy_is_whole_or_not_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "weights").write_bytes(b"\0\1" * 1000)
    (source / "deep" / "er" / "weights").chmod(0o640)
    (source / "latest").symlink_to(source / "deep")
    (source / "relative").symlink_to("deep/er")
    (source / "outside").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(source / "s"))
    (tmp_path / "target.partial").mkdir()
    (tmp_path / "target.partial" / "of an earlier try").touch()
    checkpoint_copy.copy(str(source), str(target))

    assert sorted(os.listdir(tmp_path)) == ["source", "target"]
    assert sorted(os.listdir(target)) == ["deep", "latest", "outside", "relative"]
    assert (target / "latest").readlink() == target / "deep"
    assert (target / "relative" / "weights").read_bytes() == b"\0\1" * 1000
    assert (target / "deep" / "er" / "weights").stat().st_mode & 0o777 == 0o640
    assert (target / "outside").readlink() == Path("/dev/null")


def test_what_cannot_be_copied_is_said(tmp_path: Path) -> None:
    program = [sys.executable, checkpoint_copy.__file__, str(tmp_path / "none"), str(tmp_path / "target")]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (result.returncode, os.listdir(tmp_path)) == (1, [])
    assert result.stderr.startswith("cannot copy the parent's checkpoints: ")


class Lives:
    """An Experiment run by `katib`, which is killed as often as one likes."""

    def __init__(self, folder: Path, *, pause: float) -> None:
        folder.mkdir()
        self.folder = folder
        self.folders = HomeFolders(folder / "home")
        self.is_begun = False
        document = pbt(TRAINS, trials=14, container={"env": [{"name": "PAUSE", "value": str(pause)}]})
        (folder / "pbt.yaml").write_text(yaml.safe_dump(document))

    def begin(self) -> "subprocess.Popen[bytes]":
        arguments = ["resume", "tuning"] if self.is_begun else ["run", "pbt.yaml"]
        return subprocess.Popen(
            [sys.executable, "-m", "pykatib.cli.main", *arguments, "--home", str(self.folders.root), "--quiet"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def live(self, seconds: float | None = None) -> None:
        with self.begin() as program:
            if seconds is not None:
                time.sleep(seconds)
                program.send_signal(signal.SIGKILL)
            _, said = program.communicate(timeout=60)
            assert seconds is not None or program.returncode == 0, said
        self.is_begun = self.is_begun or bool(self.chains())

    def chains(self) -> list[tuple[str, list[int]]]:
        """Of each Trial, in the order of proposals: its value, and by number those that trained before it."""
        if not self.folders.database.exists():
            return []
        reader = SqliteReader(self.folders.database)
        try:
            suggestion = reader.find(Reference(names.SUGGESTION, "default", "tuning"))
        finally:
            reader.close()
        if not isinstance(suggestion, Suggestion):
            return []
        assignments = list(suggestion.status.suggestions)
        number = {assignment.name: index for index, assignment in enumerate(assignments)}
        chains = []
        for assignment in assignments:
            attempts = attempts_in(self.folders.trial("default", "tuning", assignment.name))
            log = attempts[-1].log.read_text() if attempts and attempts[-1].log.exists() else ""
            chains.append((assignment.parameter_assignments[0].value, [number[name] for name in found_by(log).split()]))
        return chains

    def end(self) -> None:
        home_id = self.folders.home_id()
        deadline = time.monotonic() + 60
        while find_strays(home_id) or find_supervisors(home_id):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_killed_at_many_instants_every_trial_continues_what_it_would_have(tmp_path: Path) -> None:
    seed = int(os.environ.get("KATIB_FAULT_SEED", "2026"))
    print(f"KATIB_FAULT_SEED={seed}")
    instants = random.Random(seed)
    undisturbed, disturbed = Lives(tmp_path / "undisturbed", pause=0), Lives(tmp_path / "disturbed", pause=0.1)
    undisturbed.live()
    for _ in range(8):
        disturbed.live(instants.uniform(0.5, 1.3))
    disturbed.live()

    assert len(undisturbed.chains()) == 14
    assert max(len(chain) for _, chain in undisturbed.chains()) == 2
    assert disturbed.chains() == undisturbed.chains()
    for lives in (undisturbed, disturbed):
        lives.end()
