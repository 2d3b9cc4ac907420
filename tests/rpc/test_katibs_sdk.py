"""Katib's own SDK, unmodified, as a client of our DB manager. KATIB_SDK_PYTHON names an interpreter that has it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from db_manager_support import new_database, serving

from pykatib.rpc.remote_observations import RemoteObservationStore
from pykatib.store.observation_conformance import NOW, log

# Outside a cluster its `report_metrics` does not find the file of its namespace, which it uses for messages only.
REPORT = """
import builtins, io, json, sys
opened = builtins.open
def open_in_cluster(path, *rest, **more):
    if str(path).endswith("serviceaccount/namespace"):
        return io.StringIO("team")
    return opened(path, *rest, **more)
builtins.open = open_in_cluster
from kubeflow.katib import report_metrics
report_metrics({"loss": 0.25, "accuracy": "0.75"}, db_manager_address=sys.argv[1])
"""
READ = """
import json, sys
from kubeflow.katib import KatibClient
logs = KatibClient(config_file=sys.argv[2]).get_trial_metrics("sdk-trial", db_manager_address=sys.argv[1])
print(json.dumps([[entry.time_stamp, entry.metric.name, entry.metric.value] for entry in logs]))
"""
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "users": [{"name": "none", "user": {}}],
    "current-context": "none",
}


def _run(program: str, *arguments: str) -> str:
    python = os.environ.get("KATIB_SDK_PYTHON")
    if not python:
        pytest.skip("KATIB_SDK_PYTHON names no interpreter with kubeflow-katib")
    done = subprocess.run(
        [python, "-c", program, *arguments],
        env={**os.environ, "KATIB_TRIAL_NAME": "sdk-trial", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["sqlite", "mariadb", "postgresql"])
def test_katibs_sdk_reports_and_reads(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(json.dumps(KUBECONFIG))
    with serving(new_database(kind, request, tmp_path)) as address:
        _run(REPORT, address)
        store = RemoteObservationStore(address)
        assert {one.name: one.value for one in store.logs("team", "sdk-trial")} == {"loss": "0.25", "accuracy": "0.75"}
        store.delete("team", "sdk-trial")
        store.report("team", "sdk-trial", [log(0.5, "0.125"), log(1, "0.1")])
        store.close()
        assert NOW == 1_750_000_000.0
        assert json.loads(_run(READ, address, str(config))) == [
            ["2025-06-15T15:06:40.5Z", "loss", "0.125"],
            ["2025-06-15T15:06:41Z", "loss", "0.1"],
        ]
