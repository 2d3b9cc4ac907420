"""Algorithms that katib-config names, on a real API server: services made for a Suggestion, and such that run already.

A stand-in for the Deployment controller says that a Deployment is available; the service itself listens on loopback.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import grpc
import msgspec
import pytest
from local_control_plane import Cluster
from stand_in import (
    StandIn,
    check_invariants,
    experiment,
    has_ended,
    read_all,
    read_experiment,
    read_suggestion,
    wait_for,
)
from test_operator import running

from foreign_service import ForeignService
from pykatib.api import names, wire
from pykatib.api.conditions import find_condition
from pykatib.api.errors import NotFound
from pykatib.api.shared import AlgorithmSpec, EarlyStoppingSpec, Setting
from pykatib.kube.algorithm_deployments import cluster_algorithms
from pykatib.kube.live_config import LiveConfig
from pykatib.kube.operator import Operator
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer
from pykatib.store.observations import MemoryObservationStore

ENTRY = "{algorithmName: halton, image: example.org/halton}"
DEPLOYMENT = "/apis/apps/v1/namespaces/{}/deployments/search-halton"
SERVICE = "/api/v1/namespaces/{}/services/search-halton"


class Scene:
    """A namespace with katib-config in it, a service, and an operator that is there while `operating`."""

    def __init__(self, cluster: Cluster, namespace: str, server: ApiServer) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.server = server
        self.observations = MemoryObservationStore()
        self.service = ForeignService()
        self.service.parameter = "lr"
        self.stand_in = StandIn(ApiServer.connect(cluster.kubeconfig), namespace, self.observations)

    def configure(self, *entries: str, stopping: str = "") -> None:
        """Writes katib-config with these entries of `runtime.suggestions`, and one of `runtime.earlyStoppings`."""
        text = "apiVersion: config.kubeflow.org/v1beta1\nkind: KatibConfig\nruntime:\n  suggestions:\n"
        beside = f"  earlyStoppings: [{stopping}]\n" if stopping else ""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "katib-config"},
            "data": {"katib-config.yaml": text + "".join(f"    - {entry}\n" for entry in entries) + beside},
        }
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/katib-config?fieldManager=tests&force=true"
        self.server.request("PATCH", path, body=json.dumps(body).encode(), content_type="application/apply-patch+yaml")

    @contextmanager
    def operating(self) -> Iterator[Operator]:
        """An operator at work."""
        config = LiveConfig(self.server, self.namespace, period_seconds=0.1)
        config.start()
        services = ApiServer.connect(self.cluster.kubeconfig)
        operator = Operator(
            ApiServer.connect(self.cluster.kubeconfig),
            self.observations,
            namespace=self.namespace,
            host=lambda done: cluster_algorithms(
                services,
                config,
                done,
                db_manager_address="db.here:6789",
                address_of=lambda *_: self.service.address,
            ),
        )
        try:
            with running(operator):
                yield operator
        finally:
            config.close()
            services.close()

    def create(
        self,
        *,
        trials: int = 4,
        policy: str = names.NEVER,
        algorithm: str = "halton",
        early_stopping: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Applies an Experiment that asks for the algorithm."""
        made = experiment(self.namespace, trials=trials, parallel=2)
        early = EarlyStoppingSpec(early_stopping) if early_stopping else None
        stated = tuple(Setting(*pair) for pair in (settings or {}).items())
        spec = msgspec.structs.replace(
            made.spec, algorithm=AlgorithmSpec(algorithm, stated), resume_policy=policy, early_stopping=early
        )
        path = f"/apis/kubeflow.org/v1beta1/namespaces/{self.namespace}/experiments"
        self.server.request("POST", path, body=wire.encode(msgspec.structs.replace(made, spec=spec)))

    def is_there(self, path: str) -> bool:
        """Whether there is such an object."""
        try:
            self.server.request("GET", path.format(self.namespace))
        except NotFound:
            return False
        return True

    def make_available(self, deployment: str = DEPLOYMENT) -> None:
        """Plays the Deployment controller once the Deployment is there."""
        wait_for("the Deployment", lambda: self.is_there(deployment))
        body = {"status": {"conditions": [{"type": "Available", "status": "True"}]}}
        path = deployment.format(self.namespace) + "/status"
        self.server.request("PATCH", path, body=json.dumps(body).encode(), content_type=MERGE_PATCH)

    def condition(self, kind: str) -> tuple[str, str] | None:
        """Status and reason of a condition of the Suggestion."""
        try:
            found = find_condition(read_suggestion(self.server, self.namespace).status.conditions, kind)
        except NotFound:
            return None
        return (found.status, found.reason) if found is not None else None

    def has_ended(self) -> bool:
        """Whether the Experiment has."""
        return has_ended(self.server, self.namespace)

    def events(self) -> list[str]:
        """What was said."""
        items = json.loads(self.server.request("GET", f"/api/v1/namespaces/{self.namespace}/events"))["items"]
        return [item["message"] for item in items if item["reason"] == names.RECONCILE_ERROR]


@pytest.fixture
def scene(cluster: Cluster, namespace: str, server: ApiServer) -> Iterator[Scene]:
    """A scene in a namespace of its own."""
    made = Scene(cluster, namespace, server)
    made.stand_in.start()
    made.service.start()
    yield made
    made.service.stop()
    made.stand_in.stop()


def test_a_service_is_made_waited_for_asked_and_taken_away(scene: Scene) -> None:
    scene.configure(ENTRY)
    with scene.operating():
        scene.create()
        wait_for("the word", lambda: scene.condition("DeploymentReady") == ("False", "DeploymentNotReady"))
        assert scene.condition("Running") is None
        assert not scene.service.requests
        scene.make_available()
        wait_for("the end", scene.has_ended)
        wait_for("the Deployment's end", lambda: not scene.is_there(DEPLOYMENT))
        assert not scene.is_there(SERVICE)
    check_invariants(scene.server, scene.namespace, scene.stand_in)
    assert len(scene.service.judged) == 1
    suggestion = read_suggestion(scene.server, scene.namespace)
    assert [(one.name, one.value) for one in suggestion.status.algorithm_settings] == [("state", "4")]
    states = [(each.type, each.status, each.reason) for each in suggestion.status.conditions]
    assert states == [
        ("Created", "True", "SuggestionCreated"),
        ("DeploymentReady", "False", "Suggestion is succeeded"),
        ("Running", "False", "Suggestion is succeeded"),
        ("Succeeded", "True", "Experiment is succeeded"),
    ]
    assert not scene.events()


def test_an_operator_that_was_ended_goes_on_with_the_service_that_is_there(scene: Scene) -> None:
    scene.configure(ENTRY)
    with scene.operating():
        scene.create(policy=names.LONG_RUNNING)
        wait_for("the Deployment", lambda: scene.is_there(DEPLOYMENT))
    with scene.operating():
        scene.make_available()
        wait_for("the end", lambda: scene.condition("Running") == ("True", "SuggestionRunning") and _over(scene))
    assert scene.is_there(DEPLOYMENT), "LongRunning: it stays for the next Trials"
    assert scene.is_there(SERVICE)


def _over(scene: Scene) -> bool:
    conditions = read_experiment(scene.server, scene.namespace).status.conditions
    return find_condition(conditions, names.SUCCEEDED) is not None


def test_a_volume_is_kept_and_taken_up_again(scene: Scene) -> None:
    claim = "/api/v1/namespaces/{}/persistentvolumeclaims/search-halton"
    scene.configure(ENTRY)
    with scene.operating():
        scene.create(policy=names.FROM_VOLUME, trials=2)
        scene.make_available()
        wait_for("the end", scene.has_ended)
        wait_for("the Deployment's end", lambda: not scene.is_there(DEPLOYMENT))
        assert scene.is_there(claim)
        path = f"/apis/kubeflow.org/v1beta1/namespaces/{scene.namespace}/experiments/search"
        scene.server.request("PATCH", path, body=b'{"spec": {"maxTrialCount": 3}}', content_type=MERGE_PATCH)
        scene.make_available()
        wait_for("the third Trial", lambda: len(scene.stand_in.uids_by_job) == 3)
        wait_for("the end", scene.has_ended)
    assert scene.condition("DeploymentReady") == ("False", "Suggestion is succeeded")


def test_a_refusal_fails_the_experiment_with_the_services_words_and_leaves_nothing(scene: Scene) -> None:
    scene.service.refusal = "lr must be categorical"
    scene.configure(ENTRY)
    with scene.operating():
        scene.create()
        scene.make_available()
        wait_for("the end", scene.has_ended)
        wait_for("the Deployment's end", lambda: not scene.is_there(DEPLOYMENT))
    failed = find_condition(read_experiment(scene.server, scene.namespace).status.conditions, names.FAILED)
    assert failed is not None
    assert "lr must be categorical" in failed.message


def test_a_service_that_runs_already_is_asked_and_nothing_is_made(scene: Scene) -> None:
    scene.configure(f'{{algorithmName: halton, address: "{scene.service.address}"}}')
    with scene.operating():
        scene.create()
        wait_for("the end", scene.has_ended)
    check_invariants(scene.server, scene.namespace, scene.stand_in)
    assert scene.condition("DeploymentReady") is None
    assert not scene.is_there(DEPLOYMENT)


def test_a_deployment_that_was_deleted_is_made_again_when_the_service_is_gone(scene: Scene) -> None:
    scene.configure(ENTRY)

    def gone(number: int, context: grpc.ServicerContext) -> None:
        if number == 2:
            scene.server.request("DELETE", DEPLOYMENT.format(scene.namespace))
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "a broken Pod")

    scene.service.behave = gone
    with scene.operating():
        scene.create()
        scene.make_available()
        wait_for("the second question", lambda: len(scene.service.requests) == 2)
        wait_for("the loss", lambda: scene.condition("DeploymentReady") == ("False", "DeploymentNotReady"))
        assert scene.condition("Running") == ("True", "SuggestionRunning")
        scene.make_available()
        wait_for("the end", scene.has_ended)
    check_invariants(scene.server, scene.namespace, scene.stand_in)
    assert any("a broken Pod" in text for text in scene.events())


def test_what_keeps_a_deployment_from_its_pods_is_said(scene: Scene) -> None:
    scene.configure(ENTRY)
    with scene.operating():
        scene.create()
        wait_for("the Deployment", lambda: scene.is_there(DEPLOYMENT))
        trouble = {"type": "ReplicaFailure", "status": "True", "message": "pods are forbidden: exceeded quota"}
        body = json.dumps({"status": {"conditions": [trouble]}}).encode()
        path = DEPLOYMENT.format(scene.namespace) + "/status"
        scene.server.request("PATCH", path, body=body, content_type=MERGE_PATCH)
        wait_for("the word", lambda: any("forbidden: exceeded quota" in text for text in scene.events()))
        scene.make_available()
        wait_for("the end", scene.has_ended)


def test_early_stopping_that_is_an_image_runs_beside_the_algorithms_and_its_rules_reach_trials(scene: Scene) -> None:
    scene.configure("{algorithmName: random, image: example.org/random}", stopping="{algorithmName: stop, image: i}")
    deployment = DEPLOYMENT.replace("halton", "random")
    with scene.operating():
        scene.create(algorithm="random", early_stopping="stop", trials=2)
        scene.make_available(deployment=deployment)
        wait_for("the end", scene.has_ended)
    assert {request.db_manager_address for request in scene.service.stopping} == {"db.here:6789"}
    rule = {"name": "loss", "value": "1000000", "comparison": "greater", "startStep": 4}
    for kind in read_all(scene.server, scene.namespace, "trials"):
        spec = kind["spec"]
        assert isinstance(spec, dict)
        assert spec["earlyStoppingRules"] == [rule]


def test_early_stopping_that_is_an_image_needs_the_algorithms_image(scene: Scene) -> None:
    scene.configure(ENTRY, stopping="{algorithmName: stop, image: i}")
    with scene.operating():
        scene.create(algorithm="random", early_stopping="stop")
        wait_for("the end", lambda: scene.condition("Failed") is not None)
    found = find_condition(read_suggestion(scene.server, scene.namespace).status.conditions, names.FAILED)
    assert found is not None
    assert "'stop' runs beside its algorithm's image, and katib-config has none for 'random'" in found.message


def test_a_deployment_of_somebody_else_is_said_and_waited_for(scene: Scene) -> None:
    labels = {"app": "theirs"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "search-halton"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    path = f"/apis/apps/v1/namespaces/{scene.namespace}/deployments"
    scene.server.request("POST", path, body=json.dumps(body).encode())
    scene.configure(ENTRY)
    with scene.operating():
        scene.create()
        wait_for("the word", lambda: any("is not this Suggestion's" in text for text in scene.events()))
        scene.server.request("DELETE", f"{path}/search-halton")
        wait_for("ours", lambda: scene.is_there(DEPLOYMENT) and scene.condition("DeploymentReady") is not None)
        scene.make_available()
        wait_for("the end", scene.has_ended)


def test_an_algorithm_of_ours_runs_in_the_operator_unless_katib_config_says_otherwise(scene: Scene) -> None:
    scene.configure("{algorithmName: random, image: example.org/random}")
    with scene.operating():
        scene.create(algorithm="random")
        wait_for("the end", scene.has_ended)
    assert not scene.service.requests
    assert scene.condition("DeploymentReady") is None


def test_a_name_that_nobody_knows_fails_with_the_names_that_there_are(scene: Scene) -> None:
    scene.configure(ENTRY)
    with scene.operating():
        scene.create(algorithm="haltom")
        wait_for("the end", lambda: scene.condition("Failed") is not None)
    found = find_condition(read_suggestion(scene.server, scene.namespace).status.conditions, names.FAILED)
    assert found is not None
    assert "katib-config names no service for 'haltom'; pykatib itself has random" in found.message


def test_a_changed_configuration_counts_and_a_broken_one_does_not(scene: Scene) -> None:
    config = LiveConfig(scene.server, scene.namespace)
    config.read()
    assert config.current.served_algorithms() == ()
    scene.configure(ENTRY)
    config.read()
    assert config.current.served_algorithms() == ("halton",)
    scene.configure("{algorithmName: halton}")
    config.read()
    assert config.current.served_algorithms() == ("halton",)
    assert "suggestions[0].image: is missing" in config.problem
    scene.configure()
    config.read()
    assert (config.current.served_algorithms(), config.problem) == ((), "")


def test_the_volume_for_checkpoints_of_an_algorithm_in_this_process_is_made(scene: Scene) -> None:
    settings = {"suggestion_trial_dir": "/checkpoints", "n_population": "5", "truncation_threshold": "0.2"}
    claim = "/api/v1/namespaces/{}/persistentvolumeclaims/search-pbt"
    with scene.operating():
        scene.create(trials=7, algorithm="pbt", settings=settings)
        wait_for("the end", scene.has_ended)
    made = json.loads(scene.server.request("GET", claim.format(scene.namespace)))
    assert made["metadata"]["ownerReferences"][0]["kind"] == names.SUGGESTION
    assert made["spec"]["resources"]["requests"] == {"storage": "1Gi"}
    assert not scene.events()
