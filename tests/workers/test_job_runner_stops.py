"""Real processes that are stopped early, whichever way their metrics are read; and what is left of them."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from job_bench import PATIENCE_SECONDS, JobBench, condition_of, manifest, py, runs, sh, words_of

from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.api.shared import AlgorithmSpec, Setting
from pykatib.api.trial import Trial
from pykatib.control.view import trial_state
from pykatib.embedded.folders import HomeFolders
from pykatib.store.reader import SqliteReader
from pykatib.workers import job_metrics
from pykatib.workers.strays import find_strays, find_supervisors

KATIB = Path(os.environ.get("KATIB_MANIFESTS", Path(__file__).parents[2].parent / "shared" / "manifests" / "katib"))
EVENTS = Path(__file__).parent / "collectors" / "event_files" / "tensorboardx"
FOREVER = "while :; do sleep 1000; done"
PUSHES = """
import json, os, time
with open(os.environ['PYKATIB_METRICS_FILE'], 'a') as file:
    file.write(json.dumps({'loss': 9}) + '\\n')
time.sleep(1000)
"""
ANSWERS = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'# TYPE loss gauge\\nloss 9\\n'
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(('127.0.0.1', PORT), Answer).serve_forever()
"""


def stopping(document: dict[str, Any], name: str = "threshold", **settings: object) -> dict[str, Any]:
    """The manifest with early stopping."""
    stated = [{"name": key, "value": str(value)} for key, value in settings.items()]
    spec = {**document["spec"], "earlyStopping": {"algorithmName": name, "algorithmSettings": stated}}
    return {**document, "spec": spec}


def collector(kind: str, **source: Any) -> dict[str, Any]:
    return {"collector": {"kind": kind}, **({"source": source} if source else {})}


def file_at(path: str, kind: str = "File", **more: str) -> dict[str, Any]:
    return {"fileSystemPath": {"path": path, "kind": kind, **more}}


@pytest.mark.parametrize(
    ("command", "collects"),
    [
        pytest.param(sh(f"echo loss=9; {FOREVER}"), None, id="StdOut"),
        pytest.param(
            [*sh(f'echo loss=9 > "$0"; {FOREVER}'), "/var/log/katib-stop/log"],
            collector("File", **file_at("/var/log/katib-stop/log", format="TEXT")),
            id="File TEXT",
        ),
        pytest.param(
            [*sh(f"""echo '{{"loss": 9}}' > "$0"; {FOREVER}"""), "/var/log/katib-stop/log"],
            collector("File", **file_at("/var/log/katib-stop/log", format="JSON")),
            id="File JSON",
        ),
        pytest.param(
            [*sh(f"cp -r '{EVENTS}/.' \"$0\"; {FOREVER}"), "/train/stop"],
            collector("TensorFlowEvent", **file_at("/train/stop", kind="Directory")),
            id="TensorFlowEvent",
        ),
        pytest.param(py(PUSHES), collector("Push"), id="Push"),
        pytest.param(py(PUSHES), collector("None"), id="None"),
    ],
)
def test_a_program_that_would_run_forever_is_stopped(
    bench: JobBench, command: list[str], collects: Mapping[str, Any] | None
) -> None:
    document = manifest(command, collector=collects, trials=2, parallel=1)
    trials = bench.run(stopping(document, value=0.2))

    assert [condition_of(trial) for trial in trials] == [names.EARLY_STOPPED] * 2
    for trial in trials:
        reason, message = words_of(trial)
        assert reason == names.TRIAL_EARLY_STOPPED
        assert message.startswith("Trial is early stopped: at report 1 loss is ")
        assert message.endswith(", above the threshold 0.2")
        assert bench.values(trial)
        assert trial.status.observation is not None
    bench.until(lambda: bench.processes() == [])


def test_what_is_asked_for_over_http_is_stopped_too(bench: JobBench) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    http_get = collector("PrometheusMetric", httpGet={"port": port, "path": "/metrics"})
    [trial] = bench.run(stopping(manifest(py(ANSWERS.replace("PORT", str(port))), collector=http_get), value=5))
    assert condition_of(trial) == names.EARLY_STOPPED


def test_its_whole_process_group_ends_by_force_where_it_does_not_listen(bench: JobBench) -> None:
    program = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 0.05; done' & echo loss=9; wait"
    pod = {"terminationGracePeriodSeconds": 1}
    [trial] = bench.run(stopping(manifest(sh(program), pod=pod), value=5))
    assert condition_of(trial) == names.EARLY_STOPPED
    bench.until(lambda: bench.processes() == [])
    assert not runs(int(bench.file("child")))


def test_it_is_asked_to_end_first_and_what_it_says_then_is_logged(bench: JobBench) -> None:
    program = "trap 'echo saved; exit 0' TERM; echo loss=9; while :; do sleep 0.05; done"
    [trial] = bench.run(stopping(manifest(sh(program)), value=5))
    bench.until(lambda: bench.processes() == [])
    assert condition_of(trial) == names.EARLY_STOPPED
    lines = bench.log(trial).splitlines()
    assert (lines[0], lines[-1]) == ("loss=9", "saved")


def test_retain_keeps_its_log_and_not_its_process(bench: JobBench) -> None:
    document = manifest(sh(f"echo loss=9; {FOREVER}"), template={"retain": True})
    [trial] = bench.run(stopping(document, value=5))
    bench.until(lambda: bench.processes() == [])
    assert (condition_of(trial), bench.log(trial)) == (names.EARLY_STOPPED, "loss=9\n")


def test_the_place_of_a_stopped_trial_goes_to_the_next(bench: JobBench) -> None:
    program = f"if mkdir first; then echo loss=9; {FOREVER}; else echo loss=1; fi"
    trials = bench.run(stopping(manifest(sh(program), trials=3), value=5))
    assert [condition_of(trial) for trial in trials] == [names.EARLY_STOPPED, names.SUCCEEDED, names.SUCCEEDED]


def test_what_has_ended_before_it_was_read_has_succeeded(bench: JobBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_metrics, "POLL_SECONDS", 600.0)  # after a first look, when it has just begun
    [trial] = bench.run(stopping(manifest(sh("sleep 1; echo loss=9; echo loss=1")), value=5))
    assert condition_of(trial) == names.SUCCEEDED
    assert bench.values(trial) == ["9", "1"]


def test_trials_are_compared_with_those_of_an_earlier_life(bench: JobBench) -> None:
    program = f"if mkdir first; then echo loss=1; echo loss=1; else echo loss=5; echo loss=5; {FOREVER}; fi"
    median = {"min_trials_required": 1, "start_step": 2}
    experiment = bench.create(stopping(manifest(sh(program), trials=2), "medianstop", **median))
    bench.until(lambda: [trial_state(trial) for trial in bench.trials()][:1] == [names.SUCCEEDED])
    bench.close()
    bench = bench.reopen()
    with closing(bench):
        trials = bench.finish(experiment)
        assert [condition_of(trial) for trial in trials] == [names.SUCCEEDED, names.EARLY_STOPPED]


@pytest.mark.slow
def test_katibs_own_example_stops_trials_and_succeeds(bench: JobBench) -> None:
    pytest.importorskip("sklearn", reason="the example programs train with scikit-learn's images")
    file = KATIB / "median-stop.yaml"
    if not file.exists():
        pytest.skip("KATIB_MANIFESTS names no folder with Katib's example manifests")

    def seeded(found: Experiment) -> Experiment:
        algorithm = AlgorithmSpec("random", (Setting("random_state", "2"),))
        return msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, algorithm=algorithm))

    experiment = bench.create_from(file.read_text(), folder=file.parent, change=seeded)
    ends = [condition_of(trial) for trial in bench.finish(experiment)]

    assert {names.SUCCEEDED, names.EARLY_STOPPED} == set(ends)
    assert bench.status_of(experiment).status.conditions[-1].type == names.SUCCEEDED


def _kill(program: "subprocess.Popen[bytes]", home: Path) -> None:
    program.send_signal(signal.SIGKILL)
    program.wait()
    home_id = HomeFolders(home).home_id()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while find_strays(home_id) or find_supervisors(home_id):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _trials(home: Path) -> dict[str, Trial]:
    with closing(SqliteReader(HomeFolders(home).database)) as reader:
        return {trial.metadata.name: trial for trial in reader.list(names.TRIAL) if isinstance(trial, Trial)}


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_at_any_instant_no_stop_is_lost_and_none_happens_twice(tmp_path: Path) -> None:
    """Trials that reach 9 would run forever, so all of them have to be stopped; the others end by themselves."""
    good = "echo loss=1; sleep 0.1; trap '' TERM; echo $KATIB_TRIAL_NAME >> done"
    program = f"case $X in 0.[0-4]*) echo loss=9; {FOREVER};; *) {good};; esac"
    document = stopping(manifest(sh(program), name="killed", trials=12, parallel=2), value=5)
    (tmp_path / "killed.yaml").write_text(yaml.safe_dump(document))
    home = tmp_path / "home"
    draw = random.Random(5)
    ended: dict[str, Trial] = {}
    katib = [sys.executable, "-m", "pykatib.cli.main"]
    for life in range(6):
        what = (
            ["resume", "killed"]
            if life and HomeFolders(home).database.exists() and _trials(home)
            else ["run", "killed.yaml"]
        )
        with (tmp_path / "output").open("ab") as output:
            process = subprocess.Popen(
                [*katib, *what, "--home", str(home), "-q"], cwd=tmp_path, stdout=output, stderr=output
            )
            try:
                if life < 5:
                    _wait(lambda: HomeFolders(home).database.exists())
                    time.sleep(draw.uniform(0.4, 1.4))
                else:
                    process.wait(PATIENCE_SECONDS)
            finally:
                _kill(process, home)
        now = _trials(home)
        for name, trial in ended.items():
            assert now[name].status == trial.status, "what has ended has ended"
        ended = {
            name: trial for name, trial in now.items() if trial_state(trial) in (names.EARLY_STOPPED, names.SUCCEEDED)
        }
    said = (tmp_path / "output").read_text()
    assert process.returncode == 0 or "killed has succeeded" in said, said  # in an earlier life
    assert len(ended) == 12
    for trial in ended.values():
        is_bad = float(trial.spec.parameter_assignments[0].value) < 0.5
        assert condition_of(trial) == (names.EARLY_STOPPED if is_bad else names.SUCCEEDED)
        assert trial.status.observation is not None
        assert trial.status.observation.metrics[0].latest == ("9" if is_bad else "1")
    names_done = (tmp_path / "done").read_text().split()
    assert sorted(names_done) == sorted(name for name, trial in ended.items() if condition_of(trial) == names.SUCCEEDED)
