"""DB managers and databases that go and come back while Trials report: nothing is lost, nothing is there twice."""

import random
import signal
import threading
import time
from pathlib import Path

import grpc
import pytest
from db_manager_support import DATABASES, db_manager_process, free_port, new_database, serving
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import URL, inspect

from database_servers import MariaDB, NotInstalledError, PostgreSQL, Server
from pykatib.api.errors import InvalidInput, Unavailable
from pykatib.api.shared import MetricLog
from pykatib.rpc.db_manager_client import DBManagerClient, report_request
from pykatib.rpc.db_manager_process import connect
from pykatib.rpc.db_settings import database_settings
from pykatib.rpc.remote_observations import RemoteObservationStore
from pykatib.rpc.services import open_channel
from pykatib.store.observation_conformance import log
from pykatib.store.sql_database import open_engine
from pykatib.store.sql_schema import INDEX


class Reporter(threading.Thread):
    """A Trial that reports without pause until it is told to stop."""

    def __init__(self, address: str, trial: str) -> None:
        super().__init__()
        self.store = RemoteObservationStore(address, timeout_seconds=60.0)
        self.trial = trial
        self.reported: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.wait(0.002):
            value = str(len(self.reported))
            self.store.report("n", self.trial, [log(0, value), log(0, value, "accuracy")])
            self.reported.append(value)

    def finish(self) -> None:
        """Returns when all that was reported has been read back, each value once and in order."""
        self.enough.set()
        self.join()
        for metric in ("loss", "accuracy"):
            found = [one.value for one in self.store.logs("n", self.trial, metric_name=metric)]
            assert found == self.reported
        assert self.store.refused_count == 0
        self.store.close()


def wait_for_more(reporter: Reporter, count: int = 20) -> None:
    goal = len(reporter.reported) + count
    while len(reporter.reported) < goal:
        assert reporter.is_alive()
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DATABASES)
def test_a_db_manager_killed_at_random_instants_loses_and_doubles_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = new_database(kind, request, tmp_path)
    port = free_port()
    chance = random.Random(kind)
    reporters = [Reporter(f"127.0.0.1:{port}", trial) for trial in ("a", "b")]
    for reporter in reporters:
        reporter.start()
    for _ in range(4):
        with db_manager_process(url, port, tmp_path) as process:
            process.wait_until_serving()
            time.sleep(chance.uniform(0.0, 0.5))
            process.end(signal.SIGKILL)
        wait_for_more(reporters[0])
    with db_manager_process(url, port, tmp_path) as process:
        process.wait_until_serving()
        for reporter in reporters:
            reporter.finish()
        assert process.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MariaDB, PostgreSQL])
def test_a_database_that_goes_and_comes_back_costs_no_report(kind: type[Server]) -> None:
    try:
        server = kind(durable=True)
    except NotInstalledError as missing:
        pytest.skip(str(missing))
    try:
        with serving(server.url()) as address:
            reporter = Reporter(address, "t")
            reporter.start()
            for how in (signal.SIGKILL, signal.SIGINT if kind is PostgreSQL else signal.SIGTERM):
                wait_for_more(reporter)
                server.stop(how=how)
                wait_for_more(reporter)
                server.start()
            wait_for_more(reporter)
            reporter.finish()
    finally:
        server.remove()


def test_a_call_of_katibs_clients_waits_for_the_database(postgresql: Server) -> None:
    url = postgresql.new_database("waiting")
    with serving(url) as address:
        client = DBManagerClient(address)
        client.report(report_request("t", [MetricLog(1.0, "loss", "1")]))
        postgresql.stop()
        back = threading.Thread(target=postgresql.start)
        call = threading.Thread(
            target=lambda: client.report(report_request("t", [MetricLog(2.0, "loss", "2")]), timeout_seconds=60)
        )
        call.start()
        back.start()
        back.join()
        call.join()
        assert [row.value for row in client.find("t")] == ["1", "2"]
        client.close()


def test_while_the_database_is_away_health_fails_and_calls_are_unavailable(postgresql: Server) -> None:
    url = postgresql.new_database("away")
    with serving(url, patience_seconds=0.1) as address, open_channel(address) as channel:
        client = DBManagerClient(address, timeout_seconds=1.0)
        postgresql.stop()
        try:
            with pytest.raises(grpc.RpcError, match="NOT_SERVING"):
                health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
            with pytest.raises(Unavailable, match="the database does not answer"):
                client.find("t")
        finally:
            postgresql.start()
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert client.find("t") == []
        client.close()


@pytest.mark.parametrize("kind", DATABASES)
def test_the_process_makes_the_tables_and_the_index(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = new_database(kind, request, tmp_path)
    with db_manager_process(url, free_port(), tmp_path) as process:
        process.wait_until_serving()
        client = DBManagerClient(process.address)
        client.report(report_request("t", [MetricLog(1.0, "loss", "1")]))
        client.close()
        assert process.end() == 0
    engine = open_engine(url)
    assert [index["name"] for index in inspect(engine).get_indexes("observation_logs")] == [INDEX]
    engine.dispose()


def test_without_initialization_a_missing_table_ends_the_process(tmp_path: Path) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "logs.db"))
    with db_manager_process(url, free_port(), tmp_path, SKIP_DB_INITIALIZATION="true") as process:
        assert process._process.wait(60) == 1
    assert "the table observation_logs is missing" in (tmp_path / "db-manager.log").read_text()


def test_a_database_that_never_answers_is_told_with_its_address_and_without_its_password() -> None:
    port = free_port()
    engine = open_engine(URL.create("postgresql+psycopg", "katib", "hidden", "127.0.0.1", port, "katib"))
    with pytest.raises(Unavailable, match=rf"no connection to .*127\.0\.0\.1:{port}/katib within 1 s") as told:
        connect(engine, initialize=True, timeout_seconds=1.0, asked=threading.Event())
    assert "hidden" not in str(told.value)
    engine.dispose()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, "DB_NAME: must be mysql, postgres or sqlite; found ''", id="no name"),
        pytest.param({"DB_NAME": "oracle"}, "found 'oracle'", id="another name"),
        pytest.param(
            {"DB_NAME": "mysql", "KATIB_MYSQL_DB_PORT": "x"}, "KATIB_MYSQL_DB_PORT: must be a port", id="port"
        ),
    ],
)
def test_a_wrong_environment_is_refused_by_the_variables_name(variables: dict[str, str], expected: str) -> None:
    with pytest.raises(InvalidInput, match=expected):
        database_settings(variables)


def test_katibs_defaults_are_the_defaults() -> None:
    shown = [
        database_settings({"DB_NAME": name}).url.render_as_string(hide_password=False) for name in ("mysql", "postgres")
    ]
    assert shown == [
        "mysql+pymysql://root@katib-mysql:3306/katib",
        "postgresql+psycopg://katib@katib-postgres:5432/katib?sslmode=disable",
    ]
    assert database_settings({"DB_NAME": "mysql"}).initialize
    assert not database_settings({"DB_NAME": "mysql", "SKIP_DB_INITIALIZATION": "true"}).initialize
