"""Metric logs in Katib's table, in the terms of the table: moments in UTC without a zone, texts.

What the DB manager's wire and the ObservationStore contract have in common. A report is one transaction: it is there
whole or not at all. `namespace` None stands for a caller that knows no namespaces, as Katib's are: it finds the rows
of all. Who names one finds that one's rows and those that were reported without.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, String, cast, delete, func, insert, or_, select, text
from sqlalchemy.exc import IntegrityError

from pykatib.store.log_row import LogRow
from pykatib.store.sql_database import answering
from pykatib.store.sql_schema import LOGS, MYSQL, REPORTS, Layout

MEMORY_OF_REPORTS = timedelta(days=1)
_CHUNK_LENGTH = 10_000


class SqlLogs:
    """The rows of `observation_logs`. Any thread may call."""

    def __init__(self, engine: Engine, layout: Layout) -> None:
        self._engine = engine
        self._layout = layout
        self._is_mysql = engine.dialect.name in MYSQL
        # PyMySQL reads a time with a regular expression; as text it costs a tenth.
        self._time = cast(LOGS.c.time, String(26)) if self._is_mysql else LOGS.c.time

    def add(
        self, trial_name: str, rows: Sequence[LogRow], *, namespace: str | None = None, report_id: str = ""
    ) -> None:
        """Keeps rows in their order; those of a report that is there already are not kept again."""
        if not rows:
            return
        with answering(), self._engine.connect() as connection, connection.begin():
            if report_id and self._layout.has_reports:
                try:
                    connection.execute(insert(REPORTS), {"report_id": report_id, "reported_at": _now()})
                except IntegrityError:
                    return
            for first in range(0, len(rows), _CHUNK_LENGTH):
                self._insert(connection, trial_name, rows[first : first + _CHUNK_LENGTH], namespace)

    def _insert(self, connection: Connection, trial_name: str, rows: Sequence[LogRow], namespace: str | None) -> None:
        if self._engine.dialect.name == "postgresql":
            # Arrays, as three parameters a row would be a hundred times as many as PostgreSQL takes.
            columns = "trial_name, time, metric_name, value" + (", namespace" if self._layout.has_namespaces else "")
            more = ", CAST(:namespace AS text)" if self._layout.has_namespaces else ""
            at, name, value = zip(*rows, strict=True)
            connection.execute(
                text(
                    f"INSERT INTO observation_logs ({columns}) SELECT :trial_name, at, name, value{more} FROM unnest("
                    "CAST(:at AS timestamp[]), CAST(:name AS text[]), CAST(:value AS text[])"
                    ") WITH ORDINALITY AS row (at, name, value, place) ORDER BY place"
                ),
                {
                    "trial_name": trial_name,
                    "namespace": namespace,
                    "at": list(at),
                    "name": list(name),
                    "value": list(value),
                },
            )
            return
        same: dict[str, Any] = {"trial_name": trial_name}
        if self._layout.has_namespaces:
            same["namespace"] = namespace
        connection.execute(
            insert(LOGS), [{**same, "time": at, "metric_name": name, "value": value} for at, name, value in rows]
        )

    def find(
        self,
        trial_name: str,
        *,
        namespace: str | None = None,
        metric_name: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[LogRow]:
        """The rows of a Trial by time, equal times in order of arrival; `start` and `end` are inclusive."""
        query = select(self._time, LOGS.c.metric_name, LOGS.c.value).where(*self._of(trial_name, namespace))
        if metric_name is not None:
            query = query.where(LOGS.c.metric_name == metric_name)
        if start is not None:
            query = query.where(LOGS.c.time >= start)
        if end is not None:
            query = query.where(LOGS.c.time <= end)
        with answering(), self._engine.connect() as connection:
            found = connection.execute(query.order_by(LOGS.c.time, LOGS.c.id)).all()
        if self._is_mysql:
            # It may compare without case and trailing spaces: how it does is a property of the table it has.
            exact = (row for row in found if row[0] is not None and metric_name in (None, row[1]))
            return [LogRow(datetime.fromisoformat(time), name, value) for time, name, value in exact]
        return [LogRow(*row) for row in found if row[0] is not None]

    def latest(self, trial_name: str, *, namespace: str | None = None) -> Mapping[str, LogRow]:
        """The last row of each metric of a Trial, by metric name."""
        metric = func.hex(LOGS.c.metric_name) if self._is_mysql else LOGS.c.metric_name
        place = func.row_number().over(partition_by=metric, order_by=(LOGS.c.time.desc(), LOGS.c.id.desc()))
        ranked = (
            select(LOGS.c.time, LOGS.c.metric_name, LOGS.c.value, place.label("place"))
            .where(*self._of(trial_name, namespace), LOGS.c.time.is_not(None))
            .subquery()
        )
        query = select(ranked.c.time, ranked.c.metric_name, ranked.c.value).where(ranked.c.place == 1)
        with answering(), self._engine.connect() as connection:
            return {row[1]: LogRow(*row) for row in connection.execute(query)}

    def remove(self, trial_name: str, *, namespace: str | None = None) -> None:
        """Deletes the rows of a Trial; there may be none."""
        with answering(), self._engine.begin() as connection:
            connection.execute(delete(LOGS).where(*self._of(trial_name, namespace)))

    def forget_old_reports(self) -> None:
        """Lets go of the memory of reports that nobody sends again."""
        if self._layout.has_reports:
            with answering(), self._engine.begin() as connection:
                connection.execute(delete(REPORTS).where(REPORTS.c.reported_at < _now() - MEMORY_OF_REPORTS))

    def ping(self) -> None:
        """Returns when the database answers."""
        with answering(), self._engine.connect() as connection:
            connection.execute(select(1)).all()

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def _of(self, trial_name: str, namespace: str | None) -> list[ColumnElement[bool]]:
        conditions = [LOGS.c.trial_name == trial_name]
        if namespace is not None and self._layout.has_namespaces:
            conditions.append(or_(LOGS.c.namespace == namespace, LOGS.c.namespace.is_(None)))
        return conditions


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
