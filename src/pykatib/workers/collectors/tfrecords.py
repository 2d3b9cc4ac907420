"""TFRecord framing: length, its checksum, data, its checksum. Bytes in, records out.

Each record is an 8-byte little-endian length, a masked CRC-32C of these eight bytes, the data, and a masked CRC-32C of
the data. A record that is not there in full is waited for. A wrong checksum of a length means that nothing behind it
can be found, so reading stops for good. The data's checksum is not verified here but by whoever wants a record
(`is_sound`): in Python it takes a second for some megabytes, and most records hold pictures and histograms.
"""

import struct
from typing import NamedTuple

LARGEST_RECORD = 16 << 20
_HEADER = struct.Struct("<QI")
_TRAILER = struct.Struct("<I")


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # Castagnoli, reflected
        rows.append(value)
    return tuple(rows)


_TABLE = _table()


def masked_crc32c(data: bytes) -> int:
    """The checksum of TFRecord files: CRC-32C, rotated right by 15, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class Record(NamedTuple):
    """The data of a record and its stated checksum."""

    data: bytes
    checksum: int

    def is_sound(self) -> bool:
        """Whether the data is what was written."""
        return masked_crc32c(self.data) == self.checksum


class RecordParser:
    """Cuts a growing file into records; holds one unfinished record at most, and none that is larger than 16 MiB.

    `broken` says why nothing more can be read, where that is so.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._skipping = 0
        self.broken = ""

    @property
    def pending_bytes(self) -> int:
        """How many bytes of the unfinished record are held."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> list[Record]:
        """The records that `chunk` completes."""
        if self.broken:
            return []
        if self._skipping:
            skipped = min(self._skipping, len(chunk))
            self._skipping -= skipped
            chunk = chunk[skipped:]
        self._pending += chunk
        records: list[Record] = []
        at = 0
        while len(self._pending) - at >= _HEADER.size:
            length, checksum = _HEADER.unpack_from(self._pending, at)
            if masked_crc32c(bytes(self._pending[at : at + 8])) != checksum:
                self.broken = "the checksum of a record's length is wrong; the rest of the file cannot be read"
                self._pending.clear()
                return records
            end = at + _HEADER.size + length + _TRAILER.size
            if length > LARGEST_RECORD:
                self._skipping = max(0, end - len(self._pending))
                at = min(end, len(self._pending))
                continue
            if len(self._pending) < end:
                break
            data = bytes(self._pending[at + _HEADER.size : end - _TRAILER.size])
            records.append(Record(data, _TRAILER.unpack_from(self._pending, end - _TRAILER.size)[0]))
            at = end
        del self._pending[:at]
        return records
