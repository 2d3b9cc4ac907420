"""Objects as the API server writes and reads them: bodies of requests, and values from answers and watch events."""

from typing import Any

import msgspec
from msgspec.structs import replace

from pykatib.api import wire
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import ConfigMap, Object, Secret, WorkerJob
from pykatib.api.trial import Trial
from pykatib.store.kubernetes.long_lists import status_on_wire
from pykatib.store.kubernetes.resources import Resource


class _Meta(msgspec.Struct):
    """Any object's metadata and nothing else."""

    metadata: ObjectMeta
    kind: str = ""


class _Foreign(msgspec.Struct):
    """An object of a kind that is not ours. Items of lists do not say their kind."""

    metadata: ObjectMeta
    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: msgspec.Raw = msgspec.Raw(b"{}")


_meta_decoder = msgspec.json.Decoder(_Meta)
_foreign_decoder = msgspec.json.Decoder(_Foreign)


def version_of(obj: Object) -> int:
    """The number of an object's version. Kubernetes orders versions as numbers (and promises it from 1.35 on)."""
    return int(obj.metadata.resource_version or 0)


def meta_in(data: msgspec.Raw | bytes) -> ObjectMeta:
    """The metadata of an object's JSON, without reading the rest."""
    return _meta_decoder.decode(data).metadata


def kind_in(data: bytes) -> str:
    """The kind of an object's JSON; empty where it does not look like one."""
    try:
        return _meta_decoder.decode(data).kind
    except msgspec.MsgspecError:
        return ""


def decode(resource: Resource, data: msgspec.Raw | bytes) -> Object:
    """The object that the API server's JSON describes.

    Raises:
        msgspec.MsgspecError: it does not read as that kind.
    """
    kind = wire.type_of(resource.kind)
    if kind is WorkerJob:
        foreign = _foreign_decoder.decode(data)
        return WorkerJob(
            api_version=resource.api_version,
            kind=resource.kind,
            metadata=foreign.metadata,
            spec=foreign.spec.copy(),  # a Raw keeps all that it was read from
            status=foreign.status.copy(),
        )
    obj = wire.decode(bytes(data), kind)
    if isinstance(obj, Trial):
        return replace(obj, spec=replace(obj.spec, run_spec=obj.spec.run_spec.copy()))
    return obj


def body_of_new(obj: Object) -> bytes:
    """What is posted to make an object: what a writer decides; a status is not taken then."""
    meta = obj.metadata
    own = ObjectMeta(
        name=meta.name,
        generate_name=meta.generate_name,
        namespace=meta.namespace,
        labels=meta.labels,
        annotations=meta.annotations,
        owner_references=meta.owner_references,
        finalizers=meta.finalizers,
    )
    return _encoded(obj, own, {"status"})


def body_of_update(obj: Object, version: str) -> bytes:
    """What is put in the place of an object of that version; its status stays."""
    meta = obj.metadata
    return _encoded(obj, replace(meta, resource_version=version, generation=0), {"status"})


def body_of_status(obj: Object, version: str) -> bytes:
    """What is put in the place of an object's status."""
    meta = obj.metadata
    if isinstance(obj, WorkerJob):
        return _encoded(obj, replace(meta, resource_version=version), set())
    named = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, resource_version=version)
    return _encoded(obj, named, {"spec"})


def body_of_delete(*, uid: str, propagation: str) -> bytes:
    """The options of a deletion."""
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
    if uid:
        options["preconditions"] = {"uid": uid}
    return wire.encode(options)


def _encoded(obj: Object, metadata: ObjectMeta, without: set[str]) -> bytes:
    parts: dict[str, Any] = {"apiVersion": obj.api_version, "kind": obj.kind, "metadata": metadata}
    if isinstance(obj, ConfigMap):
        parts["data"] = obj.data
    elif isinstance(obj, Secret):
        parts |= {"data": obj.data, "stringData": obj.string_data, "type": obj.type}
    else:
        if "spec" not in without:
            parts["spec"] = obj.spec
        if "status" not in without:
            parts["status"] = status_on_wire(obj)
    return wire.encode(parts)
