"""A file of results, a JSON text a line, that several processes may fill and that may be killed at any time.

A run is written in one piece when it is over, so that it is there or not; what a crash of the machine may have left of
a line is passed over. Whoever computes a run holds a lock on it, which the system takes back when the process dies.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str, int, int, int]


def key(row: Row) -> Key:
    """What identifies a run."""
    return (row["problem"], row["method"], row["parallel"], row["seed"], row["budget"])


def rows(path: Path) -> list[Row]:
    """The runs of a file; where one is there twice, the later."""
    found: dict[Key, Row] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
            found[key(row)] = row
        except (ValueError, KeyError):
            continue
    return list(found.values())


class Results:
    """Results to be added to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._locks = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")
        self._read = 0
        self._done: set[Key] = set()

    def done(self, wanted: Key) -> bool:
        """Whether a run is there, also one that another process has just written."""
        if os.fstat(self._file).st_size > self._read:
            self._done = {key(row) for row in rows(self._path)}
            self._read = os.fstat(self._file).st_size
        return wanted in self._done

    @contextmanager
    def claimed(self, wanted: Key) -> Iterator[bool]:
        """Holds a run for this process; False where another has it (or one of 2**31 that falls on the same byte)."""
        place = zlib.crc32(repr(wanted).encode()) >> 1
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            yield False
            return
        try:
            yield not self.done(wanted)
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, place)

    def add(self, row: Row) -> None:
        """Appends a run."""
        os.write(self._file, (json.dumps(row) + "\n").encode())

    def close(self) -> None:
        """Closes the files."""
        os.close(self._file)
        os.close(self._locks)
