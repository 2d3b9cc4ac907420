"""Waiting, stopping, deleting, dying and coming back: what becomes of jobs and their processes."""

import os
import re
import signal
import time
from pathlib import Path

import msgspec
import pytest
from job_bench import PATIENCE_SECONDS, JobBench, condition_of, manifest, runs, sh, words_of

from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.errors import HomeLocked
from pykatib.api.experiment import Experiment
from pykatib.embedded.home import open_home
from pykatib.workers.attempts import past_of
from pykatib.workers.processes import ProcessExit, read_exit
from pykatib.workers.slots import Machine

# Writes the beginning and the end of each run, and waits for a file named `go` in between.
WAITS = "echo begin $X >> record; while [ ! -e go ]; do sleep 0.02; done; echo end $X >> record; echo loss=$X"


def begun(bench: JobBench) -> list[str]:
    return re.findall(r"begin (.*)", bench.file("record"))


def ended(bench: JobBench) -> list[str]:
    return re.findall(r"end (.*)", bench.file("record"))


def wait_for_exit(bench: JobBench) -> None:
    """Waits until the only Trial's process has ended, while the loop stands still."""
    [trial] = bench.trials()
    [attempt] = bench.attempts(trial)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while read_exit(attempt.exit) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def go(bench: JobBench) -> None:
    (bench.folder / "go").touch()


def assignments(bench: JobBench, experiment: Experiment) -> list[str]:
    return [trial.spec.parameter_assignments[0].value for trial in bench.trials(experiment)]


# Slots


def test_trials_that_ask_for_cpus_wait_for_them(bench: JobBench) -> None:
    cpus = Machine.detect().millicpus // 1000
    container = {"resources": {"requests": {"cpu": str(cpus)}}}
    experiment = bench.create(manifest(sh(WAITS), container=container, trials=3, parallel=3))
    bench.until(lambda: len(begun(bench)) == 1 and len(bench.trials()) == 3)
    for _ in range(3):
        bench.plane.run(lambda: True)
    assert len(begun(bench)) == 1
    go(bench)
    assert [condition_of(trial) for trial in bench.finish(experiment)] == [names.SUCCEEDED] * 3
    record = bench.file("record").split("\n")[:-1]
    assert [line.split()[0] for line in record] == ["begin", "end"] * 3


def test_trials_that_ask_for_nothing_never_wait_not_even_behind_those_that_do(bench: JobBench) -> None:
    cpus = str(Machine.detect().millicpus // 1000)
    large = manifest(
        sh(WAITS), name="large", container={"resources": {"requests": {"cpu": cpus}}}, trials=2, parallel=2
    )
    blocked = bench.create(large)
    bench.until(lambda: len(begun(bench)) == 1 and len(bench.trials()) == 2)
    small = bench.create(manifest(sh("echo loss=1"), name="small", trials=6, parallel=6))
    assert [condition_of(trial) for trial in bench.finish(small)] == [names.SUCCEEDED] * 6
    assert len(begun(bench)) == 1
    go(bench)
    bench.finish(blocked)


def test_two_experiments_run_at_the_same_time_in_one_home(bench: JobBench) -> None:
    # Each waits for the other.
    script = "touch {0}; while [ ! -e {1} ]; do sleep 0.02; done; echo loss=1"
    first = bench.create(manifest(sh(script.format("a", "b")), name="first", trials=2))
    second = bench.create(manifest(sh(script.format("b", "a")), name="second", trials=2))
    assert {condition_of(trial) for trial in bench.finish(first, second)} == {names.SUCCEEDED}


# Stopping and deleting


def test_suspending_ends_processes_and_resuming_runs_the_same_assignments(bench: JobBench) -> None:
    experiment = bench.create(manifest(sh(WAITS), trials=4, parallel=2))
    bench.until(lambda: len(begun(bench)) == 2)
    first = begun(bench)
    bench.plane.front_door.suspend("default", "tuning")
    bench.until(lambda: not bench.processes())
    assert ended(bench) == []
    assert all(not is_true(trial.status.conditions, names.RUNNING) for trial in bench.trials())
    bench.plane.front_door.resume("default", "tuning")
    go(bench)
    trials = bench.finish(experiment)
    assert len(trials) == 4
    assert sorted(begun(bench)[2:4]) == sorted(first)
    assert sorted(ended(bench)) == sorted(assignments(bench, experiment))
    assert [bench.values(trial) for trial in trials] == [[value] for value in assignments(bench, experiment)]


def test_a_program_that_completes_in_the_moment_of_its_suspension_is_not_run_again(bench: JobBench) -> None:
    experiment = bench.create(manifest(sh("echo begin >> record; echo loss=1")))
    bench.until(lambda: any(map(bench.attempts, bench.trials())))
    wait_for_exit(bench)
    bench.plane.front_door.suspend("default", "tuning")
    bench.until(lambda: not bench.processes())
    bench.plane.front_door.resume("default", "tuning")
    [trial] = bench.finish(experiment)
    assert condition_of(trial) == names.SUCCEEDED
    assert bench.values(trial) == ["1"]
    assert begun(bench) == []
    assert bench.file("record") == "begin\n"


def test_a_program_that_ignores_the_end_of_its_experiment_is_killed_after_its_grace(bench: JobBench) -> None:
    deaf = sh("trap '' TERM; echo deaf >> record; while :; do sleep 0.05; done")
    bench.create(manifest(deaf, pod={"terminationGracePeriodSeconds": 1}))
    bench.until(lambda: "deaf" in bench.file("record"))
    bench.plane.front_door.suspend("default", "tuning")
    bench.until(lambda: not bench.processes())


@pytest.mark.parametrize("what", ["Trial", "Experiment"])
def test_deleting_ends_its_processes_and_forgets_its_metrics(bench: JobBench, what: str) -> None:
    script = "trap 'echo loss=9; exit 0' TERM; echo begin >> record; while :; do echo loss=1; sleep 0.05; done"
    bench.create(manifest(sh(script)))
    bench.until(lambda: any(map(bench.values, bench.trials())))
    [trial] = bench.trials()
    if what == "Trial":
        bench.home.store.delete(trial.reference)
        bench.plane.front_door.edit("default", "tuning", suspend=True)
    else:
        bench.plane.front_door.delete("default", "tuning")
    bench.until(lambda: not bench.processes())
    for _ in range(3):
        bench.plane.run(lambda: True)
    assert bench.logs(trial) == []
    assert bench.home.store.list(names.JOB) == []


# Supervisors


def test_when_the_supervisor_is_killed_its_trials_are_lost_and_run_again(bench: JobBench) -> None:
    experiment = bench.create(manifest(sh(WAITS), trials=2, parallel=2))
    bench.until(lambda: len(begun(bench)) == 2)
    os.kill(bench.supervisor().pid, signal.SIGKILL)
    bench.until(lambda: len(begun(bench)) == 4)
    go(bench)
    trials = bench.finish(experiment)
    assert [condition_of(trial) for trial in trials] == [names.SUCCEEDED] * 2
    assert [trial.status.retry_counts for trial in trials] == [{"lost": 1}] * 2
    assert sorted(ended(bench)) == sorted(assignments(bench, experiment))
    assert any("ended by signal 9" in event.message for event in bench.events(names.JOB_FAILED))


def test_a_supervisor_that_is_told_to_leave_loses_its_trials_too(bench: JobBench) -> None:
    experiment = bench.create(manifest(sh(WAITS), trials=2, parallel=2))
    bench.until(lambda: len(begun(bench)) == 2)
    os.kill(bench.supervisor().pid, signal.SIGTERM)
    bench.until(lambda: len(begun(bench)) == 4)
    go(bench)
    assert [condition_of(trial) for trial in bench.finish(experiment)] == [names.SUCCEEDED] * 2


def test_lost_trials_fail_where_none_may_be_lost(bench: JobBench) -> None:
    experiment = bench.create(manifest(sh(WAITS), template={"retries": {"lost": 0}}, failed=0))
    bench.until(lambda: len(begun(bench)) == 1)
    os.kill(bench.supervisor().pid, signal.SIGKILL)
    [trial] = bench.finish(experiment)
    assert words_of(trial)[0] == "TrialFailed. Job reason: WorkerLost"


# Another life


def test_a_closed_home_is_taken_up_where_it_was_left(bench: JobBench) -> None:
    experiment = bench.create(manifest(sh(WAITS), trials=3, parallel=2))
    bench.until(lambda: len(begun(bench)) == 2)
    bench.close(now=False)
    assert bench.processes() == []
    again = bench.reopen()
    try:
        go(again)
        trials = again.finish(experiment)
        assert [condition_of(trial) for trial in trials] == [names.SUCCEEDED] * 3
        assert sorted(ended(again)) == sorted(assignments(again, experiment))
        assert [trial.status.retry_counts for trial in trials] == [None] * 3
    finally:
        again.end()


def test_time_between_two_lives_is_nobodys_time(bench: JobBench) -> None:
    experiment = bench.create(manifest(sh(WAITS), template={"activeDeadlineSeconds": 2}))
    bench.until(lambda: len(begun(bench)) == 1 and bool(bench.home.store.list(names.JOB)))
    bench.until(lambda: b"startTime" in bytes(bench.job_of(bench.trials()[0]).status))
    bench.close()
    time.sleep(2.1)
    again = bench.reopen()
    try:
        go(again)
        [trial] = again.finish(experiment)
        assert condition_of(trial) == names.SUCCEEDED
    finally:
        again.end()


def test_a_home_that_was_closed_during_an_init_process_goes_on_without_a_loss(bench: JobBench) -> None:
    init = [{"name": "first", "image": "none", "command": sh(WAITS.replace("$X", "it"))}]
    document = manifest(sh("echo loss=1"), pod={"initContainers": init}, template={"retries": {"lost": 0}})
    experiment = bench.create(document)
    bench.until(lambda: len(begun(bench)) == 1)
    bench.close()
    again = bench.reopen()
    try:
        go(again)
        [trial] = again.finish(experiment)
        assert condition_of(trial) == names.SUCCEEDED
    finally:
        again.end()


def test_what_a_process_did_while_nobody_listened_is_read_once_by_the_next_life(bench: JobBench) -> None:
    script = "echo loss=3; echo loss=2; echo begin >> record; while [ ! -e go ]; do sleep 0.02; done; echo loss=1"
    experiment = bench.create(manifest(sh(script)))
    bench.until(lambda: [*map(bench.values, bench.trials())] == [["3", "2"]])
    go(bench)
    wait_for_exit(bench)
    bench.close()
    again = bench.reopen()
    try:
        [trial] = again.finish(experiment)
        assert again.values(trial) == ["3", "2", "1"]
        assert len(again.attempts(trial)) == 1
        assert again.file("record") == "begin\n"
    finally:
        again.end()


def test_a_second_owner_is_refused_by_name(bench: JobBench) -> None:
    with pytest.raises(HomeLocked, match=rf"is in use by process {os.getpid()} "):
        open_home(bench.folder / "home")


# What is made of what earlier attempts left


def exit_of(process_id: str, code: int | None, *, by_us: bool = False) -> bytes:
    found = ProcessExit(
        process_id=process_id,
        marker="m",
        pid=1,
        exit_code=code,
        signal=None if code is not None else "SIGTERM",
        ended_by_supervisor=by_us,
        started_at=1.0,
        ended_at=2.0,
        cpu_seconds=0.0,
        max_rss_bytes=0,
        oom_killed=False,
    )
    return msgspec.json.encode(found) + b"\n"


@pytest.mark.parametrize(
    ("attempts", "was_started", "outcome", "failures"),
    [
        ([], False, "none", 0),
        ([], True, "none", 0),
        ([[]], False, "none", 0),
        ([[]], True, "lost", 0),
        ([[("job/1/main", 0, False)]], True, "ended", 0),
        ([[("job/1/main", 0, False)]], False, "ended", 0),
        ([[("job/1/main", 3, False)]], True, "ended", 0),
        ([[("job/1/main", None, False)]], True, "ended", 0),
        ([[("job/1/main", None, True)]], True, "none", 0),
        ([[("job/1/main", 0, True)]], True, "none", 0),
        ([[("job/1/init-0", 0, False)]], True, "none", 0),
        ([[("job/1/init-0", 2, False)]], True, "ended", 0),
        ([[("job/1/init-0", 0, True)]], True, "none", 0),
        ([[("job/1/init-0", 0, False), ("job/1/main", 0, False)]], True, "ended", 0),
        ([[("job/1/main", 1, False)], [("job/2/main", 1, False)], []], True, "lost", 2),
        ([[("job/1/main", 1, False)], [("job/2/main", None, True)]], True, "none", 1),
        ([[("other/1/main", 1, False)], []], False, "none", 0),
        ([[("other/1/main", 1, False)]], False, "none", 0),
        ([[("other/1/main", 0, False)]], False, "ended", 0),
    ],
    ids=[
        *("nothing", "no folder", "asked for", "started", "completed", "completed at once", "failed", "by a signal"),
        *("ended by us", "ended well by us", "init done", "init failed", "init ended by us", "all done"),
        *("lost on the third", "ended on the second", "another job's failure, asked for", "another job's failure"),
        "another job's completion",
    ],
)
def test_a_job_that_is_taken_up_is_run_read_or_lost(
    tmp_path: Path,
    attempts: list[list[tuple[str, int | None, bool]]],
    outcome: str,
    failures: int,
    *,
    was_started: bool,
) -> None:
    for number, exits in enumerate(attempts, start=1):
        (tmp_path / str(number)).mkdir()
        lines = b"".join(exit_of(process_id, code, by_us=by_us) for process_id, code, by_us in exits)
        (tmp_path / str(number) / "exit.json").write_bytes(lines)
    past = past_of(tmp_path, "job", was_started=was_started)
    assert (past.outcome, past.failure_count, past.next_number) == (outcome, failures, len(attempts) + 1)


def test_processes_are_gone_when_the_bench_is(tmp_path: Path) -> None:
    bench = JobBench(tmp_path)
    bench.create(manifest(sh("echo pid $$; sleep 600"), trials=2, parallel=2))
    bench.until(lambda: sum("pid " in bench.log(trial) for trial in bench.trials()) == 2)
    pids = [int(bench.log(trial).split()[1]) for trial in bench.trials()]
    bench.end()
    assert not any(map(runs, pids))
