"""Worker jobs of every kind that Katib's users run: made as rendered, read by their conditions, deleted at the end."""

import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from local_control_plane import Cluster
from stand_in import experiment, has_ended, read_experiment, wait_for
from worker_crds import JobKind, install, remove

from pykatib.api import names, wire
from pykatib.api.conditions import find_condition, is_true
from pykatib.api.defaults import FITTING_CONDITIONS, default_experiment
from pykatib.api.experiment import Experiment
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.kube.operator import Operator
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer
from pykatib.store.observations import MemoryObservationStore


class Kind(NamedTuple):
    """A kind, how its user says that it has succeeded or failed, and what its controller writes then."""

    group: str
    version: str
    kind: str
    succeeded: dict[str, Any]
    failed: dict[str, Any]
    success_condition: str = ""
    failure_condition: str = ""

    @property
    def plural(self) -> str:
        """Its name in paths."""
        return f"{self.kind.lower()}s"


def conditions(kind: str, reason: str = "") -> dict[str, Any]:
    """A status with one condition, as most controllers write it."""
    return {"conditions": [{"type": kind, "status": "True", "reason": reason, "message": f"it is {kind}"}]}


def by_condition(kind: str) -> str:
    """The usual GJSON."""
    return f'status.conditions.#(type=="{kind}")#|#(status=="True")#'


def kubeflow(kind: str, success_condition: str = "", failure_condition: str = "") -> Kind:
    """A kind of the training operator."""
    ends = conditions("Succeeded"), conditions("Failed", "PodFailed")
    return Kind("kubeflow.org", "v1", kind, *ends, success_condition, failure_condition)


KINDS = [
    *(kubeflow(kind) for kind in ("TFJob", "PyTorchJob", "MPIJob", "XGBoostJob")),  # by Katib's defaults
    *(kubeflow(kind, *FITTING_CONDITIONS[kind]) for kind in ("PaddleJob", "JAXJob")),
    Kind(
        "trainer.kubeflow.org",
        "v1alpha1",
        "TrainJob",
        conditions("Complete"),
        conditions("Failed"),
        by_condition("Complete"),
        by_condition("Failed"),
    ),
    Kind(
        "argoproj.io",
        "v1alpha1",
        "Workflow",
        {"phase": "Succeeded"},
        {"phase": "Error", "message": "a step could not be started"},
        *FITTING_CONDITIONS["Workflow"],
    ),
    Kind(
        "tekton.dev",
        "v1beta1",
        "PipelineRun",
        conditions("Succeeded"),
        {"conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed"}]},
        *FITTING_CONDITIONS["PipelineRun"],
    ),
    Kind(
        "ray.io",
        "v1",
        "RayJob",
        {"jobStatus": "SUCCEEDED"},
        {"jobStatus": "FAILED", "message": "a task failed"},
        *FITTING_CONDITIONS["RayJob"],
    ),
]


@pytest.fixture(scope="module", autouse=True)
def stubs(cluster: Cluster) -> Iterator[None]:
    """Definitions of these kinds, where the cluster has none."""
    server = ApiServer.connect(cluster.kubeconfig)
    made = install(server, [JobKind(kind.group, kind.version, kind.kind) for kind in KINDS])
    yield
    remove(server, made)
    server.close()


def of_kind(kind: Kind, namespace: str, **limits: int) -> Experiment:
    """An Experiment of one Trial whose worker job is of that kind."""
    body = {
        "apiVersion": f"{kind.group}/{kind.version}",
        "kind": kind.kind,
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        "spec": {"anything": ["--lr=${trialParameters.lr}"], "replicas": 2},
    }
    plain = experiment(namespace, trials=1, parallel=1)
    template = plain.spec.trial_template
    assert template is not None
    template = msgspec.structs.replace(
        template,
        trial_spec=msgspec.Raw(msgspec.json.encode(body)),
        success_condition=kind.success_condition,
        failure_condition=kind.failure_condition,
    )
    spec = msgspec.structs.replace(plain.spec, trial_template=template, **limits)
    return default_experiment(msgspec.structs.replace(plain, spec=spec))


class Running:
    """An operator at work, and the one worker job that it has made."""

    def __init__(self, cluster: Cluster, namespace: str, server: ApiServer, kind: Kind) -> None:
        self.observations = MemoryObservationStore()
        self._operator = Operator(ApiServer.connect(cluster.kubeconfig), self.observations, namespace=namespace)
        self._thread = threading.Thread(target=self._operator.run)
        self._server = server
        self._jobs = f"/apis/{kind.group}/{kind.version}/namespaces/{namespace}/{kind.plural}"
        self._thread.start()

    def jobs(self) -> list[dict[str, Any]]:
        """The worker jobs that are there."""
        items: list[dict[str, Any]] = json.loads(self._server.request("GET", self._jobs))["items"]
        return items

    def end(self, name: str, status: dict[str, Any]) -> None:
        """Writes what the kind's controller would."""
        body = json.dumps({"status": status}).encode()
        self._server.request("PATCH", f"{self._jobs}/{name}/status", body=body, content_type=MERGE_PATCH)

    def stop(self) -> None:
        """Ends the operator."""
        self._operator.stop()
        self._thread.join()


def the_trial(server: ApiServer, namespace: str) -> Trial:
    """The only Trial."""
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/trials"
    (item,) = json.loads(server.request("GET", path))["items"]
    return wire.decode(json.dumps(item), Trial)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.kind))
@pytest.mark.parametrize("succeeds", [True, False], ids=["success", "failure"])
def test_a_worker_job_of_any_kind_is_made_and_read(
    cluster: Cluster, namespace: str, server: ApiServer, kind: Kind, succeeds: bool
) -> None:
    at_work = Running(cluster, namespace, server, kind)
    try:
        body = wire.encode(of_kind(kind, namespace, max_failed_trial_count=1))
        server.request("POST", f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments", body=body)
        wait_for("the worker job", lambda: len(at_work.jobs()) == 1)
        (job,) = at_work.jobs()
        name = job["metadata"]["name"]
        assert job["metadata"]["labels"] == {"team": "a"}
        assert job["metadata"]["annotations"] == {"note": "b"}
        assert job["spec"]["replicas"] == 2
        assert job["spec"]["anything"][0].startswith("--lr=0.")
        at_work.end(name, {"phase": "Running", "conditions": [{"type": "Running", "status": "True"}]})
        at_work.observations.report(namespace, name, [MetricLog(1.0, "loss", "0.5")])
        at_work.end(name, kind.succeeded if succeeds else kind.failed)
        wait_for("the Experiment's end", lambda: has_ended(server, namespace))
        wait_for("the worker job's going", lambda: not at_work.jobs())
    finally:
        at_work.stop()
    ended = names.SUCCEEDED if succeeds else names.FAILED
    assert is_true(read_experiment(server, namespace).status.conditions, ended)
    found = find_condition(the_trial(server, namespace).status.conditions, ended)
    assert found is not None
    assert found.status == "True"
