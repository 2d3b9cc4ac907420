"""Connections to the database of the DB manager, and what its errors mean for whoever asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pykatib.api.errors import FieldError, InvalidInput, StorageFailed, Unavailable

CONNECTION_COUNT = 16
ANSWER_SECONDS = 60  # a database that says nothing for so long is gone


def open_engine(url: URL) -> Engine:
    """An engine for a database; nothing is connected yet. A connection that has died is replaced when it is needed."""
    arguments: dict[str, Any] = {}
    backend = url.get_backend_name()
    if backend in ("mysql", "mariadb"):
        arguments = {"charset": "utf8mb4", "connect_timeout": 5, "read_timeout": ANSWER_SECONDS}
        arguments["write_timeout"] = ANSWER_SECONDS
    elif backend == "postgresql":
        arguments = {"connect_timeout": 5, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
    options: dict[str, Any] = {}
    if backend != "sqlite":
        # Inserts of one Trial need not wait for those of another.
        options = {"isolation_level": "READ COMMITTED", "max_overflow": CONNECTION_COUNT, "pool_recycle": 1800}
    engine = create_engine(
        url, connect_args=arguments, pool_size=CONNECTION_COUNT, pool_pre_ping=True, pool_timeout=10, **options
    )
    if backend == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _set_up_sqlite(connection: Any, record: object) -> None:  # Any: a connection of whichever driver
    connection.isolation_level = None  # transactions begin where we say so
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA busy_timeout = 30000")


@contextmanager
def answering() -> Iterator[None]:
    """Turns the errors of a database into pykatib's.

    Raises:
        InvalidInput: the database refuses what was to be kept: a name too long, a character it has not.
        Unavailable: it does not answer, or was too busy; what was to be done may have been done.
        StorageFailed: it answers, and will not change its mind: no such table, no leave.
    """
    try:
        yield
    except (DataError, IntegrityError) as error:
        raise InvalidInput([FieldError("", f"the database refuses it: {error.orig}")]) from error
    except DBAPIError as error:
        if error.connection_invalidated or not isinstance(error, ProgrammingError):
            raise Unavailable(f"the database does not answer: {error.orig}") from error
        raise StorageFailed(f"the database refuses: {error.orig}") from error
    except PoolTimeout as error:
        raise Unavailable(f"the database is too busy: {error}") from error
    except SQLAlchemyError as error:
        raise StorageFailed(f"the database cannot be used: {error}") from error
