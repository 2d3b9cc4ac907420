"""Which path of the API belongs to which kind: known for ours, asked of the server for worker jobs of any kind."""

import re
import threading
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from pykatib.api import names
from pykatib.api.errors import NotFound
from pykatib.api.meta import Reference
from pykatib.api.objects import TYPED_KINDS
from pykatib.store.kubernetes.api_server import ApiServer, decoded

MISSING_SECONDS = 5.0
"""How long a kind that is not installed is taken as missing before the server is asked again."""

JOB_API_VERSION = "batch/v1"

_API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]+")


class Resource(NamedTuple):
    """A kind as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    has_status: bool = True

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"

    def collection(self, namespace: str | None) -> str:
        """The path of all objects, or of those in a namespace."""
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return f"{self.root}{within}/{self.plural}"

    def path(self, reference: Reference, subresource: str = "") -> str:
        """The path of an object."""
        path = f"{self.collection(reference.namespace)}/{quote(reference.name, safe='')}"
        return f"{path}/{subresource}" if subresource else path

    def reference(self, namespace: str, name: str) -> Reference:
        """The key of an object."""
        return Reference(self.kind, namespace, name, "" if self.kind in TYPED_KINDS else self.api_version)


OURS = (
    Resource(names.API_VERSION, names.EXPERIMENT, "experiments"),
    Resource(names.API_VERSION, names.SUGGESTION, "suggestions"),
    Resource(names.API_VERSION, names.TRIAL, "trials"),
)
JOB = Resource(JOB_API_VERSION, names.JOB, "jobs")
UNCACHED = (
    Resource("v1", names.CONFIG_MAP, "configmaps", has_status=False),
    Resource("v1", names.SECRET, "secrets", has_status=False),
)
"""Read when they are asked for: a cluster has many, and few are of interest."""

_BY_KIND = {resource.kind: resource for resource in (*OURS, JOB, *UNCACHED)}


class _ApiResource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool = True


class _ApiResourceList(msgspec.Struct):
    resources: list[_ApiResource] | None = None


_list_decoder = msgspec.json.Decoder(_ApiResourceList)


class Catalog:
    """Finds resources. A kind that is missing is asked for again every few seconds: its definition may come."""

    def __init__(self, server: ApiServer, monotonic: Callable[[], float]) -> None:
        self._server = server
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Resource] = {(each.api_version, each.kind): each for each in (*OURS, JOB)}
        self._missing_until: dict[tuple[str, str], float] = {}

    def of(self, kind: str, api_version: str) -> Resource | None:
        """The resource of a kind, or None where the cluster does not have it; known kinds need no `api_version`.

        Raises:
            Unavailable: the server cannot be asked.
        """
        known = _BY_KIND.get(kind)
        if known is not None and api_version in ("", known.api_version):
            return known
        key = (api_version, kind)
        with self._lock:
            if key in self._known:
                return self._known[key]
            if self._missing_until.get(key, 0.0) > self._monotonic():
                return None
        resource = self._ask(kind, api_version)
        with self._lock:
            if resource is None:
                self._missing_until[key] = self._monotonic() + MISSING_SECONDS
            else:
                self._known[key] = resource
        return resource

    def _ask(self, kind: str, api_version: str) -> Resource | None:
        if not _API_VERSION.fullmatch(api_version):  # it is a user's word, and must not lead elsewhere
            return None
        root = Resource(api_version, kind, "").root
        try:
            answer = decoded(self._server.request("GET", root), _list_decoder, root)
        except NotFound:
            return None
        served = {each.name: each for each in answer.resources or ()}
        for name, each in served.items():
            if each.kind == kind and each.namespaced and "/" not in name:
                return Resource(api_version, kind, name, has_status=f"{name}/status" in served)
        return None
