import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from pykatib.api.errors import AlreadyExists, StorageFailed
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import TYPED_KINDS, ConfigMap, Event, Object, Secret, WorkerJob
from pykatib.api.sequences import AppendLog
from pykatib.api.shared import MetricLog
from pykatib.api.suggestion import Suggestion, SuggestionSpec, TrialAssignment
from pykatib.api.trial import Trial, TrialSpec
from pykatib.store import database, rows
from pykatib.store.conformance import StoreConformance, owned_by, running
from pykatib.store.contract import Store
from pykatib.store.sqlite import COMMIT_CHANGES, COMMIT_SECONDS, SqliteStore


def clock() -> float:
    return 1_750_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "katib.db"


@pytest.fixture
def reopen(path: Path) -> Iterator[Callable[[], SqliteStore]]:
    """Opens the store, having closed the one before."""
    stores: list[SqliteStore] = []

    def open_store() -> SqliteStore:
        while stores:
            stores.pop().close()
        stores.append(SqliteStore(path, clock))
        return stores[-1]

    yield open_store
    while stores:
        stores.pop().close()


def rows_of(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def everything(store: Store) -> list[Object]:
    return [obj for kind in (*TYPED_KINDS, "Job") for obj in store.list(kind)]


def trial(name: str) -> Trial:
    return Trial(
        metadata=ObjectMeta(name, namespace="default"), spec=TrialSpec(run_spec=msgspec.Raw(b'{"kind":"Job"}'))
    )


def suggestion(*names: str) -> Suggestion:
    made = Suggestion(metadata=ObjectMeta("s", namespace="default"), spec=SuggestionSpec())
    return proposing(made, AppendLog(TrialAssignment(name) for name in names))


def proposing(obj: Suggestion, log: AppendLog[TrialAssignment]) -> Suggestion:
    return replace(obj, status=replace(obj.status, suggestions=log))


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    def store(self, reopen: Callable[[], SqliteStore]) -> Store:
        return reopen()


def test_objects_of_every_kind_come_back_as_they_were(reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    meta = ObjectMeta("x", namespace="default", labels={"a": "b"}, annotations={"c": "d"}, finalizers=("hold",))
    experiment = store.create(Experiment(metadata=meta, spec=ExperimentSpec(max_trial_count=3)))
    failed = AppendLog(["t-1", "t-2"])
    experiment = store.update_status(replace(experiment, status=replace(experiment.status, failed_trial_list=failed)))
    store.create(suggestion("t-1", "t-2"))
    store.create(running(replace(trial("t-1"), metadata=replace(meta, owner_references=owned_by(experiment)))))
    store.create(ConfigMap(metadata=meta, data={"a": "1"}))
    store.create(Secret(metadata=meta, data={"a": "MQ=="}))
    store.create(
        WorkerJob(
            api_version="batch/v1", kind="Job", metadata=meta, spec=msgspec.Raw(b'{"a":1}'), status=msgspec.Raw(b"[]")
        )
    )
    before = everything(store)
    assert len(before) == 6
    assert everything(reopen()) == before


def test_versions_go_on_where_they_stopped(reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    first = store.create(trial("t-1"))
    last = store.create(trial("t-2"))
    store.delete(last.reference)
    created = reopen().create(trial("t-3"))
    assert int(created.metadata.resource_version) > int(last.metadata.resource_version)
    assert created.metadata.uid not in (first.metadata.uid, last.metadata.uid)


def test_owners_and_finalizers_work_after_reopening(reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    experiment = store.create(Experiment(metadata=ObjectMeta("e", namespace="default"), spec=ExperimentSpec()))
    meta = ObjectMeta("t", namespace="default", owner_references=owned_by(experiment), finalizers=("hold",))
    child = store.create(Trial(metadata=meta, spec=TrialSpec()))
    store.delete(experiment.reference, propagation="Foreground")
    store = reopen()
    with pytest.raises(AlreadyExists):
        store.create(trial("t"))
    held = store.get(child.reference)
    assert held.metadata.deletion_timestamp is not None
    store.update(replace(held, metadata=replace(held.metadata, finalizers=())))
    assert everything(store) == []
    assert everything(reopen()) == []


def test_the_order_of_creation_outlives_a_name_that_was_made_anew(reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    for name in ("a", "b"):
        store.create(trial(name))
    store.delete(trial("a").reference)
    store.create(trial("a"))
    assert [obj.metadata.name for obj in reopen().list("Trial")] == ["b", "a"]


def test_an_object_made_anew_before_the_commit_replaces_the_one_in_the_file(reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    store.create(suggestion("old-1", "old-2"))
    store.flush()
    store.delete(suggestion().reference)
    created = store.create(suggestion("new"))
    assert reopen().get(created.reference) == created


def test_what_comes_and_goes_between_commits_is_never_written(path: Path, reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    store.create(trial("t"))
    store.delete(trial("t").reference)
    store.flush()
    assert rows_of(path, "SELECT count(*) FROM objects") == [(0,)]


def test_every_append_log_of_the_api_is_found() -> None:
    assert [field.name for field in rows.log_fields(Suggestion)] == ["status.suggestions"]
    assert [field.name for field in rows.log_fields(Experiment)] == [
        f"status.{state}_trial_list"
        for state in ("failed", "succeeded", "killed", "early_stopped", "metrics_unavailable")
    ]
    assert rows.log_fields(Trial) == rows.log_fields(WorkerJob) == ()


def test_a_longer_append_log_is_not_written_anew(path: Path, reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    kept = store.create(suggestion("t-0", "t-1"))
    store.flush()
    marker = sqlite3.connect(path)
    marker.execute("""UPDATE entries SET body = '{"name":"untouched"}'""")
    marker.commit()
    marker.close()
    kept = store.update_status(proposing(kept, kept.status.suggestions.append(TrialAssignment("t-2"))))
    kept = store.update_status(proposing(kept, kept.status.suggestions.append(TrialAssignment("t-3"))))
    found = reopen().get(kept.reference)
    assert isinstance(found, Suggestion)
    assert [entry.name for entry in found.status.suggestions] == ["untouched", "untouched", "t-2", "t-3"]


@pytest.mark.parametrize("names", [["t-0"], ["x", "y", "z"], []], ids=["shorter", "another", "empty"])
def test_another_append_log_is_written_anew(reopen: Callable[[], SqliteStore], names: list[str]) -> None:
    store = reopen()
    kept = store.create(suggestion("t-0", "t-1"))
    store.flush()
    kept = store.update_status(proposing(kept, AppendLog(TrialAssignment(name) for name in names)))
    assert reopen().get(kept.reference) == kept


def test_a_branch_of_an_append_log_is_written_anew(reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    first = store.create(suggestion("t-0"))
    grown = store.update_status(proposing(first, first.status.suggestions.append(TrialAssignment("t-1"))))
    store.flush()
    branch = first.status.suggestions.append(TrialAssignment("other")).append(TrialAssignment("t-2"))
    kept = store.update_status(proposing(grown, branch))
    assert reopen().get(kept.reference) == kept


def test_commits_wait_for_time_or_number(path: Path, reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    store.create(trial("t"))
    assert store.commit_if_due(100.0)
    assert not store.commit_if_due(200.0)
    store.create(trial("u"))
    assert store.commit_if_due(300.0)
    store.create(trial("v"))
    assert not store.commit_if_due(300.0 + COMMIT_SECONDS / 2)
    assert rows_of(path, "SELECT count(*) FROM objects") == [(2,)]
    for number in range(COMMIT_CHANGES):
        store.create(trial(f"t-{number}"))
    assert store.commit_if_due(300.0 + COMMIT_SECONDS / 2)
    assert rows_of(path, "SELECT count(*) FROM objects") == [(COMMIT_CHANGES + 3,)]


def test_events_outlive_the_store_and_go_on_counting(reopen: Callable[[], SqliteStore]) -> None:
    def event(reason: str, time: float) -> Event:
        return Event("Trial", "default", "t", "Normal", reason, "message", time)

    store = reopen()
    store.record(event("A", 1.0))
    store.record(event("B", 2.0))
    store.flush()
    store.record(event("A", 3.0))
    store = reopen()
    store.record(event("B", 4.0))
    store.record(event("C", 5.0))
    expected = [("A", 2, 3.0), ("B", 2, 4.0), ("C", 1, 5.0)]
    assert [(kept.reason, kept.count, kept.time) for kept in store.events(namespace="default")] == expected
    assert [(kept.reason, kept.count, kept.time) for kept in reopen().events(namespace="default")] == expected


def test_old_events_leave_the_file(path: Path) -> None:
    store = SqliteStore(path, clock, event_limit=2)
    for number in range(50):
        store.record(Event("Trial", "default", "t", "Normal", f"R{number}", "", float(number)))
        store.flush()
    store.close()
    assert rows_of(path, "SELECT min(number), max(number), count(*) FROM events") == [(31, 50, 20)]


def test_a_status_and_its_logs_are_committed_together(path: Path, reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    store.create(running(trial("t")))
    store.observations.report("default", "t", [MetricLog(1.0, "loss", "0.1")])
    saboteur = sqlite3.connect(path)
    saboteur.execute("ALTER TABLE logs RENAME TO hidden")
    with pytest.raises(StorageFailed, match="logs"):
        store.flush()
    assert rows_of(path, "SELECT count(*) FROM objects") == [(0,)]
    saboteur.execute("ALTER TABLE hidden RENAME TO logs")
    saboteur.close()
    store.flush()
    assert rows_of(path, "SELECT (SELECT count(*) FROM objects), (SELECT count(*) FROM logs)") == [(1, 1)]


def test_synced_is_in_the_main_file(path: Path, tmp_path: Path, reopen: Callable[[], SqliteStore]) -> None:
    store = reopen()
    store.create(trial("t"))
    store.flush()
    store.sync()
    alone = tmp_path / "alone.db"
    alone.write_bytes(path.read_bytes())
    assert rows_of(alone, "SELECT name FROM objects") == [("t",)]


def test_a_database_of_an_older_schema_is_brought_up_to_date(
    path: Path, reopen: Callable[[], SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    created = reopen().create(trial("t"))
    newer = (*database.MIGRATIONS, ("CREATE TABLE added (x)", "INSERT INTO added VALUES (7)"))
    monkeypatch.setattr(database, "MIGRATIONS", newer)
    assert reopen().get(created.reference) == created
    assert rows_of(path, "SELECT x FROM added") == [(7,)]
    reopen()
    assert rows_of(path, "SELECT x FROM added") == [(7,)]


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    path: Path, reopen: Callable[[], SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    created = reopen().create(trial("t"))
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, ("CREATE TABLE added (x)", "nonsense")))
        with pytest.raises(StorageFailed, match="nonsense"):
            reopen()
    assert reopen().get(created.reference) == created


def test_a_newer_schema_is_refused(path: Path, reopen: Callable[[], SqliteStore]) -> None:
    reopen().close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StorageFailed, match=r"katib\.db: .*newer pykatib \(schema 99, this one knows 1\); upgrade"):
        SqliteStore(path, clock)
