"""Checkpoints: a training that was killed goes on after its last whole epoch, and ends as if nothing had happened.

A checkpoint says which training it is of; that of another is refused rather than gone on from. It is written beside and
then renamed, so there is always a whole one. Where katib runs the Trial on this machine, the Trial's own folder is
where checkpoints go without being told: attempts to run a Trial share it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from pykatib.api import names
from pykatib.nas.reading import refused

FILE: Final = "training.pt"


def identity(**training: object) -> str:
    """What a training is, in short: two of the same arguments are the same."""
    return hashlib.blake2b(json.dumps(training, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


class Checkpoints:
    """The checkpoints of one training; without a folder it keeps none."""

    def __init__(self, folder: Path | None, identity: str) -> None:
        self._file = folder / FILE if folder is not None else None
        self._identity = identity

    def load(self) -> dict[str, Any] | None:
        """What was saved last. InvalidInput where that is of another training, or no checkpoint."""
        if self._file is None or not self._file.is_file():
            return None
        try:
            found: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
            of = found.pop("identity")
        except Exception as error:  # whatever torch raises for a file that is none
            raise refused("--checkpoint", f"{self._file} is no checkpoint: {error}") from error
        if of != self._identity:
            raise refused("--checkpoint", f"{self._file} is of a training with other arguments; name another folder")
        return found

    def save(self, **state: Any) -> None:
        """Keeps this state in place of the one before."""
        if self._file is None:
            return
        beside = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                torch.save({"identity": self._identity, **state}, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._file)
        except OSError as error:
            raise refused("--checkpoint", f"{self._file} cannot be written: {error}") from error


def folder_of(stated: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where checkpoints go: where it is said, else the folder of the Trial that katib runs here, else nowhere."""
    if stated:
        return Path(stated)
    pushed = environ.get(names.ENV_METRICS_FILE)
    # <folder of the Trial>/<attempt>/metrics.jsonl
    attempt = Path(pushed).parent if pushed else None
    return attempt.parent / "checkpoint" if attempt is not None and attempt.name.isdigit() else None
