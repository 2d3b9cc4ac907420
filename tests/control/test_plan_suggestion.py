"""What a Suggestion does next: its conditions, how many assignments it lacks, the names of Trials."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planner_samples import NOW, NOW_TEXT, experiment, suggestion

from pykatib.api import names
from pykatib.api.conditions import set_condition, set_terminal
from pykatib.api.experiment import Experiment
from pykatib.api.sequences import EMPTY_LOG
from pykatib.api.shared import ParameterAssignment
from pykatib.api.suggestion import Suggestion, SuggestionStatus
from pykatib.control.suggestion_plan import (
    Proposed,
    failed_status,
    missing_count,
    settled_status,
    trial_name,
    with_proposals,
)


def with_status(given: Suggestion, status: SuggestionStatus) -> Suggestion:
    return msgspec.structs.replace(given, status=status)


def ended(of: Experiment, kind: str = names.SUCCEEDED) -> Experiment:
    conditions = set_terminal((), kind, reason=names.EXPERIMENT_MAX_TRIALS_REACHED, message="", now=NOW)
    return msgspec.structs.replace(of, status=msgspec.structs.replace(of.status, conditions=conditions))


def fresh(of: Experiment, requests: int = 3) -> Suggestion:
    return with_status(suggestion(of, 0, requests=requests), SuggestionStatus())


def told(status: SuggestionStatus) -> list[tuple[str, str, str, str]]:
    return [(c.type, c.status, c.reason, c.message) for c in status.conditions]


CREATED = ("Created", "True", "SuggestionCreated", "Suggestion is created")


def test_a_new_suggestion_is_created_and_runs() -> None:
    status = settled_status(fresh(experiment()), experiment(), NOW)
    assert told(status) == [CREATED, ("Running", "True", "SuggestionRunning", "Suggestion is running")]
    assert status.start_time == NOW_TEXT


def test_settling_twice_changes_nothing() -> None:
    first = settled_status(fresh(experiment()), experiment(), NOW)
    assert settled_status(with_status(fresh(experiment()), first), experiment(), NOW + 9) is first


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        pytest.param(names.NEVER, "Suggestion is succeeded, can't be restarted", id="Never"),
        pytest.param(
            names.FROM_VOLUME,
            "Suggestion is succeeded, suggestion volume is not deleted, can be restarted",
            id="FromVolume",
        ),
    ],
)
@pytest.mark.parametrize("kind", [names.SUCCEEDED, names.FAILED])
def test_it_succeeds_with_the_end_of_its_experiment(policy: str, message: str, kind: str) -> None:
    of = experiment(resume_policy=policy)
    running = with_status(fresh(of), settled_status(fresh(of), of, NOW))
    status = settled_status(running, ended(of, kind), NOW)
    assert told(status) == [
        CREATED,
        ("Running", "False", "Suggestion is succeeded", "Suggestion is not running"),
        ("Succeeded", "True", "Experiment is succeeded", message),
    ]
    assert status.completion_time == NOW_TEXT


def test_a_long_running_one_goes_on_after_the_end_of_its_experiment() -> None:
    of = experiment(resume_policy=names.LONG_RUNNING)
    running = with_status(fresh(of), settled_status(fresh(of), of, NOW))
    assert settled_status(running, ended(of), NOW) is running.status


def test_it_runs_again_when_its_experiment_is_restarted() -> None:
    of = experiment(resume_policy=names.FROM_VOLUME)
    done = with_status(fresh(of), settled_status(fresh(of), ended(of), NOW))
    status = settled_status(done, of, NOW)
    assert told(status) == [CREATED, ("Running", "True", "SuggestionRunning", "Suggestion is running")]
    assert status.completion_time is None


def test_a_failed_one_stays_failed() -> None:
    of = experiment(resume_policy=names.NEVER)
    failed = with_status(fresh(of), failed_status(fresh(of), "Validation failed: no", NOW))
    assert told(failed.status) == [("Failed", "True", "SuggestionFailed", "Validation failed: no")]
    assert settled_status(failed, ended(of), NOW) is failed.status
    assert settled_status(failed, of, NOW) is failed.status


@pytest.mark.parametrize(
    ("given_suggestion", "given_experiment", "count"),
    [
        pytest.param(fresh(experiment()), experiment(), 3, id="all"),
        pytest.param(suggestion(experiment(), 2, requests=5), experiment(), 3, id="the rest"),
        pytest.param(suggestion(experiment(), 5, requests=2), experiment(), 0, id="more than wanted"),
        pytest.param(suggestion(experiment(), 0, requests=3, exhausted=True), experiment(), 0, id="exhausted"),
        pytest.param(suggestion(experiment(), 0, requests=3, failed="no"), experiment(), 0, id="failed"),
        pytest.param(fresh(experiment()), ended(experiment()), 0, id="experiment ended"),
        pytest.param(fresh(experiment()), experiment(suspend=True), 0, id="experiment suspended"),
        pytest.param(fresh(experiment()), experiment(deleting=True), 0, id="experiment being deleted"),
    ],
)
def test_assignments_are_missing_while_more_are_wanted(
    given_suggestion: Suggestion, given_experiment: Experiment, count: int
) -> None:
    assert missing_count(given_suggestion, given_experiment) == count


def proposals(count: int) -> list[Proposed]:
    return [Proposed((ParameterAssignment("x", str(index)),), {"n": str(index)}) for index in range(count)]


@pytest.mark.parametrize(("answered", "kept", "exhausted"), [(3, 3, False), (2, 2, True), (0, 0, True), (5, 3, False)])
def test_an_answer_is_appended_and_a_short_one_is_the_last(answered: int, kept: int, *, exhausted: bool) -> None:
    given_suggestion = suggestion(experiment(), 2, requests=5)
    status = with_proposals(given_suggestion, experiment(), proposals(answered), wanted=3)
    assert (status.suggestion_count, len(status.suggestions), status.exhausted) == (2 + kept, 2 + kept, exhausted)
    assert status.suggestions.since(0)[:2] == given_suggestion.status.suggestions.since(0)
    assert [a.labels for a in status.suggestions.since(2)] == [{"n": str(index)} for index in range(kept)]
    if not answered:
        assert status.suggestions is given_suggestion.status.suggestions


def test_asking_again_gives_the_same_names() -> None:
    given_suggestion = suggestion(experiment(), 2, requests=5)
    first = with_proposals(given_suggestion, experiment(), proposals(3), wanted=3)
    one_by_one = given_suggestion
    for index in range(3):
        status = with_proposals(one_by_one, experiment(), proposals(3)[index : index + 1], wanted=1)
        one_by_one = with_status(one_by_one, status)
    assert one_by_one.status.suggestions == first.suggestions


def test_a_suggestion_that_was_deleted_comes_back_with_the_names_it_had() -> None:
    whole = with_proposals(fresh(experiment(), 9), experiment(), proposals(9), wanted=9)
    again = with_proposals(fresh(experiment(), 4), experiment(), proposals(4), wanted=4)
    assert again.suggestions.since(0) == whole.suggestions.since(0)[:4]
    assert fresh(experiment()).status.suggestions is EMPTY_LOG


@given(st.uuids().map(str), st.integers(0, 10_000))
def test_names_are_katibs_and_never_meet(uid: str, start: int) -> None:
    made = [trial_name("e", uid, index) for index in range(start, start + 200)]
    assert len({*made}) == len(made)
    assert all(len(name) == len("e-") + 8 and {*name[2:]} <= {*names.NAME_ALPHABET} for name in made)


@given(st.uuids().map(str))
def test_names_far_apart_do_not_meet_either(uid: str) -> None:
    for distance in (3**23, 2 * 3**23, 3**22):
        assert trial_name("e", uid, 0) != trial_name("e", uid, distance)


def test_no_two_of_many_trials_share_a_name_and_experiments_differ() -> None:
    made = {trial_name("e", "u", index) for index in range(100_000)}
    assert len(made) == 100_000
    assert trial_name("e", "u", 0) != trial_name("e", "v", 0)


def test_a_condition_that_holds_already_is_not_written_again() -> None:
    once = set_condition((), "Running", reason="r", message="m", now=NOW)
    assert set_condition(once, "Running", reason="r", message="another", now=NOW + 5) is once
