"""`katib operator` and `katib db-manager` as users start them, on a real API server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from local_control_plane import Cluster, free_port
from stand_in import StandIn, check_invariants, experiment, has_ended, read_experiment, wait_for

from pykatib.api import wire
from pykatib.api.shared import MetricLog
from pykatib.rpc.remote_observations import RemoteObservationStore
from pykatib.store.kubernetes.api_server import ApiServer


class Delivered(RemoteObservationStore):
    """Reports as a sidecar does: its Pod ends when the DB manager has everything."""

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog], *, report_id: str = "") -> None:
        super().report(namespace, trial_name, logs, report_id=report_id)
        self.flush()


@contextmanager
def started(log: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `katib` command at work."""
    command = [sys.executable, "-m", "pykatib.cli.main", *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def status_of(url: str) -> int:
    """What a page answers; 0 where nobody does."""
    try:
        with urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except URLError as error:
        return int(getattr(error, "code", 0))


@pytest.mark.slow
def test_the_commands_run_an_experiment_while_the_db_manager_goes_and_comes(
    cluster: Cluster, namespace: str, server: ApiServer, tmp_path: Path
) -> None:
    database, port, log = tmp_path / "metrics.db", free_port(), tmp_path / "log"
    manager = ("db-manager", "--listen-address", f"127.0.0.1:{port}")
    settings = {"DB_NAME": "sqlite", "KATIB_SQLITE_DB_PATH": str(database)}
    observations = Delivered(f"127.0.0.1:{port}", timeout_seconds=60.0)
    stand_in = StandIn(ApiServer.connect(cluster.kubeconfig), namespace, observations)
    stand_in.start()
    health = free_port()
    operator = (
        "operator",
        "--kubeconfig", cluster.kubeconfig,
        "--namespace", namespace,
        "--leader-elect",
        "--no-webhooks",
        "--lease-namespace", namespace,
        "--db-manager", f"127.0.0.1:{port}",
        "--metrics-address", f"127.0.0.1:{health}",
        "--health-address", f"127.0.0.1:{health}",
    )  # fmt: skip
    try:
        with started(log, *operator) as process:
            body = wire.encode(experiment(namespace, trials=30, parallel=4))
            server.request("POST", f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments", body=body)
            with started(log, *manager, **settings):
                wait_for(
                    "progress", lambda: read_experiment(server, namespace).status.trials_succeeded > 4
                )  # fmt: skip
            time.sleep(3.0)
            with started(log, *manager, **settings):
                wait_for("the end", lambda: has_ended(server, namespace))
            assert status_of(f"http://127.0.0.1:{health}/healthz") == 200
            assert status_of(f"http://127.0.0.1:{health}/readyz") == 200
            assert status_of(f"http://127.0.0.1:{health}/metrics") == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    finally:
        stand_in.stop()
        observations.close()
    check_invariants(server, namespace, stand_in)
    assert "Traceback" not in log.read_text()
