"""How the throughput benchmarks measure: each figure in a fresh process, wall and CPU time, medians over rounds.

On a machine that others use too, wall time tells of them as well; CPU time is the process's own, all threads together.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def run_once(script: str, *arguments: str, python: str = sys.executable) -> dict[str, Any]:
    """What a script of this folder says, as JSON on its last line, when a fresh interpreter runs it."""
    command = [python, str(HERE / script), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def median(samples: Sequence[dict[str, Any]], key: str) -> float:
    """The median of one figure over the rounds."""
    return float(statistics.median(sample[key] for sample in samples))


def machine() -> str:
    """What the figures were measured on, and how busy that was."""
    load, *_ = os.getloadavg()
    return f"{os.cpu_count()} cores, load {load:.1f}, {platform.system()}, Python {platform.python_version()}"


def print_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Columns under their names; the first to the left, the others to the right."""
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]
    for line in (head, ["-" * width for width in widths], *lines):
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip(), flush=True)
