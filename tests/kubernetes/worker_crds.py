"""Definitions of worker jobs' kinds without a schema, for clusters that have none."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from stand_in import wait_for

from pykatib.api.errors import AlreadyExists, NotFound
from pykatib.store.kubernetes.api_server import ApiServer

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class JobKind(NamedTuple):
    """A kind, its group and its version."""

    group: str
    version: str
    kind: str

    @property
    def plural(self) -> str:
        """Its name in paths."""
        return f"{self.kind.lower()}s"

    def path(self, namespace: str) -> str:
        """Where its objects of a namespace are."""
        return f"/apis/{self.group}/{self.version}/namespaces/{namespace}/{self.plural}"

    def definition(self) -> dict[str, Any]:
        """The stub."""
        version = {
            "name": self.version,
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
        words = {
            "kind": self.kind,
            "plural": self.plural,
            "singular": self.kind.lower(),
            "listKind": f"{self.kind}List",
        }
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{self.group}"},
            "spec": {"group": self.group, "names": words, "scope": "Namespaced", "versions": [version]},
        }


PYTORCH_JOB = JobKind("kubeflow.org", "v1", "PyTorchJob")


def install(server: ApiServer, kinds: Iterable[JobKind]) -> list[str]:
    """Defines what is not defined yet, and waits until it is served; the names of the definitions that were made."""
    every = list(kinds)
    made: list[str] = []
    for kind in every:
        definition = kind.definition()
        try:
            server.request("POST", DEFINITIONS, body=json.dumps(definition).encode())
        except AlreadyExists:
            continue
        made.append(definition["metadata"]["name"])
    for kind in every:
        wait_for(kind.kind, lambda kind=kind: _is_served(server, kind))  # type: ignore[misc]
    return made


def remove(server: ApiServer, names: Iterable[str]) -> None:
    """Takes definitions back."""
    for name in names:
        server.request("DELETE", f"{DEFINITIONS}/{name}")


def _is_served(server: ApiServer, kind: JobKind) -> bool:
    try:
        server.request("GET", kind.path("default"))
    except NotFound:
        return False
    return True
