"""`katib db-manager`: connects, prepares the tables, serves, and keeps the database in order while it does."""

import logging
import threading
import time

from grpc_health.v1 import health_pb2_grpc
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pykatib.api.errors import PykatibError, Unavailable
from pykatib.rpc.db_manager import DatabaseHealth, DBManager
from pykatib.rpc.db_settings import DatabaseSettings
from pykatib.rpc.serving import Serving, serve_until
from pykatib.store.sql_database import open_engine
from pykatib.store.sql_logs import SqlLogs
from pykatib.store.sql_schema import Layout, add_index, index_statement, prepare

logger = logging.getLogger(__name__)

CONNECT_PAUSE_SECONDS = 5.0
UPKEEP_SECONDS = 3_600.0


def run(
    settings: DatabaseSettings, *, listen_address: str, connect_timeout_seconds: float, asked: threading.Event
) -> None:
    """Serves until `asked` is set.

    Raises:
        Unavailable: the database did not answer in time, or the address is taken.
        StorageFailed: the database has no table to use, and none may be made.
    """
    engine = open_engine(settings.url)
    try:
        layout = connect(engine, initialize=settings.initialize, timeout_seconds=connect_timeout_seconds, asked=asked)
        if layout is None:
            return
        logs = SqlLogs(engine, layout)
        serving = Serving(listen_address, [DBManager(logs).handler()])
        health_pb2_grpc.add_HealthServicer_to_server(DatabaseHealth(logs), serving.grpc_server)
        if not settings.initialize:
            logger.info("nothing is made in the database; for speed, it may need: %s", index_statement(engine))
        upkeep = threading.Thread(
            target=keep_up,
            args=(engine, logs, asked),
            kwargs={"index": settings.initialize},
            name="upkeep",
            daemon=True,
        )
        upkeep.start()
        serve_until(asked, serving)
        upkeep.join(1.0)  # it may be building an index, which may take its time and can be interrupted
    finally:
        engine.dispose()


def connect(engine: Engine, *, initialize: bool, timeout_seconds: float, asked: threading.Event) -> Layout | None:
    """Prepares the tables as soon as the database answers; None where the process was asked to stop before."""
    until = time.monotonic() + timeout_seconds
    while True:
        try:
            return prepare(engine, initialize=initialize)
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error
            if time.monotonic() + CONNECT_PAUSE_SECONDS > until:
                place = engine.url.render_as_string(hide_password=True)
                raise Unavailable(f"no connection to {place} within {timeout_seconds:g} s: {reason}") from error
            logger.warning("the database does not answer yet: %s", reason)
        if asked.wait(CONNECT_PAUSE_SECONDS):
            return None


def keep_up(engine: Engine, logs: SqlLogs, asked: threading.Event, *, index: bool) -> None:
    """Builds the index, while others read and write, and forgets old reports now and then."""
    while True:
        try:
            if index and add_index(engine):
                index = False
            logs.forget_old_reports()
        except (SQLAlchemyError, PykatibError) as error:
            logger.warning("will be tried again: %s", error)
        if asked.wait(60.0 if index else UPKEEP_SECONDS):
            return
