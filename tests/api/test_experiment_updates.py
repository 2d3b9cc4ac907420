"""What may be changed in an Experiment that exists, and what is never judged."""

from typing import Any

import msgspec
import pytest
from experiment_samples import DELETE, GOOD, Catalog, edited, read, templates

from pykatib.api.defaults import default_experiment
from pykatib.api.errors import FieldError
from pykatib.api.experiment import Experiment, ExperimentSpec, ExperimentStatus
from pykatib.api.manifest import Document, decode_object
from pykatib.api.meta import Condition
from pykatib.api.validation import validate_experiment


def changed(**changes: Any) -> Experiment:
    value = decode_object(Document(edited(GOOD, changes)))
    assert isinstance(value, Experiment)
    return default_experiment(value)


def ended(experiment: Experiment, kind: str, reason: str, *, trials: int = 6) -> Experiment:
    status = ExperimentStatus(conditions=(Condition(kind, "True", reason),), trials=trials)
    return msgspec.structs.replace(experiment, status=status)


def judged(new: Experiment, old: Experiment) -> dict[str, str]:
    errors = validate_experiment(new, old=old, catalog=Catalog(), templates=templates)
    return {error.path: error.message for error in errors}


RUNNING = msgspec.structs.replace(read(GOOD), status=ExperimentStatus(trials=4))


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.parallelTrialCount": 1},
        {"spec.maxTrialCount": 5},
        {"spec.maxTrialCount": DELETE},
        {"spec.maxFailedTrialCount": 1},
        {"spec.activeDeadlineSeconds": 60},
        {"spec.suspend": True},
        {"metadata.labels": {"a": "b"}},
        {},
    ],
    ids=lambda changes: next(iter(changes), "nothing"),
)
def test_budget_time_limit_and_suspend_may_change(changes: dict[str, Any]) -> None:
    assert judged(changed(**changes), RUNNING) == {}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"spec.objective.goal": 0.5}, "spec.objective"),
        ({"spec.algorithm.algorithmName": "grid"}, "spec.algorithm"),
        ({"spec.parameters[0].feasibleSpace.max": "0.2"}, "spec.parameters"),
        ({"spec.resumePolicy": "LongRunning"}, "spec.resumePolicy"),
        ({"spec.trialTemplate.trialSpec.spec.backoffLimit": 1}, "spec.trialTemplate"),
        ({"spec.trialTemplate.retain": True}, "spec.trialTemplate"),
        ({"spec.metricsCollectorSpec": {"collector": {"kind": "Push"}}}, "spec.metricsCollectorSpec"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_everything_else_stays_as_it_is(changes: dict[str, Any], path: str) -> None:
    found = judged(changed(**changes), RUNNING)

    assert list(found) == [path]
    assert (
        "only activeDeadlineSeconds, maxFailedTrialCount, maxTrialCount, parallelTrialCount, suspend can" in found[path]
    )


def test_all_forbidden_changes_are_told_at_once() -> None:
    changes = {"spec.objective.goal": 0.5, "spec.algorithm.algorithmName": "grid", "spec.parallelTrialCount": 0}

    assert judged(changed(**changes), RUNNING).keys() == {"spec.objective", "spec.algorithm", "spec.parallelTrialCount"}


def test_a_limit_must_leave_room_for_another_trial() -> None:
    assert judged(changed(**{"spec.maxTrialCount": 4}), RUNNING) == {
        "spec.maxTrialCount": "found 4, wanted more than the 4 Trials that there are already"
    }


def test_parallelism_may_be_lowered_once_all_trials_exist() -> None:
    full = msgspec.structs.replace(RUNNING, status=ExperimentStatus(trials=6))

    assert judged(changed(**{"spec.parallelTrialCount": 1}), full) == {}


LONG = {"spec.resumePolicy": "LongRunning"}


@pytest.mark.parametrize("policy", ["LongRunning", "FromVolume"])
def test_an_ended_experiment_is_restarted_with_more_trials(policy: str) -> None:
    stated = {"spec.resumePolicy": policy}
    old = ended(changed(**stated), "Succeeded", "ExperimentMaxTrialsReached")

    assert judged(changed(**stated, **{"spec.maxTrialCount": 9}), old) == {}


def test_a_restart_needs_more_trials() -> None:
    old = ended(changed(**LONG), "Succeeded", "ExperimentMaxTrialsReached")

    assert judged(changed(**LONG, **{"spec.parallelTrialCount": 1}), old).keys() == {"spec.maxTrialCount"}


@pytest.mark.parametrize(
    ("policy", "kind", "reason"),
    [
        ("Never", "Succeeded", "ExperimentMaxTrialsReached"),
        ("LongRunning", "Succeeded", "ExperimentGoalReached"),
        ("LongRunning", "Failed", "ExperimentFailed"),
    ],
    ids=["Never", "goal reached", "failed"],
)
def test_what_cannot_be_restarted_takes_no_change(policy: str, kind: str, reason: str) -> None:
    stated = {"spec.resumePolicy": policy}
    found = judged(changed(**stated, **{"spec.maxTrialCount": 9}), ended(changed(**stated), kind, reason))

    assert list(found) == ["spec.resumePolicy"]
    assert "cannot be restarted" in found["spec.resumePolicy"]


def test_an_object_that_is_being_deleted_is_never_refused() -> None:
    going = msgspec.structs.replace(RUNNING.metadata, deletion_timestamp="2024-01-01T00:00:00Z")
    broken = Experiment(metadata=going, spec=ExperimentSpec())

    assert judged(broken, RUNNING) == {}


def test_an_edit_of_metadata_is_never_refused_even_where_new_rules_would() -> None:
    """A release with a new rule or default must not lock what an older one has let in."""
    stored = msgspec.structs.replace(
        RUNNING, spec=msgspec.structs.replace(RUNNING.spec, max_failed_trial_count=99, resume_policy="")
    )

    assert judged(default_experiment(stored), stored) == {}


def test_the_catalog_is_asked_only_about_what_makes_sense() -> None:
    class Strict(Catalog):
        def check(self, experiment: Experiment) -> list[FieldError]:
            raise AssertionError("asked about a space that makes no sense")

    broken = changed(**{"spec.parameters[0].feasibleSpace.min": "x"})

    assert validate_experiment(broken, catalog=Strict(), templates=templates)
