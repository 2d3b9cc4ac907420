"""The sidecar beside real programs, reporting to a real DB manager."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from db_manager_support import free_port, serving
from scene import NAMESPACE, TRIAL, Pod, values, wait_for
from sqlalchemy import URL

from pykatib.rpc import messages
from pykatib.rpc.db_manager_client import DBManagerClient
from pykatib.rpc.services import EARLY_STOPPING, NAMESPACE_KEY, handler, metadata_value
from pykatib.rpc.serving import Serving
from pykatib.store.log_row import NO_TIME

EVENTS = Path(__file__).parents[1] / "workers" / "collectors" / "event_files" / "tensorflow2"
COUNTING = "import time\nfor i in range({count}):\n    print(f'loss={{i}}', flush=True)\n    time.sleep({pause})\n"


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_a_program_that_ended_before_the_sidecar_started_is_reported(pod: Pod) -> None:
    pod.start_python("print('loss=0.5 accuracy=0.9')").wait(30)
    assert pod.start_sidecar().wait(30) == 0
    assert values(pod.address) == ["0.5"]
    assert values(pod.address, "accuracy") == ["0.9"]


def test_ten_thousand_lines_arrive_in_order(pod: Pod) -> None:
    assert pod.run("for i in range(10_000): print(f'epoch {i}: loss={i}')") == 0
    assert values(pod.address) == numbers(10_000)


def test_values_arrive_while_the_program_runs(pod: Pod) -> None:
    program = pod.start_python("import time\nprint('loss=1', flush=True)\ntime.sleep(60)")
    pod.start_sidecar()
    wait_for(lambda: values(pod.address) == ["1"], "the report")
    assert program.poll() is None


def test_a_db_manager_that_is_away_for_a_while_costs_nothing(tmp_path: Path) -> None:
    url, port = URL.create("sqlite", database=str(tmp_path / "logs.db")), free_port()
    pod = Pod(tmp_path, f"127.0.0.1:{port}")
    try:
        with serving(url, port=port):
            pod.start_python(COUNTING.format(count=150, pause=0.02))
            sidecar = pod.start_sidecar()
            wait_for(lambda: bool(values(pod.address)), "the first report")
        wait_for(lambda: "reports wait" in pod.said(), "the outage")
        wait_for(lambda: (pod.control / "exit").exists(), "the program's end")
        assert sidecar.poll() is None
        with serving(url, port=port):
            assert sidecar.wait(30) == 0
            assert values(pod.address) == numbers(150)
    finally:
        pod.close()


def test_a_db_manager_that_stays_away_is_told(tmp_path: Path) -> None:
    pod = Pod(tmp_path, f"127.0.0.1:{free_port()}")
    try:
        assert pod.run("print('loss=1')", "--patience", "1s") == 1
        assert "did not arrive" in pod.said()
    finally:
        pod.close()


def test_a_sidecar_that_is_killed_again_and_again_loses_and_doubles_nothing(pod: Pod) -> None:
    program = pod.start_python(COUNTING.format(count=1_500, pause=0.002))
    for _ in range(6):
        sidecar = pod.start_sidecar()
        size = len(values(pod.address))
        wait_for(lambda size=size: len(values(pod.address)) > size or program.poll() is not None)  # type: ignore[misc]
        sidecar.kill()
        sidecar.wait()
    program.wait(30)
    assert pod.start_sidecar().wait(30) == 0
    assert values(pod.address) == numbers(1_500)


def test_a_report_whose_answer_was_lost_is_kept_once(pod: Pod) -> None:
    assert pod.run("print('loss=1')") == 0
    (pod.control / "collector" / "delivered").unlink()  # as if it had been killed before it knew
    assert pod.start_sidecar().wait(30) == 0
    assert values(pod.address) == ["1"]


def test_a_program_that_never_says_its_metric_is_reported_as_unavailable(pod: Pod) -> None:
    assert pod.run("print('accuracy=0.9\\nloss: 3')") == 0
    client = DBManagerClient(pod.address)
    rows = client.find(TRIAL, namespace=NAMESPACE, metric_name="loss")
    client.close()
    assert [(row.at, row.value) for row in rows] == [(NO_TIME, "unavailable")]
    assert "the nearest was 'loss: 3'" in pod.said()


def test_a_failed_program_keeps_what_it_reported_and_nothing_is_made_up(pod: Pod) -> None:
    assert pod.run("print('accuracy=0.9')\nraise SystemExit(3)") == 0
    assert values(pod.address, "accuracy") == ["0.9"]
    assert values(pod.address) == []


def test_a_program_that_is_started_again_is_followed(pod: Pod) -> None:
    pod.start_python("print('loss=1')\nraise SystemExit(3)").wait(30)
    sidecar = pod.start_sidecar("--restarts", "true")
    wait_for(lambda: values(pod.address) == ["1"], "the first run's report")
    pod.start_python("print('loss=2')").wait(30)
    assert sidecar.wait(30) == 0
    assert values(pod.address) == ["1", "2"]


def test_a_program_that_is_killed_with_its_wrapper_ends_the_sidecar(pod: Pod) -> None:
    program = pod.start_python("import time\nprint('loss=1', flush=True)\ntime.sleep(3)")
    sidecar = pod.start_sidecar()
    wait_for(lambda: values(pod.address) == ["1"], "the report")
    program.kill()
    assert sidecar.wait(30) == 0
    assert not (pod.control / "exit").exists()


def test_sigterm_is_no_reason_to_stop_reading_before_the_program_does(pod: Pod) -> None:
    pod.start_python("import time\nprint('loss=1', flush=True)\ntime.sleep(2)\nprint('loss=2')")
    sidecar = pod.start_sidecar()
    wait_for(lambda: values(pod.address) == ["1"], "the report")
    sidecar.send_signal(signal.SIGTERM)
    assert sidecar.wait(30) == 0
    assert values(pod.address) == ["1", "2"]


def test_lines_of_a_file_of_the_program_s_own(pod: Pod) -> None:
    path = pod.folder / "own" / "metrics.txt"
    pod.start_python(f"import os\nos.mkdir('own')\nopen({str(path)!r}, 'w').write('loss:7\\nloss:8')", log=False)
    assert pod.start_sidecar("--filter", "([a-z]+):([0-9])", "-format", "TEXT", kind="File", path=path).wait(30) == 0
    assert values(pod.address) == ["7", "8"]


def test_json_lines_survive_a_killed_sidecar_in_the_middle_of_a_line(pod: Pod) -> None:
    path = pod.folder / "metrics.json"
    path.write_text('{"loss": 1}\n{"loss"')
    program = pod.start_python("import time\nwhile True: time.sleep(0.1)", log=False)
    sidecar = pod.start_sidecar("-format", "JSON", kind="File", path=path)
    wait_for(lambda: values(pod.address) == ["1"], "the report")
    sidecar.kill()
    sidecar.wait()
    with open(path, "a") as file:
        file.write(': 2}\n{"loss": "3", "x": "\\ud800"}\n')
    program.terminate()
    assert pod.start_sidecar("-format", "JSON", kind="File", path=path).wait(30) == 0
    assert values(pod.address) == ["1", "2", "3"]


def test_events_of_tensorflow_survive_a_killed_sidecar(pod: Pod) -> None:
    folder = pod.folder / "events"
    program = pod.start_python("import time\nwhile True: time.sleep(0.1)", log=False)
    arguments = ("-m", "train/accuracy")
    sidecar = pod.start_sidecar(*arguments, kind="TensorFlowEvent", path=folder)
    shutil.copytree(EVENTS, folder)
    wait_for(lambda: len(values(pod.address, "train/accuracy")) == 3, "the report")
    sidecar.kill()
    sidecar.wait()
    program.terminate()
    assert pod.start_sidecar(*arguments, kind="TensorFlowEvent", path=folder).wait(30) == 0
    assert values(pod.address, "train/accuracy") == ["0.7", "0.8", "0.9"]


def test_an_endpoint_of_the_program_is_asked(pod: Pod) -> None:
    class Answering(BaseHTTPRequestHandler):
        value = 1

        def do_GET(self) -> None:
            body = f"# TYPE loss gauge\nloss {Answering.value}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    arguments = ("--http-get", json.dumps({"port": server.server_port, "path": "/metrics"}))
    try:
        program = pod.start_python("import time\nwhile True: time.sleep(0.1)", log=False)
        sidecar = pod.start_sidecar(*arguments, kind="PrometheusMetric")
        wait_for(lambda: values(pod.address) == ["1"], "the first value")
        sidecar.kill()
        sidecar.wait()
        sidecar = pod.start_sidecar(*arguments, kind="PrometheusMetric")
        wait_for(lambda: pod.said().count("collecting PrometheusMetric") == 2, "the second life")
        time.sleep(0.3)
        Answering.value = 2
        wait_for(lambda: len(values(pod.address)) > 1, "the second value")
        program.terminate()
        assert sidecar.wait(30) == 0
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert values(pod.address) == ["1", "2"]


@contextmanager
def early_stopping_service(told: list[tuple[str, str | None]], *, port: int = 0) -> Iterator[str]:
    """A service that takes stopped Trials down."""

    def set_trial_status(
        request: messages.SetTrialStatusRequest, context: grpc.ServicerContext
    ) -> messages.SetTrialStatusReply:
        told.append((request.trial_name, metadata_value(context, NAMESPACE_KEY)))
        return messages.SetTrialStatusReply()

    server = Serving(f"127.0.0.1:{port}", [handler(EARLY_STOPPING, {"SetTrialStatus": set_trial_status})])
    server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop(grace_seconds=1.0)


def test_a_stop_rule_ends_the_program_as_a_success_and_announces_it(pod: Pod) -> None:
    told: list[tuple[str, str | None]] = []
    with early_stopping_service(told) as address:
        program = pod.start_python(COUNTING.format(count=100_000, pause=0.01), stop_seconds="20")
        sidecar = pod.start_sidecar("-stop-rule", "loss;-1;greater;5", "-s-earlystop", address)
        assert program.wait(30) == 0
        assert sidecar.wait(30) == 0
    assert told == [(TRIAL, NAMESPACE)]
    kept = values(pod.address)
    assert kept == numbers(len(kept))
    assert len(kept) >= 5


def test_a_successor_of_a_killed_sidecar_remembers_what_rules_have_heard(pod: Pod) -> None:
    told: list[tuple[str, str | None]] = []
    with early_stopping_service(told) as address:
        program = pod.start_python(
            "import os, time\nprint('loss=1\\nloss=2', flush=True)\n"
            "while not os.path.exists('go'): time.sleep(0.05)\nprint('loss=3', flush=True)\ntime.sleep(60)",
            stop_seconds="20",
        )
        arguments = ("-stop-rule", "loss;0;greater;3", "-s-earlystop", address)
        sidecar = pod.start_sidecar(*arguments)
        wait_for(lambda: len(values(pod.address)) == 2, "the report")
        sidecar.kill()
        sidecar.wait()
        (pod.folder / "go").touch()
        assert pod.start_sidecar(*arguments).wait(30) == 0
        assert program.wait(30) == 0
    assert told == [(TRIAL, NAMESPACE)]
    assert values(pod.address) == ["1", "2", "3"]


def test_a_program_that_ends_by_itself_is_not_announced(pod: Pod) -> None:
    told: list[tuple[str, str | None]] = []
    with early_stopping_service(told) as address:
        pod.start_python("print('loss=5')", stop_seconds="20").wait(30)
        assert pod.start_sidecar("-stop-rule", "loss;0;greater;0", "-s-earlystop", address).wait(30) == 0
    assert told == []
    assert values(pod.address) == ["5"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "loss"], ["-t: is required", "-s-db: is required"]),
        (["--bogus", "1"], ["--bogus: is no argument"]),
        (["-p", "soon"], ["-p: found 'soon', wanted a duration"]),
        (["-stop-rule", "loss;1"], ["-stop-rule: found 'loss;1', wanted NAME;VALUE", "-s-earlystop: is required"]),
        (["-o-type", "best"], ["-o-type: found 'best', wanted minimize or maximize"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_wrong_arguments_are_told_all_at_once(arguments: list[str], words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pykatib.sidecar", *arguments], capture_output=True, timeout=60)
    assert done.returncode == 2
    lines = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    for word in words:
        assert any(word in line for line in lines), lines


def test_output_that_was_read_is_freed_while_the_program_goes_on(pod: Pod) -> None:
    program = (
        "import time\nfor i in range(60):\n    print('x' * (1 << 20)); print(f'loss={i}', flush=True)\ntime.sleep(60)"
    )
    pod.start_python(program)
    pod.start_sidecar()
    wait_for(lambda: len(values(pod.address)) == 60, "the reports")
    status = pod.log.stat()
    assert status.st_size > 60 << 20
    assert status.st_blocks * 512 < 45 << 20
