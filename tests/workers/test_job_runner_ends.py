"""However a Trial's program ends, its Trial says so: the right condition, the reason, its last lines."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from job_bench import JobBench, condition_of, manifest, py, runs, sh, words_of

from pykatib.api import names

FAILED_WORDS = "TrialFailed. Job reason: BackoffLimitExceeded"
DAEMON = (
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        time.sleep(600)\n"
    "    print('parent of', os.getpid(), flush=True)\n"
    "    os._exit(0)\n"
    "os.wait()\n"
)


def pids_in(text: str, word: str) -> list[int]:
    return [int(found) for found in re.findall(rf"{word} (\d+)", text)]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (sh("echo one; echo two >&2; exit 1"), "the process exited with code 1; its last lines were:\none\ntwo"),
        (sh("exit 3"), "the process exited with code 3 and printed nothing"),
        (sh("echo loss=1; no-such-program"), "exited with code 127; its last lines were:\nloss=1\nsh:"),
        (sh("echo '#!/nowhere' > it; chmod +x it; ./it || exit 126"), "the process exited with code 126"),
        (sh("printf 'no newline'; exit 1"), "its last lines were:\nno newline"),
        (sh("kill -KILL $$"), "the process was ended by SIGKILL from outside and printed nothing"),
        (sh("echo loss=1; kill -SEGV $$"), "the process was ended by SIGSEGV; its last lines were:\nloss=1"),
        (sh("kill -TERM $$"), "the process was ended by SIGTERM"),
        (py("import sys; sys.stdout.buffer.write(bytes(range(256)) * 9 + b'\\nend\\n'); sys.exit(1)"), "\nend"),
        (py("raise ValueError('too hot')"), "ValueError: too hot"),
        (sh("seq 1000; exit 1"), "its last lines were:\n981\n982\n"),
    ],
    ids=["1", "silent", "127", "126", "no newline", "KILL", "SEGV", "TERM", "binary", "traceback", "long"],
)
def test_a_program_that_fails_fails_its_trial_with_its_last_words(
    bench: JobBench, command: list[str], message: str
) -> None:
    [trial] = bench.run(manifest(command, failed=0))
    assert condition_of(trial) == names.FAILED
    reason, words = words_of(trial)
    assert reason == FAILED_WORDS
    assert message in words
    assert trial.status.observation is None


def test_a_program_that_goes_away_before_it_starts_fails_its_trial(bench: JobBench) -> None:
    program = bench.folder / "program"
    program.write_text("#!/bin/sh\necho loss=1\n")
    program.chmod(0o755)
    experiment = bench.create(manifest(["./program"], failed=0))
    program.write_text("#!/no/such/interpreter\n")
    [trial] = bench.finish(experiment)
    assert "the interpreter that its first line names does not exist" in words_of(trial)[1]


def test_a_program_that_is_not_there_is_refused_before_anything_starts(bench: JobBench) -> None:
    with pytest.raises(Exception, match=r"there is no no-such-program on this machine"):
        bench.create(manifest(["no-such-program"]))
    assert bench.trials() == []


def test_a_signal_from_somebody_else_is_told_as_that(bench: JobBench) -> None:
    experiment = bench.create(manifest(sh("echo pid $$; sleep 600"), failed=0))
    bench.until(lambda: any(pids_in(bench.log(trial), "pid") for trial in bench.trials()))
    [trial] = bench.trials()
    os.kill(pids_in(bench.log(trial), "pid")[0], signal.SIGKILL)
    [trial] = bench.finish(experiment)
    assert "ended by SIGKILL from outside; its last lines were:\npid " in words_of(trial)[1]


# Time limits


@pytest.mark.parametrize(
    ("job", "template", "reason"),
    [
        ({"activeDeadlineSeconds": 1}, {}, "Job was active longer than its limit of 1 s; its last lines were:\nhere"),
        ({}, {"activeDeadlineSeconds": 1}, "Trial was active longer than its limit of 1 s"),
        (
            {"activeDeadlineSeconds": 1},
            {"retries": {"timeout": 1}},
            "Job was active longer than its limit of 1 s; its last lines were:\nhere",
        ),
    ],
    ids=["of the job", "of the trial", "with a retry"],
)
def test_a_program_that_hangs_is_ended_at_its_time_limit(
    bench: JobBench, job: dict[str, int], template: dict[str, object], reason: str
) -> None:
    [trial] = bench.run(manifest(sh("echo here; sleep 600"), job=job, template=template, failed=0))
    assert words_of(trial) == (
        "TrialFailed. Job reason: DeadlineExceeded",
        f"Trial has failed. Job message: {reason}",
    )
    assert (trial.status.retry_counts or {}) == ({"timeout": 1} if "retries" in template else {})
    assert len(bench.attempts(trial)) == (2 if "retries" in template else 1)
    bench.until(lambda: not bench.processes())


def test_time_does_not_run_while_a_job_waits_for_slots(bench: JobBench) -> None:
    cpus = {"resources": {"requests": {"cpu": "100"}}}  # all that the machine has
    document = manifest(
        sh("sleep 0.7; echo loss=1"),
        container=cpus,
        trials=4,
        parallel=4,
        job={"activeDeadlineSeconds": 2},
    )
    assert {condition_of(trial) for trial in bench.run(document)} == {names.SUCCEEDED}


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(bench: JobBench) -> None:
    document = manifest(
        sh("trap '' TERM; echo pid $$; while :; do sleep 0.05; done"),
        pod={"terminationGracePeriodSeconds": 1},
        job={"activeDeadlineSeconds": 1},
        failed=0,
    )
    [trial] = bench.run(document)
    assert words_of(trial)[0] == "TrialFailed. Job reason: DeadlineExceeded"
    assert not runs(pids_in(bench.log(trial), "pid")[0])


def test_a_program_that_completes_at_its_deadline_has_completed(bench: JobBench) -> None:
    # It ignores SIGTERM and ends well: the work is done, and doing it again would be once too often.
    program = sh("trap '' TERM; while [ ! -e late ]; do sleep 0.02; done; echo loss=1")
    experiment = bench.create(manifest(program, job={"activeDeadlineSeconds": 1}, template={"retries": {"timeout": 2}}))
    begin = time.monotonic()
    bench.until(lambda: bool(bench.processes()) and time.monotonic() > begin + 1.5)
    (bench.folder / "late").touch()
    [trial] = bench.finish(experiment)
    assert condition_of(trial) == names.SUCCEEDED
    assert trial.status.retry_counts is None


# What a program leaves behind


@pytest.mark.parametrize(
    "program",
    [
        sh("sleep 600 & echo child $!; echo loss=1"),
        sh("setsid sleep 600 & echo child $!; sleep 0.2; echo loss=1"),
        py(DAEMON + "print('loss=1')"),
    ],
    ids=["child", "child of another session", "daemon"],
)
def test_children_do_not_outlive_a_program_that_succeeds(bench: JobBench, program: list[str]) -> None:
    [trial] = bench.run(manifest(program))
    assert condition_of(trial) == names.SUCCEEDED
    bench.until(lambda: not bench.processes())


# Programs that end well


@pytest.mark.parametrize(
    ("text", "latest"),
    [("loss=0.5", "0.5"), ("loss=nan", "nan"), ("loss=inf", "inf"), ("\\377\\000loss=0.25\\n\\001", "0.25")],
    ids=["no newline", "NaN", "infinity", "among binary"],
)
def test_the_metric_is_found(bench: JobBench, text: str, latest: str) -> None:
    [trial] = bench.run(manifest(sh(f"printf '{text}'"), failed=1))
    assert condition_of(trial) == names.SUCCEEDED
    assert bench.values(trial) == [latest]


def test_a_trial_whose_metric_is_no_number_is_beaten_by_any_number(bench: JobBench) -> None:
    experiment = bench.create(manifest(sh("mkdir first && echo loss=nan || echo loss=1e9"), trials=2))
    _, second = bench.finish(experiment)
    best = bench.status_of(experiment).status.current_optimal_trial
    assert best is not None
    assert best.best_trial_name == second.metadata.name


def test_a_metric_that_never_comes_is_said_with_a_hint(bench: JobBench) -> None:
    [trial] = bench.run(manifest(sh("echo starting; echo 'loss: 0.5'"), failed=1))
    assert condition_of(trial) == names.METRICS_UNAVAILABLE
    [event] = bench.events(names.METRICS)
    assert event.name == trial.metadata.name
    assert event.message == (
        "no value of 'loss': the program printed 2 lines; the nearest was 'loss: 0.5'; it pushed nothing"
    )


def test_the_very_short_are_heard_whole(bench: JobBench) -> None:
    trials = bench.run(manifest(sh("echo loss=$X"), trials=40, parallel=8))
    assert len(trials) == 40
    for trial in trials:
        assert condition_of(trial) == names.SUCCEEDED
        assert bench.values(trial) == [trial.spec.parameter_assignments[0].value]


# Init processes


def test_init_processes_run_in_their_order_before_the_main_one(bench: JobBench) -> None:
    init = [
        {"name": "first", "image": "none", "command": sh("sleep 0.2; echo first >> order; echo loss=9")},
        {"name": "second", "image": "none", "command": sh("echo second >> order")},
    ]
    [trial] = bench.run(manifest(sh("echo main >> order; echo loss=1"), pod={"initContainers": init}))
    assert bench.file("order").split() == ["first", "second", "main"]
    assert condition_of(trial) == names.SUCCEEDED


def test_an_init_process_that_fails_keeps_the_main_one_from_starting(bench: JobBench) -> None:
    init = [
        {"name": "first", "image": "none", "command": sh("true")},
        {"name": "second", "image": "none", "command": sh("echo no data; exit 4")},
    ]
    [trial] = bench.run(manifest(sh("touch main; echo loss=1"), pod={"initContainers": init}, failed=0))
    assert words_of(trial)[1].endswith("the init process 1 exited with code 4; its last lines were:\nno data")
    assert not (bench.folder / "main").exists()


# Trying again

THIRD_TIME_LUCKY = "echo try >> tries; n=$(wc -l < tries); echo loss=$n; [ $n -ge 3 ]"


def test_backoff_limit_tries_again_and_only_the_last_attempt_counts(bench: JobBench) -> None:
    [trial] = bench.run(manifest(sh(THIRD_TIME_LUCKY), job={"backoffLimit": 3}))
    assert condition_of(trial) == names.SUCCEEDED
    assert bench.values(trial) == ["3"]
    assert trial.status.observation is not None
    assert trial.status.observation.metrics[0].latest == "3"
    assert [event.message for event in bench.events(names.BACK_OFF)] == [
        "the process exited with code 1; attempt 2 follows in 1 s",
        "the process exited with code 1; attempt 3 follows in 2 s",
    ]
    assert [attempt.number for attempt in bench.attempts(trial)] == [1, 2, 3]
    assert trial.status.retry_counts is None


def test_backoff_ends_at_its_limit(bench: JobBench) -> None:
    [trial] = bench.run(manifest(sh("echo try >> tries; exit 1"), job={"backoffLimit": 1}, failed=0))
    assert words_of(trial)[0] == FAILED_WORDS
    assert bench.file("tries").split() == ["try", "try"]


def test_a_deadline_that_comes_between_two_attempts_ends_the_job(bench: JobBench) -> None:
    job = {"backoffLimit": 9, "activeDeadlineSeconds": 2}
    [trial] = bench.run(manifest(sh("echo try >> tries; exit 1"), job=job, failed=0))
    assert words_of(trial)[0] == "TrialFailed. Job reason: DeadlineExceeded"
    assert "its limit of 2 s" in words_of(trial)[1]


@pytest.mark.parametrize(
    ("retries", "succeeds"), [({"crash": 2}, True), ({"crash": 1}, False), ({"timeout": 5}, False)], ids=str
)
def test_retries_of_a_trial_count_by_class(bench: JobBench, retries: dict[str, int], *, succeeds: bool) -> None:
    [trial] = bench.run(manifest(sh(THIRD_TIME_LUCKY), template={"retries": retries}, failed=0))
    assert condition_of(trial) == (names.SUCCEEDED if succeeds else names.FAILED)
    assert len(bench.file("tries").split()) == (retries.get("crash", 0) + 1)
    if succeeds:
        assert trial.status.retry_counts == {"crash": 2}
        assert bench.values(trial) == ["3"]


# Memory


def _memory_cgroup() -> Path | None:
    """A control group of 64 MB that processes can be put into, or None where that cannot be made."""
    root = Path("/sys/fs/cgroup")
    v1 = root / "memory"
    parent, limit = (v1, "memory.limit_in_bytes") if v1.is_dir() else (root, "memory.max")
    group = parent / f"pykatib-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(64 << 20))
    except OSError:
        if group.is_dir():
            group.rmdir()
        return None
    return group


def test_a_program_that_the_kernel_kills_for_memory_says_so(bench: JobBench) -> None:
    group = _memory_cgroup()
    if group is None:
        pytest.skip("needs the right to make a memory control group")
    try:
        hog = "x = []\nwhile True: x.append(bytearray(8 << 20))"
        program = f"open('{group}/cgroup.procs', 'w').write(str(__import__('os').getpid()))\nprint('in')\n{hog}"
        [trial] = bench.run(manifest(py(program), failed=0))
        assert "was ended by SIGKILL" in words_of(trial)[1]
    finally:
        group.rmdir()


def test_a_program_that_reaches_its_limit_of_memory_tells_it_itself(bench: JobBench) -> None:
    program = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28)); x = bytearray(1 << 30)"
    [trial] = bench.run(manifest(py(program), failed=0))
    assert "MemoryError" in words_of(trial)[1]


# Large output


def test_a_flood_of_output_is_cut_but_none_of_its_metrics_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    bench = JobBench(tmp_path)
    request.addfinalizer(bench.end)
    program = (
        "line = 'x' * 1023 + '\\n'\n"
        "for step in range(48):\n"
        "    print(line * 1023, end='')\n"
        "    print(f'step loss={step}')\n"
    )
    [trial] = bench.run(manifest(py(program)))
    assert bench.values(trial) == [str(step) for step in range(48)]
    [attempt] = bench.attempts(trial)
    assert attempt.log_bytes() <= (32 << 20) + 256
    text = attempt.log.read_text()
    assert "step loss=0\n" in text
    assert text.endswith("step loss=47\n")
    assert "[katib left out " in text
