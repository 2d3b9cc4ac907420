"""What the operator may do once it is installed: its work, and nothing that leads to others' things."""

import pytest
from real_node import RealNode

OPERATOR = "--as=system:serviceaccount:kubeflow:katib-controller"


def may(node: RealNode, verb: str, resource: str, namespace: str) -> bool:
    """Whether the operator may."""
    answer = node.run("auth", "can-i", verb, resource, OPERATOR, "-n", namespace, check=False).stdout.strip()
    assert answer in ("yes", "no")
    return answer == "yes"


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("create", "jobs.batch"),
        ("watch", "trials.kubeflow.org"),
        ("patch", "experiments.kubeflow.org/status"),
        ("get", "configmaps"),
    ],
)
def test_the_operator_may_do_its_work_in_any_namespace(node: RealNode, verb: str, resource: str) -> None:
    assert may(node, verb, resource, "default")


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"),
    [
        ("get", "secrets", "default"),
        ("list", "secrets", "kubeflow"),
        ("get", "secrets/katib-db-manager", "kubeflow"),
        ("create", "pods", "default"),
        ("create", "pods/exec", "default"),
        ("get", "pods/log", "default"),
        ("delete", "configmaps", "default"),
        ("delete", "experiments.kubeflow.org", "default"),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io", "default"),
        ("patch", "deployments.apps", "kubeflow"),
        ("get", "mutatingwebhookconfigurations.admissionregistration.k8s.io/of-others", "default"),
        ("impersonate", "users", "default"),
    ],
)
def test_the_operator_may_not_reach_beyond_it(node: RealNode, verb: str, resource: str, namespace: str) -> None:
    assert not may(node, verb, resource, namespace)
