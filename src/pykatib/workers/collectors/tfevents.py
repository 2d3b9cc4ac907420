"""Scalars in TensorFlow's event files: as much of the protocol buffers as that takes, read by hand.

    Event    { double wall_time = 1; int64 step = 2; Summary summary = 5; }
    Summary  { repeated Value value = 1; }
    Value    { string tag = 1; float simple_value = 2; TensorProto tensor = 8; }
    TensorProto { DataType dtype = 1; TensorShapeProto tensor_shape = 2; bytes tensor_content = 4;
                  float_val = 5; double_val = 6; int_val = 7; int64_val = 10; bool_val = 11; half_val = 13;
                  uint32_val = 16; uint64_val = 17 }                                  (all repeated, packed or not)

TensorFlow 1, PyTorch and tensorboardX write `simple_value`, TensorFlow 2 a tensor without dimensions; a plug-in's
metadata says nothing about a number and is passed over. Values that are no single number (histograms, pictures, text)
are not scalars.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Scalar(NamedTuple):
    """One value of a tag. `value` is the shortest text that names the number in the precision it was kept in."""

    wall_time: float
    tag: str
    value: str


class NotAnEvent(ValueError):  # noqa: N818 - states the fault
    """The bytes are no Event."""


def scalars_of(event: bytes) -> list[Scalar]:
    """The scalars of one serialised Event.

    Raises:
        NotAnEvent: it is none.
    """
    try:
        return list(_scalars(event))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NotAnEvent(f"not an event: {error}") from error


def _scalars(event: bytes) -> Iterator[Scalar]:
    wall_time = 0.0
    summaries: list[bytes] = []
    for number, value in _fields(event):
        if number == 1 and isinstance(value, bytes):
            (wall_time,) = struct.unpack("<d", value)
        elif number == 5 and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for number, value in _fields(summary):
            if number == 1 and isinstance(value, bytes):
                tag, text = _tagged(value)
                if text:
                    yield Scalar(wall_time, tag, text)


def _tagged(message: bytes) -> tuple[str, str]:
    tag, text = "", ""
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value.decode()
        elif number == 2:
            text = _float32(value)
        elif number == 8:
            text = _tensor(value)
    return tag, text


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values: an int for a varint, the bytes as they lie for everything else."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise NotAnEvent(f"not an event: wire type {kind}")
        if at + length > end:
            raise NotAnEvent("not an event: a field ends behind its message")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
    raise NotAnEvent("not an event: a number has more than ten bytes")


def _shortest(value: float, is_same: Callable[[float], bool]) -> str:
    for digits in range(1, 17):
        shorter = float(f"{value:.{digits}g}")
        if is_same(shorter):
            return repr(shorter)
    return repr(value)


def _float32(raw: bytes) -> str:
    (value,) = struct.unpack("<f", raw)

    def is_same(shorter: float) -> bool:
        try:
            return struct.pack("<f", shorter) == raw
        except OverflowError:
            return False

    return _shortest(value, is_same)


def _float16(raw: bytes) -> str:
    (value,) = struct.unpack("<e", raw)

    def is_same(shorter: float) -> bool:
        try:
            return struct.pack("<e", shorter) == raw
        except OverflowError:
            return False

    return _shortest(value, is_same)


def _bfloat16(raw: bytes) -> str:
    """The upper half of a 32-bit float; the shortest text that rounds back to it."""
    (value,) = struct.unpack("<f", b"\0\0" + raw)

    def is_same(shorter: float) -> bool:
        try:
            (bits,) = struct.unpack("<I", struct.pack("<f", shorter))
        except OverflowError:
            return False
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        return bool(rounded == int.from_bytes(raw, "little"))

    return _shortest(value, is_same)


def _integer(size: int, *, signed: bool) -> Callable[[bytes], str]:
    return lambda raw: str(int.from_bytes(raw[:size], "little", signed=signed))


class _Type(NamedTuple):
    size: int
    field: int  # of the TensorProto, where the number does not stand in tensor_content
    text: Callable[[bytes], str]


_TYPES = {  # by DataType
    1: _Type(4, 5, _float32),
    2: _Type(8, 6, lambda raw: repr(float(struct.unpack("<d", raw)[0]))),
    3: _Type(4, 7, _integer(4, signed=True)),
    4: _Type(1, 7, _integer(1, signed=False)),
    5: _Type(2, 7, _integer(2, signed=True)),
    6: _Type(1, 7, _integer(1, signed=True)),
    9: _Type(8, 10, _integer(8, signed=True)),
    10: _Type(1, 11, _integer(1, signed=False)),
    14: _Type(2, 13, _bfloat16),
    17: _Type(2, 7, _integer(2, signed=False)),
    19: _Type(2, 13, _float16),
    22: _Type(4, 16, _integer(4, signed=False)),
    23: _Type(8, 17, _integer(8, signed=False)),
}


def _tensor(message: bytes) -> str:
    """The text of a tensor's only number; empty where it holds another count, or no numbers."""
    kind, size = 0, 1
    content = b""
    values: dict[int, bytes | int] = {}
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            size = _size(value)
        elif number == 4 and isinstance(value, bytes):
            content = value
        else:
            values[number] = value
    known = _TYPES.get(kind)
    if known is None or size != 1:
        return ""
    if content:
        return known.text(content) if len(content) == known.size else ""
    raw = values.get(known.field)
    if isinstance(raw, int):  # not packed
        return known.text(_wrapped(raw, known.size))
    if not raw:
        return ""
    if known.field in (5, 6):
        return known.text(raw) if len(raw) == known.size else ""
    number, end = _varint(raw, 0)
    return known.text(_wrapped(number, known.size)) if end == len(raw) else ""


def _wrapped(number: int, size: int) -> bytes:
    """A varint's number as bytes of its type; negative ones come as 64 bits."""
    return (number & (1 << 8 * size) - 1).to_bytes(size, "little")


def _size(shape: bytes) -> int:
    size = 1
    for number, dimension in _fields(shape):
        if number == 2 and isinstance(dimension, bytes):
            for inner, extent in _fields(dimension):
                if inner == 1 and isinstance(extent, int):
                    size *= extent
            if not dimension:  # proto3 leaves a zero out
                size = 0
    return size
