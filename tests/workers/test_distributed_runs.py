"""Distributed jobs that run: whose end is the job's, whose metrics count, and that nothing of them is left over."""

import importlib.util
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from job_bench import PATIENCE_SECONDS, JobBench, condition_of, py, sh, words_of
from team_scene import replica, replica_log, status_of, team

from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.workers.logfile import LogBound
from pykatib.workers.processes import read_exit
from pykatib.workers.slots import Machine

ROOT = Path(__file__).parents[2]
MANIFESTS = Path(os.environ.get("KATIB_MANIFESTS", ROOT.parent / "shared" / "manifests" / "katib")).parent
WAITS = "while [ ! -e go ]; do sleep 0.02; done"
FOREVER = "touch up-$RANK; exec sleep 1000"

# Replicas that meet as torch's do: rank 0 listens, the others tell it their ranks.
MEETS = """
import os, socket, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    server = socket.create_server(("", address[1]))
    ranks = sorted(int(server.accept()[0].recv(9)) for _ in range(size - 1))
    print("met", ranks)
    print("loss=" + os.environ["X"])
else:
    while True:
        try:
            connection = socket.create_connection(address)
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            break
    connection.sendall(str(rank).encode())
    print("loss=99")
"""


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


# Success


def test_replicas_meet_and_the_masters_metrics_count(bench: JobBench) -> None:
    document = team(Master=replica(py(MEETS)), Worker=replica(py(MEETS), count=2), retain=True)
    [trial] = bench.run(document)
    assert condition_of(trial) == names.SUCCEEDED, words_of(trial)
    assert "met [1, 2]" in bench.log(trial)
    assert replica_log(bench, trial, "worker-1") == "loss=99\n"
    assert bench.values(trial) == [trial.spec.parameter_assignments[0].value]
    status = status_of(bench, trial)
    assert conditions(status) == {"Created": "True", "Running": "False", "Succeeded": "True"}
    assert status["replicaStatuses"] == {"Master": {"succeeded": 1}, "Worker": {"succeeded": 2}}
    assert status["startTime"] <= status["completionTime"]


def test_a_running_job_says_so(bench: JobBench) -> None:
    experiment = bench.create(team(Master=replica(sh(f"{WAITS}; echo loss=1")), Worker=replica(sh(WAITS), count=2)))
    bench.until(lambda: len(bench.processes()) >= 4)
    [trial] = bench.trials()
    bench.until(lambda: "replicaStatuses" in status_of(bench, trial))
    status = status_of(bench, trial)
    assert conditions(status) == {"Created": "True", "Running": "True"}
    assert status["replicaStatuses"] == {"Master": {"active": 1}, "Worker": {"active": 2}}
    (bench.folder / "go").touch()
    [trial] = bench.finish(experiment)
    assert condition_of(trial) == names.SUCCEEDED


def test_parameter_servers_end_with_the_workers(bench: JobBench) -> None:
    document = team("TFJob", Worker=replica(sh("echo loss=1"), count=2), PS=replica(sh(FOREVER)), retain=True)
    [trial] = bench.run(document)
    assert condition_of(trial) == names.SUCCEEDED
    assert status_of(bench, trial)["replicaStatuses"]["PS"] == {}
    assert bench.processes() == []


@pytest.mark.parametrize(
    ("policy", "ends"),
    [pytest.param({}, "was ended", id="worker 0"), pytest.param({"successPolicy": "AllWorkers"}, "waited", id="all")],
)
def test_a_success_policy_decides_who_is_waited_for(bench: JobBench, policy: dict[str, str], ends: str) -> None:
    # Worker 0 completes; the other one goes on for as long as it is let.
    script = """
import json, os, signal, sys, time
if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 0:
    while not os.path.exists("ready"):
        time.sleep(0.01)
    print("loss=1")
    sys.exit()
def end(*_):
    print("was ended", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, end)
open("ready", "w")
time.sleep(0.5)
print("waited", flush=True)
if not LATER:
    time.sleep(1000)
"""
    later = script.replace("LATER", str(bool(policy)))
    spec = {**policy, "runPolicy": {"cleanPodPolicy": "Running"}}
    document = team("TFJob", spec=spec, Worker=replica(py(later), count=2))
    [trial] = bench.run(document)
    assert condition_of(trial) == names.SUCCEEDED
    assert ends in replica_log(bench, trial, "worker-1")


def test_metrics_are_those_of_the_replica_with_the_labels(bench: JobBench) -> None:
    script = "echo loss=$RANK"
    labels = {"training.kubeflow.org/replica-type": "worker", "training.kubeflow.org/replica-index": "1"}
    [trial] = bench.run(
        team(
            Master=replica(sh(f"{WAITS}; {script}")), Worker=replica(sh(f"{script}; touch go"), count=2), labels=labels
        )
    )
    assert condition_of(trial) == names.SUCCEEDED
    assert bench.values(trial) == ["2"]
    assert replica_log(bench, trial, "master-0") == "loss=0\n"


def test_each_replica_writes_files_of_its_own(bench: JobBench) -> None:
    script = 'echo "loss=$RANK" >> /logs/out/metrics.txt; wc -l < /logs/out/metrics.txt'
    collector = {
        "collector": {"kind": "File"},
        "source": {"fileSystemPath": {"path": "/logs/out/metrics.txt", "kind": "File"}},
    }
    options = {"collector": collector}
    document = team(Master=replica(sh(script)), Worker=replica(sh(script)), options=options)
    [trial] = bench.run(document)
    assert condition_of(trial) == names.SUCCEEDED, words_of(trial)
    assert bench.values(trial) == ["0"]
    assert (bench.log(trial).strip(), replica_log(bench, trial, "worker-0").strip()) == ("1", "1")


def test_init_containers_run_before_each_replica(bench: JobBench) -> None:
    init = {"initContainers": [{"name": "i", "image": "none", "command": sh("echo first"), "env": []}]}
    script = sh("echo loss=1")
    [trial] = bench.run(team(Master=replica(script, pod=init), Worker=replica(script, pod=init)))
    assert condition_of(trial) == names.SUCCEEDED
    assert bench.log(trial) == replica_log(bench, trial, "worker-0") == "first\nloss=1\n"


# Failure


def test_the_first_that_fails_ends_the_others_and_says_why(bench: JobBench) -> None:
    master = sh("trap 'touch ended; exit 0' TERM; touch up; while :; do sleep 0.02; done")
    worker = sh("[ $RANK = 2 ] || exec sleep 1000; while [ ! -e up ]; do sleep 0.02; done; echo no data; exit 3")
    document = team(Master=replica(master), Worker=replica(worker, count=2), retain=True)
    [trial] = bench.run(document)
    assert condition_of(trial) == names.FAILED
    reason, message = words_of(trial)
    assert "the replica worker-1 exited with code 3; its last lines were:\nno data" in message
    assert reason
    assert (bench.folder / "ended").exists()
    assert bench.processes() == []
    status = status_of(bench, trial)
    assert conditions(status)["Failed"] == "True"
    assert status["replicaStatuses"]["Worker"] == {"failed": 1}
    assert "completionTime" not in status


def test_one_that_cannot_be_started_fails_the_job(bench: JobBench) -> None:
    program = bench.folder / "program"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    experiment = bench.create(team(Master=replica(sh("exec sleep 1000")), Worker=replica([str(program)])))
    program.write_text("#!/no/such/interpreter\n")
    [trial] = bench.finish(experiment)
    assert "the replica worker-0 could not be started" in words_of(trial)[1]


def test_a_replica_that_ignores_sigterm_is_killed_after_its_grace(bench: JobBench) -> None:
    stubborn = sh("trap '' TERM; touch up; while :; do sleep 0.02; done")
    pod = {"terminationGracePeriodSeconds": 1}
    worker = sh("while [ ! -e up ]; do sleep 0.02; done; exit 4")
    [trial] = bench.run(team(Master=replica(stubborn, pod=pod), Worker=replica(worker, pod=pod)))
    assert "worker-0 exited with code 4" in words_of(trial)[1]
    assert bench.processes() == []


@pytest.mark.parametrize(
    ("policy", "limit", "code", "attempts", "succeeds"),
    [
        pytest.param("OnFailure", 1, 1, 2, True, id="OnFailure"),
        pytest.param("OnFailure", None, 1, 1, False, id="OnFailure without a limit"),
        pytest.param("Never", 3, 1, 1, False, id="Never"),
        pytest.param("ExitCode", 3, 1, 1, False, id="ExitCode, permanent"),
        pytest.param("ExitCode", None, 138, 2, True, id="ExitCode, retryable"),
    ],
)
def test_restart_policies_say_whether_all_start_again(
    bench: JobBench, policy: str, limit: int | None, code: int, attempts: int, *, succeeds: bool
) -> None:
    # Worker 0 fails in its first attempt only. The master ends after it in any case.
    worker = f"echo >> runs; [ $(wc -l < runs) -ge 2 ] && touch done || {{ echo oh; exit {code}; }}"
    master = "echo loss=$(wc -l < runs); while [ ! -e done ]; do sleep 0.02; done; echo loss=0"
    spec = {"runPolicy": {} if limit is None else {"backoffLimit": limit}}
    (bench.folder / "runs").touch()
    document = team(spec=spec, Master=replica(sh(master)), Worker=replica(sh(worker), policy=policy))
    [trial] = bench.run(document)
    assert condition_of(trial) == (names.SUCCEEDED if succeeds else names.FAILED)
    assert len(bench.attempts(trial)) == attempts
    assert bench.file("runs").count("\n") == attempts
    if succeeds:
        assert len(bench.values(trial)) == 2  # of the last attempt alone
        assert bench.values(trial)[-1] == "0"


def test_a_job_that_takes_too_long_is_ended_whole(bench: JobBench) -> None:
    spec = {"runPolicy": {"activeDeadlineSeconds": 1}}
    [trial] = bench.run(team(spec=spec, Master=replica(sh(FOREVER)), Worker=replica(sh(FOREVER))))
    assert "PyTorchJob was active longer than its limit of 1 s" in words_of(trial)[1]
    assert bench.processes() == []


# Slots


def test_the_slots_of_all_replicas_are_taken_at_once(bench: JobBench) -> None:
    # Each replica asks for half of the machine: two jobs that each held one half would wait for ever.
    half = {"requests": {"cpu": f"{Machine.detect().millicpus // 2}m"}}
    script = sh("mkdir busy-$RANK || exit 1; sleep 0.1; rmdir busy-$RANK; echo loss=1")
    options = {"trials": 4, "parallel": 4}
    document = team(Master=replica(script, resources=half), Worker=replica(script, resources=half), options=options)
    trials = bench.run(document)
    assert [condition_of(trial) for trial in trials] == [names.SUCCEEDED] * 4, [words_of(one) for one in trials]


def test_jobs_at_the_same_time_meet_at_ports_of_their_own(bench: JobBench) -> None:
    options = {"trials": 6, "parallel": 6}
    trials = bench.run(team(Master=replica(py(MEETS)), Worker=replica(py(MEETS)), options=options))
    assert [condition_of(trial) for trial in trials] == [names.SUCCEEDED] * 6
    assert [bench.values(trial) for trial in trials] == [
        [trial.spec.parameter_assignments[0].value] for trial in trials
    ]


# Dying and coming back


def test_deleting_ends_all_replicas(bench: JobBench) -> None:
    bench.create(team(Master=replica(sh(FOREVER)), Worker=replica(sh(FOREVER), count=2)))
    bench.until(lambda: all((bench.folder / f"up-{rank}").exists() for rank in range(3)))
    bench.plane.front_door.delete("default", "tuning")
    bench.until(lambda: not bench.processes())
    assert bench.trials() == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next life ends them")
@pytest.mark.parametrize(
    ("who", "ends"),
    [pytest.param("supervisor", names.SUCCEEDED, id="supervisor"), pytest.param("gang", names.FAILED, id="gang")],
)
def test_when_who_watches_is_killed_the_replicas_are_too(bench: JobBench, who: str, ends: str) -> None:
    script = "echo $RANK >> begun; [ -e go ] || exec sleep 1000; echo loss=1"
    experiment = bench.create(team(Master=replica(sh(script)), Worker=replica(sh(script))))
    bench.until(lambda: bench.file("begun").count("\n") == 2)
    before = bench.processes()
    [gang] = [process for process in before if "gang" in " ".join(process.cmdline())]
    (bench.folder / "go").touch()
    (bench.supervisor() if who == "supervisor" else gang).kill()
    psutil.wait_procs(before, timeout=10)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in before)
    [trial] = bench.finish(experiment)  # what was lost with the supervisor is run again
    assert condition_of(trial) == ends
    assert bench.processes() == []
    if ends == names.FAILED:
        assert "what runs the replicas was ended by SIGKILL from outside" in words_of(trial)[1]


def test_a_closed_home_is_taken_up_where_it_was_left(bench: JobBench) -> None:
    script = "echo $RANK >> begun; [ -e go ] || exec sleep 1000; echo loss=1"
    experiment = bench.create(team(Master=replica(sh(script)), Worker=replica(sh(script))))
    bench.until(lambda: bench.file("begun").count("\n") == 2)
    bench.close(now=False)
    assert bench.processes() == []
    (bench.folder / "go").touch()
    again = bench.reopen()
    try:
        [trial] = again.finish(experiment)
        assert condition_of(trial) == names.SUCCEEDED
        assert again.file("begun").count("\n") == 4
    finally:
        again.end()


def test_a_job_that_ended_while_nobody_listened_is_read_and_not_run_again(bench: JobBench) -> None:
    script = "echo $RANK >> begun; echo loss=7; exec sleep 1000"
    experiment = bench.create(team(Master=replica(sh(script)), Worker=replica(sh("echo bad; exit 5")), retain=True))
    bench.until(lambda: any(map(bench.attempts, bench.trials())))
    [trial] = bench.trials()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while read_exit(bench.attempts(trial)[-1].exit) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    bench.close()
    again = bench.reopen()
    try:
        [trial] = again.finish(experiment)
        assert condition_of(trial) == names.FAILED
        assert "worker-0 exited with code 5; its last lines were:\nbad" in words_of(trial)[1]
        assert again.file("begun").count("\n") <= 1
    finally:
        again.end()


# Logs and files


def test_long_logs_of_replicas_are_cut_to_their_bound(bench: JobBench, monkeypatch: pytest.MonkeyPatch) -> None:
    [runner] = [one for one in bench.plane.front_door._runners() if hasattr(one, "_log_bound")]
    monkeypatch.setattr(runner, "_log_bound", LogBound(head_bytes=1000, tail_bytes=1000))
    flood = sh("seq 1 100000")
    [trial] = bench.run(team(Master=replica(sh("echo loss=1")), Worker=replica(flood)))
    text = replica_log(bench, trial, "worker-0")
    assert len(text) < 3000
    assert (text.startswith("1\n2\n"), "katib left out" in text) == (True, True)


def test_what_replicas_mounted_goes_with_the_job_and_their_variables_are_nobody_elses(bench: JobBench) -> None:
    pod = {"volumes": [{"name": "v", "emptyDir": {}}]}
    mounts = [{"name": "v", "mountPath": "/scratch"}]
    script = sh("echo a > /scratch/a; ls /scratch; echo loss=1")
    document = team(
        Master=replica(script, pod=pod, volumeMounts=mounts), Worker=replica(script, pod=pod, volumeMounts=mounts)
    )
    [trial] = bench.run(document)
    assert condition_of(trial) == names.SUCCEEDED
    [attempt] = bench.attempts(trial)
    assert not list(attempt.path.glob("**/volumes"))
    assert not (attempt.path / "gang.json").exists()


# Real programs


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here: apt install openmpi-bin")
def test_mpirun_starts_ranks_on_the_slots_of_the_workers(bench: JobBench) -> None:
    launcher = replica(["mpirun", *sh("echo rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE; echo loss=1")])
    worker = replica(["/usr/sbin/sshd", "-De"], count=3)
    [trial] = bench.run(team("MPIJob", Launcher=launcher, Worker=worker))
    assert condition_of(trial) == names.SUCCEEDED, words_of(trial)
    assert sorted(re.findall(r"rank (\d) of 3", bench.log(trial))) == ["0", "1", "2"]


def one_trial(experiment: Experiment) -> Experiment:
    spec = msgspec.structs.replace(experiment.spec, max_trial_count=1, parallel_trial_count=1, max_failed_trial_count=0)
    return msgspec.structs.replace(experiment, spec=spec)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="no torch here: pip install torch==2.13.0")
def test_two_processes_of_torch_train_together(bench: JobBench) -> None:
    file = ROOT / "examples" / "distributed" / "torch-gloo.yaml"
    experiment = bench.create_from(file.read_text(), folder=file.parent, change=one_trial)
    [trial] = bench.finish(experiment)
    assert condition_of(trial) == names.SUCCEEDED, words_of(trial)
    first, second = bench.log(trial), replica_log(bench, trial, "worker-0")
    assert ("process 0 of 2" in first, "process 1 of 2" in second) == (True, True)
    [checksum] = re.findall(r"network checksum (\S+)", first)
    assert f"network checksum {checksum}" in second
    losses = [float(value) for value in bench.values(trial)]
    assert len(losses) == 5
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "file",
    [
        ROOT / "examples" / "distributed" / "pytorchjob.yaml",
        MANIFESTS / "katib" / "pytorchjob-mnist.yaml",
        MANIFESTS / "seed" / "tfjob-mnist-with-summaries.yaml",
    ],
    ids=lambda file: str(file.stem),
)
def test_manifests_of_distributed_jobs_run_as_they_are(bench: JobBench, file: Path) -> None:
    if not file.exists():
        pytest.skip(f"there is no {file.name} here")
    experiment = bench.create_from(file.read_text(), folder=file.parent, change=one_trial)
    [trial] = bench.finish(experiment)
    assert condition_of(trial) == names.SUCCEEDED, words_of(trial)
    [attempt] = bench.attempts(trial)
    report = json.loads((attempt.path / "replicas.json").read_text())
    assert [one["how"] for one in report["replicas"]] == ["completed"] * 2
    found = trial.status.observation
    assert found is not None
    assert all(metric.latest != names.UNAVAILABLE for metric in found.metrics)
