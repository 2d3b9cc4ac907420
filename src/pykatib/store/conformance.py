"""What every Store must do, as tests. A new store supplies the `store` fixture and inherits the rest:

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self) -> Iterator[Store]: ...

The store must be empty, in `namespace`. One that tells and collects some time after the write overrides `settle` to
wait, one whose ages have a grain overrides `later`.
"""

import itertools
from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from pykatib.api.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from pykatib.api.experiment import Experiment, ExperimentSpec
from pykatib.api.meta import Condition, ObjectMeta, OwnerReference, Reference
from pykatib.api.objects import ConfigMap, Event, Object, WorkerJob
from pykatib.api.shared import AlgorithmSpec, ParameterAssignment
from pykatib.api.suggestion import Suggestion, SuggestionSpec, TrialAssignment
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.store.contract import Change, O, Propagation, Store

FINALIZER = "example.com/hold"
JOB_SPEC = b'{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"example"}]}}}'


def owned_by(*owners: Object, blocks: bool = True) -> tuple[OwnerReference, ...]:
    """What a dependant says about its owners."""
    return tuple(
        OwnerReference(
            owner.api_version, owner.kind, owner.metadata.name, owner.metadata.uid, block_owner_deletion=blocks
        )
        for owner in owners
    )


def relabelled(obj: O, **labels: str) -> O:
    """The object with other labels."""
    return replace(obj, metadata=replace(obj.metadata, labels=labels))


def released(obj: O) -> O:
    """The object without the finalizer of these tests."""
    left = tuple(finalizer for finalizer in obj.metadata.finalizers if finalizer != FINALIZER)
    return replace(obj, metadata=replace(obj.metadata, finalizers=left, resource_version=""))


def running(trial: Trial, reason: str = "TrialRunning") -> Trial:
    """The Trial with a condition in its status."""
    return replace(trial, status=TrialStatus(conditions=(Condition("Running", "True", reason),)))


class StoreConformance:
    """The contract of `pykatib.store.contract.Store`."""

    namespace = "default"

    @pytest.fixture
    def store(self) -> Store:
        """An empty store."""
        raise NotImplementedError("a subclass supplies the store")

    def settle(self, reached: Callable[[], bool]) -> None:
        """Returns when `reached()` is true. Here: at once or never."""
        assert reached()

    def later(self) -> None:
        """Lets so much time pass that what is made next counts as younger."""

    # Makers

    def trial(self, name: str = "t", *owners: Object, finalizers: tuple[str, ...] = (), blocks: bool = True) -> Trial:
        """A Trial that has not been created."""
        meta = ObjectMeta(
            name, namespace=self.namespace, owner_references=owned_by(*owners, blocks=blocks), finalizers=finalizers
        )
        return Trial(metadata=meta, spec=TrialSpec(parameter_assignments=(ParameterAssignment("lr", "0.1"),)))

    def experiment(self, name: str = "e", *, finalizers: tuple[str, ...] = ()) -> Experiment:
        """An Experiment that has not been created."""
        return Experiment(
            metadata=ObjectMeta(name, namespace=self.namespace, finalizers=finalizers),
            spec=ExperimentSpec(algorithm=AlgorithmSpec("random"), parallel_trial_count=1),
        )

    def job(self, name: str, *owners: Object) -> WorkerJob:
        """A worker job that has not been created."""
        meta = ObjectMeta(name, namespace=self.namespace, owner_references=owned_by(*owners))
        return WorkerJob(api_version="batch/v1", kind="Job", metadata=meta, spec=msgspec.Raw(JOB_SPEC))

    # Creating and reading

    def test_create_fills_in_what_the_store_decides(self, store: Store) -> None:
        created = store.create(self.trial()).metadata
        assert created.uid
        assert created.resource_version
        assert created.generation == 1
        assert created.creation_timestamp is not None
        assert created.deletion_timestamp is None

    def test_create_keeps_labels_spec_and_status_as_given(self, store: Store) -> None:
        given = running(relabelled(self.trial(), colour="red"))
        created = store.create(given)
        assert created.metadata.labels == {"colour": "red"}
        assert created.spec == given.spec
        assert created.status == given.status
        assert store.get(given.reference) == created

    def test_create_refuses_a_name_that_is_taken(self, store: Store) -> None:
        first = store.create(self.trial())
        with pytest.raises(AlreadyExists):
            store.create(self.trial())
        assert store.get(first.reference) == first

    def test_create_makes_distinct_names_from_generate_name(self, store: Store) -> None:
        template = replace(self.trial(), metadata=ObjectMeta(generate_name="t-", namespace=self.namespace))
        made = [store.create(template).metadata.name for _ in range(5)]
        assert len({*made}) == 5
        assert all(name.startswith("t-") and len(name) > 2 for name in made)

    def test_create_wants_a_name(self, store: Store) -> None:
        with pytest.raises(InvalidInput, match=r"metadata\.name"):
            store.create(self.trial(""))

    def test_an_object_made_anew_has_another_uid(self, store: Store) -> None:
        first = store.create(self.trial())
        store.delete(first.reference)
        self.settle(lambda: store.find(first.reference) is None)
        assert store.create(self.trial()).metadata.uid != first.metadata.uid

    def test_get_raises_and_find_answers_none_where_nothing_is(self, store: Store) -> None:
        reference = self.trial("nowhere").reference
        assert store.find(reference) is None
        with pytest.raises(NotFound, match="nowhere"):
            store.get(reference)

    def test_a_worker_job_keeps_its_own_fields(self, store: Store) -> None:
        created = store.create(self.job("j"))
        found = store.get(Reference("Job", self.namespace, "j", "batch/v1"))
        assert found == created
        assert isinstance(found, WorkerJob)
        spec = msgspec.json.decode(found.spec)
        assert spec["template"]["spec"]["containers"][0]["name"] == "main"

    def test_list_answers_objects_of_the_kind_oldest_first(self, store: Store) -> None:
        store.create(self.experiment("b"))
        for name in ("b", "c", "a"):
            store.create(self.trial(name))
            self.later()
        store.update(relabelled(self.trial("b"), touched="yes"))
        assert [obj.metadata.name for obj in store.list("Trial", namespace=self.namespace)] == ["b", "c", "a"]
        assert store.list("Trial", namespace="elsewhere") == []

    @pytest.mark.parametrize(
        ("labels", "names"),
        [
            pytest.param({}, {"plain", "red", "red-big"}, id="none asked for"),
            pytest.param({"colour": "red"}, {"red", "red-big"}, id="one"),
            pytest.param({"colour": "red", "size": "big"}, {"red-big"}, id="all must be carried"),
            pytest.param({"colour": "blue"}, set(), id="another value"),
        ],
    )
    def test_list_selects_by_labels(self, store: Store, labels: dict[str, str], names: set[str]) -> None:
        store.create(self.trial("plain"))
        store.create(relabelled(self.trial("red"), colour="red"))
        store.create(relabelled(self.trial("red-big"), colour="red", size="big"))
        found = store.list("Trial", namespace=self.namespace, labels=labels)
        assert {obj.metadata.name for obj in found} == names

    # Writing

    def test_update_writes_metadata_and_spec_and_keeps_the_status(self, store: Store) -> None:
        created = store.create(running(self.trial()))
        wanted = replace(created, spec=replace(created.spec, success_condition="x"), status=TrialStatus())
        updated = store.update(relabelled(wanted, colour="red"))
        assert updated.spec.success_condition == "x"
        assert updated.metadata.labels == {"colour": "red"}
        assert updated.status == created.status
        assert updated.metadata.uid == created.metadata.uid
        assert updated.metadata.resource_version != created.metadata.resource_version
        assert store.get(created.reference) == updated

    def test_generation_grows_with_the_spec_alone(self, store: Store) -> None:
        created = store.create(self.trial())
        labelled = store.update(relabelled(created, colour="red"))
        assert labelled.metadata.generation == 1
        assert store.update_status(running(labelled)).metadata.generation == 1
        changed = store.update(
            replace(
                labelled,
                spec=replace(created.spec, success_condition="x"),
                metadata=replace(labelled.metadata, resource_version=""),
            )
        )
        assert changed.metadata.generation == 2

    def test_update_cannot_write_what_the_store_decides(self, store: Store) -> None:
        created = store.create(self.trial())
        meta = replace(
            created.metadata,
            generation=7,
            creation_timestamp="2001-01-01T00:00:00Z",
            deletion_timestamp="2001-01-01T00:00:00Z",
            labels={"colour": "red"},
        )
        updated = store.update(replace(created, metadata=meta)).metadata
        assert updated.labels == {"colour": "red"}
        assert updated.generation == 1
        assert updated.creation_timestamp == created.metadata.creation_timestamp
        assert updated.deletion_timestamp is None

    def test_update_status_writes_the_status_alone(self, store: Store) -> None:
        created = store.create(self.trial())
        wanted = running(relabelled(replace(created, spec=TrialSpec()), colour="red"))
        updated = store.update_status(wanted)
        assert updated.status == wanted.status
        assert updated.spec == created.spec
        assert updated.metadata.labels == {}
        assert updated.metadata.resource_version != created.metadata.resource_version
        assert store.get(created.reference) == updated

    def test_an_append_log_in_a_status_grows(self, store: Store) -> None:
        meta = ObjectMeta("s", namespace=self.namespace)
        suggestion = store.create(Suggestion(metadata=meta, spec=SuggestionSpec(requests=3)))
        for index in range(3):
            log = suggestion.status.suggestions.append(TrialAssignment(f"t-{index}"))
            suggestion = store.update_status(replace(suggestion, status=replace(suggestion.status, suggestions=log)))
        found = store.get(suggestion.reference)
        assert isinstance(found, Suggestion)
        assert [entry.name for entry in found.status.suggestions] == ["t-0", "t-1", "t-2"]

    def test_a_config_map_is_written_like_a_spec(self, store: Store) -> None:
        meta = ObjectMeta("c", namespace=self.namespace)
        created = store.create(ConfigMap(metadata=meta, data={"a": "1"}))
        updated = store.update(replace(created, data={"a": "2"}))
        assert updated.data == {"a": "2"}
        assert updated.metadata.resource_version != created.metadata.resource_version
        assert store.get(created.reference) == updated

    def test_writes_of_a_stale_version_conflict(self, store: Store) -> None:
        stale = store.create(self.trial())
        current = store.update_status(running(stale))
        with pytest.raises(Conflict):
            store.update(relabelled(stale, colour="red"))
        with pytest.raises(Conflict):
            store.update_status(running(stale, "Other"))
        assert store.get(stale.reference) == current

    def test_writes_without_a_version_overwrite(self, store: Store) -> None:
        created = store.create(self.trial())
        store.update_status(running(created))
        unversioned = replace(created, metadata=replace(created.metadata, resource_version=""))
        assert store.update(relabelled(unversioned, colour="red")).metadata.labels == {"colour": "red"}
        assert store.update_status(running(unversioned, "Other")).status.conditions[0].reason == "Other"

    def test_writes_of_a_namesake_conflict(self, store: Store) -> None:
        created = store.create(self.trial())
        other = replace(created, metadata=replace(created.metadata, uid="00000000-other", resource_version=""))
        with pytest.raises(Conflict):
            store.update(relabelled(other, colour="red"))
        assert store.get(created.reference) == created

    def test_writes_of_what_is_not_there_are_refused(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.update(self.trial())
        with pytest.raises(NotFound):
            store.update_status(running(self.trial()))

    def test_a_write_that_changes_nothing_makes_no_version_and_tells_nobody(self, store: Store) -> None:
        created = store.create(running(relabelled(self.trial(), colour="red")))
        heard: list[Change] = []
        subscription = store.subscribe(["Trial"], heard.append)
        equal = running(relabelled(replace(self.trial(), metadata=created.metadata), colour="red"))
        assert equal.spec is not created.spec
        assert store.update(equal).metadata.resource_version == created.metadata.resource_version
        assert store.update_status(equal).metadata.resource_version == created.metadata.resource_version
        last = store.create(self.trial("last"))
        self.settle(lambda: Change(None, last) in heard)
        assert heard == [Change(None, created), Change(None, last)]
        subscription.close()

    # Deleting

    @pytest.mark.parametrize("propagation", ["Background", "Foreground"])
    def test_an_object_without_finalizers_and_dependants_goes(self, store: Store, propagation: Propagation) -> None:
        created = store.create(self.trial())
        store.delete(created.reference, uid=created.metadata.uid, propagation=propagation)
        self.settle(lambda: store.find(created.reference) is None)
        self.settle(lambda: store.list("Trial", namespace=self.namespace) == [])

    def test_delete_of_what_is_not_there_is_refused(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.delete(self.trial().reference)

    def test_delete_of_a_namesake_conflicts(self, store: Store) -> None:
        created = store.create(self.trial())
        with pytest.raises(Conflict):
            store.delete(created.reference, uid="00000000-other")
        assert store.get(created.reference) == created

    def test_a_finalizer_holds_a_deleted_object_until_it_is_taken_off(self, store: Store) -> None:
        created = store.create(self.trial(finalizers=(FINALIZER,)))
        store.delete(created.reference)
        held = store.get(created.reference)
        assert held.metadata.deletion_timestamp is not None
        store.delete(created.reference)
        assert store.get(created.reference).metadata.deletion_timestamp == held.metadata.deletion_timestamp
        assert isinstance(held, Trial)
        assert store.update_status(running(held)).status.conditions
        store.update(released(held))
        self.settle(lambda: store.find(created.reference) is None)

    def test_dependants_go_after_their_owner_down_to_the_last(self, store: Store) -> None:
        experiment = store.create(self.experiment())
        trial = store.create(self.trial("t", experiment))
        job = store.create(self.job("t", trial))
        other = store.create(self.trial("other"))
        gone: list[str] = []
        store.subscribe(
            None, lambda change: gone.append(change.old.kind) if change.new is None and change.old else None
        )
        store.delete(experiment.reference)
        self.settle(lambda: store.find(job.reference) is None and store.find(trial.reference) is None)
        self.settle(lambda: gone == ["Experiment", "Trial", "Job"])
        assert store.get(other.reference) == other

    def test_a_dependant_waits_for_its_own_finalizers(self, store: Store) -> None:
        experiment = store.create(self.experiment())
        trial = store.create(self.trial("t", experiment, finalizers=(FINALIZER,)))
        job = store.create(self.job("t", trial))
        store.delete(experiment.reference)
        self.settle(lambda: store.find(experiment.reference) is None)
        self.settle(lambda: store.get(trial.reference).metadata.deletion_timestamp is not None)
        assert store.find(job.reference) is not None
        store.update(released(store.get(trial.reference)))
        self.settle(lambda: store.find(trial.reference) is None and store.find(job.reference) is None)

    def test_dependants_of_a_held_owner_stay(self, store: Store) -> None:
        experiment = store.create(self.experiment(finalizers=(FINALIZER,)))
        trial = store.create(self.trial("t", experiment))
        store.delete(experiment.reference)
        assert store.get(trial.reference) == trial
        store.update(released(store.get(experiment.reference)))
        self.settle(lambda: store.find(trial.reference) is None)

    def test_a_dependant_of_two_owners_goes_with_the_last(self, store: Store) -> None:
        first, second = store.create(self.experiment("first")), store.create(self.experiment("second"))
        trial = store.create(self.trial("t", first, second))
        store.delete(first.reference)
        self.settle(lambda: store.get(trial.reference).metadata.owner_references == owned_by(second))
        store.delete(second.reference)
        self.settle(lambda: store.find(trial.reference) is None)

    def test_owners_are_known_by_uid_not_by_name(self, store: Store) -> None:
        first = store.create(self.experiment())
        store.delete(first.reference)
        self.settle(lambda: store.find(first.reference) is None)
        second = store.create(self.experiment())
        ours = store.create(self.trial("ours", second))
        late = store.create(self.trial("late", first))
        self.settle(lambda: store.find(late.reference) is None)
        assert store.find(ours.reference) is not None

    def test_in_the_foreground_the_owner_waits_for_dependants_that_block(self, store: Store) -> None:
        experiment = store.create(self.experiment())
        trial = store.create(self.trial("t", experiment, finalizers=(FINALIZER,)))
        quick = store.create(self.trial("quick", experiment))
        store.delete(experiment.reference, propagation="Foreground")
        self.settle(lambda: store.find(quick.reference) is None)
        self.settle(lambda: store.get(trial.reference).metadata.deletion_timestamp is not None)
        waiting = store.get(experiment.reference).metadata
        assert waiting.deletion_timestamp is not None
        assert "foregroundDeletion" in waiting.finalizers
        store.update(released(store.get(trial.reference)))
        self.settle(lambda: store.find(trial.reference) is None and store.find(experiment.reference) is None)

    def test_in_the_foreground_the_last_to_go_is_the_owner(self, store: Store) -> None:
        experiment = store.create(self.experiment())
        trial = store.create(self.trial("t", experiment))
        store.create(self.job("t", trial))
        gone: list[str] = []
        store.subscribe(
            None, lambda change: gone.append(change.old.kind) if change.new is None and change.old else None
        )
        store.delete(experiment.reference, propagation="Foreground")
        self.settle(lambda: gone == ["Job", "Trial", "Experiment"])

    def test_in_the_foreground_dependants_that_do_not_block_are_not_waited_for(self, store: Store) -> None:
        experiment = store.create(self.experiment())
        trial = store.create(self.trial("t", experiment, finalizers=(FINALIZER,), blocks=False))
        store.delete(experiment.reference, propagation="Foreground")
        self.settle(lambda: store.find(experiment.reference) is None)
        self.settle(lambda: store.get(trial.reference).metadata.deletion_timestamp is not None)

    def test_in_the_foreground_other_finalizers_hold_the_owner_too(self, store: Store) -> None:
        experiment = store.create(self.experiment(finalizers=(FINALIZER,)))
        trial = store.create(self.trial("t", experiment))
        store.delete(experiment.reference, propagation="Foreground")
        self.settle(lambda: store.find(trial.reference) is None)
        self.settle(lambda: store.get(experiment.reference).metadata.finalizers == (FINALIZER,))
        store.update(released(store.get(experiment.reference)))
        self.settle(lambda: store.find(experiment.reference) is None)

    # Telling

    def test_a_subscriber_hears_what_is_there_then_each_change_with_the_version_before(self, store: Store) -> None:
        created = store.create(self.trial())
        heard: list[Change] = []
        store.subscribe(["Trial"], heard.append)
        updated = store.update_status(running(created))
        store.delete(created.reference)
        self.settle(lambda: len(heard) == 3)
        there, changed, gone = heard
        assert there == Change(None, created)
        assert changed == Change(created, updated)
        assert gone.new is None
        assert gone.old is not None
        assert gone.old.metadata.uid == created.metadata.uid

    def test_a_subscriber_hears_of_the_kinds_it_asked_for(self, store: Store) -> None:
        heard: list[str] = []
        heard_of_all: list[str] = []
        store.subscribe(["Experiment", "Job"], lambda change: heard.append(change.new.kind if change.new else ""))
        store.subscribe(None, lambda change: heard_of_all.append(change.new.kind if change.new else ""))
        for obj in (self.experiment(), self.trial(), self.job("j")):
            store.create(obj)
        self.settle(lambda: {*heard_of_all} >= {"Experiment", "Trial", "Job"})
        self.settle(lambda: {*heard} == {"Experiment", "Job"})

    def test_a_closed_subscription_hears_nothing(self, store: Store) -> None:
        closed: list[Change] = []
        heard: list[Change] = []
        store.subscribe(["Trial"], closed.append).close()
        store.subscribe(["Trial"], heard.append)
        store.create(self.trial())
        self.settle(lambda: len(heard) == 1)
        assert closed == []

    def test_the_changes_of_an_object_form_a_chain(self, store: Store) -> None:
        heard: list[Change] = []
        store.subscribe(["Trial"], heard.append)
        trial = store.create(self.trial())
        for number in range(5):
            trial = store.update_status(running(trial, f"Reason{number}"))
        self.settle(lambda: bool(heard) and heard[-1].new == trial)
        assert heard[0].old is None
        assert all(later.old == earlier.new for earlier, later in itertools.pairwise(heard))

    def test_what_a_handler_writes_is_told_after_the_change_at_hand(self, store: Store) -> None:
        def answer(change: Change) -> None:
            if isinstance(change.new, Trial) and not change.new.status.conditions:
                store.update_status(running(change.new))

        before: list[bool] = []
        after: list[bool] = []
        store.subscribe(["Trial"], lambda change: before.append(_has_conditions(change)))
        store.subscribe(["Trial"], answer)
        store.subscribe(["Trial"], lambda change: after.append(_has_conditions(change)))
        store.create(self.trial())
        self.settle(lambda: before == [False, True] and after == [False, True])

    # Events

    def test_equal_events_are_counted(self, store: Store) -> None:
        for time in (1_750_000_000.0, 1_750_000_001.0):
            store.record(self.event("Pulled", time=time))
        store.record(self.event("Failed", time=1_750_000_002.0))
        self.settle(lambda: self.told(store) == [("Pulled", 2, 1_750_000_001.0), ("Failed", 1, 1_750_000_002.0)])

    def test_events_are_found_by_object(self, store: Store) -> None:
        store.record(self.event("A", name="one"))
        store.record(self.event("B", name="two"))
        store.record(self.event("C", name="two", kind="Experiment"))
        self.settle(lambda: len(store.events(namespace=self.namespace)) == 3)
        of_two = store.events(namespace=self.namespace, name="two")
        assert {event.reason for event in of_two} == {"B", "C"}
        (of_trial,) = store.events(namespace=self.namespace, name="two", kind="Trial")
        assert of_trial.reason == "B"
        assert not store.events(namespace="elsewhere")

    def event(self, reason: str, *, name: str = "t", kind: str = "Trial", time: float = 1_750_000_000.0) -> Event:
        """An event."""
        return Event(kind, self.namespace, name, "Normal", reason, "message", time)

    def told(self, store: Store) -> list[tuple[str, int, float]]:
        """Reason, count and time of all events."""
        return [(event.reason, event.count, event.time) for event in store.events(namespace=self.namespace)]


def _has_conditions(change: Change) -> bool:
    return isinstance(change.new, Trial) and bool(change.new.status.conditions)
