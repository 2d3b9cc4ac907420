"""The files of a command line, read."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pykatib.api.errors import FieldError
from pykatib.api.manifest import MAX_BYTES
from pykatib.embedded.submission import Refusal, Source

STDIN = "-"


def read_sources(files: Sequence[str]) -> tuple[list[Source], list[Refusal]]:
    """The contents of files, `-` being standard input, and those that cannot be read."""
    sources: list[Source] = []
    refusals: list[Refusal] = []
    for file in files:
        try:
            if file == STDIN:
                sources.append(Source("standard input", sys.stdin.buffer.read(MAX_BYTES + 1), Path.cwd()))
                continue
            path = Path(file)
            with path.open("rb") as opened:
                sources.append(Source(file, opened.read(MAX_BYTES + 1), path.absolute().parent))
        except OSError as error:
            refusals.append(Refusal(file, (FieldError("", f"cannot be read: {error.strerror or error}"),)))
    return sources, refusals
