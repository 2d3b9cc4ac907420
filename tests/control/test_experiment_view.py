"""A view that was told of every change equals one that is built from the Trials."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from planner_samples import assignments, experiment, in_state, objective, observation, trials_of, view_of

from pykatib.api import names
from pykatib.api.conditions import set_condition
from pykatib.api.sequences import AppendLog
from pykatib.api.trial import Trial
from pykatib.control.view import FINISHED_STATES, ExperimentView, is_finished, trial_state

STATES = ("Pending", names.RUNNING, *FINISHED_STATES)
TRIALS = trials_of(experiment(), ["Pending"] * 12)
VALUES = st.sampled_from(["1", "1.0", "0.5", "2", "nan", "-inf", "inf", "cell-a", "cell-b", "unavailable"])


def facts(view: ExperimentView) -> dict[str, object]:
    """What the planner can see of a view; the order of ends, which a fresh view cannot know, left out."""
    best = view.best
    return {
        "counts": {state: view.count(state) for state in STATES},
        "names": {state: frozenset(view.finished_names(state)) for state in FINISHED_STATES},
        "active names": {state: frozenset(view.active_names(state)) for state in ("Pending", names.RUNNING)},
        "active": [trial.metadata.name for trial in view.active_trials()],
        "active specs": [trial.spec.stop for trial in view.active_trials()],
        "stopped": view.stopped_count,
        "totals": (view.trial_count, view.active_count, view.finished_count),
        "history": sorted(trial.metadata.name for trial in view.history),
        "best": None if best is None else best.metadata.name,
        "best value": repr(view.best_value),
        "optimal": view.optimal_trial(),
    }


class ViewMachine(RuleBasedStateMachine):
    """Trials come, change state, are mended, stopped, deleted and made anew; some changes are told twice."""

    def __init__(self) -> None:
        super().__init__()
        self.view = ExperimentView()
        self.trials: dict[str, Trial] = {}
        self.uid = 0
        self.known = AppendLog(assignments(len(TRIALS)))

    def tell(self, old: Trial | None, new: Trial | None, *, twice: bool) -> None:
        for _ in range(1 + twice):
            self.view.apply(old, new)

    @precondition(lambda self: len(self.trials) < len(TRIALS))
    @rule(index=st.integers(0, len(TRIALS) - 1), twice=st.booleans())
    def create(self, index: int, twice: bool) -> None:
        trial = TRIALS[index]
        if trial.metadata.name in self.trials:
            return
        self.uid += 1
        trial = msgspec.structs.replace(trial, metadata=msgspec.structs.replace(trial.metadata, uid=f"u{self.uid}"))
        self.trials[trial.metadata.name] = trial
        self.tell(None, trial, twice=twice)

    def change(self, place: int, changed: Trial, *, twice: bool) -> None:
        old = list(self.trials.values())[place]
        self.trials[old.metadata.name] = changed
        self.tell(old, changed, twice=twice)

    def pick(self, place: int) -> Trial:
        return list(self.trials.values())[place % len(self.trials)]

    @precondition(lambda self: self.trials)
    @rule(place=st.integers(0, 11), state=st.sampled_from(STATES), value=VALUES | st.none(), twice=st.booleans())
    def move(self, place: int, state: str, value: str | None, twice: bool) -> None:
        old = self.pick(place)
        self.change(place % len(self.trials), in_state(old, state, value), twice=twice)

    @precondition(lambda self: self.trials)
    @rule(place=st.integers(0, 11), value=VALUES)
    def mend(self, place: int, value: str) -> None:
        old = self.pick(place)
        status = msgspec.structs.replace(old.status, observation=observation(value))
        self.change(place % len(self.trials), msgspec.structs.replace(old, status=status), twice=False)

    @precondition(lambda self: self.trials)
    @rule(place=st.integers(0, 11), stop=st.sampled_from(["", names.STOP_KILL, names.STOP_SUSPEND]))
    def stop(self, place: int, stop: str) -> None:
        old = self.pick(place)
        spec = msgspec.structs.replace(old.spec, stop=stop)
        self.change(place % len(self.trials), msgspec.structs.replace(old, spec=spec), twice=False)

    @precondition(lambda self: self.trials)
    @rule(place=st.integers(0, 11), twice=st.booleans(), unheard=st.booleans())
    def delete(self, place: int, twice: bool, unheard: bool) -> None:
        old = self.pick(place)
        del self.trials[old.metadata.name]
        if unheard:  # deleted and made anew while nobody listened
            self.uid += 1
            meta = msgspec.structs.replace(old.metadata, uid=f"u{self.uid}")
            new = in_state(msgspec.structs.replace(old, metadata=meta), "Pending")
            self.trials[old.metadata.name] = new
            self.tell(None, new, twice=twice)
        else:
            self.tell(old, None, twice=twice)

    @invariant()
    def it_equals_a_view_built_anew(self) -> None:
        fresh = view_of(self.trials.values())
        assert facts(self.view) == facts(fresh)

    @invariant()
    def it_knows_which_assignments_have_no_trial(self) -> None:
        missing = [each.name for each in self.known if each.name not in self.trials]
        for limit in (1, 3, 99):
            assert [each.name for each in self.view.unstarted(self.known, limit)] == missing[:limit]


ViewMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestView = ViewMachine.TestCase


@pytest.mark.parametrize(
    ("kind", "values", "best"),
    [
        pytest.param("minimize", ["2", "1", "1"], "e-1", id="ties keep the earlier"),
        pytest.param("maximize", ["1", "2", "2.0"], "e-1", id="ties keep the earlier, maximize"),
        pytest.param("minimize", ["nan", "3", "nan"], "e-1", id="any number beats NaN that came first"),
        pytest.param("minimize", ["nan", "nan"], "e-0", id="NaN is better than nothing"),
        pytest.param("minimize", ["a", "b", "c"], "e-2", id="of texts the last"),
        pytest.param("minimize", ["a", "7", "b"], "e-1", id="a number beats texts"),
        pytest.param("minimize", ["inf", "-inf"], "e-1", id="infinities"),
        pytest.param("minimize", ["unavailable"], None, id="unavailable is no value"),
    ],
)
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "ends in reverse order"])
def test_the_best_trial_does_not_depend_on_the_order_of_ends(
    kind: str, values: list[str], best: str | None, *, backwards: bool
) -> None:
    trials = trials_of(experiment(objective=objective(kind=kind)), ["Pending"] * len(values))
    view = view_of(trials)
    done = [in_state(trial, names.SUCCEEDED, value) for trial, value in zip(trials, values, strict=True)]
    for trial in reversed(done) if backwards else done:
        view.apply(None, trial)
    assert (None if view.best is None else view.best.metadata.name) == best


def test_only_succeeded_and_early_stopped_trials_can_be_best() -> None:
    trials = trials_of(experiment(), list(FINISHED_STATES))
    values = {
        names.SUCCEEDED: "5",
        names.EARLY_STOPPED: "4",
        names.FAILED: "1",
        names.KILLED: "2",
        names.METRICS_UNAVAILABLE: "3",
    }
    view = view_of(in_state(trial, state, values[state]) for trial, state in zip(trials, FINISHED_STATES, strict=True))
    assert view.best_value == 4.0


def test_lists_are_in_the_order_of_ends() -> None:
    trials = trials_of(experiment(), ["Pending"] * 3)
    view = view_of(trials)
    for index in (2, 0, 1):
        view.apply(trials[index], in_state(trials[index], names.SUCCEEDED, "1"))
    assert list(view.finished_names(names.SUCCEEDED)) == ["e-2", "e-0", "e-1"]
    assert [trial.metadata.name for trial in view.history] == ["e-2", "e-0", "e-1"]


def test_history_tells_when_its_positions_no_longer_hold() -> None:
    trials = trials_of(experiment(), [names.SUCCEEDED] * 3, value="1")
    view = view_of(trials)
    before = view.removal_count
    view.apply(trials[1], None)
    assert view.removal_count > before
    assert [trial.metadata.name for trial in view.history] == ["e-0", "e-2"]


def test_a_late_word_of_a_deletion_does_not_take_the_successor_away() -> None:
    [trial] = trials_of(experiment(), ["Pending"])
    view = view_of([trial])
    successor = msgspec.structs.replace(trial, metadata=msgspec.structs.replace(trial.metadata, uid="new"))
    view.apply(None, successor)
    view.apply(trial, None)
    assert "e-0" in view


@given(st.lists(st.sampled_from(STATES[1:]), max_size=4))
def test_a_trials_state_is_the_first_in_katibs_order(kinds: list[str]) -> None:
    conditions = ()
    for kind in kinds:
        conditions = set_condition(conditions, kind, reason="r", message="", now=0)  # type: ignore[assignment]
    [trial] = trials_of(experiment(), ["Pending"])
    status = msgspec.structs.replace(trial.status, conditions=conditions, completion_time="now")
    trial = msgspec.structs.replace(trial, status=status)
    order = ("Killed", "Failed", "Succeeded", "EarlyStopped", "Running", "MetricsUnavailable")
    assert trial_state(trial) == next((kind for kind in order if kind in kinds), "Pending")
    assert is_finished(trial) == (trial_state(trial) not in ("Running", "Pending"))


def test_an_early_stop_that_was_only_announced_does_not_count_yet() -> None:
    [trial] = trials_of(experiment(), [names.EARLY_STOPPED], value="1")
    announced = msgspec.structs.replace(trial, status=msgspec.structs.replace(trial.status, completion_time=None))
    assert (trial_state(announced), trial_state(trial)) == ("Pending", "EarlyStopped")


def test_an_empty_view_has_no_best() -> None:
    view = ExperimentView()
    assert view.optimal_trial() is None
    assert math.isnan(view.best_value)
