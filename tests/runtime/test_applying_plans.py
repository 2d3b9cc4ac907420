"""Plans against a store: what is there already or gone already is fine, a conflict ends the plan."""

import pytest

from pykatib.api.errors import Conflict
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import ConfigMap
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial, TrialSpec, TrialStatus
from pykatib.control.plan import Create, Delete, ForgetObservations, Plan, Tell, Update, UpdateStatus
from pykatib.runtime.apply import Applier
from pykatib.runtime.clock import ManualClock, SystemClock
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore


class Place:
    def __init__(self) -> None:
        self.store = MemoryStore(ManualClock().now)
        self.observations = MemoryObservationStore()
        self.applier = Applier(self.store, self.observations)

    def apply(self, *actions: Create | Update | UpdateStatus | Delete | ForgetObservations | Tell) -> None:
        self.applier.apply(Plan(actions), 5.0)


def config_map(**data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name="c", namespace="ns"), data=data)


def trial() -> Trial:
    return Trial(metadata=ObjectMeta(name="t", namespace="ns"), spec=TrialSpec())


def test_actions_are_done_in_their_order() -> None:
    place = Place()
    made = place.store.create(trial())
    place.apply(
        UpdateStatus(Trial(metadata=made.metadata, spec=made.spec, status=TrialStatus(start_time="now"))),
        Create(config_map(a="1")),
        Tell(made.reference, "Normal", "R", "m"),
    )
    found = place.store.get(made.reference)
    assert isinstance(found, Trial)
    assert found.status.start_time == "now"
    assert place.store.find(config_map().reference) is not None
    [event] = place.store.events(namespace="ns", name="t")
    assert (event.reason, event.time) == ("R", 5.0)


def test_what_exists_already_is_left_as_it_is() -> None:
    place = Place()
    place.apply(Create(config_map(a="1")))
    place.apply(Create(config_map(a="2")))
    found = place.store.get(config_map().reference)
    assert isinstance(found, ConfigMap)
    assert found.data == {"a": "1"}


def test_deleting_what_is_gone_or_another_is_fine() -> None:
    place = Place()
    place.apply(Delete(trial().reference, "gone"))
    made = place.store.create(trial())
    place.apply(Delete(made.reference, "another"))
    assert place.store.find(made.reference) is not None
    place.apply(Delete(made.reference, made.metadata.uid))
    assert place.store.find(made.reference) is None


@pytest.mark.parametrize("action", [Update, UpdateStatus])
def test_a_conflict_ends_the_plan(action: type[Update] | type[UpdateStatus]) -> None:
    place = Place()
    old = place.store.create(trial())
    place.store.update_status(Trial(metadata=old.metadata, spec=old.spec, status=TrialStatus(start_time="x")))
    with pytest.raises(Conflict):
        place.apply(action(old), Create(config_map()))
    assert place.store.find(config_map().reference) is None


def test_logs_are_forgotten() -> None:
    place = Place()
    place.observations.report("ns", "t", [MetricLog(1.0, "loss", "1")])
    place.apply(ForgetObservations("ns", "t"), ForgetObservations("ns", "never there"))
    assert list(place.observations.logs("ns", "t")) == []


def test_clocks_do_not_go_back() -> None:
    clock = SystemClock()
    moments = [clock.now() for _ in range(100)]
    assert moments == sorted(moments)
    manual = ManualClock(10.0)
    manual.advance(2.5)
    assert manual.now() == 12.5
