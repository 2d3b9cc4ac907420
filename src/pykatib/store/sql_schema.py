"""The tables of the DB manager on SQLite, MySQL, MariaDB and PostgreSQL: Katib's own, taken as it is found, and ours.

`observation_logs` is Katib's. Where Katib has made it, it keeps its columns and gains two things that Katib never
looks at: a column `namespace`, NULL in all rows that are there, and an index. Katib's DB manager can be put back at any
time. The column is added only where that takes no time; the index, which may take minutes on a large table, is built
while the table is read and written (`add_index`). `observation_reports` remembers which reports have been kept, so
that one that is sent again, because its answer was lost, is not kept twice.

Without leave to make anything (`initialize=False`, or missing privileges) all that is lost is namespaces, speed and
that memory.
"""

import logging
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.exc import DBAPIError

from pykatib.api.errors import StorageFailed

logger = logging.getLogger(__name__)

INDEX = "observation_logs_by_trial"
MYSQL = ("mysql", "mariadb")

_moment = (
    DateTime()
    .with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    .with_variant(postgresql.TIMESTAMP(precision=6), "postgresql")
)
_mysql_table: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_mysql_table |= {key.replace("mysql", "mariadb"): value for key, value in _mysql_table.items()}

METADATA = MetaData()
LOGS = Table(
    "observation_logs",
    METADATA,
    Column("trial_name", String(255), nullable=False),
    # Katib's is 32 bits wide and full after two thousand million rows; where the table is new, it has room.
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("time", _moment),
    Column("metric_name", String(255), nullable=False),
    Column("value", Text, nullable=False),
    Column("namespace", String(63)),
    Index(INDEX, "trial_name", "metric_name", "time", "id"),
    **_mysql_table,
)
REPORTS = Table(
    "observation_reports",
    METADATA,
    Column("report_id", String(64), primary_key=True),
    Column("reported_at", DateTime, nullable=False),
    **_mysql_table,
)
_KATIBS_COLUMNS = [LOGS.c[name] for name in ("trial_name", "id", "time", "metric_name", "value")]

_ADD_NAMESPACE = {
    "postgresql": "ALTER TABLE observation_logs ADD COLUMN IF NOT EXISTS namespace VARCHAR(63)",
    "mysql": "ALTER TABLE observation_logs ADD COLUMN namespace VARCHAR(63) NULL, ALGORITHM=INSTANT",
    "mariadb": "ALTER TABLE observation_logs ADD COLUMN IF NOT EXISTS namespace VARCHAR(63) NULL, ALGORITHM=INSTANT",
    "sqlite": "ALTER TABLE observation_logs ADD COLUMN namespace VARCHAR(63)",
}
_ADD_INDEX = {
    "postgresql": f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX} "
    "ON observation_logs (trial_name, metric_name, time, id)",
    "mysql": f"ALTER TABLE observation_logs ADD INDEX {INDEX} (trial_name, metric_name, time, id), "
    "ALGORITHM=INPLACE, LOCK=NONE",
    "sqlite": f"CREATE INDEX IF NOT EXISTS {INDEX} ON observation_logs (trial_name, metric_name, time, id)",
}
_ADD_INDEX["mariadb"] = _ADD_INDEX["mysql"]


class Layout(NamedTuple):
    """What the database was found to have besides Katib's own five columns."""

    has_namespaces: bool
    has_reports: bool


def prepare(engine: Engine, *, initialize: bool) -> Layout:
    """Makes what is missing, if allowed, and says what there is.

    Raises:
        StorageFailed: there is no table with Katib's five columns.
        SQLAlchemyError: the database does not answer.
    """
    if initialize:
        _create_tables(engine)
        if "namespace" not in _columns(engine):
            _try(engine, _ADD_NAMESPACE[engine.dialect.name], "Trials of one name in two namespaces are not told apart")
    with engine.connect() as connection:
        try:
            connection.execute(select(*_KATIBS_COLUMNS).limit(1)).fetchall()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            raise StorageFailed(f"the table observation_logs is missing or is not Katib's: {error.orig}") from error
        return Layout("namespace" in _columns(engine), inspect(connection).has_table(REPORTS.name))


def _create_tables(engine: Engine) -> None:
    for table in (LOGS, REPORTS):
        try:
            table.create(engine, checkfirst=True)
        except DBAPIError as error:
            # Another replica may have been faster; or we may not create tables, which is told if it matters.
            if error.connection_invalidated or not inspect(engine).has_table(LOGS.name):
                raise
            if not inspect(engine).has_table(table.name):
                logger.warning("the table %s cannot be created: %s", table.name, error.orig)


def _columns(engine: Engine) -> set[str]:
    if not inspect(engine).has_table(LOGS.name):
        return set()
    return {column["name"] for column in inspect(engine).get_columns(LOGS.name)}


def _try(engine: Engine, statement: str, loss: str) -> None:
    try:
        with _outside_transactions(engine) as connection:
            _limit_waiting(connection)
            connection.execute(text(statement))
            connection.commit()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        logger.warning("%s: %s failed: %s", loss, statement, error.orig)


def _outside_transactions(engine: Engine) -> Connection:
    connection = engine.connect()
    if engine.dialect.name == "sqlite":
        return connection
    return connection.execution_options(isolation_level="AUTOCOMMIT")


def _limit_waiting(connection: Connection) -> None:
    # A change of a table waits for those who use it, and everybody else waits behind it.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET lock_timeout = '5s'"))
    elif connection.dialect.name in MYSQL:
        connection.execute(text("SET SESSION lock_wait_timeout = 5"))


def add_index(engine: Engine) -> bool:
    """Builds the index where it is missing, without keeping anybody from the table; True when it is there.

    Raises:
        SQLAlchemyError: the database refused or went away; trying again later is safe.
    """
    dialect = engine.dialect.name
    with _outside_transactions(engine) as connection:
        try:
            if not _lock(connection):
                return False  # another replica is at it
            if _has_index(connection):
                return True
            logger.info("building the index %s", INDEX)
            if dialect in MYSQL:
                _limit_waiting(connection)
            connection.execute(text(_ADD_INDEX[dialect]))
            connection.commit()
            logger.info("the index %s is there", INDEX)
            return True
        finally:
            # Locks and settings are the session's: it must not go back to the pool.
            connection.invalidate()


def index_statement(engine: Engine) -> str:
    """What somebody with the privilege can run."""
    return _ADD_INDEX[engine.dialect.name]


def _lock(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        return bool(
            connection.scalar(
                text("SELECT pg_try_advisory_lock(hashtext('pykatib'), hashtext(:name))"), {"name": INDEX}
            )
        )
    if connection.dialect.name in MYSQL:
        return bool(connection.scalar(text("SELECT GET_LOCK(CONCAT('pykatib.', DATABASE()), 0)")))
    return True


def _has_index(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        valid = connection.scalar(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": INDEX}
        )
        if valid is False:  # a build that was interrupted leaves one that is kept up to date and never used
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}"))
        return bool(valid)
    return any(index["name"] == INDEX for index in inspect(connection).get_indexes(LOGS.name))
