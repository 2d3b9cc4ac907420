"""A view of the store for other processes, such as `katib get` while a run is going: what has been committed."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pykatib.api.errors import Conflict, NotFound, StorageFailed
from pykatib.api.meta import Reference
from pykatib.api.objects import Event, Object
from pykatib.api.shared import MetricLog
from pykatib.store import log_rows, rows
from pykatib.store.database import Database
from pykatib.store.sqlite import GONE_VERSIONS

_ALL = 2**63 - 1


class Changes(NamedTuple):
    """What has happened up to `version`: first `gone` is to be taken away, then `changed` to be put in place."""

    version: int
    changed: Sequence[Object]
    gone: Sequence[Reference]


class SqliteReader:
    """Reads a database that another process may own. Each answer is of one moment."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "read")
        self._read = self._database.read
        self._path = path

    def get(self, reference: Reference) -> Object:
        """The object. Raises NotFound."""
        obj = self.find(reference)
        if obj is None:
            raise NotFound(f"{reference} does not exist")
        return obj

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        found = self._objects(
            "kind = ? AND namespace = ? AND name = ? AND api_version = ?",
            (reference.kind, reference.namespace, reference.name, reference.api_version),
        )
        return found[0] if found else None

    def list(self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Object]:
        """All objects of a kind, oldest first; `labels` must all be carried."""
        if namespace is None:
            found = self._objects("kind = ?", (kind,))
        else:
            found = self._objects("kind = ? AND namespace = ?", (kind, namespace))
        wanted = (labels or {}).items()
        return [obj for obj in found if wanted <= obj.metadata.labels.items()]

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an object, or of a namespace, oldest first."""
        found = self._read(
            f"SELECT {rows.EVENT_COLUMNS} FROM events WHERE namespace = ? AND (? IS NULL OR name = ?) "
            "AND (? IS NULL OR kind = ?) ORDER BY time, number",
            (namespace, name, name, kind, kind),
        )
        return [Event(*row) for row in found]

    def logs(
        self,
        namespace: str,
        trial_name: str,
        *,
        metric_name: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> Iterator[MetricLog]:
        """The logs of a Trial by time, equal times in order of arrival; `start` and `end` are inclusive seconds."""
        return log_rows.merged(
            log_rows.of_trial(self._read, namespace, trial_name, metric_name, start=start, end=end, before=_ALL)
        )

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial, by metric name."""
        number = log_rows.trial_id(self._read, namespace, trial_name)
        return {} if number is None else {log.name: log for log in log_rows.last_logs(self._read, number)}

    def version(self) -> int:
        """A number that differs from the last call's when something has been committed since; cheap to poll."""
        [(version,)] = self._read("PRAGMA data_version")
        return int(version)

    def changes_since(self, version: int) -> Changes:
        """What has changed since `Changes.version` of an earlier call; since 0, all that is there.

        Raises:
            Conflict: that was too long ago; begin again with 0.
        """
        with self._database.snapshot():
            [(current,)] = self._read("SELECT value FROM counters WHERE name = 'version'")
            if 0 < version < current - GONE_VERSIONS:
                raise Conflict(f"version {version} is too long ago to follow from; list again")
            gone = (
                []
                if version == 0
                else self._read(
                    "SELECT kind, namespace, name, api_version FROM gone WHERE version > ? ORDER BY rowid", (version,)
                )
            )
            changed = self._objects("version > ?", (version,))
        return Changes(current, changed, [Reference(*row) for row in gone])

    def is_waiting(self, mail_id: int) -> bool:
        """True until the owner has taken that mail and its effects are committed."""
        return bool(self._read("SELECT 1 FROM mailbox WHERE id = ?", (mail_id,)))

    def close(self) -> None:
        """Lets the file go."""
        self._database.close()

    def _objects(self, where: str, parameters: Sequence[Any]) -> Sequence[Object]:
        with self._database.snapshot():
            found = self._read(f"SELECT uid, kind, body FROM objects WHERE {where} ORDER BY sequence", parameters)
            entries = rows.grouped(
                self._read(
                    f"SELECT uid, field, body FROM entries WHERE uid IN (SELECT uid FROM objects WHERE {where}) "
                    "ORDER BY uid, field, position",
                    parameters,
                )
            )
        objects = []
        for uid, kind, body in found:
            try:
                objects.append(rows.object_of(kind, body, entries.get(uid, {})))
            except msgspec.MsgspecError as error:
                raise StorageFailed(f"{self._path}: the {kind} with uid {uid} cannot be read: {error}") from error
        return objects
