"""The webhook configurations: what API servers ask us, and what they do when nobody answers.

No rule speaks of deletions, so none can be held up. Experiments wait for an answer: one that nobody has judged should
not be stored, and nothing else depends on it. Pods are asked about by two webhooks:

* Those that carry the label of a Trial, as Pods of the kinds do whose templates are labelled, fail without an answer:
  their controller makes them again, and a Trial that reports nothing would be worth nothing. No Pod without that label
  is ever asked about here, so nobody else can be locked out.
* All others, in namespaces that ask for it by Katib's label, are let in without an answer, soon. Among them are Pods of
  Trials whose kind makes its Pods in its own way.

Valid from Kubernetes 1.20 on. `manifests/operator/webhooks.yaml` is made of them.
"""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

from pykatib.api import names

CONFIGURATION_NAME = "katib.kubeflow.org"
MUTATE_EXPERIMENT, VALIDATE_EXPERIMENT, MUTATE_POD = "/mutate-experiment", "/validate-experiment", "/mutate-pod"
EXPERIMENT_SECONDS = 10
POD_SECONDS = 10
OTHER_POD_SECONDS = 3
"""So long any Pod of such a namespace may be held up while the operator is away."""


class Service(NamedTuple):
    """The Service in front of the webhooks."""

    namespace: str
    name: str = "katib-controller"
    port: int = 443

    @property
    def host(self) -> str:
        """The name by which API servers call it."""
        return f"{self.name}.{self.namespace}.svc"


def webhook_configurations(
    target: Service | str, *, ca_bundle: bytes = b"", name: str = CONFIGURATION_NAME
) -> list[dict[str, Any]]:
    """The MutatingWebhookConfiguration and the ValidatingWebhookConfiguration.

    Args:
        target: the Service in front of the webhooks, or the start of their URL (`https://10.0.0.1:8443`).
        ca_bundle: the authorities to trust, as PEM; the operator fills them in where they are left out.
        name: of both.
    """
    experiments = {
        "rules": [_rule(names.GROUP, names.VERSION, "experiments", ("CREATE", "UPDATE"))],
        "failurePolicy": "Fail",
        "timeoutSeconds": EXPERIMENT_SECONDS,
    }
    pods = {"rules": [_rule("", "v1", "pods", ("CREATE",))], "reinvocationPolicy": "Never"}
    mutating = [
        _webhook("defaulter.experiment", MUTATE_EXPERIMENT, target, ca_bundle)
        | experiments
        | {"reinvocationPolicy": "Never"},
        _webhook("mutator.pod", MUTATE_POD, target, ca_bundle)
        | pods
        | {
            "failurePolicy": "Fail",
            "timeoutSeconds": POD_SECONDS,
            "objectSelector": _selector((names.LABEL_TRIAL, "Exists")),
        },
        _webhook("mutator.unlabelled-pod", MUTATE_POD, target, ca_bundle)
        | pods
        | {
            "failurePolicy": "Ignore",
            "timeoutSeconds": OTHER_POD_SECONDS,
            "namespaceSelector": {"matchLabels": {names.LABEL_INJECTION: "enabled"}},
            "objectSelector": _selector((names.LABEL_TRIAL, "DoesNotExist"), (names.LABEL_COMPONENT, "DoesNotExist")),
        },
    ]
    validating = [_webhook("validator.experiment", VALIDATE_EXPERIMENT, target, ca_bundle) | experiments]
    return [
        _configuration("MutatingWebhookConfiguration", name, mutating),
        _configuration("ValidatingWebhookConfiguration", name, validating),
    ]


def _configuration(kind: str, name: str, webhooks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "katib"}},
        "webhooks": list(webhooks),
    }


def _webhook(name: str, path: str, target: Service | str, ca_bundle: bytes) -> dict[str, Any]:
    client: dict[str, Any]
    if isinstance(target, Service):
        service = {"namespace": target.namespace, "name": target.name, "path": path, "port": target.port}
        client = {"service": service}
    else:
        client = {"url": target.rstrip("/") + path}
    if ca_bundle:
        client["caBundle"] = base64.b64encode(ca_bundle).decode()
    return {
        "name": f"{name}.katib.kubeflow.org",
        "clientConfig": client,
        "admissionReviewVersions": ["v1"],
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
    }


def _rule(group: str, version: str, plural: str, operations: Sequence[str]) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": [plural],
        "operations": list(operations),
        "scope": "Namespaced",
    }


def _selector(*expressions: tuple[str, str]) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator} for key, operator in expressions]}
