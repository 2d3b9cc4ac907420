"""A Suggestion whose algorithm is a service: what it keeps for it, and its conditions while one is made for it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planner_samples import NOW, experiment, suggestion

from pykatib.api import names
from pykatib.api.conditions import set_terminal
from pykatib.api.shared import EarlyStoppingRule, ParameterAssignment, Setting
from pykatib.api.suggestion import Suggestion, SuggestionStatus
from pykatib.control.suggestion_plan import (
    Proposed,
    deployment_status,
    failed_status,
    is_settled,
    settled_status,
    was_deployed,
    with_proposals,
)

PROPOSED = Proposed((ParameterAssignment("lr", "0.1"),))
RULE = EarlyStoppingRule("loss", "1", "greater", 4)


def with_status(status: SuggestionStatus, requests: int = 2) -> Suggestion:
    """A Suggestion with that status."""
    return msgspec.structs.replace(suggestion(experiment(), 0, requests=requests), status=status)


def told(status: SuggestionStatus) -> list[tuple[str, str, str]]:
    """The conditions in their order."""
    return [(each.type, each.status, each.reason) for each in status.conditions]


def waiting() -> SuggestionStatus:
    """The status of a new Suggestion whose Deployment is not ready."""
    new = with_status(SuggestionStatus())
    return deployment_status(settled_status(new, experiment(), NOW), is_ready=False, now=NOW)


CREATED = ("Created", "True", "SuggestionCreated")
NOT_READY = ("DeploymentReady", "False", "DeploymentNotReady")
READY = ("DeploymentReady", "True", "DeploymentReady")
RUNNING = ("Running", "True", "SuggestionRunning")


def test_it_runs_when_its_deployment_is_ready_and_not_before() -> None:
    status = waiting()
    assert told(status) == [CREATED, NOT_READY]
    again = settled_status(with_status(status), experiment(), NOW + 5)
    assert again is status
    assert told(deployment_status(status, is_ready=True, now=NOW)) == [CREATED, READY, RUNNING]


def test_one_that_has_proposed_runs_on_while_its_deployment_is_away() -> None:
    ready = with_status(deployment_status(waiting(), is_ready=True, now=NOW))
    proposed = with_proposals(ready, experiment(), [PROPOSED], wanted=1)
    assert told(deployment_status(proposed, is_ready=False, now=NOW)) == [CREATED, RUNNING, NOT_READY]


def test_being_told_the_same_twice_changes_nothing() -> None:
    for is_ready in (False, True):
        status = deployment_status(waiting(), is_ready=is_ready, now=NOW)
        assert deployment_status(status, is_ready=is_ready, now=NOW + 9) == status


@pytest.mark.parametrize("policy", [names.NEVER, names.FROM_VOLUME])
def test_the_end_of_the_experiment_is_the_last_word(policy: str) -> None:
    of = experiment(resume_policy=policy)
    conditions = set_terminal((), names.SUCCEEDED, reason=names.EXPERIMENT_GOAL_REACHED, message="", now=NOW)
    of = msgspec.structs.replace(of, status=msgspec.structs.replace(of.status, conditions=conditions))
    found = with_status(deployment_status(waiting(), is_ready=True, now=NOW))
    found = msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, resume_policy=policy))
    status = settled_status(found, of, NOW)
    assert told(status)[-1] == ("Succeeded", "True", "Experiment is succeeded")
    assert ("DeploymentReady", "False", "Suggestion is succeeded") in told(status)
    assert is_settled(status)
    assert was_deployed(with_status(status))


def test_a_failure_is_the_last_word_too() -> None:
    status = failed_status(with_status(waiting()), "Validation failed: no", NOW)
    assert told(status) == [
        CREATED,
        ("DeploymentReady", "False", "Suggestion is succeeded"),
        ("Failed", "True", "SuggestionFailed"),
    ]
    assert is_settled(status)


def test_rules_go_to_every_trial_of_the_answer() -> None:
    status = with_proposals(
        with_status(SuggestionStatus()), experiment(), [PROPOSED, PROPOSED], wanted=2, rules=(RULE,)
    )
    assert [each.early_stopping_rules for each in status.suggestions] == [(RULE,), (RULE,)]


_SETTINGS = st.lists(st.builds(Setting, st.sampled_from("abc"), st.text(max_size=2)), max_size=4)


@given(_SETTINGS, _SETTINGS)
def test_settings_are_kept_by_name_and_the_latest_counts(first: list[Setting], second: list[Setting]) -> None:
    once = with_proposals(with_status(SuggestionStatus()), experiment(), [], wanted=0, settings=first)
    twice = with_proposals(with_status(once), experiment(), [], wanted=0, settings=second)
    kept = {each.name: each.value for each in twice.algorithm_settings}
    assert kept == {each.name: each.value for each in (*first, *second)}
    assert len(twice.algorithm_settings) == len(kept)
