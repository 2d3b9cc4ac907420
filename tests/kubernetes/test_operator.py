"""The operator on a real API server; Jobs are completed by a stand-in."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest
from local_control_plane import Cluster
from stand_in import JOB_TEMPLATE, StandIn, check_invariants, experiment, has_ended, read_all, wait_for

from pykatib.api import names, wire
from pykatib.api.experiment import Experiment
from pykatib.control.suggestion_plan import trial_name
from pykatib.kube.health import HealthServer
from pykatib.kube.operator import Operator
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.observations import MemoryObservationStore


@contextmanager
def running(operator: Operator) -> Iterator[Operator]:
    """An operator at work on a thread of its own."""
    thread = threading.Thread(target=operator.run, name="operator")
    thread.start()
    try:
        yield operator
    finally:
        operator.stop()
        thread.join()


@pytest.fixture
def observations() -> MemoryObservationStore:
    """Where metrics arrive."""
    return MemoryObservationStore()


@pytest.fixture
def stand_in(cluster: Cluster, namespace: str, observations: MemoryObservationStore) -> Iterator[StandIn]:
    """Completes the Jobs of the namespace."""
    each = StandIn(ApiServer.connect(cluster.kubeconfig), namespace, observations)
    each.start()
    yield each
    each.stop()


def create(server: ApiServer, namespace: str, *, trials: int, parallel: int, goal: float | None = None) -> None:
    """Applies an Experiment."""
    body = wire.encode(experiment(namespace, trials=trials, parallel=parallel, goal=goal))
    server.request("POST", f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments", body=body)


def test_an_experiment_runs_to_its_end(
    cluster: Cluster,
    namespace: str,
    server: ApiServer,
    stand_in: StandIn,
    observations: MemoryObservationStore,
) -> None:
    operator = Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)
    with running(operator):
        create(server, namespace, trials=12, parallel=4)
        wait_for("the Experiment's end", lambda: has_ended(server, namespace))
        wait_for("the Jobs' deletion", lambda: not jobs(server, namespace))
        figures = operator.figures().text
    check_invariants(server, namespace, stand_in)
    assert f'katib_trial_created_total{{namespace="{namespace}"}} 12' in figures
    assert f'katib_trial_succeeded_total{{namespace="{namespace}"}} 12' in figures
    assert f'katib_experiments_current{{namespace="{namespace}",status="Succeeded"}} 1' in figures
    told = json.loads(server.request("GET", f"/api/v1/namespaces/{namespace}/events"))["items"]
    reasons = [event["reason"] for event in told]
    assert names.RECONCILE_ERROR not in reasons, told
    assert reasons.count(names.JOB_CREATED) == 12


def test_an_experiment_that_no_webhook_saw_gets_its_defaults_all_the_same(
    cluster: Cluster,
    namespace: str,
    server: ApiServer,
    stand_in: StandIn,
    observations: MemoryObservationStore,
) -> None:
    written = json.loads(wire.encode(experiment(namespace, trials=2, parallel=2)))
    for defaulted in ("metricsCollectorSpec", "resumePolicy"):
        del written["spec"][defaulted]
    for defaulted in ("successCondition", "failureCondition"):
        del written["spec"]["trialTemplate"][defaulted]
    del written["spec"]["objective"]["metricStrategies"]
    operator = Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)
    with running(operator):
        path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments"
        server.request("POST", path, body=json.dumps(written).encode())
        wait_for("the Experiment's end", lambda: has_ended(server, namespace))
    check_invariants(server, namespace, stand_in)


def jobs(server: ApiServer, namespace: str) -> list[object]:
    """The Jobs that are there."""
    items: list[object] = json.loads(server.request("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs"))["items"]
    return items


def test_a_job_of_somebody_else_in_a_trials_place_is_said_and_waited_for(
    cluster: Cluster, namespace: str, server: ApiServer, stand_in: StandIn, observations: MemoryObservationStore
) -> None:
    operator = Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)
    wanted = experiment(namespace, trials=1, parallel=1)
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments"
    made = wire.decode(server.request("POST", path, body=wire.encode(wanted)), Experiment)
    name = trial_name("search", made.metadata.uid, 0)
    body = {**JOB_TEMPLATE, "metadata": {"name": name}}
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    server.request("POST", path, body=json.dumps(body).encode())

    def told() -> list[str]:
        items = json.loads(server.request("GET", f"/api/v1/namespaces/{namespace}/events"))["items"]
        return [item["message"] for item in items if item["reason"] == names.RECONCILE_ERROR]

    with running(operator):
        wait_for("the word", lambda: any("not this Trial's" in text for text in told()))
        server.request("DELETE", f"{path}/{name}", body=b'{"propagationPolicy": "Background"}')
        wait_for("the Experiment's end", lambda: has_ended(server, namespace))


def test_pages_tell_of_health_and_figures(cluster: Cluster, namespace: str) -> None:
    operator = Operator(ApiServer.connect(cluster.kubeconfig), MemoryObservationStore(), namespace=namespace)
    pages = {"/healthz": operator.health, "/readyz": operator.readiness, "/metrics": operator.figures}
    health = HealthServer("127.0.0.1:0", pages)
    assert operator.readiness().status == 503
    with running(operator):
        wait_for("readiness", lambda: operator.readiness().status == 200)
        with urlopen(f"http://127.0.0.1:{health.port}/healthz", timeout=10) as answer:
            assert answer.status == 200
        with urlopen(f"http://127.0.0.1:{health.port}/metrics", timeout=10) as answer:
            assert "# TYPE katib_trials_current gauge" in answer.read().decode()
    health.close()


def test_a_deleted_experiment_takes_everything_with_it(
    cluster: Cluster, namespace: str, server: ApiServer, observations: MemoryObservationStore
) -> None:
    operator = Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)
    with running(operator):
        create(server, namespace, trials=6, parallel=3)
        wait_for("three Jobs", lambda: len(jobs(server, namespace)) == 3)
        path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments/search"
        server.request("DELETE", path)
        wait_for("nothing left", lambda: not read_all(server, namespace, "trials") and not jobs(server, namespace))
    assert not read_all(server, namespace, "suggestions")
