"""Katib's rules of condition lists: what changes, what moves to the end, what keeps its times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api.conditions import (
    Conditions,
    end_running,
    find_condition,
    is_true,
    set_condition,
    set_terminal,
    state_of,
    without_condition,
)
from pykatib.api.meta import Condition
from pykatib.api.times import rfc3339, rfc3339_micro, seconds_of

NOW, LATER = 1_750_000_000.0, 1_750_000_060.0
NOW_TEXT, LATER_TEXT = "2025-06-15T15:06:40Z", "2025-06-15T15:07:40Z"


def created_and_running() -> Conditions:
    first = set_condition((), "Created", reason="C", message="created", now=NOW)
    return set_condition(first, "Running", reason="R", message="running", now=NOW)


def test_a_new_condition_goes_to_the_end_with_both_times() -> None:
    assert created_and_running()[-1] == Condition("Running", "True", "R", "running", NOW_TEXT, NOW_TEXT)
    assert state_of(created_and_running()) == "Running"
    assert state_of(()) == ""


def test_the_same_status_and_reason_change_nothing_not_even_the_message() -> None:
    before = created_and_running()
    assert set_condition(before, "Created", reason="C", message="other", now=LATER) is before


@pytest.mark.parametrize(
    ("status", "reason", "transition"),
    [
        pytest.param("True", "C2", NOW_TEXT, id="another reason keeps the transition time"),
        pytest.param("False", "C", LATER_TEXT, id="another status is a transition"),
    ],
)
def test_a_changed_condition_moves_to_the_end(status: str, reason: str, transition: str) -> None:
    after = set_condition(created_and_running(), "Created", status=status, reason=reason, message="m", now=LATER)
    assert [condition.type for condition in after] == ["Running", "Created"]
    assert after[-1] == Condition("Created", status, reason, "m", LATER_TEXT, transition)


def test_the_end_turns_running_off_first_and_keeps_its_words() -> None:
    after = set_terminal(created_and_running(), "Succeeded", reason="S", message="done", now=LATER)
    assert [(c.type, c.status, c.reason, c.message) for c in after] == [
        ("Created", "True", "C", "created"),
        ("Running", "False", "R", "running"),
        ("Succeeded", "True", "S", "done"),
    ]
    assert after[1].last_transition_time == LATER_TEXT


def test_ending_what_does_not_run_changes_nothing() -> None:
    once = end_running(created_and_running(), now=LATER)
    assert end_running(once, now=LATER) is once
    assert end_running((), now=LATER) == ()
    assert [c.type for c in set_terminal((), "Failed", reason="F", message="", now=NOW)] == ["Failed"]


KINDS = st.sampled_from(["Created", "Running", "Succeeded", "Failed"])


@given(st.lists(st.tuples(KINDS, st.sampled_from(["True", "False"]), st.sampled_from(["a", "b"]))))
def test_each_type_stands_once_and_the_last_change_stands_last(changes: list[tuple[str, str, str]]) -> None:
    conditions: Conditions = ()
    for moment, (kind, status, reason) in enumerate(changes):
        before = conditions
        conditions = set_condition(conditions, kind, status=status, reason=reason, message="", now=NOW + moment)
        assert (conditions is before) == any((c.type, c.status, c.reason) == (kind, status, reason) for c in before)
        assert conditions is before or conditions[-1].type == kind
        assert is_true(conditions, kind) == (status == "True")
        times = [condition.last_update_time or "" for condition in conditions]
        assert times == sorted(times)
        assert all((c.last_transition_time or "") <= (c.last_update_time or "") for c in conditions)
    assert len({condition.type for condition in conditions}) == len(conditions)


def test_a_condition_can_be_taken_out() -> None:
    left = without_condition(created_and_running(), "Running")
    assert find_condition(left, "Running") is None
    assert find_condition(left, "Created") is not None
    assert not is_true(left, "Running")


# Moments


@given(st.integers(0, 4_000_000_000))
def test_whole_seconds_survive_their_text(seconds: int) -> None:
    assert seconds_of(rfc3339(seconds)) == seconds
    assert seconds_of(rfc3339_micro(seconds + 0.25)) == seconds + 0.25


@pytest.mark.parametrize("text", ["2025-06-15T15:06:40", "2025-06-15", "yesterday", "", "12"])
def test_a_text_that_names_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        seconds_of(text)


def test_other_zones_and_fractions_are_read() -> None:
    assert seconds_of("2025-06-15T17:06:40.5+02:00") == NOW + 0.5
