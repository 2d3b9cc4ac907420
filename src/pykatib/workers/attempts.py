"""The folder of one attempt to run a Trial's worker job, what is in it, and what earlier attempts left on record.

<trial folder>/<n>/output.log      what the processes printed
                   exit.json       how they ended, written by the supervisor
                   metrics.jsonl   what they pushed
                   collector.log   what a collector of the user's own printed; collector-exit.json, how it ended
                   metrics/        what a collector reads, where no volume of the job holds it
                   volumes/        what was mounted; removed with the worker job
                   replicas/       of a distributed job: <type>-<index>.log, and such folders as above for each
                   replicas.json   how each replica ended
"""

import errno
import os
import shutil
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from pykatib.api.errors import StorageFailed
from pykatib.workers.processes import ProcessExit, read_exits
from pykatib.workers.volumes import PlannedFile

LOG_NAME: Final = "output.log"
MAIN: Final = "main"
"""The stage of the main process; `init-<n>` are those before it."""
COLLECTOR: Final = "collector"
"""The process beside it that is a user's own collector."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

Outcome: TypeAlias = Literal["none", "ended", "lost"]


class AttemptFolder(msgspec.Struct, frozen=True):
    """One attempt's folder."""

    path: Path

    @property
    def number(self) -> int:
        """The attempt's number, from 1."""
        return int(self.path.name)

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

    @property
    def collector_log(self) -> Path:
        """What a collector of the user's own printed."""
        return self.path / "collector.log"

    @property
    def collector_exit(self) -> Path:
        """How a collector of the user's own ended."""
        return self.path / "collector-exit.json"

    def make(self, folders: tuple[Path, ...], files: tuple[PlannedFile, ...]) -> None:
        """Makes what the processes will find.

        Raises:
            StorageFailed: it cannot be written.
        """
        try:
            for folder in dict.fromkeys((self.path, *folders)):
                _make_folder(folder)
            for file in files:
                if file.keep and file.path.exists():
                    continue
                os.makedirs(file.path.parent, exist_ok=True)
                file.path.write_bytes(file.content)
                file.path.chmod(file.mode)
        except OSError as error:
            advice = "; free some space, what was committed is safe" if error.errno in _FULL else ""
            where = error.filename or self.path
            raise StorageFailed(f"cannot prepare an attempt in {where}: {error.strerror}{advice}") from error

    def replica_logs(self) -> list[Path]:
        """What the replicas of a distributed job printed, but for the one whose log is `log`."""
        return sorted(self.path.glob("replicas/*.log"))

    def log_bytes(self) -> int:
        """How long the log is; 0 where there is none."""
        try:
            return self.log.stat().st_size
        except OSError:
            return 0

    def has_volumes(self) -> bool:
        """Whether something was mounted that is still there."""
        return any(map(os.path.isdir, self._volumes()))

    def drop_volumes(self) -> None:
        """Removes what was mounted, as a cluster does when a pod goes."""
        for folder in self._volumes():
            shutil.rmtree(folder, ignore_errors=True)

    def _volumes(self) -> list[Path]:
        own = self.path / "volumes"
        return [own, *self.path.glob("replicas/*/volumes")] if os.path.isdir(self.path / "replicas") else [own]


def _make_folder(path: Path) -> None:
    """As os.makedirs, which looks before it makes: here the folder is new, and its parent there or new as well."""
    try:
        os.mkdir(path)
    except (FileNotFoundError, FileExistsError):
        os.makedirs(path, exist_ok=True)  # says so where something else has that name


def attempts_in(trial_folder: Path) -> list[AttemptFolder]:
    """The attempts that a Trial's folder holds, in order."""
    try:
        entries = os.listdir(trial_folder)
    except FileNotFoundError:
        return []
    return [AttemptFolder(trial_folder / str(number)) for number in sorted(map(int, filter(str.isdigit, entries)))]


class Past(msgspec.Struct, frozen=True):
    """What a job's earlier life left: how it stands, its last attempt, how that ended, how often it failed before."""

    outcome: Outcome = "none"
    last: AttemptFolder | None = None
    ended: ProcessExit | None = None
    failure_count: int = 0

    @property
    def next_number(self) -> int:
        """The number of the attempt to come."""
        return self.last.number + 1 if self.last is not None else 1


def past_of(trial_folder: Path, job_uid: str, *, was_started: bool) -> Past:
    """How a job stands that is taken up: to be run ("none"), to be read only ("ended"), or lost.

    A program that completed is never run again, not even by a later job of its Trial: one that was suspended may
    complete in the moment before it is told to end.
    """
    attempts = attempts_in(trial_folder)
    if not attempts:
        return Past()
    last = attempts[-1]
    exits = read_exits(last.exit)
    ended = next(reversed(exits.values()), None)
    failure_count = sum(
        _is_failure(one, job_uid) for attempt in attempts[:-1] for one in read_exits(attempt.exit).values()
    )
    if ended is None:
        return Past("lost" if was_started else "none", last, None, failure_count)
    has_completed = ended.exit_code == 0 and not ended.ended_by_supervisor and ended.process_id.endswith(f"/{MAIN}")
    if has_completed or _is_failure(ended, job_uid):
        return Past("ended", last, ended, failure_count)
    return Past("none", last, None, failure_count)


def _is_failure(ended: ProcessExit, job_uid: str) -> bool:
    return ended.process_id.startswith(f"{job_uid}/") and ended.exit_code != 0 and not ended.ended_by_supervisor
