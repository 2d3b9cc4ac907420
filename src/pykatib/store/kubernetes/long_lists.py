"""Lists that grow with every Trial, kept small on the wire: etcd takes no object above 1.5 MiB and rewrites it whole.

* **Assignments of a Suggestion.** Its status holds the latest ones. Once they pass `CHUNK_BYTES`, the first of them are
  written to a ConfigMap, which the Suggestion owns and which is named after the number of its first assignment; only
  then are they left out of the status, and `status.omittedSuggestions` says how many are. Whoever dies between the two
  writes the same ConfigMap again. Within this process the list is always whole.
* **Name lists of an Experiment.** They are a view of the Trials, and made anew from them. The wire has the latest
  `NAMES_SHOWN` of each, and `status.omittedTrialNames` says how many of the first each lacks; the counts count all.

What is always on Katib's wire is on ours too: `status.currentOptimalTrial.observation`, though there be nothing in it.
"""

from typing import Any

import msgspec
from msgspec.structs import replace

from pykatib.api import wire
from pykatib.api.errors import AlreadyExists, NotFound, Unavailable
from pykatib.api.experiment import Experiment, ExperimentStatus, OptimalTrial
from pykatib.api.meta import ObjectMeta, OwnerReference
from pykatib.api.objects import ConfigMap, Object, Secret
from pykatib.api.sequences import AppendLog
from pykatib.api.suggestion import Suggestion, TrialAssignment
from pykatib.store.kubernetes.api_server import ApiServer

CHUNK_BYTES = 64 * 1024
NAMES_SHOWN = 500

OMITTED_TRIAL_NAMES = "omittedTrialNames"
WIRE_FIELDS: dict[str, dict[str, Any]] = {
    "Experiment": {
        OMITTED_TRIAL_NAMES: {
            "description": "How many of the first names each list lacks; the Trials themselves are complete.",
            "type": "object",
            "additionalProperties": {"type": "integer", "format": "int64"},
        }
    }
}

_NAME_LISTS = tuple(
    (field.name, field.encode_name)
    for field in msgspec.structs.fields(ExperimentStatus)
    if field.name.endswith("_trial_list")
)
_DATA_KEY = "assignments"
_NO_OPTIMUM = b'{"currentOptimalTrial":{"observation":{}}'


class _Chunk(msgspec.Struct):
    data: dict[str, str]


_chunk_decoder = msgspec.json.Decoder(_Chunk)


def status_on_wire(obj: Object) -> Any:  # Any: of whichever kind, or a plain mapping
    """The status as it is written."""
    assert not isinstance(obj, ConfigMap | Secret)
    if isinstance(obj, Suggestion) and obj.status.omitted_suggestions:
        window = AppendLog(obj.status.suggestions.since(obj.status.omitted_suggestions))
        return replace(obj.status, suggestions=window)
    if isinstance(obj, Experiment):
        return _with_an_optimum(obj, _with_latest_names(obj))
    return obj.status


def _with_an_optimum(experiment: Experiment, status: Any) -> Any:
    """Katib's status always has an optimum, empty where there is none yet; its pages look into it without asking."""
    if experiment.status.current_optimal_trial != OptimalTrial():
        return status
    rest = wire.encode(status)[1:]
    return msgspec.Raw(_NO_OPTIMUM + (b"," if len(rest) > 1 else b"") + rest)


def _with_latest_names(experiment: Experiment) -> Any:  # Any: a status, or a mapping where it has more than one
    status = experiment.status
    omitted: dict[str, int] = {}
    latest: dict[str, Any] = {}
    for field, name in _NAME_LISTS:
        names = getattr(status, field)
        if len(names) > NAMES_SHOWN:
            omitted[name] = len(names) - NAMES_SHOWN
            kept = names[len(names) - NAMES_SHOWN :]
            latest[field] = AppendLog(kept) if isinstance(names, AppendLog) else tuple(kept)
    if not omitted:
        return status
    short: dict[str, Any] = msgspec.json.decode(wire.encode(replace(status, **latest)))
    return {**short, OMITTED_TRIAL_NAMES: omitted}


class Chunks:
    """Writes and reads the ConfigMaps that hold the first assignments of long Suggestions. Any thread may call."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def outsourced(self, suggestion: Suggestion) -> Suggestion:
        """The Suggestion with as many assignments omitted as its status must not hold; those have been written."""
        omitted = suggestion.status.omitted_suggestions
        entries = [wire.encode(entry) for entry in suggestion.status.suggestions.since(omitted)]
        left = sum(map(len, entries))
        start = 0
        while left > CHUNK_BYTES:
            end, size = start, 0
            while end < len(entries) and (size == 0 or size + len(entries[end]) <= CHUNK_BYTES):
                size += len(entries[end])
                end += 1
            self._write(suggestion, omitted, b"[" + b",".join(entries[start:end]) + b"]")
            omitted += end - start
            left -= size
            start = end
        if omitted == suggestion.status.omitted_suggestions:
            return suggestion
        return replace(suggestion, status=replace(suggestion.status, omitted_suggestions=omitted))

    def whole(self, suggestion: Suggestion, known: Suggestion | None) -> Suggestion:
        """The Suggestion as the API server has it, with what it omits: from what is known of it, or read anew.

        Raises:
            Unavailable: what is omitted cannot be had.
        """
        omitted = suggestion.status.omitted_suggestions
        if not omitted:
            return suggestion
        window = suggestion.status.suggestions.since(0)
        if (
            known is not None
            and known.metadata.uid == suggestion.metadata.uid
            and len(known.status.suggestions) >= omitted
        ):
            log = known.status.suggestions
            if log.since(omitted) != window:
                log = AppendLog([*log[:omitted], *window])
        else:
            log = AppendLog([*self._read(suggestion, omitted), *window])
        return replace(suggestion, status=replace(suggestion.status, suggestions=log))

    def _path(self, meta: ObjectMeta, first: int | None = None) -> str:
        collection = f"/api/v1/namespaces/{meta.namespace}/configmaps"
        return collection if first is None else f"{collection}/{chunk_name(meta, first)}"

    def _write(self, suggestion: Suggestion, first: int, content: bytes) -> None:
        meta = suggestion.metadata
        owner = OwnerReference(suggestion.api_version, suggestion.kind, meta.name, meta.uid, True, True)
        own = ObjectMeta(name=chunk_name(meta, first), namespace=meta.namespace, owner_references=(owner,))
        body = wire.encode(ConfigMap(metadata=own, data={_DATA_KEY: content.decode()}))
        try:
            self._server.request("POST", self._path(meta), body=body)
        except AlreadyExists:
            self._server.request("PUT", self._path(meta, first), body=body)

    def _read(self, suggestion: Suggestion, count: int) -> list[TrialAssignment]:
        found: list[TrialAssignment] = []
        while len(found) < count:
            path = self._path(suggestion.metadata, len(found))
            try:
                text = _chunk_decoder.decode(self._server.request("GET", path)).data[_DATA_KEY]
                entries = wire.decode(text, list[TrialAssignment])
            except (NotFound, KeyError, msgspec.MsgspecError) as error:
                raise Unavailable(
                    f"{suggestion.reference} omits its first {count} assignments, but {path} does not hold them"
                ) from error
            if not entries:
                raise Unavailable(f"{path} holds no assignments")
            found += entries
        return found[:count]


def chunk_name(meta: ObjectMeta, first: int) -> str:
    """The ConfigMap of a Suggestion's assignments from that number on. The uid keeps namesakes apart."""
    return f"{meta.name}-{meta.uid[:8]}-assignments-{first:06}"
