import itertools
import threading
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.meta import ObjectMeta, OwnerReference, Reference
from pykatib.api.objects import Event, WorkerJob
from pykatib.api.trial import Trial, TrialSpec
from pykatib.store.conformance import StoreConformance, owned_by, running
from pykatib.store.contract import Change, Store
from pykatib.store.memory import MemoryStore, uids


def trial(name: str, owners: tuple[OwnerReference, ...] = ()) -> Trial:
    return Trial(metadata=ObjectMeta(name, namespace="default", owner_references=owners), spec=TrialSpec())


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore(lambda: 1_750_000_000.0)


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self, memory: MemoryStore) -> Iterator[Store]:
        yield memory
        memory.close()


def test_the_same_uids_make_the_same_names() -> None:
    def names_of_a_run() -> list[str]:
        count = itertools.count()
        store = MemoryStore(lambda: 0.0, lambda: f"uid-{next(count)}")
        template = Trial(metadata=ObjectMeta(generate_name="t-"), spec=TrialSpec())
        return [store.create(template).metadata.name for _ in range(3)]

    assert names_of_a_run() == names_of_a_run()


def test_a_generated_name_that_is_taken_is_made_again() -> None:
    answers = iter(["a", "same", "b", "same", "different"])
    store = MemoryStore(lambda: 0.0, lambda: next(answers))
    template = Trial(metadata=ObjectMeta(generate_name="t-"), spec=TrialSpec())
    assert store.create(template).metadata.name != store.create(template).metadata.name
    assert next(answers, None) is None


def test_uids_of_two_sources_differ() -> None:
    one, other = uids(), uids()
    assert len({one(), one(), other(), other()}) == 4


def test_worker_jobs_of_one_kind_and_name_differ_by_api_version(memory: MemoryStore) -> None:
    meta = ObjectMeta("j", namespace="default")
    for api_version in ("kubeflow.org/v1", "kubeflow.org/v2beta1"):
        memory.create(WorkerJob(api_version=api_version, kind="MPIJob", metadata=meta))
    assert len(memory.list("MPIJob")) == 2
    memory.delete(Reference("MPIJob", "default", "j", "kubeflow.org/v1"))
    (left,) = memory.list("MPIJob")
    assert left.api_version == "kubeflow.org/v2beta1"


def test_list_spans_namespaces_unless_told_otherwise(memory: MemoryStore) -> None:
    for namespace in ("a", "b"):
        memory.create(Trial(metadata=ObjectMeta("t", namespace=namespace), spec=TrialSpec()))
    assert [obj.metadata.namespace for obj in memory.list("Trial")] == ["a", "b"]
    assert [obj.metadata.namespace for obj in memory.list("Trial", namespace="b")] == ["b"]


def test_objects_are_kept_without_copying(memory: MemoryStore) -> None:
    given = running(trial("t"))
    created = memory.create(given)
    assert created.spec is given.spec
    assert created.status is given.status
    assert memory.get(given.reference) is created


def test_nothing_is_left_of_a_deleted_family(memory: MemoryStore) -> None:
    experiment = memory.create(Experiment(metadata=ObjectMeta("e"), spec=ExperimentSpec()))
    for number in range(3):
        memory.create(trial(f"t-{number}", owned_by(experiment)))
    memory.delete(experiment.reference, propagation="Foreground")
    assert not memory._by_uid
    assert not memory._dependants
    assert not any(memory._objects.values())


def test_a_child_written_late_does_not_hold_an_owner_that_is_leaving(memory: MemoryStore) -> None:
    experiment = memory.create(Experiment(metadata=ObjectMeta("e"), spec=ExperimentSpec()))
    held = trial("held", owned_by(experiment))
    held = memory.create(replace(held, metadata=replace(held.metadata, finalizers=("hold",))))
    memory.delete(experiment.reference, propagation="Foreground")
    late = memory.create(trial("late", owned_by(experiment)))
    assert memory.find(late.reference) is None
    memory.update(replace(held, metadata=replace(held.metadata, finalizers=(), resource_version="")))
    assert memory.find(experiment.reference) is None


def test_a_subscription_made_by_a_handler_hears_each_state_once(memory: MemoryStore) -> None:
    heard: list[Change] = []

    def enlist(change: Change) -> None:
        if change.old is None and change.new is not None:
            assert isinstance(change.new, Trial)
            memory.update_status(running(change.new))
            memory.subscribe(["Trial"], heard.append)

    memory.subscribe(["Trial"], enlist)
    created = memory.create(trial("t"))
    current = memory.get(created.reference)
    assert current != created
    assert heard == [Change(None, current)]


def test_a_failing_handler_keeps_nobody_from_hearing(memory: MemoryStore) -> None:
    def fail(change: Change) -> None:
        raise ZeroDivisionError

    heard: list[Change] = []
    memory.subscribe(None, fail)
    memory.subscribe(None, heard.append)
    with pytest.raises(ZeroDivisionError):
        memory.create(trial("t"))
    assert len(heard) == 1
    assert memory.find(trial("t").reference) is not None


def test_the_least_recent_events_are_forgotten() -> None:
    store = MemoryStore(lambda: 0.0, event_limit=2)
    for reason in ("A", "B", "A", "C"):
        store.record(Event("Trial", "default", "t", "Normal", reason, "", 0.0))
    assert [(event.reason, event.count) for event in store.events(namespace="default")] == [("A", 2), ("C", 1)]


def test_threads_lose_no_write_and_hear_every_change_in_order(memory: MemoryStore) -> None:
    heard: list[Change] = []
    memory.subscribe(["Trial"], heard.append)

    def write(thread: int) -> None:
        for number in range(200):
            created = memory.create(trial(f"t-{thread}-{number}"))
            memory.update_status(running(created))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memory.list("Trial")) == 800
    versions = [int(change.new.metadata.resource_version) for change in heard if change.new is not None]
    assert versions == sorted(versions)
    assert len(versions) == 1600
