"""A distributed Trial on a cluster: its Pods come from the PyTorchJob that the operator made, and decide its end."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from local_control_plane import Cluster
from stand_in import experiment, has_ended, read_experiment, wait_for
from training_stand_in import TrainingStandIn
from worker_crds import PYTORCH_JOB, install, remove

from pykatib.api import names, wire
from pykatib.api.conditions import is_true
from pykatib.api.defaults import default_experiment
from pykatib.api.errors import NotFound
from pykatib.api.experiment import Experiment
from pykatib.api.shared import MetricLog
from pykatib.kube.operator import Operator
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer
from pykatib.store.observations import MemoryObservationStore

REPLICA = {
    "replicas": 1,
    "restartPolicy": "Never",
    "template": {
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "training", "image": "example", "command": ["train", "${trialParameters.lr}"]}],
        }
    },
}


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> Iterator[None]:
    server = ApiServer.connect(cluster.kubeconfig)
    made = install(server, [PYTORCH_JOB])
    yield
    remove(server, made)
    server.close()


def distributed(namespace: str) -> Experiment:
    plain = experiment(namespace, trials=1, parallel=1)
    body = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "spec": {"pytorchReplicaSpecs": {"Master": REPLICA, "Worker": {**REPLICA, "replicas": 2}}},
    }
    template = plain.spec.trial_template
    assert template is not None
    template = msgspec.structs.replace(
        template, trial_spec=msgspec.Raw(msgspec.json.encode(body)), success_condition="", failure_condition=""
    )
    spec = msgspec.structs.replace(plain.spec, trial_template=template, max_failed_trial_count=1)
    return default_experiment(msgspec.structs.replace(plain, spec=spec))


class Pods:
    """The Pods of a namespace; a test says what becomes of them, as a kubelet would."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self._server = server
        self._path = f"/api/v1/namespaces/{namespace}/pods"

    def all(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self._server.request("GET", self._path))["items"]
        return items

    def become(self, phase: str, ending: str) -> None:
        for pod in self.all():
            name = pod["metadata"]["name"]
            if name.endswith(ending):
                body = json.dumps({"status": {"phase": phase}}).encode()
                self._server.request("PATCH", f"{self._path}/{name}/status", body=body, content_type=MERGE_PATCH)


def has_account(server: ApiServer, namespace: str) -> bool:
    try:
        server.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    except NotFound:
        return False
    return True


@pytest.mark.parametrize(
    ("ends", "condition"),
    [
        pytest.param(("Succeeded", "-master-0"), names.SUCCEEDED, id="the master succeeds"),
        pytest.param(("Failed", "-worker-1"), names.FAILED, id="a worker fails"),
    ],
)
def test_a_pytorch_job_becomes_pods_whose_end_is_the_trials(
    cluster: Cluster, namespace: str, server: ApiServer, ends: tuple[str, str], condition: str
) -> None:
    observations = MemoryObservationStore()
    operator = Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)
    thread = threading.Thread(target=operator.run)
    pods = Pods(server, namespace)
    stand_in = TrainingStandIn(server, namespace)
    thread.start()
    try:
        wait_for("the namespace's account, without which no Pod is taken", lambda: has_account(server, namespace))
        with stand_in:
            path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments"
            server.request("POST", path, body=wire.encode(distributed(namespace)))
            wait_for("the Pods", lambda: len(pods.all()) == 3)
            found = {pod["metadata"]["name"].split("-", 2)[2]: pod for pod in pods.all()}
            assert sorted(found) == ["master-0", "worker-0", "worker-1"]
            worker = found["worker-1"]
            (owner,) = worker["metadata"]["ownerReferences"]
            trial = owner["name"]
            variables = {one["name"]: one["value"] for one in worker["spec"]["containers"][0]["env"]}
            assert (variables["RANK"], variables["WORLD_SIZE"]) == ("2", "3")
            assert variables["MASTER_ADDR"] == f"{trial}-master-0"
            assert found["master-0"]["metadata"]["labels"]["training.kubeflow.org/job-role"] == "master"
            assert worker["spec"]["containers"][0]["command"][1].startswith("0.")
            pods.become("Running", "")
            observations.report(namespace, trial, [MetricLog(1.0, "loss", "0.5")])
            pods.become(*ends)
            wait_for("the Experiment's end", lambda: has_ended(server, namespace))
    finally:
        operator.stop()
        thread.join()
    assert is_true(read_experiment(server, namespace).status.conditions, condition), stand_in.failure
