"""What other processes see of a store that is in use, and what they can ask of its owner."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from pykatib.api.errors import Conflict, NotFound, StorageFailed
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import Event, Object
from pykatib.api.sequences import AppendLog
from pykatib.api.suggestion import Suggestion, SuggestionSpec, TrialAssignment
from pykatib.api.trial import Trial, TrialSpec
from pykatib.store import reader as reader_module
from pykatib.store.conformance import running
from pykatib.store.mailbox import post
from pykatib.store.reader import SqliteReader
from pykatib.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "katib.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, lambda: 1_750_000_000.0)
    yield store
    store.close()


@pytest.fixture
def reader(store: SqliteStore, path: Path) -> Iterator[SqliteReader]:
    reader = SqliteReader(path)
    yield reader
    reader.close()


def trial(name: str, namespace: str = "default", **labels: str) -> Trial:
    return Trial(metadata=ObjectMeta(name, namespace=namespace, labels=labels), spec=TrialSpec())


def suggestion(*names: str) -> Suggestion:
    made = Suggestion(metadata=ObjectMeta("s", namespace="default"), spec=SuggestionSpec())
    log = AppendLog(TrialAssignment(name) for name in names)
    return replace(made, status=replace(made.status, suggestions=log))


def test_a_reader_sees_what_has_been_committed(store: SqliteStore, reader: SqliteReader) -> None:
    created = store.create(suggestion("t-0", "t-1"))
    assert reader.find(created.reference) is None
    store.flush()
    assert reader.get(created.reference) == created
    with pytest.raises(NotFound):
        reader.get(trial("nowhere").reference)


def test_a_reader_lists_as_the_store_does(store: SqliteStore, reader: SqliteReader) -> None:
    for obj in (trial("b", colour="red"), trial("a"), trial("c", "other", colour="red", size="big")):
        store.create(obj)
    store.create(suggestion("t-0"))
    store.update_status(running(trial("b")))
    store.flush()
    questions: list[tuple[str, str | None, dict[str, str] | None]] = [
        ("Trial", None, None),
        ("Trial", "default", None),
        ("Trial", None, {"colour": "red"}),
        ("Trial", "other", {"colour": "red", "size": "big"}),
        ("Suggestion", None, None),
        ("Job", None, None),
    ]
    for kind, namespace, labels in questions:
        expected = store.list(kind, namespace=namespace, labels=labels)
        assert reader.list(kind, namespace=namespace, labels=labels) == expected


def test_a_reader_sees_events_oldest_first(store: SqliteStore, reader: SqliteReader) -> None:
    for reason, name, time in (("A", "t", 1.0), ("B", "u", 2.0), ("A", "t", 3.0)):
        store.record(Event("Trial", "default", name, "Normal", reason, "", time))
    store.flush()
    assert reader.events(namespace="default") == store.events(namespace="default")
    assert [event.count for event in reader.events(namespace="default", name="t", kind="Trial")] == [2]
    assert not reader.events(namespace="default", kind="Experiment")


def test_the_version_differs_when_something_has_been_committed(store: SqliteStore, reader: SqliteReader) -> None:
    before = reader.version()
    assert reader.version() == before
    store.create(trial("t"))
    assert reader.version() == before
    store.flush()
    assert reader.version() != before


def test_changes_can_be_followed_from_the_beginning(store: SqliteStore, reader: SqliteReader) -> None:
    view: dict[Reference, Object] = {}
    version = 0

    def follow() -> None:
        nonlocal version
        store.flush()
        version, changed, gone = reader.changes_since(version)
        for reference in gone:
            del view[reference]
        view.update((obj.reference, obj) for obj in changed)
        assert [*view.values()] == [*store.list("Trial"), *store.list("Suggestion")]

    follow()
    for name in ("a", "b", "c"):
        store.create(trial(name))
    follow()
    store.delete(trial("b").reference)
    store.update_status(running(trial("a")))
    follow()
    store.delete(trial("a").reference)
    store.create(trial("a"))
    follow()
    store.create(suggestion("t-0", "t-1"))
    follow()
    assert reader.changes_since(version).changed == []


def test_changes_too_long_ago_are_refused(
    store: SqliteStore, reader: SqliteReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "GONE_VERSIONS", 2)
    for name in ("a", "b", "c", "d"):
        store.create(trial(name))
    store.flush()
    assert len(reader.changes_since(2).changed) == 2
    assert len(reader.changes_since(0).changed) == 4
    with pytest.raises(Conflict, match="list again"):
        reader.changes_since(1)


def test_a_reader_needs_a_database(path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"katib\.db: there is no such file; nothing has been run"):
        SqliteReader(path)
    assert not path.exists()
    path.touch()
    with pytest.raises(StorageFailed, match="it is empty"):
        SqliteReader(path)


def test_mail_is_taken_once_in_order(store: SqliteStore, path: Path) -> None:
    post(path, "suspend", "default", "e", now=1.0)
    post(path, "delete", "default", "e", '{"uid":"1"}', now=2.0)
    first, second = store.take_mail()
    assert (first.verb, first.namespace, first.name, first.body, first.posted_at) == (
        "suspend",
        "default",
        "e",
        "{}",
        1,
    )
    assert (second.verb, second.body) == ("delete", '{"uid":"1"}')
    assert store.take_mail() == []
    store.flush()
    post(path, "resume", "default", "e", now=3.0)
    assert [mail.verb for mail in store.take_mail()] == ["resume"]


def test_mail_can_come_from_another_process(store: SqliteStore, path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pykatib.store.mailbox import post; "
        "print(post(Path(sys.argv[1]), 'delete', 'default', 'e', now=1.0))"
    )
    result = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert [mail.id for mail in store.take_mail()] == [int(result.stdout)]


def test_mail_leaves_with_the_commit_of_its_effects(store: SqliteStore, reader: SqliteReader, path: Path) -> None:
    mail_id = post(path, "create", "default", "t", now=1.0)
    store.take_mail()
    store.create(trial("t"))
    assert reader.is_waiting(mail_id)
    assert reader.find(trial("t").reference) is None
    assert store.commit_if_due(1.0)
    assert not reader.is_waiting(mail_id)
    assert reader.find(trial("t").reference) is not None


def test_mail_whose_effects_were_lost_is_taken_again(path: Path) -> None:
    SqliteStore(path, lambda: 0.0).close()
    post(path, "delete", "default", "e", now=1.0)
    dying = (
        "import os, sys; from pathlib import Path; from pykatib.store.sqlite import SqliteStore; "
        "store = SqliteStore(Path(sys.argv[1]), lambda: 0.0); print(len(store.take_mail()), flush=True); os._exit(9)"
    )
    died = subprocess.run([sys.executable, "-c", dying, str(path)], capture_output=True, text=True, check=False)
    assert (died.stdout, died.returncode) == ("1\n", 9)
    store = SqliteStore(path, lambda: 0.0)
    assert [mail.verb for mail in store.take_mail()] == ["delete"]
    store.close()
