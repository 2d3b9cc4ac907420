"""DB managers for tests: in this process, and as the process that `katib db-manager` is."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import URL

from database_servers import PASSWORD, USER, Server
from pykatib.rpc.db_manager import DatabaseHealth, DBManager
from pykatib.rpc.serving import Serving
from pykatib.store.sql_database import open_engine
from pykatib.store.sql_logs import SqlLogs
from pykatib.store.sql_schema import prepare

DATABASES = ("sqlite", "mariadb", "postgresql")
_numbers = itertools.count()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def new_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> URL:
    """An empty database of a kind."""
    if kind == "sqlite":
        return URL.create("sqlite", database=str(folder / "logs.db"))
    server: Server = request.getfixturevalue(kind)
    return server.new_database(f"rpc_{next(_numbers)}")


@contextmanager
def serving(url: URL, *, port: int = 0, patience_seconds: float = 60.0) -> Iterator[str]:
    """A DB manager in this process; yields its address."""
    engine = open_engine(url)
    logs = SqlLogs(engine, prepare(engine, initialize=True))
    server = Serving(f"127.0.0.1:{port}", [DBManager(logs, patience_seconds=patience_seconds).handler()])
    health_pb2_grpc.add_HealthServicer_to_server(DatabaseHealth(logs), server.grpc_server)
    server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop(grace_seconds=1.0)
        engine.dispose()


def environment_of(url: URL) -> dict[str, str]:
    """The variables of Katib that name a database."""
    if url.get_backend_name() == "sqlite":
        return {"DB_NAME": "sqlite", "KATIB_SQLITE_DB_PATH": str(url.database)}
    name, prefix = ("mysql", "MYSQL") if url.get_backend_name() == "mysql" else ("postgres", "POSTGRESQL")
    return {
        "DB_NAME": name,
        "DB_USER": USER,
        "DB_PASSWORD": PASSWORD,
        f"KATIB_{prefix}_DB_HOST": str(url.host),
        f"KATIB_{prefix}_DB_PORT": str(url.port),
        f"KATIB_{prefix}_DB_DATABASE": str(url.database),
    }


class Process:
    """`katib` with these arguments, as a process that serves at `port`."""

    def __init__(self, arguments: list[str], port: int, environment: Mapping[str, str], log: Path) -> None:
        self.address = f"127.0.0.1:{port}"
        self._log = log
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pykatib.cli.main", *arguments],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def wait_until_serving(self, service: str = "") -> None:
        with grpc.insecure_channel(self.address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            until = time.monotonic() + 60
            while True:
                try:
                    check(health_pb2.HealthCheckRequest(service=service), wait_for_ready=True, timeout=5)
                    return
                except grpc.RpcError:
                    assert self._process.poll() is None, self._log.read_text()
                    assert time.monotonic() < until, self._log.read_text()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it; answers its exit status."""
        self._process.send_signal(how)
        return self._process.wait(60)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def db_manager_process(url: URL, port: int, folder: Path, **environment: str) -> Process:
    """`katib db-manager` on a database."""
    return Process(
        ["db-manager", "--listen-address", f"127.0.0.1:{port}"],
        port,
        {**environment_of(url), **environment},
        folder / "db-manager.log",
    )
