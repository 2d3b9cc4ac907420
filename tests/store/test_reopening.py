"""A SqliteStore that is closed and opened at any point is the MemoryStore that lived through it all."""

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from pykatib.api.errors import PykatibError
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import Event, Object
from pykatib.api.shared import MetricLog
from pykatib.api.suggestion import Suggestion, SuggestionSpec, TrialAssignment
from pykatib.api.trial import Trial, TrialSpec
from pykatib.store.conformance import owned_by, running
from pykatib.store.memory import MemoryStore
from pykatib.store.observations import MemoryObservationStore
from pykatib.store.sqlite import SqliteStore

NAMES = st.sampled_from(["a", "b", "c"])
KINDS = st.sampled_from(["Suggestion", "Trial"])


class Reopening(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.uids = itertools.count()
        self.now = 1_750_000_000.0
        self.memory = MemoryStore(lambda: self.now, self.counted(itertools.count()))
        self.memory_logs = MemoryObservationStore()
        self.uid = self.counted(itertools.count())
        self.sqlite = SqliteStore(self.folder / "katib.db", lambda: self.now, self.uid)

    def counted(self, count: "itertools.count[int]") -> Any:
        return lambda: f"uid-{next(count)}"

    def teardown(self) -> None:
        self.sqlite.close()
        shutil.rmtree(self.folder)

    def both(self, method: str, *arguments: Any, **options: Any) -> None:
        """The same call to both, with the same outcome."""
        outcomes: list[object] = []
        for store in (self.memory, self.sqlite):
            try:
                outcomes.append(getattr(store, method)(*arguments, **options))
            except PykatibError as error:
                outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1]

    def found(self, kind: str, name: str) -> Object | None:
        return next((obj for obj in self.memory.list(kind) if obj.metadata.name == name), None)

    @rule(kind=KINDS, name=NAMES, owner=st.none() | NAMES, finalizers=st.sampled_from([(), ("hold",)]))
    def create(self, kind: str, name: str, owner: str | None, finalizers: tuple[str, ...]) -> None:
        parent = None if owner is None else self.found("Suggestion", owner)
        owners = () if parent is None else owned_by(parent)
        meta = ObjectMeta(name, namespace="n", owner_references=owners, finalizers=finalizers)
        if kind == "Trial":
            self.both("create", Trial(metadata=meta, spec=TrialSpec()))
        else:
            self.both("create", Suggestion(metadata=meta, spec=SuggestionSpec()))

    @rule(kind=KINDS, name=NAMES, value=st.sampled_from(["x", "y"]))
    def relabel(self, kind: str, name: str, value: str) -> None:
        if (obj := self.found(kind, name)) is not None:
            self.both("update", replace(obj, metadata=replace(obj.metadata, labels={"l": value})))

    @rule(kind=KINDS, name=NAMES)
    def release(self, kind: str, name: str) -> None:
        if (obj := self.found(kind, name)) is not None:
            left = tuple(finalizer for finalizer in obj.metadata.finalizers if finalizer != "hold")
            self.both("update", replace(obj, metadata=replace(obj.metadata, finalizers=left)))

    @rule(name=NAMES, reason=st.sampled_from(["x", "y"]))
    def change_trial(self, name: str, reason: str) -> None:
        obj = self.found("Trial", name)
        if isinstance(obj, Trial):
            self.both("update_status", running(obj, reason))

    @rule(name=NAMES, keep=st.integers(0, 3), more=st.lists(NAMES, max_size=3), back=st.booleans())
    def propose(self, name: str, keep: int, more: list[str], back: bool) -> None:
        # Each store is given a log that grew from its own, so that the file sees extensions and branches alike.
        for store in (self.memory, self.sqlite):
            for obj in store.list("Suggestion"):
                if isinstance(obj, Suggestion) and obj.metadata.name == name:
                    log = obj.status.suggestions
                    if back:
                        log = type(log)(log[:keep])
                    log = log.extend(TrialAssignment(entry) for entry in more)
                    store.update_status(replace(obj, status=replace(obj.status, suggestions=log)))

    @rule(kind=KINDS, name=NAMES, propagation=st.sampled_from(["Background", "Foreground"]))
    def delete(self, kind: str, name: str, propagation: str) -> None:
        if (obj := self.found(kind, name)) is not None:
            self.both("delete", obj.reference, propagation=propagation)

    @rule(name=NAMES, logs=st.lists(st.tuples(st.integers(0, 3), NAMES, NAMES), max_size=4))
    def report(self, name: str, logs: list[tuple[int, str, str]]) -> None:
        for observations in (self.memory_logs, self.sqlite.observations):
            observations.report("n", name, [MetricLog(float(time), metric, value) for time, metric, value in logs])

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        for observations in (self.memory_logs, self.sqlite.observations):
            observations.delete("n", name)

    @rule(name=NAMES, reason=NAMES)
    def record(self, name: str, reason: str) -> None:
        self.now += 1
        self.both("record", Event("Trial", "n", name, "Normal", reason, "", self.now))

    @rule()
    def flush(self) -> None:
        self.sqlite.flush()

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = SqliteStore(self.folder / "katib.db", lambda: self.now, self.uid)

    @invariant()
    def equal(self) -> None:
        for kind in ("Suggestion", "Trial"):
            assert self.memory.list(kind) == self.sqlite.list(kind)
        assert self.memory.events(namespace="n") == self.sqlite.events(namespace="n")
        for name in ("a", "b", "c"):
            assert [*self.memory_logs.logs("n", name)] == [*self.sqlite.observations.logs("n", name)]
            assert self.memory_logs.latest("n", name) == self.sqlite.observations.latest("n", name)


TestReopening = Reopening.TestCase
TestReopening.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
