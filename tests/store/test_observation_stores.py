from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pykatib.api.shared import MetricLog
from pykatib.store.contract import ObservationStore
from pykatib.store.observation_conformance import ObservationConformance, log
from pykatib.store.observations import LatestLogs, MemoryObservationStore
from pykatib.store.reader import SqliteReader
from pykatib.store.sqlite import SqliteStore
from pykatib.store.sqlite_observations import SqliteObservationStore


class TestMemoryObservations(ObservationConformance):
    @pytest.fixture
    def observations(self) -> ObservationStore:
        return MemoryObservationStore()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "katib.db", lambda: 1_750_000_000.0)
    yield store
    store.close()


class TestSqliteObservationsThatWait(ObservationConformance):
    @pytest.fixture
    def observations(self, sqlite: SqliteStore) -> ObservationStore:
        return sqlite.observations


class _Committed:
    """Commits after every write and forgets the last values before every question, so the file answers."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._inner: SqliteObservationStore = store.observations
        self.logs = self._inner.logs

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog]) -> None:
        self._inner.report(namespace, trial_name, logs)
        self._store.flush()

    def latest(self, namespace: str, trial_name: str) -> dict[str, MetricLog]:
        self._inner._latest.forget((namespace, trial_name))
        return dict(self._inner.latest(namespace, trial_name))

    def delete(self, namespace: str, trial_name: str) -> None:
        self._inner.delete(namespace, trial_name)
        self._store.flush()


class TestSqliteObservationsInTheFile(ObservationConformance):
    @pytest.fixture
    def observations(self, sqlite: SqliteStore) -> ObservationStore:
        return _Committed(sqlite)


def test_committed_and_waiting_logs_are_read_as_one(sqlite: SqliteStore) -> None:
    sqlite.observations.report("n", "t", [log(1, "a"), log(3, "c", "accuracy")])
    sqlite.flush()
    sqlite.observations.report("n", "t", [log(2, "b", "accuracy"), log(3, "d")])
    assert [found.value for found in sqlite.observations.logs("n", "t")] == ["a", "b", "c", "d"]
    assert {found.value for found in sqlite.observations.latest("n", "t").values()} == {"c", "d"}


def test_a_reading_is_of_the_moment_of_the_call(sqlite: SqliteStore) -> None:
    observations = sqlite.observations
    given = [log(index, str(index)) for index in range(1_200)]
    observations.report("n", "t", given[:600])
    sqlite.flush()
    observations.report("n", "t", given[600:])
    reading = iter(observations.logs("n", "t"))
    first = next(reading)
    observations.report("n", "t", [log(5_000, "late")])
    sqlite.flush()
    assert [first, *reading] == given


def test_logs_outlive_the_store_and_are_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "katib.db"
    store = SqliteStore(path, lambda: 0.0)
    store.observations.report("n", "t", [log(1, "a"), log(2, "b")])
    store.close()
    store = SqliteStore(path, lambda: 0.0)
    store.observations.report("n", "t", [log(2, "c"), log(1, "d")])
    store.flush()
    reader = SqliteReader(path)
    for view in (store.observations, reader):
        assert [found.value for found in view.logs("n", "t")] == ["a", "d", "b", "c"]
        assert view.latest("n", "t") == {"loss": log(2, "c")}
        assert view.latest("n", "unknown") == {}
        assert [*view.logs("n", "unknown")] == []
    reader.close()
    store.close()


def test_last_values_are_kept_for_so_many_trials_only() -> None:
    latest = LatestLogs(limit=2)
    for trial in ("a", "b", "c"):
        latest.learn(("n", trial), [log(1, trial)])
    assert latest.get(("n", "a")) is None
    assert latest.get(("n", "c")) == {"loss": log(1, "c")}
