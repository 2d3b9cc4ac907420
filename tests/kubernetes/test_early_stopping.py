"""Early stopping on a real API server: the operator reads curves, a service marks Trials; nothing runs in Jobs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from local_control_plane import Cluster
from stand_in import experiment, wait_for

from pykatib.api import names, wire
from pykatib.api.conditions import find_condition, is_true
from pykatib.api.errors import Conflict, NotFound
from pykatib.api.shared import EarlyStoppingSpec, MetricLog, Setting
from pykatib.api.trial import Trial
from pykatib.control.view import trial_state
from pykatib.kube.operator import Operator
from pykatib.rpc.trial_stopper import TrialStopper
from pykatib.runtime.curve_reading import INTERVAL_SECONDS
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer
from pykatib.store.observations import MemoryObservationStore

MEDIAN = EarlyStoppingSpec("medianstop", (Setting("min_trials_required", "1"), Setting("start_step", "2")))
COMPLETE = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}


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


def trials(server: ApiServer, namespace: str) -> list[Trial]:
    """The Trials of a namespace, oldest first."""
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/trials"
    found = json.loads(server.request("GET", path))["items"]
    decoded = [wire.decode(json.dumps(item).encode(), Trial) for item in found]
    return sorted(decoded, key=lambda trial: (trial.metadata.creation_timestamp, trial.metadata.name))


def state(server: ApiServer, trial: Trial) -> str:
    """The state of a Trial now."""
    [found] = [one for one in trials(server, trial.metadata.namespace) if one.metadata.name == trial.metadata.name]
    return trial_state(found)


def jobs(server: ApiServer, namespace: str) -> set[str]:
    """The Jobs that are there and are not going."""
    items = json.loads(server.request("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs"))["items"]
    return {item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"]}


def create(server: ApiServer, namespace: str) -> list[Trial]:
    """An Experiment of four Trials, two at a time; its first two."""
    made = experiment(namespace, trials=4, parallel=2)
    spec = msgspec.structs.replace(made.spec, early_stopping=MEDIAN)
    body = wire.encode(msgspec.structs.replace(made, spec=spec))
    server.request("POST", f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments", body=body)
    wait_for("two Jobs", lambda: len(jobs(server, namespace)) == 2)
    wait_for("two running Trials", lambda: {trial_state(one) for one in trials(server, namespace)} == {names.RUNNING})
    return trials(server, namespace)


def test_the_operator_stops_a_trial_whose_curve_is_bad_also_after_it_was_started_anew(
    cluster: Cluster, namespace: str, server: ApiServer
) -> None:
    observations = MemoryObservationStore()

    def report(trial: Trial, *losses: float) -> None:
        for loss in losses:
            observations.report(namespace, trial.metadata.name, [MetricLog(1.7e9 + loss, "loss", repr(loss))])

    with running(Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)):
        good, bad = create(server, namespace)
        report(good, 1.0, 2.0)
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{good.metadata.name}/status"
        server.request("PATCH", path, body=json.dumps(COMPLETE).encode(), content_type=MERGE_PATCH)
        wait_for("the good one's end", lambda: state(server, good) == names.SUCCEEDED)
    report(bad, 8.0, 9.0)  # while nobody looks

    with running(Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)):
        wait_for("the bad one's end", lambda: state(server, bad) == names.EARLY_STOPPED)
        wait_for("the end of its Job", lambda: bad.metadata.name not in jobs(server, namespace))
        wait_for("the next Trials", lambda: len(jobs(server, namespace)) == 2)

    [ended] = [one for one in trials(server, namespace) if one.metadata.name == bad.metadata.name]
    said = find_condition(ended.status.conditions, names.EARLY_STOPPED)
    assert said is not None
    assert said.message == (
        "Trial is early stopped: at report 2 its best loss is 8, above 1.5, "
        "the median of the running averages of 1 ended Trials"
    )
    assert ended.status.observation is not None
    assert ended.status.observation.metrics[0].min == "8.0"
    assert INTERVAL_SECONDS < 10


def test_a_service_marks_a_trial_once_and_the_operator_ends_it(
    cluster: Cluster, namespace: str, server: ApiServer
) -> None:
    observations = MemoryObservationStore()
    stopper = TrialStopper(server, namespace=namespace)
    with running(Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)):
        trial = create(server, namespace)[0]
        observations.report(namespace, trial.metadata.name, [MetricLog(1.7e9, "loss", "0.5")])
        stopper.stop(trial.metadata.name)
        wait_for("the Trial's end", lambda: state(server, trial) == names.EARLY_STOPPED)
    [ended] = [one for one in trials(server, namespace) if one.metadata.name == trial.metadata.name]

    stopper.stop(trial.metadata.name)  # a notice that comes twice, and late

    [now] = [one for one in trials(server, namespace) if one.metadata.name == trial.metadata.name]
    assert now == ended
    assert [condition.type for condition in now.status.conditions] == ["Created", "Running", "EarlyStopped"]
    with pytest.raises(NotFound):
        stopper.stop("nobody")


def test_a_mark_gets_through_though_others_write_at_the_same_time(
    cluster: Cluster, namespace: str, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    observations = MemoryObservationStore()
    with running(Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)):
        trial = create(server, namespace)[0]
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/trials/{trial.metadata.name}"
    request, writes = server.request, [1, 2, 3]

    def interrupted(method: Any, path_: str, **options: Any) -> bytes:  # Any: handed through as it came
        if method == "PATCH" and writes:
            body = json.dumps({"metadata": {"labels": {"write": str(writes.pop())}}}).encode()
            request("PATCH", path, body=body, content_type=MERGE_PATCH)
        return request(method, path_, **options)

    monkeypatch.setattr(server, "request", interrupted)
    TrialStopper(server, namespace=namespace).stop(trial.metadata.name)
    assert writes == []
    [now] = [one for one in trials(server, namespace) if one.metadata.name == trial.metadata.name]
    assert is_true(now.status.conditions, names.EARLY_STOPPED)
    writes.extend(range(100))
    other = trials(server, namespace)[1]
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/trials/{other.metadata.name}"
    with pytest.raises(Conflict):
        TrialStopper(server, namespace=namespace).stop(other.metadata.name)
