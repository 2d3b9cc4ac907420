"""Experiments of Katib's users, applied by kubectl, train in real Pods and end as Katib's end-to-end tests ask."""

from collections.abc import Iterator

import pytest
import yaml
from katib_experiments import KATIBS, NAMESPACE, Manifest, check_success, katibs_manifest, wait_for_success
from real_node import RealNode

# Of an outside kind: pytorchjob-mnist.
MANIFESTS = (
    "cma-es",
    "file-metrics-collector",
    "grid",
    "hyperband",
    "long-running-resume",
    "median-stop",
    "median-stop-with-json-format",
    "metrics-collection-strategy",
    "optuna-distribution",
    "random",
    "tpe",
)
OLDER_TEMPLATES = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "older-templates",
        "namespace": NAMESPACE,
        "labels": {"katib.kubeflow.org/component": "trial-templates"},
    },
    "data": {
        "template": """
apiVersion: batch/v1
kind: Job
spec:
  template:
    spec:
      containers:
      - name: training-container
        image: pykatib-mnist:test
        command: [python3, /opt/pytorch-mnist/mnist.py, --epochs=1, "--lr=${trialParameters.learningRate}"]
        env:
        - {name: LAYERS, value: "${trialParameters.numberLayers}"}
        - {name: OPTIMIZER, value: "${trialParameters.optimizer}"}
      restartPolicy: Never
"""
    },
}


@pytest.fixture(scope="module")
def applied(node: RealNode) -> Iterator[None]:
    """All of them at once, for they wait for Pods most of the time."""
    if not KATIBS.is_dir():
        pytest.skip("Katib's examples are not here")
    documents = [katibs_manifest(KATIBS / f"{name}.yaml", name=name) for name in MANIFESTS]
    node.run("apply", "-f", "-", stdin=yaml.safe_dump_all([OLDER_TEMPLATES, _from_a_config_map(), *documents]))
    yield
    node.run("-n", NAMESPACE, "delete", "experiments", CONFIG_MAP, *MANIFESTS, "--timeout=120s")
    node.run("-n", NAMESPACE, "delete", "configmap", "older-templates")


CONFIG_MAP = "trial-configmap-source"


def _from_a_config_map() -> Manifest:
    """Katib's example, whose parameters and metrics are of an older template than the one that Katib ships."""
    manifest = katibs_manifest(KATIBS / f"{CONFIG_MAP}.yaml", name=CONFIG_MAP)
    manifest["spec"]["objective"] = {"type": "minimize", "objectiveMetricName": "loss"}
    manifest["spec"]["trialTemplate"]["configMap"] |= {"configMapName": "older-templates", "templatePath": "template"}
    return manifest


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("name", [*MANIFESTS, CONFIG_MAP])
def test_a_manifest_of_katibs_succeeds(node: RealNode, name: str) -> None:
    wait_for_success(node, name)
    check_success(node, name)


def test_an_algorithm_that_nobody_has_is_refused(node: RealNode) -> None:
    manifest = katibs_manifest(KATIBS / "random.yaml", name="of-no-algorithm")
    manifest["spec"]["algorithm"]["algorithmName"] = "divination"
    refused = node.run("apply", "-f", "-", stdin=yaml.safe_dump(manifest), check=False)
    assert refused.returncode == 1
    assert "spec.algorithm.algorithmName" in refused.stderr
