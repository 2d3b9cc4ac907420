"""Metric logs in the SqliteStore's file, committed in its transactions.

New logs wait in memory until the store commits; reading sees both sides as one. A reading is of the moment of the
call: what is committed or reported while it is being walked through does not show up in it.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from pykatib.api.shared import MetricLog
from pykatib.store import log_rows
from pykatib.store.database import Database
from pykatib.store.observations import LatestLogs, TrialKey


class SqliteObservationStore:
    """`SqliteStore.observations`; any thread may call. `flush` of the store makes its logs last."""

    def __init__(self, database: Database, *, refuse: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self.pending_count = 0
        self._read = database.read
        self._refuse = refuse
        self._latest = LatestLogs()
        self._pending: dict[TrialKey, list[log_rows.PlacedLog]] = {}
        self._deleted: set[TrialKey] = set()  # whose committed logs go with the next commit
        [(self._next_number,)] = database.read("SELECT value FROM counters WHERE name = 'log'")
        self._committed_number = self._next_number  # logs below are in the file

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog]) -> None:
        """Adds logs in their order. Reporting twice adds twice."""
        if not logs:
            return
        trial = (namespace, trial_name)
        with self.lock:
            self._refuse()
            number = self._next_number
            self._pending.setdefault(trial, []).extend(
                (log.time, number + index, log) for index, log in enumerate(logs)
            )
            self._next_number += len(logs)
            self.pending_count += len(logs)
            self._latest.follow(trial, logs)

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
        trial = (namespace, trial_name)
        with self.lock:
            pending = sorted(
                placed
                for placed in self._pending.get(trial, ())
                if metric_name in (None, placed[2].name)
                and (start is None or start <= placed[0])
                and (end is None or placed[0] <= end)
            )
            sources = (
                []
                if trial in self._deleted
                else log_rows.of_trial(
                    self._read, namespace, trial_name, metric_name, start=start, end=end, before=self._committed_number
                )
            )
        return log_rows.merged([*sources, pending])

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial, by metric name."""
        trial = (namespace, trial_name)
        with self.lock:
            known = self._latest.get(trial)
            if known is not None:
                return known
            number = None if trial in self._deleted else log_rows.trial_id(self._read, namespace, trial_name)
            kept = [] if number is None else log_rows.last_logs(self._read, number)
            return self._latest.learn(trial, [*kept, *(log for _, _, log in self._pending.get(trial, ()))])

    def delete(self, namespace: str, trial_name: str) -> None:
        """Forgets the logs of a Trial; there may be none."""
        trial = (namespace, trial_name)
        with self.lock:
            self._refuse()
            self._latest.forget(trial)
            self._pending.pop(trial, None)
            self._deleted.add(trial)
            self.pending_count += 1

    def write_pending(self, connection: sqlite3.Connection) -> None:
        """Writes what waits into the store's transaction; the caller holds `lock` until it has been committed."""
        for trial in self._deleted:
            for (number,) in connection.execute(
                "SELECT id FROM trials WHERE namespace = ? AND name = ?", trial
            ).fetchall():
                connection.execute("DELETE FROM logs WHERE trial = ?", (number,))
                connection.execute("DELETE FROM trials WHERE id = ?", (number,))
        if self._pending:
            connection.executemany("INSERT OR IGNORE INTO trials (namespace, name) VALUES (?, ?)", self._pending)
            connection.executemany(
                "INSERT INTO logs VALUES (?, ?, ?, ?, ?)",
                (
                    (trial_id, log.name, time, number, log.value)
                    for trial, placed in self._pending.items()
                    for (trial_id,) in connection.execute(
                        "SELECT id FROM trials WHERE namespace = ? AND name = ?", trial
                    ).fetchall()
                    for time, number, log in placed
                ),
            )
        if self._next_number != self._committed_number:
            connection.execute("UPDATE counters SET value = ? WHERE name = 'log'", (self._next_number,))

    def forget_pending(self) -> None:
        """What `write_pending` wrote has been committed."""
        self._pending = {}
        self._deleted = set()
        self.pending_count = 0
        self._committed_number = self._next_number
