"""The folder of one attempt to run a Trial's worker job, and what is in it.

<trial folder>/<n>/output.log      what the process printed
                   exit.json       how it ended, written by the supervisor
                   metrics.jsonl   what it pushed
                   volumes/        what was mounted; removed with the worker job
"""

import os
import shutil
from pathlib import Path

import msgspec

from pykatib.api.errors import StorageFailed
from pykatib.workers.volumes import PlannedFile

LOG_NAME = "output.log"


class AttemptFolder(msgspec.Struct, frozen=True):
    """One attempt's folder."""

    path: Path

    @property
    def log(self) -> Path:
        """What the processes printed."""
        return self.path / LOG_NAME

    @property
    def exit(self) -> Path:
        """How the processes ended."""
        return self.path / "exit.json"

    @property
    def pushed(self) -> Path:
        """What the processes pushed."""
        return self.path / "metrics.jsonl"

    def make(self, folders: tuple[Path, ...], files: tuple[PlannedFile, ...]) -> None:
        """Makes what the processes will find.

        Raises:
            StorageFailed: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                if file.keep and file.path.exists():
                    continue
                file.path.parent.mkdir(parents=True, exist_ok=True)
                file.path.write_bytes(file.content)
                file.path.chmod(file.mode)
        except OSError as error:
            raise StorageFailed(f"cannot prepare {self.path}: {error.strerror}: {error.filename}") from error

    def drop_volumes(self) -> None:
        """Removes what was mounted, as a cluster does when a pod goes."""
        shutil.rmtree(self.path / "volumes", ignore_errors=True)


def attempt_numbers(trial_folder: Path) -> list[int]:
    """The numbers of the attempts that a Trial's folder holds, in order."""
    try:
        entries = os.listdir(trial_folder)
    except FileNotFoundError:
        return []
    return sorted(int(entry) for entry in entries if entry.isdigit())


def last_attempt(trial_folder: Path) -> AttemptFolder | None:
    """The folder of the last attempt, or None."""
    numbers = attempt_numbers(trial_folder)
    return AttemptFolder(trial_folder / str(numbers[-1])) if numbers else None
