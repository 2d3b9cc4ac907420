"""What Katib's SDK and pages read of a status is there for them, before the first Trial as after the last."""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from bad_days import HeldStandIn, apply, at_work, completing
from local_control_plane import Cluster
from stand_in import experiment, has_ended, wait_for

from pykatib.kube.operator import Operator
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.observations import MemoryObservationStore

SDK = """
import json, sys
from kubeflow.katib import KatibClient
client = KatibClient(config_file=sys.argv[1], namespace=sys.argv[2])
found = client.get_experiment("search")
optimal = client.get_optimal_hyperparameters("search")
trials = client.list_trials("search")
print(json.dumps({
    "observation": found.status.current_optimal_trial.observation.to_dict(),
    "counts": [found.status.trials, found.status.trials_succeeded],
    "condition": found.status.conditions[-1].type,
    "succeeded": client.is_experiment_succeeded("search"),
    "optimal": optimal.best_trial_name if optimal else None,
    "details": [sorted(each) for each in client.get_success_trial_details("search")],
    "trials": sorted(trial.status.conditions[-1].type for trial in trials),
    "listed": [each.metadata.name for each in client.list_experiments()],
    "suggested": client.get_suggestion("search").status.suggestion_count,
}))
"""


@pytest.fixture
def stand_in(cluster: Cluster, namespace: str) -> Iterator[HeldStandIn]:
    """Completes the Jobs of an Experiment, once it is told to, with an operator at work."""
    observations = MemoryObservationStore()
    held = HeldStandIn(ApiServer.connect(cluster.kubeconfig), namespace, observations)
    operator = Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)
    with completing(held), at_work(operator):
        yield held


def status_of(server: ApiServer, namespace: str) -> dict[str, object]:
    """The Experiment's status, as it is on the wire."""
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments/search"
    status: dict[str, object] = json.loads(server.request("GET", path)).get("status", {})
    return status


def test_there_is_an_optimum_to_look_into_from_the_first_status_on(
    server: ApiServer, namespace: str, stand_in: HeldStandIn
) -> None:
    apply(server, experiment(namespace, trials=2, parallel=2))
    wait_for("a status", lambda: "trialsRunning" in status_of(server, namespace))
    assert status_of(server, namespace)["currentOptimalTrial"] == {"observation": {}}
    stand_in.released.set()
    wait_for("the end", lambda: has_ended(server, namespace))
    optimum = status_of(server, namespace)["currentOptimalTrial"]
    assert isinstance(optimum, dict)
    assert {*optimum} == {"bestTrialName", "parameterAssignments", "observation"}


def test_katibs_sdk_reads_an_experiment_at_work_and_one_that_has_ended(
    cluster: Cluster, server: ApiServer, namespace: str, stand_in: HeldStandIn
) -> None:
    python = os.environ.get("KATIB_SDK_PYTHON")
    if not python:
        pytest.skip("KATIB_SDK_PYTHON names no interpreter with kubeflow-katib")

    def read() -> dict[str, object]:
        command = [python, "-c", SDK, cluster.kubeconfig, namespace]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}, check=False
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return found

    apply(server, experiment(namespace, trials=2, parallel=2))
    wait_for("Trials at work", lambda: status_of(server, namespace).get("trialsRunning") == 2)
    at_first = read()
    assert at_first["observation"] == {"metrics": None}
    assert at_first["condition"] == "Running"
    assert (at_first["optimal"], at_first["succeeded"], at_first["details"]) == (None, False, [])
    assert at_first["trials"] == ["Running", "Running"]
    stand_in.released.set()
    wait_for("the end", lambda: has_ended(server, namespace))
    at_last = read()
    assert at_last["counts"] == [2, 2]
    assert (at_last["condition"], at_last["succeeded"]) == ("Succeeded", True)
    assert at_last["optimal"]
    assert at_last["details"] == [["metrics", "name", "parameter_assignments"]] * 2
    assert (at_last["listed"], at_last["suggested"]) == (["search"], 2)
