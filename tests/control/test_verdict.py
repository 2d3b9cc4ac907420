"""A worker job's state by the two conditions of its Trial."""

from typing import Any

import msgspec
import pytest
from planner_samples import FAILURE, SUCCESS

from pykatib.api.defaults import FITTING_CONDITIONS
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import WorkerJob
from pykatib.control.verdict import Verdict, judge


def judged(status: Any, success: str = SUCCESS, failure: str = FAILURE) -> Verdict:
    raw = msgspec.Raw(msgspec.json.encode(status))
    job = WorkerJob(api_version="v1", kind="X", metadata=ObjectMeta(name="j", labels={"a": "b"}), status=raw)
    return judge(job, success_condition=success, failure_condition=failure)


def condition(kind: str, status: str = "True", **words: str) -> dict[str, str]:
    return {"type": kind, "status": status, **words}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        # Since 1.31 a Job says what it will come to while its pods still end.
        pytest.param({"conditions": [condition("SuccessCriteriaMet")]}, Verdict("running"), id="about to succeed"),
        pytest.param({"conditions": [condition("FailureTarget")]}, Verdict("running"), id="about to fail"),
        pytest.param(
            {"conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}, Verdict("succeeded"), id="1.31"
        ),
        pytest.param(
            {"conditions": [condition("FailureTarget", reason="a"), condition("Failed", reason="R")]},
            Verdict("failed", "R"),
            id="failed, 1.31",
        ),
        pytest.param({}, Verdict("running"), id="no status"),
        pytest.param({"conditions": []}, Verdict("running"), id="no conditions"),
        pytest.param({"conditions": [condition("Complete")]}, Verdict("succeeded"), id="complete"),
        pytest.param({"conditions": [condition("Complete", "False")]}, Verdict("running"), id="not complete yet"),
        pytest.param(
            {"conditions": [condition("Failed", reason="R", message="M")]}, Verdict("failed", "R", "M"), id="failed"
        ),
        pytest.param({"conditions": [condition("Complete"), condition("Failed")]}, Verdict("failed"), id="both"),
        pytest.param({"conditions": "none"}, Verdict("running"), id="another shape"),
        pytest.param({"conditions": [condition("Complete", reason=None)]}, Verdict("succeeded"), id="null reason"),  # type: ignore[arg-type]
    ],
)
def test_the_default_conditions_of_a_job(status: Any, expected: Verdict) -> None:
    assert judged(status) == expected


@pytest.mark.parametrize(
    ("status", "success", "state"),
    [
        pytest.param({"phase": "Succeeded"}, 'status.[@this].#(phase=="Succeeded")#', "succeeded", id="Argo"),
        pytest.param({"succeeded": 1}, "status.[@this].#(succeeded==1)", "succeeded", id="a number, first match"),
        pytest.param({"succeeded": 2}, "status.[@this].#(succeeded==1)", "running", id="another number"),
        pytest.param({"succeeded": 2}, "status.[@this].#(succeeded>=1)#", "succeeded", id="comparison"),
        pytest.param({"done": True}, "status.done", "running", id="a scalar is no match"),
        pytest.param({"done": [1]}, "status.done", "succeeded", id="a list with something in it is"),
        pytest.param({"done": []}, "status.done", "running", id="an empty list is not"),
        pytest.param({"done": {}}, "status.done", "succeeded", id="an object is"),
        pytest.param({"done": {}}, "", "running", id="no condition"),
        pytest.param({}, "metadata.labels", "succeeded", id="not only the status is looked at"),
        pytest.param({}, "status.#(", "running", id="what is no query finds nothing"),
    ],
)
def test_conditions_of_other_kinds(status: Any, success: str, state: str) -> None:
    assert judged(status, success, "").state == state


@pytest.mark.parametrize(
    ("kind", "status", "state"),
    [
        ("JAXJob", {"conditions": [condition("Running"), condition("Succeeded")]}, "succeeded"),
        ("PaddleJob", {"conditions": [condition("Failed")]}, "failed"),
        ("RayJob", {"jobStatus": "RUNNING", "jobDeploymentStatus": "Running"}, "running"),
        ("RayJob", {"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Complete"}, "succeeded"),
        ("RayJob", {"jobStatus": "FAILED", "jobDeploymentStatus": "Complete"}, "failed"),
        ("RayJob", {"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}, "failed"),
        ("Workflow", {"phase": "Running"}, "running"),
        ("Workflow", {"phase": "Succeeded"}, "succeeded"),
        ("Workflow", {"phase": "Failed"}, "failed"),
        ("Workflow", {"phase": "Error"}, "failed"),
        ("PipelineRun", {"conditions": [condition("Succeeded", "Unknown")]}, "running"),
        ("PipelineRun", {"conditions": [condition("Succeeded")]}, "succeeded"),
        ("PipelineRun", {"conditions": [condition("Succeeded", "False")]}, "failed"),
    ],
)
def test_the_conditions_that_users_are_told_fit_their_kinds(kind: str, status: Any, state: str) -> None:
    assert judged(status, *FITTING_CONDITIONS[kind]).state == state
