"""The SQL observation store on real databases."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, inspect, text

from database_servers import Server
from pykatib.api.errors import InvalidInput, StorageFailed
from pykatib.api.shared import MetricLog
from pykatib.store.contract import ObservationStore
from pykatib.store.log_row import LogRow, moment_of
from pykatib.store.observation_conformance import ObservationConformance, log
from pykatib.store.sql_database import open_engine
from pykatib.store.sql_logs import SqlLogs
from pykatib.store.sql_observations import SqlObservationStore
from pykatib.store.sql_schema import INDEX, add_index, prepare

_numbers = itertools.count()

# What Katib's DB manager makes.
KATIBS_TABLE = {
    "mariadb": "CREATE TABLE observation_logs (trial_name VARCHAR(255) NOT NULL, id INT AUTO_INCREMENT PRIMARY KEY, "
    "time DATETIME(6), metric_name VARCHAR(255) NOT NULL, value TEXT NOT NULL) CHARACTER SET utf8mb4",
    "postgresql": "CREATE TABLE observation_logs (trial_name VARCHAR(255) NOT NULL, id serial PRIMARY KEY, "
    "time TIMESTAMP(6), metric_name VARCHAR(255) NOT NULL, value TEXT NOT NULL)",
    "sqlite": "CREATE TABLE observation_logs (trial_name VARCHAR(255) NOT NULL, "
    "id INTEGER PRIMARY KEY, time DATETIME, metric_name VARCHAR(255) NOT NULL, value TEXT NOT NULL)",
}
KATIBS_ROW = (
    "INSERT INTO observation_logs (trial_name, time, metric_name, value) "
    "VALUES ('t', '2026-01-31 08:00:00.000001', 'loss', '0.5')"
)


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """An empty database."""
    if kind == "sqlite":
        return URL.create("sqlite", database=str(tmp_path / "logs.db"))
    server: Server = request.getfixturevalue(kind)
    return server.new_database(f"store_{next(_numbers)}")


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def logs(engine: Engine) -> SqlLogs:
    return SqlLogs(engine, prepare(engine, initialize=True))


class TestSqlObservations(ObservationConformance):
    @pytest.fixture
    def observations(self, logs: SqlLogs) -> ObservationStore:
        return SqlObservationStore(logs)


class TestSqlObservationsInKatibsTable(ObservationConformance):
    @pytest.fixture
    def observations(self, engine: Engine, kind: str) -> ObservationStore:
        with engine.begin() as connection:
            connection.execute(text(KATIBS_TABLE[kind]))
        layout = prepare(engine, initialize=True)
        assert add_index(engine)
        return SqlObservationStore(SqlLogs(engine, layout))


def rows(count: int, name: str = "loss") -> list[LogRow]:
    return [LogRow(moment_of(1_750_000_000 + index // 3), name, str(index)) for index in range(count)]


def test_katibs_rows_are_found_with_and_without_a_namespace(engine: Engine, kind: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(KATIBS_TABLE[kind]))
        connection.execute(text(KATIBS_ROW))
    logs = SqlLogs(engine, prepare(engine, initialize=True))
    expected = [LogRow(moment_of(1_769_846_400.000001), "loss", "0.5")]
    assert logs.find("t") == logs.find("t", namespace="team") == expected
    logs.add("t", [LogRow(expected[0].at, "loss", "0.4")], namespace="other")
    assert [row.value for row in logs.find("t")] == ["0.5", "0.4"]
    assert logs.find("t", namespace="team") == expected


def test_katib_can_go_on_with_the_table_after_us(engine: Engine, kind: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(KATIBS_TABLE[kind]))
    logs = SqlLogs(engine, prepare(engine, initialize=True))
    assert add_index(engine)
    logs.add("t", rows(3), namespace="team")
    with engine.begin() as connection:
        connection.execute(text(KATIBS_ROW))
        found = connection.execute(
            text("SELECT time, metric_name, value FROM observation_logs WHERE trial_name = 't' ORDER BY time")
        ).all()
    assert sorted(row[2] for row in found) == ["0", "0.5", "1", "2"]


def test_preparing_and_indexing_again_changes_nothing(engine: Engine) -> None:
    layouts = {prepare(engine, initialize=True) for _ in range(3)}
    assert [add_index(engine) for _ in range(2)] == [True, True]
    assert len(layouts) == 1
    assert [index["name"] for index in inspect(engine).get_indexes("observation_logs")] == [INDEX]


def test_without_initialization_nothing_is_made(engine: Engine, kind: str) -> None:
    with pytest.raises(StorageFailed, match="observation_logs"):
        prepare(engine, initialize=False)
    with engine.begin() as connection:
        connection.execute(text(KATIBS_TABLE[kind]))
    layout = prepare(engine, initialize=False)
    assert layout == (False, False)
    assert inspect(engine).get_table_names() == ["observation_logs"]
    assert inspect(engine).get_indexes("observation_logs") == []
    logs = SqlLogs(engine, layout)
    logs.add("t", rows(2), namespace="team", report_id="one")
    assert logs.find("t", namespace="team") == logs.find("t") == rows(2)
    assert logs.latest("t")["loss"].value == "1"


def test_a_table_of_somebody_else_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE observation_logs (trial_name VARCHAR(255), value TEXT)"))
    with pytest.raises(StorageFailed, match="not Katib's"):
        prepare(engine, initialize=False)


def test_a_report_that_comes_twice_is_kept_once(logs: SqlLogs) -> None:
    for _ in range(2):
        logs.add("t", rows(5), report_id="first")
    logs.add("t", rows(5), report_id="second")
    logs.forget_old_reports()
    logs.add("t", rows(5), report_id="first")
    assert len(logs.find("t")) == 10


def test_a_report_with_one_bad_row_is_kept_in_no_part(logs: SqlLogs, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite does not limit lengths")
    with pytest.raises(InvalidInput, match="the database refuses it"):
        logs.add("t", [*rows(3), LogRow(moment_of(1.0), "m" * 256, "1")], report_id="first")
    assert logs.find("t") == []
    logs.add("t", rows(3), report_id="first")
    assert logs.find("t") == rows(3)


def test_a_hundred_thousand_rows_in_one_report_stay_in_order(logs: SqlLogs) -> None:
    given = rows(100_000)
    logs.add("t", given)
    assert logs.find("t") == given
    logs.remove("t")
    assert logs.find("t") == []


def test_metrics_that_differ_in_case_are_two(engine: Engine, kind: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(KATIBS_TABLE[kind]))
    store = SqlObservationStore(SqlLogs(engine, prepare(engine, initialize=True)))
    store.report("n", "t", [log(1, "a", "Loss"), log(2, "b", "loss")])
    assert [found.value for found in store.logs("n", "t", metric_name="loss")] == ["b"]
    assert store.latest("n", "t") == {"Loss": log(1, "a", "Loss"), "loss": log(2, "b", "loss")}


def test_times_that_are_in_no_calendar_are_refused(logs: SqlLogs) -> None:
    store = SqlObservationStore(logs)
    with pytest.raises(InvalidInput, match="in no calendar"):
        store.report("n", "t", [MetricLog(1e300, "loss", "1")])


def test_an_index_whose_building_was_interrupted_is_built_anew(postgresql: Server) -> None:
    engine = open_engine(postgresql.new_database("interrupted"))
    with engine.begin() as connection:
        connection.execute(text(KATIBS_TABLE["postgresql"]))
        connection.execute(text(f"CREATE INDEX {INDEX} ON observation_logs (trial_name, metric_name, time, id)"))
        connection.execute(text(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass"))
    assert add_index(engine)
    with engine.begin() as connection:
        assert connection.scalar(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": INDEX}
        )
    engine.dispose()
