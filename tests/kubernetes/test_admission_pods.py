"""Pods through the real webhook: a Trial's are made to report, all others are left alone and never locked out."""

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from local_control_plane import Cluster
from stand_in import JOB_TEMPLATE, wait_for
from webhook_bench import Bench, serving

from pykatib.algorithms.lineage import Lineage
from pykatib.api import names, wire
from pykatib.api.errors import InvalidInput, NotFound, PykatibError
from pykatib.api.meta import ObjectMeta, OwnerReference
from pykatib.api.objects import WorkerJob
from pykatib.api.shared import (
    AlgorithmSpec,
    CollectorSpec,
    EarlyStoppingRule,
    EarlyStoppingSpec,
    MetricsCollectorSpec,
    ObjectiveSpec,
    Setting,
)
from pykatib.api.suggestion import Suggestion, SuggestionSpec
from pykatib.api.trial import Trial, TrialSpec
from pykatib.kube.cluster_injection import ClusterInjection
from pykatib.kube.katib_config import read_katib_config
from pykatib.kube.pod_labels import labelled
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer

CONFIG = """
apiVersion: config.kubeflow.org/v1beta1
kind: KatibConfig
runtime:
  metricsCollectors:
  - kind: StdOut
    image: example.org/old
  - kind: StdOut
    image: example.org/sidecar
    resources: {limits: {memory: 64Mi, cpu: -1}}
  suggestions:
  - algorithmName: theirs
    image: example.org/theirs
  earlyStoppings:
  - algorithmName: their-stop
    image: example.org/stop
"""
SIDECAR = "metrics-logger-and-collector"


@pytest.fixture
def bench(cluster: Cluster, server: ApiServer, namespace: str) -> Iterator[Bench]:
    """Webhooks with the real injection, configured in the namespace itself; it asks for them by Katib's label."""
    label = {"metadata": {"labels": {names.LABEL_INJECTION: "enabled"}}}
    server.request(
        "PATCH", f"/api/v1/namespaces/{namespace}", body=json.dumps(label).encode(), content_type=MERGE_PATCH
    )
    config = read_katib_config(CONFIG)
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    wait_for("the service account", lambda: is_there(server, account))

    def injection(asked: ApiServer) -> ClusterInjection:
        return ClusterInjection(asked, lambda: config, db_manager_address="db:6789")

    with serving(cluster, server, namespace, namespace, injection=injection) as opened:
        yield opened


def is_there(server: ApiServer, path: str) -> bool:
    """Whether there is such an object."""
    try:
        server.request("GET", path)
    except NotFound:
        return False
    return True


def owned_by(owner: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """The owner reference to an object."""
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return [{**reference, "controller": True, **changes}]


def create(bench: Bench, path: str, tree: dict[str, Any]) -> dict[str, Any]:
    """Creates an object in the bench's namespace."""
    group, _, plural = path.rpartition("/")
    body = json.dumps(tree).encode()
    made: dict[str, Any] = json.loads(
        bench.server.request("POST", f"{group}/namespaces/{bench.namespace}/{plural}", body=body)
    )
    return made


def trial(
    bench: Bench, *, rules: tuple[EarlyStoppingRule, ...] = (), labels: dict[str, str] | None = None
) -> dict[str, Any]:
    """A Trial that reads StdOut."""
    spec = TrialSpec(
        objective=ObjectiveSpec(names.MINIMIZE, None, "loss"),
        run_spec=msgspec.Raw(msgspec.json.encode(JOB_TEMPLATE)),
        metrics_collector=MetricsCollectorSpec(collector=CollectorSpec(names.STDOUT)),
        primary_container_name="training",
        early_stopping_rules=rules,
    )
    value = Trial(metadata=ObjectMeta(name="search-1", namespace=bench.namespace, labels=labels or {}), spec=spec)
    return create(bench, "/apis/kubeflow.org/v1beta1/trials", json.loads(wire.encode(value)))


def job(bench: Bench, name: str, owners: list[dict[str, Any]]) -> dict[str, Any]:
    """A Job."""
    return create(bench, "/apis/batch/v1/jobs", {**JOB_TEMPLATE, "metadata": {"name": name, "ownerReferences": owners}})


def pod(bench: Bench, name: str, owners: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A Pod as a Job controller makes it; answers how it was let in."""
    labels = changes.pop("labels", {})
    container = {"name": "training", "image": "example.org/train", "command": ["train", "--lr=0.1"], **changes}
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    metadata = {"name": name, "ownerReferences": owners, "labels": labels}
    return create(bench, "/api/v1/pods", {"metadata": metadata, "spec": spec})


def containers_of(made: dict[str, Any]) -> list[str]:
    """The names of a Pod's containers."""
    return [container["name"] for container in made["spec"]["containers"]]


@pytest.mark.parametrize("labels", [{}, {names.LABEL_TRIAL: "search-1"}], ids=["unlabelled", "labelled"])
def test_the_pod_of_a_trials_job_is_made_to_report(bench: Bench, labels: dict[str, str]) -> None:
    made = pod(bench, "worker", owned_by(job(bench, "search-1", owned_by(trial(bench)))), labels=labels)

    assert containers_of(made) == ["training", SIDECAR]
    sidecar = made["spec"]["containers"][1]
    assert sidecar["image"] == "example.org/sidecar"
    assert sidecar["resources"]["limits"] == {"memory": "64Mi", "ephemeral-storage": "5Gi"}
    assert made["metadata"]["labels"][names.LABEL_TRIAL] == "search-1"
    assert made["spec"]["containers"][0]["args"] == ["train", "--lr=0.1"]


def test_owners_between_the_trial_and_the_pod_are_followed(bench: Bench) -> None:
    outer = job(bench, "search-1", owned_by(trial(bench)))
    inner = job(bench, "search-1-worker", owned_by(outer))
    assert SIDECAR in containers_of(pod(bench, "worker", owned_by(inner)))


def test_the_pods_of_others_are_left_as_they_are(bench: Bench) -> None:
    known = trial(bench)
    label = {names.LABEL_TRIAL: "search-1"}
    others = job(bench, "other", [])
    cases: dict[str, Any] = {
        "alone": ([], {}),
        "label-only": ([], label),
        "job-of-nobody": (owned_by(others), {}),
        "trial-before": (
            owned_by(job(bench, "search-1", owned_by(known, uid="11111111-0000-0000-0000-000000000000"))),
            label,
        ),
        "owner-gone": (owned_by({**others, "metadata": {"name": "gone", "uid": "2"}}), label),
        "kind-unknown": (owned_by({**others, "kind": "Thing", "apiVersion": "example.org/v1"}), label),
        "no-kind": (owned_by({**others, "kind": "jobs/../secrets"}), label),
    }
    for name, (owners, labels) in cases.items():
        assert containers_of(pod(bench, name, owners, labels=labels)) == ["training"], name


def test_a_pod_that_could_not_report_is_refused_with_the_field(bench: Bench) -> None:
    owners = owned_by(job(bench, "search-1", owned_by(trial(bench))))
    with pytest.raises(InvalidInput) as caught:
        pod(bench, "worker", owners, command=None)
    assert {error.path for error in caught.value.errors} == {"spec.containers[0].command"}


def test_while_nobody_answers_only_trials_pods_and_experiments_wait(
    cluster: Cluster, bench: Bench, server: ApiServer
) -> None:
    owners = owned_by(job(bench, "search-1", owned_by(trial(bench))))
    stored = {"apiVersion": names.API_VERSION, "kind": names.EXPERIMENT, "metadata": {"name": "gone"}, "spec": {}}
    for path in ("mutating", "validating"):
        location = f"/apis/admissionregistration.k8s.io/v1/{path}webhookconfigurations/{bench.name}"
        configuration = json.loads(server.request("GET", location))
        for webhook in configuration["webhooks"]:
            webhook["clientConfig"]["url"] = "https://127.0.0.1:1/nobody"
            if "experiment" in webhook["name"]:
                webhook["rules"][0]["operations"] = ["UPDATE"]
        server.request("PUT", location, body=json.dumps(configuration).encode())

    def is_unanswered() -> bool:
        try:
            pod(bench, f"probe-{time.monotonic_ns()}", [], labels={names.LABEL_TRIAL: "search-1"})
        except PykatibError as error:
            return "nobody" in str(error)
        return False

    wait_for("silence", is_unanswered)
    assert containers_of(pod(bench, "unrelated", [])) == ["training"]
    with pytest.raises(PykatibError, match=r"mutator\.pod\.katib"):
        pod(bench, "worker", owners, labels={names.LABEL_TRIAL: "search-1"})
    create(bench, "/apis/kubeflow.org/v1beta1/experiments", stored)
    server.request("DELETE", f"{bench.experiments}/gone")
    assert not is_there(server, f"{bench.experiments}/gone")


def test_jobs_of_trials_have_the_label_in_their_pod_templates() -> None:
    controller = (OwnerReference(names.API_VERSION, names.TRIAL, "search-1", "u", True),)
    replica = {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}}
    spec = {"template": {"note": "no Pod"}, "replicas": {"Master": {"replicas": 1, **replica}}, "groups": [replica]}
    raw = msgspec.Raw(msgspec.json.encode(spec))
    made = WorkerJob(
        api_version="kubeflow.org/v1",
        kind="PyTorchJob",
        metadata=ObjectMeta(name="search-1", namespace="n", owner_references=controller),
        spec=raw,
    )

    tree = msgspec.json.decode(labelled(made).spec)

    for each in (tree["replicas"]["Master"], tree["groups"][0]):
        assert each["template"]["metadata"]["labels"] == {"a": "b", names.LABEL_TRIAL: "search-1"}
    assert tree["template"] == spec["template"]
    stranger = msgspec.structs.replace(made, metadata=ObjectMeta(name="search-1", namespace="n"))
    assert labelled(stranger) == stranger


def test_a_trial_of_a_service_announces_its_stop_there_and_shares_its_volume(bench: Bench) -> None:
    spec = SuggestionSpec(
        algorithm=AlgorithmSpec("theirs", (Setting("suggestion_trial_dir", "/opt/katib/data"),)),
        early_stopping=EarlyStoppingSpec("their-stop"),
        resume_policy=names.FROM_VOLUME,
    )
    suggestion = Suggestion(metadata=ObjectMeta(name="search", namespace=bench.namespace), spec=spec)
    create(bench, "/apis/kubeflow.org/v1beta1/suggestions", json.loads(wire.encode(suggestion)))
    rules = (EarlyStoppingRule("loss", "0.5", "greater", 2),)
    owners = owned_by(
        job(bench, "search-1", owned_by(trial(bench, rules=rules, labels={names.LABEL_EXPERIMENT: "search"})))
    )

    made = pod(bench, "worker", owners)

    primary, sidecar = made["spec"]["containers"]
    assert f"search-theirs.{bench.namespace}:6788" in sidecar["args"]
    (mount,) = [mount for mount in primary["volumeMounts"] if mount["name"] == "suggestion-volume"]
    assert (mount["mountPath"], mount["subPath"]) == ("/opt/katib/data", "search/search-1")
    claims = [volume.get("persistentVolumeClaim") for volume in made["spec"]["volumes"]]
    assert {"claimName": "search-theirs"} in claims


def test_a_trial_of_an_algorithm_in_the_operator_shares_the_volume_whatever_the_resume_policy(bench: Bench) -> None:
    spec = SuggestionSpec(
        algorithm=AlgorithmSpec("pbt", (Setting("suggestion_trial_dir", "/checkpoints"),)), resume_policy=names.NEVER
    )
    suggestion = Suggestion(metadata=ObjectMeta(name="search", namespace=bench.namespace), spec=spec)
    create(bench, "/apis/kubeflow.org/v1beta1/suggestions", json.loads(wire.encode(suggestion)))
    labels = Lineage(generation=1, parent="search-0", member="0").labels("pbt")
    owner = trial(bench, labels={names.LABEL_EXPERIMENT: "search", **labels})

    made = pod(bench, "worker", owned_by(job(bench, "search-1", owned_by(owner))))

    (copier,) = made["spec"]["initContainers"]
    assert copier["command"][-3:] == ["search-1", "search-0", "/katib-checkpoints"]
    claims = [volume.get("persistentVolumeClaim") for volume in made["spec"]["volumes"]]
    assert {"claimName": "search-pbt"} in claims
