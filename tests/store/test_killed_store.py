"""kill -9 at any instant: what was announced as flushed is there, and what is there is consistent."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pykatib.api.suggestion import Suggestion
from pykatib.store.sqlite import SqliteStore

WRITER = """
import sys
from pathlib import Path
from msgspec.structs import replace
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import MetricLog
from pykatib.api.suggestion import Suggestion, SuggestionSpec, TrialAssignment
from pykatib.api.trial import Trial, TrialSpec
from pykatib.store.conformance import owned_by, running
from pykatib.store.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]), lambda: 0.0)
found = store.list("Suggestion")
suggestion = found[0] if found else store.create(
    Suggestion(metadata=ObjectMeta("s", namespace="default"), spec=SuggestionSpec())
)
first = len(suggestion.status.suggestions)
for number in range(first, first + 1_000_000):
    name = f"t-{number}"
    log = suggestion.status.suggestions.append(TrialAssignment(name))
    suggestion = store.update_status(replace(suggestion, status=replace(suggestion.status, suggestions=log)))
    meta = ObjectMeta(name, namespace="default", owner_references=owned_by(suggestion))
    trial = store.create(Trial(metadata=meta, spec=TrialSpec()))
    store.observations.report("default", name, [MetricLog(float(step), "loss", str(step)) for step in range(5)])
    store.update_status(running(trial, "Reported"))
    if number % 7 == 0:
        store.flush()
        print(number, flush=True)
    if number % 50 == 0:
        store.sync()
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_store_has_what_it_announced_and_is_consistent(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "katib.db"
    chance = random.Random(seed)
    for _ in range(3):
        announced = run_and_kill(path, lines=chance.randint(1, 40), pause=chance.random() * 0.02)
        store = SqliteStore(path, lambda: 0.0)
        try:
            check(store, announced)
        finally:
            store.close()


def run_and_kill(path: Path, *, lines: int, pause: float) -> int:
    """The last number that a writer announced before it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        announced = [writer.stdout.readline() for _ in range(lines)]
        time.sleep(pause)  # so that it does not always die right after a commit
        writer.kill()
        announced += writer.stdout.read().splitlines(keepends=True)
        assert writer.stderr.read() == ""
    return max(int(line) for line in announced if line.endswith("\n"))


def check(store: SqliteStore, announced: int) -> None:
    (suggestion,) = store.list("Suggestion")
    assert isinstance(suggestion, Suggestion)
    proposed = [entry.name for entry in suggestion.status.suggestions]
    trials = store.list("Trial")
    assert len(proposed) > announced
    assert proposed == [f"t-{number}" for number in range(len(proposed))]
    assert [trial.metadata.name for trial in trials] == proposed
    assert {owner.uid for trial in trials for owner in trial.metadata.owner_references} == {suggestion.metadata.uid}
    versions = [int(obj.metadata.resource_version) for obj in (*trials, suggestion)]
    assert len({*versions}) == len(versions)
    for name in proposed:
        assert [log.value for log in store.observations.logs("default", name)] == ["0", "1", "2", "3", "4"]
