"""Katib's configuration as values, and what is made of it for a Suggestion."""

from typing import Any

import pytest
import yaml

from pykatib.api import names
from pykatib.api.errors import InvalidInput
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, EarlyStoppingSpec
from pykatib.api.suggestion import Suggestion, SuggestionSpec
from pykatib.kube.algorithm_objects import STOPPING_VERBS, KubeObject, objects_of
from pykatib.kube.katib_config import KatibConfig, read_katib_config

HEAD = "apiVersion: config.kubeflow.org/v1beta1\nkind: KatibConfig\n"

# As Katib ships it, shortened.
SHIPPED = (
    HEAD
    + """\
init:
  certGenerator:
    enable: true
  controller:
    webhookPort: 8443
    trialResources: [Job.v1.batch, TrainJob.v1alpha1.trainer.kubeflow.org, PyTorchJob.v1.kubeflow.org]
runtime:
  metricsCollectors:
    - kind: StdOut
      image: ghcr.io/kubeflow/katib/file-metrics-collector:latest
    - kind: TensorFlowEvent
      image: ghcr.io/kubeflow/katib/tfevent-metrics-collector:latest
      resources: {limits: {memory: 1Gi}}
  suggestions:
    - algorithmName: random
      image: ghcr.io/kubeflow/katib/suggestion-hyperopt:latest
    - algorithmName: halton
      image: example.org/halton:1
      resources: {limits: {memory: 400Mi}}
      persistentVolumeClaimSpec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 5Gi}}}
  earlyStoppings:
    - algorithmName: theirstop
      image: example.org/stop:1
      imagePullPolicy: Always
"""
)


def config_with(entry: str) -> KatibConfig:
    """A configuration with one entry of `runtime.suggestions`, in braces."""
    return read_katib_config(f"{HEAD}runtime:\n  suggestions:\n    - {{{entry}}}\n")


def suggestion(algorithm: str = "halton", *, policy: str = names.NEVER, early_stopping: str = "") -> Suggestion:
    """A Suggestion of the Experiment `tune`."""
    return Suggestion(
        metadata=ObjectMeta(name="tune", namespace="team", uid="u", labels={"a": "b"}, annotations={"note": "mine"}),
        spec=SuggestionSpec(
            AlgorithmSpec(algorithm), EarlyStoppingSpec(early_stopping) if early_stopping else None, 1, policy
        ),
    )


def made(
    config: KatibConfig, wanted: Suggestion, *, probes: bool = True, grpc_probes: bool = True
) -> dict[str, KubeObject]:
    """What is made for a Suggestion, by kind."""
    assert wanted.spec.algorithm is not None
    entry = config.service_of(wanted.spec.algorithm.algorithm_name)
    assert entry is not None
    early = wanted.spec.early_stopping
    beside = config.early_stopping_service_of(early.algorithm_name) if early is not None else None
    found = objects_of(wanted, entry, beside, probes=probes, grpc_probes=grpc_probes)
    return {each.body["kind"]: each for each in found}


def test_what_katib_ships_is_read() -> None:
    config = read_katib_config(SHIPPED)
    assert config.init.cert_generator.enable
    assert config.init.controller.trial_resources[1] == "TrainJob.v1alpha1.trainer.kubeflow.org"
    assert config.init.controller.enable_grpc_probe_in_suggestion
    assert config.collectors["TensorFlowEvent"].resources["limits"]["memory"] == "1Gi"
    assert config.collectors["StdOut"].resources["requests"] == {
        "cpu": "50m",
        "memory": "10Mi",
        "ephemeral-storage": "500Mi",
    }
    assert config.collectors["StdOut"].image_pull_policy == "IfNotPresent"
    assert config.early_stoppings["theirstop"].image_pull_policy == "Always"


def test_an_image_for_an_algorithm_of_ours_is_passed_over_and_that_is_noted() -> None:
    config = read_katib_config(SHIPPED)
    assert config.served_algorithms() == ("halton",)
    assert config.service_of("random") is None
    [note] = config.notes
    assert "random run in the operator" in note
    assert config.names_algorithm("random")
    assert config.names_algorithm("halton")
    assert not config.names_algorithm("haltom")
    assert config.names_early_stopping("theirstop")
    assert config.service_of("random", "theirstop") is not None, "it runs beside the algorithm's image"
    assert config.service_of("random", "medianstop") is None


@pytest.mark.parametrize("how", ["image: i, inProcess: false", 'address: "tpe.ml:6789"'], ids=["image", "address"])
def test_an_entry_that_says_so_goes_before_ours(how: str) -> None:
    config = config_with(f"algorithmName: tpe, {how}")
    assert config.service_of("tpe") is not None
    assert not config.notes


def test_nothing_written_is_an_empty_configuration() -> None:
    assert read_katib_config("") == KatibConfig()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: KatibConfig\n", "apiVersion: found nothing, wanted 'config.kubeflow.org/v1beta1'"),
        ("- a\n", "wanted one mapping"),
        (HEAD + "init: {controller: {webhookPort: many}}\n", "init.controller.webhookPort: found the text"),
        (HEAD + "init: {controller: {trialResources: [Job]}}\n", "trialResources[0]: found 'Job'; write Kind"),
        (HEAD + "runtime: {suggestions: {a: b}}\n", "runtime.suggestions: found"),
        (HEAD + "runtime: {suggestions: [{image: i}]}\n", "runtime.suggestions[0].algorithmName: is missing"),
        (HEAD + "runtime: {suggestions: [{algorithmName: x}]}\n", "suggestions[0].image: is missing; name an image"),
        (
            HEAD + "runtime: {suggestions: [{algorithmName: x, address: z}]}\n",
            "[0].address: found 'z'; write HOST:PORT",
        ),
        (HEAD + "runtime: {metricsCollectors: [{kind: File}]}\n", "runtime.metricsCollectors[0].image: is missing"),
        (
            HEAD + "runtime: {suggestions: [{algorithmName: x, image: i, resources: {limits: {cpu: much}}}]}\n",
            "runtime.suggestions[0].resources.limits.cpu: found 'much'; a quantity",
        ),
        (
            HEAD + "runtime: {suggestions: [{algorithmName: x, image: i, ports: [{containerPort: 6789}]}]}\n",
            "runtime.suggestions[0].ports[0]: the port suggestion-api (6789) is added by itself",
        ),
        ("a: [\n", "line"),
    ],
)
def test_mistakes_are_told_with_their_paths(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as told:
        read_katib_config(text)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("algorithmName: x, image: i, adress: y", "runtime.suggestions[0].adress: nobody here knows this field"),
        ("algorithmName: x, image: i, livenesProbe: {}", "did you mean `livenessProbe`"),
    ],
)
def test_unknown_fields_are_noted_and_passed_over(entry: str, words: str) -> None:
    assert any(words in note for note in config_with(entry).notes)


def test_a_negative_quantity_takes_a_limit_away_and_a_request_lifts_a_limit_that_nobody_stated() -> None:
    config = config_with('algorithmName: x, image: i, resources: {requests: {memory: 1Gi}, limits: {cpu: "-1"}}')
    entry = config.service_of("x")
    assert entry is not None
    assert entry.container["resources"] == {
        "requests": {"cpu": "50m", "memory": "1Gi", "ephemeral-storage": "500Mi"},
        "limits": {"memory": "1Gi", "ephemeral-storage": "5Gi"},
    }


def test_a_deployment_and_a_service_are_made_as_katib_makes_them() -> None:
    objects = made(read_katib_config(SHIPPED), suggestion())
    assert list(objects) == ["Service", "Deployment"]
    labels = {
        "a": "b",
        "katib.kubeflow.org/deployment": "tune-halton",
        "katib.kubeflow.org/experiment": "tune",
        "katib.kubeflow.org/suggestion": "tune",
        "sidecar.istio.io/inject": "false",
    }
    deployment = objects["Deployment"].body
    meta = deployment["metadata"]
    assert (meta["name"], meta["labels"], meta["annotations"]) == ("tune-halton", {"a": "b"}, {"note": "mine"})
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["template"]["metadata"] == {"labels": labels, "annotations": {"note": "mine"}}
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert (container["name"], container["image"]) == ("suggestion", "example.org/halton:1")
    assert container["ports"] == [{"name": "suggestion-api", "containerPort": 6789}]
    assert container["readinessProbe"]["grpc"] == {"port": 6789, "service": "manager.v1beta1.Suggestion"}
    assert container["resources"]["limits"]["memory"] == "400Mi"
    service = objects["Service"].body
    assert service["spec"]["selector"] == labels
    assert service["spec"]["ports"] == [{"name": "suggestion-api", "port": 6789}]
    assert [each.body["metadata"]["ownerReferences"][0]["uid"] for each in objects.values()] == ["u", "u"]


def test_probes_are_what_the_cluster_knows_and_the_author_wants() -> None:
    config = read_katib_config(SHIPPED)

    def container(config: KatibConfig, **how: bool) -> dict[str, Any]:
        found: dict[str, Any] = made(config, suggestion(), **how)["Deployment"].body["spec"]["template"]["spec"]
        return found["containers"][0]

    assert container(config, grpc_probes=False)["readinessProbe"]["tcpSocket"] == {"port": 6789}
    assert "readinessProbe" not in container(config, probes=False)
    own = config_with("algorithmName: halton, image: i, readinessProbe: {httpGet: {port: 1}}")
    assert container(own)["readinessProbe"] == {"httpGet": {"port": 1}}


def test_a_volume_is_claimed_to_be_resumed_from() -> None:
    objects = made(read_katib_config(SHIPPED), suggestion(policy=names.FROM_VOLUME))
    assert list(objects) == ["PersistentVolumeClaim", "Service", "Deployment"]
    assert objects["PersistentVolumeClaim"].body["spec"]["accessModes"] == ["ReadWriteMany"]
    pod = objects["Deployment"].body["spec"]["template"]["spec"]
    claim = {"name": "suggestion-volume", "persistentVolumeClaim": {"claimName": "tune-halton"}}
    assert pod["volumes"] == [claim]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "suggestion-volume", "mountPath": "/opt/katib/data"}]


def test_a_volume_of_a_kind_is_made_where_one_is_described() -> None:
    text = yaml.safe_dump({"persistentVolumeSpec": {"capacity": {"storage": "1Gi"}}}, default_flow_style=True).strip()
    config = config_with(f"algorithmName: halton, image: i, {text[1:-1]}")
    volume = made(config, suggestion(policy=names.FROM_VOLUME))["PersistentVolume"]
    assert volume.path == "/api/v1/persistentvolumes/tune-halton-team"
    assert volume.body["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


def test_early_stopping_of_others_runs_beside_it_and_may_change_trials() -> None:
    objects = made(read_katib_config(SHIPPED), suggestion(early_stopping="theirstop"))
    assert list(objects) == ["Service", "ServiceAccount", "Role", "RoleBinding", "Deployment"]
    assert objects["Role"].body["rules"] == [
        {"apiGroups": ["kubeflow.org"], "resources": ["trials", "trials/status"], "verbs": STOPPING_VERBS}
    ]
    pod = objects["Deployment"].body["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "tune-halton"
    assert pod["containers"][1]["image"] == "example.org/stop:1"
    assert [port["port"] for port in objects["Service"].body["spec"]["ports"]] == [6789, 6788]


def test_a_name_that_no_service_can_have_is_refused() -> None:
    config = config_with(f"algorithmName: {'x' * 60}, image: i")
    with pytest.raises(InvalidInput, match="more than 63 characters"):
        made(config, suggestion("x" * 60))
