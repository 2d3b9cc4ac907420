"""The output of Trials, printed."""

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from pykatib.api.errors import NotFound
from pykatib.api.trial import Trial
from pykatib.cli.lookup import find_one
from pykatib.cli.outputs import attempts_of
from pykatib.control.view import is_finished, trial_state
from pykatib.embedded.folders import HomeFolders
from pykatib.store.lock import holder_of
from pykatib.store.reader import SqliteReader
from pykatib.workers.attempts import AttemptFolder
from pykatib.workers.distributed.report import read_report
from pykatib.workers.logfile import LogTail, printable
from pykatib.workers.logfile import follow as follow_file

_WAIT_SECONDS = 0.2


def print_log(
    reader: SqliteReader,
    folders: HomeFolders,
    name: str,
    *,
    namespace: str,
    follow: bool,
    tail: int | None,
    attempt_number: int | None,
    replica: str | None = None,
) -> None:
    """Prints a Trial's output. Raises NotFound where there is none."""
    trial = find_one(reader, Trial, name, namespace)

    def is_over() -> bool:
        now = reader.find(trial.reference)
        return not isinstance(now, Trial) or is_finished(now) or holder_of(folders.database) is None

    while follow and not attempts_of(folders, trial) and not is_over():
        time.sleep(_WAIT_SECONDS)
    attempts = {one.number: one for one in attempts_of(folders, trial)}
    if attempt_number is not None and attempt_number not in attempts:
        there = ", ".join(map(str, attempts)) or "none yet"
        raise NotFound(f"Trial {name} has no attempt {attempt_number}; attempts: {there}")
    if not attempts:
        raise NotFound(f"Trial {name} is {trial_state(trial).lower()} and has printed nothing here")
    number = attempt_number or max(attempts)
    if attempt_number is None and len(attempts) > 1:
        click.echo(f"This is attempt {number}, the last; --attempt shows others.", err=True)
    path = attempts[number].log if replica is None else _log_of(attempts[number], replica, name)
    if follow and attempt_number is None:

        def has_ended() -> bool:
            return attempts_of(folders, trial)[-1:] != [attempts[number]] or is_over()

        _print(follow_file(path, stop=has_ended), tail=None)
        return
    with LogTail(path) as log:
        _print((line for lines in log.drain() for line in lines), tail=tail)


def _log_of(attempt: AttemptFolder, replica: str, name: str) -> Path:
    """The log of a replica; the one whose output is the attempt's has no log of its own."""
    ends = [one.name for one in read_report(attempt.path).replicas]
    logs = {path.stem: path for path in attempt.replica_logs()}
    if replica in logs:
        return logs[replica]
    if logs and replica in ends:
        return attempt.log
    known = ", ".join(ends or logs)
    if not known:
        raise NotFound(f"Trial {name} has no replicas; without --replica its output is printed")
    raise NotFound(f"Trial {name} has no replica {replica!r} with output of its own; replicas: {known}")


def _print(lines: Iterable[bytes], *, tail: int | None) -> None:
    chosen: Iterator[bytes] | deque[bytes] = iter(lines) if tail is None else deque(lines, maxlen=tail)
    if sys.stdout.isatty():
        for line in chosen:
            click.echo(printable(line))
        return
    out = sys.stdout.buffer
    for line in chosen:
        out.write(line + b"\n")
        out.flush()
