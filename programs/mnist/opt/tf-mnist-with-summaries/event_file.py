"""Scalars in TensorBoard's event files, as TensorFlow 2's summary writer leaves them, without TensorFlow.

A file is a row of records: the length in 8 bytes, a masked CRC-32C of those, an Event, and a masked CRC-32C of that.

    Event       { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
    Summary     { repeated Value value = 1; }
    Value       { string tag = 1; TensorProto tensor = 8; SummaryMetadata metadata = 9; }
    TensorProto { DataType dtype = 1; TensorShapeProto tensor_shape = 2; bytes tensor_content = 4; }
"""

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

FLOAT = 1  # DT_FLOAT


class EventFile:
    """An event file of one run; its folder is made first."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.0.v2"
        self._file = (folder / name).open("ab", buffering=0)
        self._write(event(file_version="brain.Event:2"))

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write scalars of one step."""
        for tag, value in scalars.items():
            self._write(event(step=step, tag=tag, value=value))

    def _write(self, data: bytes) -> None:
        length = struct.pack("<Q", len(data))
        self._file.write(length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data)))


def event(*, step: int = 0, tag: str = "", value: float = 0.0, file_version: str = "") -> bytes:
    """A serialised Event: the file's version, or one scalar."""
    head = b"\x09" + struct.pack("<d", time.time())
    if file_version:
        return head + field(3, file_version.encode())
    tensor = b"\x08" + varint(FLOAT) + field(2, b"") + field(4, struct.pack("<f", value))
    metadata = field(1, field(1, b"scalars"))
    summary_value = field(1, tag.encode()) + field(8, tensor) + field(9, metadata)
    return head + b"\x10" + varint(step) + field(5, field(1, summary_value))


def field(number: int, content: bytes) -> bytes:
    """A field that holds bytes, a text or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    """A whole number, seven bits a byte, the lowest first."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _table() -> tuple[int, ...]:
    rows = []
    for row in range(256):
        for _ in range(8):
            row = row >> 1 ^ (0x82F63B78 if row & 1 else 0)  # Castagnoli's polynomial, reflected
        rows.append(row)
    return tuple(rows)


TABLE = _table()


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated right by 15, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
