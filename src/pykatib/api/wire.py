"""Objects to JSON and back, without judgement: what stores keep and APIs return.

Manifests that a person wrote go through `pykatib.api.manifest` instead, which finds every mistake and names its path.
"""

from types import GenericAlias
from typing import Any, TypeVar, get_args

import msgspec

from pykatib.api.objects import TYPED_KINDS, Object, WorkerJob
from pykatib.api.sequences import AppendLog

T = TypeVar("T")


def _encode_hook(value: Any) -> Any:
    if isinstance(value, AppendLog):
        return value.since(0)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def _decode_hook(kind: Any, value: Any) -> Any:
    if getattr(kind, "__origin__", kind) is AppendLog:
        items: list[Any] = msgspec.convert(value, GenericAlias(list, get_args(kind)), dec_hook=_decode_hook)
        return AppendLog(items)
    raise NotImplementedError(f"cannot decode into {kind}")


_encoder = msgspec.json.Encoder(enc_hook=_encode_hook)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def encode(value: Any) -> bytes:
    """The JSON of an object or of any value within one."""
    return _encoder.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """The value of type `kind` that the JSON describes.

    Raises:
        msgspec.ValidationError: the JSON does not describe a `kind`.
        msgspec.DecodeError: the text is not JSON.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, dec_hook=_decode_hook)
    value: T = decoder.decode(data)
    return value


def type_of(kind: str) -> type[Object]:
    """The Python type of a kind; everything that is not ours is a WorkerJob."""
    return TYPED_KINDS.get(kind, WorkerJob)
