"""Experiments of Katib's users, applied by kubectl, train in real Pods and end as Katib's end-to-end tests ask."""

from collections.abc import Iterator

import pytest
import yaml
from katib_experiments import KATIBS, NAMESPACE, check_success, katibs_manifest, wait_for_success
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
    "trial-configmap-source",
)


@pytest.fixture(scope="module")
def applied(node: RealNode) -> Iterator[None]:
    """All of them at once, for they wait for Pods most of the time."""
    if not KATIBS.is_dir():
        pytest.skip("Katib's examples are not here")
    documents = [katibs_manifest(KATIBS / f"{name}.yaml", name=name) for name in MANIFESTS]
    node.run("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
    yield
    node.run("-n", NAMESPACE, "delete", "experiments", *MANIFESTS, "--timeout=120s")


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_of_katibs_succeeds(node: RealNode, name: str) -> None:
    wait_for_success(node, name)
    check_success(node, name)
