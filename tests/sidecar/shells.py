"""The shells that images have, and the wrapper run by each as a container would run it."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pykatib.kube.injection_wrapping import SCRIPT

SHELLS = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox", "sh"]}
INSTALLED = {name: words for name, words in SHELLS.items() if shutil.which(words[0])}


def start_wrapped(
    words: Sequence[str],
    *,
    control: Path,
    log: Path | None = None,
    stop_seconds: str = "",
    shell: Sequence[str] = ("sh",),
    **options: Any,  # of Popen
) -> "subprocess.Popen[bytes]":
    """Starts words within the wrapper, the leader of a group of its own."""
    control.mkdir(exist_ok=True)
    argv = [*shell, "-c", SCRIPT, "katib", str(control), str(log or ""), stop_seconds, *words]
    return subprocess.Popen(argv, start_new_session=True, stdin=subprocess.DEVNULL, **options)


def busybox_only(folder: Path) -> dict[str, str]:
    """An environment in which busybox' programs are the only ones, as in an image of Alpine's."""
    folder.mkdir()
    subprocess.run(["busybox", "--install", "-s", str(folder)], check=True)
    return {**os.environ, "PATH": str(folder)}
