"""Katib's own SDK, unmodified, against the installed operator. KATIB_SDK_PYTHON names an interpreter that has it."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from katib_experiments import NAMESPACE, read
from real_node import RealNode

PROGRAM = Path(__file__).resolve().parent / "katibs_sdk_program.py"
NAME = "tuned-by-katibs-sdk"


def test_katibs_sdk_tunes_edits_reads_and_deletes(node: RealNode) -> None:
    python = os.environ.get("KATIB_SDK_PYTHON")
    if not python:
        pytest.skip("KATIB_SDK_PYTHON names no interpreter with kubeflow-katib")
    service = read(node, "service", "katib-db-manager")
    assert service is not None
    done = subprocess.run(
        [python, PROGRAM, f"{service['spec']['clusterIP']}:6789", NAME],
        env={**os.environ, "KUBECONFIG": str(node.kubeconfig), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["tuned"], found["trials"], found["succeeded"], found["resumed"]) == (3, 3, 3, 4)
    x = float(found["best"]["x"])
    assert float(found["result"]) == pytest.approx(4 - (x - 1) ** 2)
    assert found["metrics"] == [["result", found["result"]]]
    until = time.monotonic() + 60
    while left := node.run("-n", NAMESPACE, "get", "experiments,trials", "-o", "name").stdout.count(NAME):
        assert time.monotonic() < until, f"{left} objects of deleted Experiments are left"
        time.sleep(0.5)
