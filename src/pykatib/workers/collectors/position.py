"""How far a source has been read: what a collector that is started again needs so as to read nothing twice.

A position is taken between two reads and belongs to all that was returned so far. An unfinished line or record has
returned nothing, so positions stand at its beginning.
"""

import zlib

import msgspec

_HEAD_BYTES = 1024


class SeriesState(msgspec.Struct, frozen=True, array_like=True):
    """The last sample of one series of a metric."""

    metric: str
    series: str
    labels: tuple[tuple[str, str], ...]
    value: str
    timestamp: float | None


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of files the offsets, by path; of an endpoint the last samples. `head` tells whether a file is still the same."""

    offsets: dict[str, int] = {}
    head: int = 0
    series: tuple[SeriesState, ...] = ()


def head_sum(head: bytes, offset: int) -> int:
    """A checksum of a file's first bytes, as far as they lie before an offset."""
    return zlib.crc32(head[: min(offset, _HEAD_BYTES)])
