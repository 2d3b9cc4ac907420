"""The operator behind its webhooks: raw manifests run, replicas answer alike, namespaces stay walls."""

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from local_control_plane import Cluster, free_port
from stand_in import JOB_TEMPLATE, StandIn, check_invariants, experiment, has_ended, read_all, wait_for
from webhook_bench import Bench, experiment_of, serving

from pykatib.api import names, wire
from pykatib.api.errors import InvalidInput
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import ConfigMap
from pykatib.kube.operator import Operator
from pykatib.kube.template_walls import TemplateWalls
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer
from pykatib.store.observations import MemoryObservationStore

RAW: dict[str, Any] = {
    "maxTrialCount": 6,
    "objective": {"type": "minimize", "objectiveMetricName": "loss"},
    "algorithm": {"algorithmName": "random"},
    "parameters": [{"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "0.01", "max": "1.0"}}],
    "trialTemplate": {
        "primaryContainerName": "training",
        "trialParameters": [{"name": "lr", "reference": "lr"}],
        "trialSpec": JOB_TEMPLATE,
    },
}
SECRET_WORDS = "password: swordfish"
CONDITION = 'status.conditions.#(type=="Complete")#|#(status=="True")#'


@contextmanager
def running(operator: Operator) -> Iterator[None]:
    """An operator at work on a thread of its own."""
    thread = threading.Thread(target=operator.run, name="operator")
    thread.start()
    try:
        yield
    finally:
        operator.stop()
        thread.join()


def test_an_experiment_that_leaves_the_defaults_out_works_through(
    cluster: Cluster, namespace: str, server: ApiServer
) -> None:
    observations = MemoryObservationStore()
    stand_in = StandIn(ApiServer.connect(cluster.kubeconfig), namespace, observations)
    stand_in.start()
    operator = Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)
    try:
        with serving(cluster, server, namespace) as bench, running(operator):
            server.request("POST", bench.experiments, body=experiment_of(RAW, name="search"))
            wait_for("the end", lambda: has_ended(server, namespace))
            check_invariants(server, namespace, stand_in)
    finally:
        stand_in.stop()


# Namespaces


@pytest.fixture
def others(server: ApiServer) -> Iterator[str]:
    """A namespace of somebody else, with a ConfigMap."""
    body = b'{"metadata": {"generateName": "others-"}}'
    name: str = json.loads(server.request("POST", "/api/v1/namespaces", body=body))["metadata"]["name"]
    put_config_map(server, name, "theirs", {"job.yaml": SECRET_WORDS})
    yield name
    server.request("DELETE", f"/api/v1/namespaces/{name}")


def put_config_map(server: ApiServer, namespace: str, name: str, data: dict[str, str], **labels: str) -> None:
    """Creates a ConfigMap."""
    body = json.dumps({"metadata": {"name": name, "labels": labels}, "data": data}).encode()
    server.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body=body)


def spec_from(namespace: str, name: str) -> dict[str, Any]:
    """A spec whose template lies in a ConfigMap."""
    source = {"configMapNamespace": namespace, "configMapName": name, "templatePath": "job.yaml"}
    template = {
        **RAW["trialTemplate"],
        "trialSpec": None,
        "configMap": source,
        "successCondition": CONDITION,
        "failureCondition": CONDITION.replace("Complete", "Failed"),
    }
    return {**RAW, "trialTemplate": template}


def refusal(bench: Bench, namespace: str, name: str) -> str:
    """What is said of an Experiment that takes its template from there."""
    with pytest.raises(InvalidInput) as caught:
        bench.server.request("POST", bench.experiments, body=experiment_of(spec_from(namespace, name), name="search"))
    return str(caught.value)


def test_a_config_map_of_another_namespace_can_neither_be_used_nor_found_out_about(
    cluster: Cluster, namespace: str, others: str, server: ApiServer
) -> None:
    with serving(cluster, server, namespace) as bench:
        there, missing = refusal(bench, others, "theirs"), refusal(bench, others, "nothing")
        assert "spec.trialTemplate.configMap.configMapNamespace" in there
        assert there == missing
        assert "swordfish" not in there
        assert "job.yaml" not in there


def test_of_katibs_namespace_only_what_is_offered_to_all_can_be_used(
    cluster: Cluster, namespace: str, others: str, server: ApiServer
) -> None:
    label = {names.LABEL_COMPONENT: "trial-templates"}
    put_config_map(server, others, "offered", {"job.yaml": json.dumps(JOB_TEMPLATE)}, **label)
    with serving(cluster, server, namespace, others) as bench:
        there, missing = refusal(bench, others, "theirs"), refusal(bench, others, "nothing")
        assert there.replace("theirs", "nothing") == missing
        assert "swordfish" not in there
        body = experiment_of(spec_from(others, "offered"), name="search")
        assert json.loads(server.request("POST", bench.experiments, body=body))["spec"]


def test_an_operator_takes_no_template_of_another_namespace_for_what_nobody_has_judged(
    cluster: Cluster, namespace: str, others: str, server: ApiServer
) -> None:
    put_config_map(server, others, "job", {"job.yaml": json.dumps(JOB_TEMPLATE)})
    operator = Operator(ApiServer.connect(cluster.kubeconfig), MemoryObservationStore(), namespace=namespace)
    stored = json.loads(wire.encode(experiment(namespace, trials=2, parallel=1)))
    stored["spec"]["trialTemplate"] |= spec_from(others, "job")["trialTemplate"]
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments"

    def told() -> list[str]:
        items = json.loads(server.request("GET", f"/api/v1/namespaces/{namespace}/events"))["items"]
        return [item["message"] for item in items if item["reason"] == names.RECONCILE_ERROR]

    with running(operator):
        server.request("POST", path, body=json.dumps(stored).encode())
        wait_for("the word", lambda: any("configMapNamespace" in text for text in told()))
        assert not read_all(server, namespace, "trials")


@pytest.mark.parametrize(
    ("place", "labels", "is_allowed"),
    [
        ("mine", {}, True),
        ("kubeflow", {names.LABEL_COMPONENT: "trial-templates"}, True),
        ("kubeflow", {names.LABEL_COMPONENT: "controller"}, False),
        ("kubeflow", {}, False),
        ("theirs", {names.LABEL_COMPONENT: "trial-templates"}, False),
    ],
)
def test_the_wall(place: str, labels: dict[str, str], is_allowed: bool) -> None:
    found = ConfigMap(metadata=ObjectMeta(name="t", namespace=place, labels=labels))
    if is_allowed:
        TemplateWalls("kubeflow").check("mine", found)
        return
    with pytest.raises(InvalidInput):
        TemplateWalls("kubeflow").check("mine", found)


# Replicas


@contextmanager
def started(bench: Bench, log: Path, port: int, health: int) -> Iterator[subprocess.Popen[bytes]]:
    """`katib operator` with webhooks at a port."""
    command = [
        sys.executable, "-m", "pykatib.cli.main", "operator",
        "--kubeconfig", bench.cluster.kubeconfig,
        "--namespace", bench.namespace,
        "--core-namespace", bench.namespace,
        "--leader-elect",
        "--lease-namespace", bench.namespace,
        "--db-manager", "127.0.0.1:1",
        "--webhook-address", f"127.0.0.1:{port}",
        "--webhook-secret", "webhook-cert",
        "--webhook-configuration", bench.name,
        "--metrics-address", f"127.0.0.1:{health}",
        "--health-address", f"127.0.0.1:{health}",
    ]  # fmt: skip
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=dict(os.environ))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_ready(health: int) -> bool:
    """Whether an operator says that it is ready."""
    try:
        with urlopen(f"http://127.0.0.1:{health}/readyz", timeout=5) as answer:
            return int(answer.status) == 200
    except URLError:
        return False


def certificate_at(port: int) -> str:
    """What a client is shown there; empty where nobody answers."""
    try:
        return ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
    except OSError:
        return ""


def point_at(bench: Bench, port: int) -> None:
    """Has the API server ask there."""
    for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
        path = f"/apis/admissionregistration.k8s.io/v1/{plural}/{bench.name}"
        configuration = json.loads(bench.server.request("GET", path))
        for webhook in configuration["webhooks"]:
            place = webhook["clientConfig"]["url"].rpartition("/")[2]
            webhook["clientConfig"]["url"] = f"https://127.0.0.1:{port}/{place}"
        body = json.dumps({"webhooks": configuration["webhooks"]}).encode()
        bench.server.request("PATCH", path, body=body, content_type=MERGE_PATCH)


@pytest.mark.slow
def test_of_two_operators_each_answers_with_one_certificate_and_one_may_be_killed(
    cluster: Cluster, namespace: str, server: ApiServer, tmp_path: Path
) -> None:
    bench = Bench(cluster, server, namespace, namespace)
    put_config_map(server, namespace, "katib-config", {"katib-config.yaml": COLLECTORS})
    ports, healths, log = (free_port(), free_port()), (free_port(), free_port()), tmp_path / "log"
    bench.configure(f"https://127.0.0.1:{ports[0]}")
    try:
        with started(bench, log, ports[0], healths[0]) as one, started(bench, log, ports[1], healths[1]) as other:
            wait_for("both", lambda: all(is_ready(health) for health in healths))
            assert certificate_at(ports[0]) == certificate_at(ports[1]) != ""
            bench.wait_until_trusted()
            one.kill()
            one.wait()
            point_at(bench, ports[1])
            bench.wait_until_trusted()
            server.request("POST", bench.experiments, body=experiment_of(RAW, name="search"))
            spec = {**RAW, "metricsCollectorSpec": {"collector": {"kind": "TensorFlowEvent"}}}
            with pytest.raises(InvalidInput, match=r"collector\.kind"):
                server.request("POST", bench.experiments, body=experiment_of(spec, name="no-image"))
            shown = certificate_at(ports[1])
            with started(bench, log, ports[0], healths[0]):
                wait_for("its return", lambda: certificate_at(ports[0]) == shown)
            other.send_signal(signal.SIGTERM)
            assert other.wait(30) == 0
    finally:
        bench.close()
    assert "Traceback" not in log.read_text()


COLLECTORS = """
apiVersion: config.kubeflow.org/v1beta1
kind: KatibConfig
runtime:
  metricsCollectors:
  - {kind: StdOut, image: example.org/sidecar}
"""
