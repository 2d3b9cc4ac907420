"""A person with rights in one namespace gets nothing out of another, and nothing into it, through the operator."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bad_days import apply, at_work, completing, jobs_in, namespace_in, trials_in
from local_control_plane import Cluster
from sqlalchemy import URL
from stand_in import JOB_TEMPLATE, StandIn, experiment, has_ended, read_experiment, wait_for

from pykatib.api import names
from pykatib.api.shared import MetricLog
from pykatib.control.view import trial_state
from pykatib.kube.operator import Operator
from pykatib.rpc.db_manager import DBManager
from pykatib.rpc.remote_observations import RemoteObservationStore
from pykatib.rpc.serving import Serving
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer, Forbidden
from pykatib.store.sql_database import open_engine
from pykatib.store.sql_logs import SqlLogs
from pykatib.store.sql_schema import prepare

ROLES = Path(__file__).resolve().parents[2] / "manifests" / "user-roles" / "roles.yaml"
DONE = json.dumps({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}).encode()


@pytest.fixture
def theirs(server: ApiServer) -> Iterator[str]:
    """The namespace of somebody else."""
    with namespace_in(server, "theirs") as name:
        yield name


@pytest.fixture
def person(cluster: Cluster, server: ApiServer, namespace: str, tmp_path: Path) -> Iterator[ApiServer]:
    """A connection of one who may edit `namespace`, by the roles of our manifests, and nothing else."""
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    edit = next(each for each in yaml.safe_load_all(ROLES.read_text()) if each["metadata"]["name"] == "katib-edit")
    role = {"metadata": {"name": f"{namespace}-edit"}, "rules": edit["rules"]}
    server.request("POST", roles, body=json.dumps(role).encode())
    of_namespace = f"/api/v1/namespaces/{namespace}"
    account = f"{of_namespace}/serviceaccounts"
    server.request("POST", account, body=b'{"metadata": {"name": "person"}}')
    subject = {"kind": "ServiceAccount", "name": "person", "namespace": namespace}
    for name in ("edit", f"{namespace}-edit"):
        binding = {
            "metadata": {"name": name},
            "subjects": [subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        }
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
        server.request("POST", path, body=json.dumps(binding).encode())
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = json.loads(server.request("POST", f"{account}/person/token", body=json.dumps(request).encode()))
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    config["users"][0]["user"] = {"token": answer["status"]["token"]}
    kubeconfig = tmp_path / "person"
    kubeconfig.write_text(json.dumps(config))
    connection = ApiServer.connect(str(kubeconfig))

    def is_let_in() -> bool:
        try:
            connection.request("GET", f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/trials")
        except Forbidden:
            return False
        return True

    wait_for("the roles", is_let_in)
    yield connection
    connection.close()
    server.request("DELETE", f"{roles}/{namespace}-edit")


@pytest.fixture
def observations(tmp_path: Path) -> Iterator[RemoteObservationStore]:
    """A real DB manager."""
    engine = open_engine(URL.create("sqlite", database=str(tmp_path / "logs.db")))
    serving = Serving("127.0.0.1:0", [DBManager(SqlLogs(engine, prepare(engine, initialize=True))).handler()])
    serving.start()
    store = RemoteObservationStore(f"127.0.0.1:{serving.port}")
    yield store
    store.close()
    serving.stop(grace_seconds=1.0)
    engine.dispose()


def kubeflow(namespace: str, plural: str) -> str:
    """Where objects of ours are."""
    return f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/{plural}"


def trial_body(name: str, *, job_namespace: str = "", **metadata: Any) -> bytes:
    """A Trial that a person has written by hand."""
    job_metadata = {"namespace": job_namespace} if job_namespace else {}
    spec = {
        "objective": {
            "type": "minimize",
            "objectiveMetricName": "loss",
            "metricStrategies": [{"name": "loss", "value": "min"}],
        },
        "parameterAssignments": [{"name": "lr", "value": "0.5"}],
        "runSpec": {**JOB_TEMPLATE, "metadata": {"name": name, **job_metadata}},
        "primaryContainerName": "training",
        "successCondition": 'status.conditions.#(type=="Complete")#|#(status=="True")#',
        "failureCondition": 'status.conditions.#(type=="Failed")#|#(status=="True")#',
    }
    head = {"apiVersion": "kubeflow.org/v1beta1", "kind": "Trial", "metadata": {"name": name, **metadata}}
    return json.dumps({**head, "spec": spec}).encode()


@pytest.mark.parametrize("plural", ["experiments", "suggestions", "trials"])
def test_nothing_of_another_namespace_is_shown(
    person: ApiServer, server: ApiServer, namespace: str, theirs: str, plural: str
) -> None:
    assert json.loads(person.request("GET", kubeflow(namespace, plural)))["items"] == []
    for path in (kubeflow(theirs, plural), f"/apis/kubeflow.org/v1beta1/{plural}"):
        with pytest.raises(Forbidden):
            person.request("GET", path)
    with pytest.raises(Forbidden):
        person.request("POST", kubeflow(theirs, "trials"), body=trial_body("mine"))


def test_a_job_is_made_where_its_trial_is_whatever_its_template_says(
    cluster: Cluster,
    person: ApiServer,
    server: ApiServer,
    namespace: str,
    theirs: str,
    observations: RemoteObservationStore,
) -> None:
    with at_work(Operator(ApiServer.connect(cluster.kubeconfig), observations)):
        person.request("POST", kubeflow(namespace, "trials"), body=trial_body("mine", job_namespace=theirs))
        wait_for("the Job", lambda: len(jobs_in(server, namespace)) == 1)
        assert jobs_in(server, theirs) == []


def test_a_trial_that_claims_an_experiment_of_another_namespace_does_not_count_there(
    cluster: Cluster,
    person: ApiServer,
    server: ApiServer,
    namespace: str,
    theirs: str,
    observations: RemoteObservationStore,
) -> None:
    with at_work(Operator(ApiServer.connect(cluster.kubeconfig), observations)):
        apply(server, experiment(theirs, trials=3, parallel=1))
        wait_for("a Job of theirs", lambda: len(jobs_in(server, theirs)) == 1)
        uid = read_experiment(server, theirs).metadata.uid  # a secret is not what holds here
        owner = {
            "apiVersion": "kubeflow.org/v1beta1",
            "kind": "Experiment",
            "name": "search",
            "uid": uid,
            "controller": True,
        }
        labels = {names.LABEL_EXPERIMENT: "search"}
        claim = trial_body("claim", ownerReferences=[owner], labels=labels, finalizers=["example.org/stay"])
        person.request("POST", kubeflow(namespace, "trials"), body=claim)
        observations.report(namespace, "claim", [MetricLog(1.0, "loss", "-1000")])
        moment = "2026-01-01T00:00:00Z"
        succeeded = {"type": "Succeeded", "status": "True", "reason": "r", "message": "m"}
        status = {
            "conditions": [{**succeeded, "lastUpdateTime": moment, "lastTransitionTime": moment}],
            "completionTime": moment,
            "observation": {"metrics": [{"name": "loss", "min": "-1000", "max": "-1000", "latest": "-1000"}]},
        }
        body = json.dumps({"status": status}).encode()
        server.request("PATCH", f"{kubeflow(namespace, 'trials')}/claim/status", body=body, content_type=MERGE_PATCH)
        with completing(StandIn(ApiServer.connect(cluster.kubeconfig), theirs, observations)):
            wait_for("their end", lambda: has_ended(server, theirs))
        counted = read_experiment(server, theirs).status
        assert (counted.trials, counted.trials_succeeded) == (3, 3)
        assert counted.current_optimal_trial.best_trial_name in {
            trial.metadata.name for trial in trials_in(server, theirs)
        }
        release = b'{"metadata": {"finalizers": null}}'
        server.request("PATCH", f"{kubeflow(namespace, 'trials')}/claim", body=release, content_type=MERGE_PATCH)


def test_trials_of_one_name_in_two_namespaces_have_logs_of_their_own(
    cluster: Cluster,
    person: ApiServer,
    server: ApiServer,
    namespace: str,
    theirs: str,
    observations: RemoteObservationStore,
) -> None:
    def state_in(place: str) -> str:
        return trial_state(next(iter(trials_in(server, place))))

    with at_work(Operator(ApiServer.connect(cluster.kubeconfig), observations)):
        server.request("POST", kubeflow(theirs, "trials"), body=trial_body("same"))
        person.request("POST", kubeflow(namespace, "trials"), body=trial_body("same"))
        wait_for("both Jobs", lambda: all(len(jobs_in(server, place)) == 1 for place in (namespace, theirs)))
        observations.report(theirs, "same", [MetricLog(1.0, "loss", "0.25")])
        observations.flush()
        for place in (namespace, theirs):
            path = f"/apis/batch/v1/namespaces/{place}/jobs/same/status"
            server.request("PATCH", path, body=DONE, content_type=MERGE_PATCH)
        wait_for("their end", lambda: state_in(theirs) == names.SUCCEEDED)
        wait_for("the person's end", lambda: state_in(namespace) == names.METRICS_UNAVAILABLE)
        (mine,) = trials_in(server, namespace)
        assert mine.status.observation is None
        person.request("DELETE", f"{kubeflow(namespace, 'trials')}/same")
        wait_for("its end", lambda: not trials_in(server, namespace))
        assert [log.value for log in observations.logs(theirs, "same")] == ["0.25"]
