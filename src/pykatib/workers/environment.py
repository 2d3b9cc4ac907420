"""The environment of a container's process, as the kubelet would make it.

The container's own variables (`envFrom`, then `env`, in order) lie over those of the image and those of the user who
runs katib. Only the container's own can be referred to as `$(NAME)`, as on the cluster.

Numeric libraries start a thread a CPU unless told otherwise, and several Trials on one machine then starve each other;
so each process is told to use as many threads as its CPU request has CPUs, one where it has none.
"""

import base64
import binascii
import math
import os
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final, TypeAlias

import msgspec

from pykatib.api import names
from pykatib.api.job import Container, EnvVarSource, KeySelector, ResourceFieldSelector, ResourceRequirements
from pykatib.api.meta import Reference
from pykatib.api.objects import ConfigMap, Object, Secret
from pykatib.api.quantity import parse_quantity
from pykatib.workers.findings import Findings
from pykatib.workers.slots import Machine

Lookup: TypeAlias = Callable[[Reference], Object | None]
"""Finds a ConfigMap or Secret: `Store.find`, or `get` of a dictionary."""

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",  # OpenMP; PyTorch
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)

DEVICE_VARIABLES: Final = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")

# `$$` is a dollar; `$(NAME)` a reference, up to the first closing parenthesis; any other dollar stands for itself.
_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_INDEXED_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
# As the kubelet judges the keys of `envFrom`: everything printable but `=`.
_VARIABLE_NAME = re.compile(r"[ -<>-~]+")


class PodIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod knows of itself through the downward API."""

    name: str
    namespace: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    node_name: str
    service_account_name: str = ""


class Variables(msgspec.Struct, frozen=True):
    """A container's own variables as the container would see them; `verbatim` names those that hold no paths of ours.

    Secrets and the downward API are verbatim: what they say is not the manifest's to change.
    """

    values: dict[str, str]
    verbatim: frozenset[str] = frozenset()


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' expansion of `$(NAME)`: unknown names stay as they are, `$$` is an escaped dollar."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(replace, text) if "$" in text else text


def keys_of(kind: str, namespace: str, name: str, lookup: Lookup) -> dict[str, bytes] | None:
    """The contents of a ConfigMap or Secret; None where there is none. Raises ValueError for bad base64."""
    found = lookup(Reference(kind, namespace, name))
    if isinstance(found, ConfigMap):
        return {key: value.encode() for key, value in found.data.items()}
    if not isinstance(found, Secret):
        return None
    keys: dict[str, bytes] = {}
    for key, value in found.data.items():
        try:
            keys[key] = base64.b64decode("".join(value.split()), validate=True)
        except binascii.Error as error:
            message = f"the key {key!r} of Secret {name} is not base64 ({error}); plain text goes under stringData"
            raise ValueError(message) from error
    return keys | {key: value.encode() for key, value in found.string_data.items()}


def absent(kind: str, name: str) -> str:
    """The message that a ConfigMap or Secret is not there, and what would do."""
    return f"there is no {kind} {name!r}; write it in the manifest's file, after a line with ---, or in one beside it"


def field_value(field_path: str, pod: PodIdentity) -> str | None:
    """A field of the pod as text; None for one that has none here."""
    indexed = _INDEXED_FIELD.fullmatch(field_path)
    if indexed:
        return (pod.labels if indexed[1] == "labels" else pod.annotations).get(indexed[2], "")
    return {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": pod.node_name,
        "spec.serviceAccountName": pod.service_account_name or "default",
        "status.hostIP": "127.0.0.1",
        "status.hostIPs": "127.0.0.1",
        "status.podIP": "127.0.0.1",
        "status.podIPs": "127.0.0.1",
    }.get(field_path)


def resource_value(selector: ResourceFieldSelector, resources: ResourceRequirements, machine: Machine) -> str:
    """A request or limit as the downward API tells it: a limit not set is what the machine has. Raises ValueError."""
    part, _, resource = selector.resource.partition(".")
    if part not in ("requests", "limits") or not resource:
        raise ValueError(f"found {selector.resource!r}; write limits.cpu, requests.memory or the like")
    written = resources.limits.get(resource)
    if part == "requests":
        written = resources.requests.get(resource, written)
    if written is not None:
        amount = parse_quantity(written)
    elif part == "requests":
        amount = Fraction(0)
    elif resource == "cpu":
        amount = Fraction(machine.millicpus, 1000)
    elif resource == "memory":
        amount = Fraction(machine.memory_bytes)
    else:
        raise ValueError(f"the container sets no {selector.resource}")
    divisor = parse_quantity(selector.divisor or 1)
    return str(math.ceil(amount / (divisor if divisor > 0 else 1)))


def container_variables(
    container: Container,
    *,
    path: str,
    pod: PodIdentity,
    machine: Machine,
    lookup: Lookup,
    findings: Findings,
    added: Mapping[str, str] | None = None,
) -> Variables:
    """The variables that a container's manifest sets, and after them those `added` by the controllers."""
    values: dict[str, str] = {}
    verbatim: set[str] = set()
    for index, source in enumerate(container.env_from):
        at = f"{path}.envFrom[{index}]"
        for kind, member, reference in (
            (names.CONFIG_MAP, "configMapRef", source.config_map_ref),
            (names.SECRET, "secretRef", source.secret_ref),
        ):
            if reference is None:
                continue
            try:
                keys = keys_of(kind, pod.namespace, reference.name, lookup)
            except ValueError as error:
                findings.refuse(f"{at}.{member}", str(error))
                continue
            if keys is None:
                if not reference.optional:
                    findings.refuse(f"{at}.{member}.name", absent(kind, reference.name))
                continue
            for key, content in keys.items():
                name = source.prefix + key
                if not _VARIABLE_NAME.fullmatch(name):
                    findings.warn(at, f"the key {key!r} is left out: it cannot be the name of a variable")
                    continue
                values[name] = _text(content)
                verbatim.discard(name)
                if kind == names.SECRET:
                    verbatim.add(name)
    for index, variable in enumerate(container.env):
        at = f"{path}.env[{index}]"
        if not _VARIABLE_NAME.fullmatch(variable.name):
            findings.refuse(f"{at}.name", f"found {variable.name!r}; a name is printable and holds no =")
            continue
        verbatim.discard(variable.name)
        if variable.value or variable.value_from is None:
            if variable.value_from is not None:
                findings.refuse(f"{at}.valueFrom", "is set beside value; only one of them may be")
            values[variable.name] = expand(variable.value, values)
            continue
        value = _value_from(variable.value_from, f"{at}.valueFrom", container, pod, machine, lookup, findings)
        if value is not None:
            values[variable.name] = value
            if variable.value_from.config_map_key_ref is None:
                verbatim.add(variable.name)
    values.update(added or {})
    for name, value in values.items():
        if "\0" in value:
            findings.refuse(f"{path}.env", f"the value of {name} holds a NUL character, which no variable can")
    return Variables(values, frozenset(verbatim | set(added or {})))


def _value_from(
    source: EnvVarSource,
    at: str,
    container: Container,
    pod: PodIdentity,
    machine: Machine,
    lookup: Lookup,
    findings: Findings,
) -> str | None:
    if source.field_ref is not None:
        value = field_value(source.field_ref.field_path, pod)
        if value is None:
            message = (
                f"found {source.field_ref.field_path!r}; known are metadata.name, metadata.namespace, metadata.uid, "
                "metadata.labels['<key>'], metadata.annotations['<key>'], spec.nodeName, spec.serviceAccountName, "
                "status.hostIP, status.podIP"
            )
            findings.refuse(f"{at}.fieldRef.fieldPath", message)
        return value
    if source.resource_field_ref is not None:
        selector = source.resource_field_ref
        if selector.container_name not in ("", container.name):
            findings.refuse(f"{at}.resourceFieldRef.containerName", "names another container; only its own is known")
            return None
        try:
            return resource_value(selector, container.resources, machine)
        except ValueError as error:
            findings.refuse(f"{at}.resourceFieldRef", str(error))
            return None
    if source.config_map_key_ref is not None:
        return _key(names.CONFIG_MAP, source.config_map_key_ref, f"{at}.configMapKeyRef", pod, lookup, findings)
    if source.secret_key_ref is not None:
        return _key(names.SECRET, source.secret_key_ref, f"{at}.secretKeyRef", pod, lookup, findings)
    findings.refuse(at, "is not known here; fieldRef, resourceFieldRef, configMapKeyRef and secretKeyRef are")
    return None


def _key(kind: str, selector: KeySelector, at: str, pod: PodIdentity, lookup: Lookup, findings: Findings) -> str | None:
    try:
        keys = keys_of(kind, pod.namespace, selector.name, lookup)
    except ValueError as error:
        findings.refuse(at, str(error))
        return None
    if keys is not None and selector.key in keys:
        return _text(keys[selector.key])
    if not selector.optional:
        if keys is None:
            findings.refuse(f"{at}.name", absent(kind, selector.name))
        else:
            there = ", ".join(sorted(keys)) or "none"
            findings.refuse(f"{at}.key", f"{kind} {selector.name!r} has no key {selector.key!r}; it has {there}")
    return None


def thread_variables(millicpus: int) -> dict[str, str]:
    """The variables that keep numeric libraries to a CPU request; one thread where there is none."""
    count = str(max(1, math.ceil(millicpus / 1000)))
    return dict.fromkeys(THREAD_VARIABLES, count)


def search_path(first: tuple[str, ...], own: str | None, inherited: str) -> str:
    """PATH with the folders of katib's own interpreter in front, so that `python` is the one that has the libraries."""
    folders = [*first, *(own or "").split(os.pathsep), *(inherited or os.defpath).split(os.pathsep)]
    return os.pathsep.join(dict.fromkeys(folder for folder in folders if folder))


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
