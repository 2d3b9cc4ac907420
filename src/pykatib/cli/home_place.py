"""A home folder of this machine as commands see it, also beside a process that owns it."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pykatib.api.errors import Conflict, NotFound
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.objects import Event, Object
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.cli.outputs import attempts_of, last_output
from pykatib.cli.place import LastOutput, LogWish, TrialLog
from pykatib.control.view import is_finished, trial_state
from pykatib.embedded.folders import HomeFolders
from pykatib.store.lock import holder_of
from pykatib.store.reader import SqliteReader
from pykatib.workers.attempts import AttemptFolder
from pykatib.workers.distributed.report import read_report
from pykatib.workers.logfile import LogTail
from pykatib.workers.logfile import follow as follow_file

WATCH_SECONDS = 0.5
_WAIT_SECONDS = 0.2


class HomePlace:
    """A home folder. Raises StorageFailed where nothing was ever run in it."""

    default_namespace = ""

    def __init__(self, folders: HomeFolders) -> None:
        self.folders = folders
        self._reader = SqliteReader(folders.database)

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        return self._reader.find(reference)

    def list(
        self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Object]:
        """All objects of a kind, oldest first; `labels` must all be carried."""
        return self._reader.list(kind, namespace=namespace, labels=labels)

    def whole(self, found: Object) -> Object:
        """Objects are whole here."""
        return found

    def changes(
        self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Iterator[Sequence[Object]]:
        """All objects of a kind, then whatever changes, without end."""
        wanted = (labels or {}).items()

        def chosen(found: Iterable[Object]) -> list[Object]:
            return [
                one
                for one in found
                if one.kind == kind
                and namespace in (None, one.metadata.namespace)
                and wanted <= one.metadata.labels.items()
            ]

        reader = self._reader
        there, seen = reader.changes_since(0), reader.version()
        version = there.version
        yield chosen(there.changed)
        while True:
            time.sleep(WATCH_SECONDS)
            if reader.version() == seen:
                continue
            seen = reader.version()
            try:
                changes = reader.changes_since(version)
            except Conflict:
                changes = reader.changes_since(0)
            version = changes.version
            yield chosen(changes.changed)

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an object, or of a namespace, oldest first."""
        return self._reader.events(namespace=namespace, name=name, kind=kind)

    def latest(self, trial: Trial) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial."""
        return self._reader.latest(trial.metadata.namespace, trial.metadata.name)

    def whereabouts(self, found: Object) -> Sequence[tuple[str, str]]:
        """The folder of an Experiment, the file of a Trial's last attempt."""
        meta = found.metadata
        if isinstance(found, Experiment):
            return [("Output", str(self.folders.experiment(meta.namespace, meta.name)))]
        attempts = attempts_of(self.folders, found) if isinstance(found, Trial) else []
        return [("Output", str(attempts[-1].log))] if attempts else []

    def last_output(self, trial: Trial, count: int) -> LastOutput:
        """The last lines that a Trial printed."""
        return LastOutput(last_output(self.folders, trial, count), len(attempts_of(self.folders, trial)))

    def log(self, trial: Trial, wish: LogWish) -> TrialLog:
        """A Trial's output. Raises NotFound where there is none."""
        name = trial.metadata.name

        def is_over() -> bool:
            now = self.find(trial.reference)
            return not isinstance(now, Trial) or is_finished(now) or holder_of(self.folders.database) is None

        while wish.follow and not attempts_of(self.folders, trial) and not is_over():
            time.sleep(_WAIT_SECONDS)
        attempts = {one.number: one for one in attempts_of(self.folders, trial)}
        if wish.attempt is not None and wish.attempt not in attempts:
            there = ", ".join(map(str, attempts)) or "none yet"
            raise NotFound(f"Trial {name} has no attempt {wish.attempt}; attempts: {there}")
        if not attempts:
            raise NotFound(f"Trial {name} is {trial_state(trial).lower()} and has printed nothing here")
        number = wish.attempt or max(attempts)
        remark = ""
        if wish.attempt is None and len(attempts) > 1:
            remark = f"This is attempt {number}, the last; --attempt shows others."
        path = _log_of(attempts[number], wish.replica, name) if wish.replica else attempts[number].log
        if wish.follow and wish.attempt is None:

            def has_ended() -> bool:
                return attempts_of(self.folders, trial)[-1:] != [attempts[number]] or is_over()

            return TrialLog(follow_file(path, stop=has_ended), remark)
        return TrialLog(_lines_in(path, wish.tail), remark)

    def stop(self, references: Sequence[Reference]) -> None:
        """Stops Experiments, by the owner of the home folder where there is one."""
        from pykatib.cli.requests import ask  # brings the whole control plane along

        ask(self.folders, "stop", references)

    def delete(self, references: Sequence[Reference]) -> None:
        """Deletes Experiments, by the owner of the home folder where there is one."""
        from pykatib.cli.requests import ask

        ask(self.folders, "delete", references)

    def close(self) -> None:
        """Lets the database go."""
        self._reader.close()


def _lines_in(path: Path, tail: int | None) -> Iterator[bytes]:
    with LogTail(path) as log:
        lines = (line for lines in log.drain() for line in lines)
        yield from lines if tail is None else deque(lines, maxlen=tail)


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
