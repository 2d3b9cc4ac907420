"""From a program to its Trial's curve, through every kind of collector; and what a program is given."""

import base64
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from job_bench import JobBench, condition_of, manifest, py, sh

from pykatib.api import names
from pykatib.api.errors import InvalidInput

PUSH = "import json, os; f = open(os.environ['PYKATIB_METRICS_FILE'], 'a'); f.write(json.dumps({'loss': 0.25}) + '\\n')"
REPORT = "from pykatib.sdk.report import report_metrics; report_metrics({'loss': 0.25})"
SERVER = """
import http.server, threading, time
class Answer(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        body = b'# TYPE loss gauge\\nloss 0.%d\\n' % (9 - Answer.asked)
        Answer.asked += 1
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', PORT), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
while Answer.asked < 2: time.sleep(0.02)
time.sleep(0.1)
"""


def collector(kind: str, **source: Any) -> dict[str, Any]:
    return {"collector": {"kind": kind}, **({"source": source} if source else {})}


def file_at(path: str, kind: str = "File", **more: str) -> dict[str, Any]:
    return {"fileSystemPath": {"path": path, "kind": kind, **more}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_curve_can_be_seen_while_the_program_runs(bench: JobBench) -> None:
    program = "for n in 1 2 3; do echo loss=$n; while [ ! -e seen$n ]; do sleep 0.02; done; done"
    experiment = bench.create(manifest(sh(program)))
    for step in (1, 2, 3):
        bench.until(lambda: [len(bench.values(trial)) for trial in bench.trials()] == [step])  # noqa: B023 - used at once
        (bench.folder / f"seen{step}").touch()
    [trial] = bench.finish(experiment)
    times = [log.time for log in bench.logs(trial)]
    assert times == sorted(times)
    assert len(set(times)) == 3


def test_metrics_by_a_filter_of_the_users(bench: JobBench) -> None:
    found = collector("StdOut", filter={"metricsFormat": ["([a-z]+) is ([0-9.]+)"]})
    [trial] = bench.run(manifest(sh("echo 'loss is 0.75, acc is 0.5'"), collector=found))
    assert (bench.values(trial), bench.values(trial, "acc")) == (["0.75"], ["0.5"])


@pytest.mark.parametrize(
    ("lines", "more"),
    [
        ("loss=0.5\\nloss=0.25\\n", {"format": "TEXT"}),
        ('{"loss": "0.5"}\\n{"loss": 0.25, "acc": 1}\\n', {"format": "JSON"}),
    ],
    ids=["TEXT", "JSON"],
)
@pytest.mark.parametrize("volume", [False, True], ids=["own folder", "volume"])
def test_metrics_from_a_file(bench: JobBench, lines: str, more: Mapping[str, str], *, volume: bool) -> None:
    path = "/var/log/katib-test/metrics.log"
    pod = {"volumes": [{"name": "logs", "emptyDir": {}}]} if volume else {}
    mounts = {"volumeMounts": [{"name": "logs", "mountPath": "/var/log/katib-test"}]} if volume else {}
    program = [*sh(f"printf '{lines}' > \"$0\""), path]
    experiment = manifest(program, collector=collector("File", **file_at(path, **more)), pod=pod, container=mounts)
    trials = bench.run({**experiment, "spec": {**experiment["spec"], "maxTrialCount": 2, "parallelTrialCount": 2}})
    assert [bench.values(trial) for trial in trials] == [["0.5", "0.25"]] * 2
    assert not Path("/var/log/katib-test").exists()


def test_metrics_from_event_files(bench: JobBench) -> None:
    real = Path(__file__).parent / "collectors" / "event_files" / "tensorboardx"
    program = [*sh(f"cp -r '{real}/.' \"$0\""), "/train/events"]
    source = file_at("/train/events", kind="Directory")
    [trial] = bench.run(manifest(program, collector=collector("TensorFlowEvent", **source)))
    assert condition_of(trial) == names.SUCCEEDED
    assert bench.values(trial) == ["0.5", "0.25", "0.1"]


def test_metrics_asked_for_over_http(bench: JobBench) -> None:
    port = free_port()
    http_get = collector("PrometheusMetric", httpGet={"port": port, "path": "/metrics"})
    [trial] = bench.run(manifest(py(SERVER.replace("PORT", str(port))), collector=http_get))
    assert condition_of(trial) == names.SUCCEEDED
    assert bench.values(trial)[:2] == ["0.9", "0.8"]


@pytest.mark.parametrize("program", [py(PUSH), [sys.executable, "-c", REPORT]], ids=["file", "report_metrics"])
def test_metrics_that_the_program_pushes(bench: JobBench, program: list[str]) -> None:
    [trial] = bench.run(manifest(program, collector=collector("Push")))
    assert condition_of(trial) == names.SUCCEEDED
    assert bench.values(trial) == ["0.25"]


def test_with_no_collector_what_the_program_pushes_counts(bench: JobBench) -> None:
    [trial] = bench.run(manifest(py(PUSH), collector=collector("None")))
    assert (condition_of(trial), bench.values(trial)) == (names.SUCCEEDED, ["0.25"])


def custom(script: str) -> dict[str, Any]:
    """A collector of the user's own, beside a program that writes below /metrics."""
    return {
        "collector": {
            "kind": "Custom",
            "customCollector": {"name": "mine", "image": "mine", "command": sh(script)},
        },
        "source": {"fileSystemPath": {"path": "/metrics/result", "kind": "File"}},
    }


WRITES = sh("echo busy; sleep 0.2; echo 'the loss was 0.5' > /metrics/result")
UNTIL_MAIN_ENDED = "until grep -q '/main' \"$PYKATIB_EXIT_FILE\" 2>/dev/null; do sleep 0.05; done; "


def test_a_custom_collector_runs_beside_the_program_and_what_it_prints_counts(bench: JobBench) -> None:
    collects = custom(UNTIL_MAIN_ENDED + "echo \"loss=$(cut -d' ' -f4 /metrics/result)\"")
    [trial] = bench.run(manifest(WRITES, collector=collects))
    assert (condition_of(trial), bench.values(trial)) == (names.SUCCEEDED, ["0.5"])


def test_a_custom_collector_may_push(bench: JobBench) -> None:
    collects = custom(UNTIL_MAIN_ENDED + 'echo \'{"loss": 0.75}\' >> "$PYKATIB_METRICS_FILE"')
    [trial] = bench.run(manifest(WRITES, collector=collects))
    assert (condition_of(trial), bench.values(trial)) == (names.SUCCEEDED, ["0.75"])


def test_a_custom_collector_that_fails_says_so_and_metrics_are_unavailable(bench: JobBench) -> None:
    [trial] = bench.run(manifest(WRITES, collector=custom("exit 3")))
    assert condition_of(trial) == names.METRICS_UNAVAILABLE
    assert any("Custom collector exited with code 3" in event.message for event in bench.events(names.METRICS))


def test_a_custom_collector_ends_with_a_program_that_failed(bench: JobBench) -> None:
    [trial] = bench.run(manifest(sh("exit 1"), collector=custom("sleep 1000")))
    assert condition_of(trial) == names.FAILED


def test_a_custom_collector_that_is_not_there_is_refused_at_once(bench: JobBench) -> None:
    collects = custom("true")
    collects["collector"]["customCollector"]["command"] = ["/no/such/program"]
    with pytest.raises(InvalidInput, match=r"customCollector\.command: there is no /no/such/program"):
        bench.create(manifest(sh("true"), collector=collects))


# What a program is given

CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "config"},
    "data": {"color": "blue", "rates.txt": "0.1\n0.2\n"},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "secret"},
    "data": {"token": base64.b64encode(b"hush").decode()},
    "stringData": {"plain": "text"},
}


def test_config_maps_and_secrets_come_as_variables_and_files(bench: JobBench) -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "config"}, "prefix": "C_"}],
        "env": [
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "token"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "AGAIN", "value": "$(TOKEN)-$(NAME)"},
        ],
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/rates"},
            {"name": "secret", "mountPath": "/etc/secret"},
        ],
    }
    volumes = [
        {"name": "config", "configMap": {"name": "config"}},
        {"name": "secret", "secret": {"secretName": "secret"}},
    ]
    script = "echo $C_color $AGAIN $KATIB_TRIAL_NAME; cat /etc/rates/rates.txt /etc/secret/plain; echo; echo loss=1"
    document = manifest(sh(script), container=container, pod={"volumes": volumes})
    [trial] = bench.run(document, CONFIG, SECRET)
    assert bench.log(trial).split() == [
        *("blue", "hush-default", trial.metadata.name),
        *("0.1", "0.2", "text", "loss=1"),
    ]


@pytest.mark.parametrize(("cpu", "threads"), [(None, "1"), ("1", "1"), ("1500m", "2")], ids=str)
def test_threads_follow_the_request(bench: JobBench, cpu: str | None, threads: str) -> None:
    container = {"resources": {"requests": {"cpu": cpu}}} if cpu else {}
    [trial] = bench.run(manifest(sh("echo $OMP_NUM_THREADS $MKL_NUM_THREADS; echo loss=1"), container=container))
    assert bench.log(trial).split()[:2] == [threads, threads]


@pytest.mark.parametrize("retain", [False, True], ids=["dropped", "retained"])
def test_volumes_go_with_the_job_unless_it_is_retained(bench: JobBench, *, retain: bool) -> None:
    document = manifest(
        sh("echo weights > /scratch/model; echo loss=1"),
        pod={"volumes": [{"name": "scratch", "emptyDir": {}}]},
        container={"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
        template={"retain": retain},
    )
    [trial] = bench.run(document)
    [attempt] = bench.attempts(trial)
    assert attempt.has_volumes() == retain
    assert (bench.job_of(trial) is not None) == retain
    if retain:
        assert (attempt.path / "volumes" / "scratch" / "model").read_text() == "weights\n"
    assert json.loads(attempt.exit.read_text())["exit_code"] == 0
