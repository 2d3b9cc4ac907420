"""What has become of a worker job, read from its status by the Trial's conditions.

Conditions are GJSON queries over the whole object. One holds when its result is an object, or an array with at least
one element; `reason` and `message` of that (first) object are handed on. Failure is looked at before success.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import gjson
import msgspec

from pykatib.api.objects import WorkerJob
from pykatib.api.wire import encode

State: TypeAlias = Literal["running", "succeeded", "failed"]


class Verdict(msgspec.Struct, frozen=True):
    """Where a worker job stands, with its own words."""

    state: State
    reason: str = ""
    message: str = ""


_RUNNING = Verdict("running")


def judge(job: WorkerJob, *, success_condition: str, failure_condition: str) -> Verdict:
    """The state of a worker job by a Trial's two conditions."""
    if success_condition.startswith("status.") and failure_condition.startswith("status."):
        # Most conditions ask for the status alone, and most statuses are met again and again.
        return _judge_status(bytes(job.status), success_condition, failure_condition)
    return _judge(msgspec.json.decode(encode(job)), success_condition, failure_condition)


@lru_cache(maxsize=512)
def _judge_status(status: bytes, success_condition: str, failure_condition: str) -> Verdict:
    return _judge({"status": msgspec.json.decode(status)}, success_condition, failure_condition)


def _judge(document: Mapping[str, Any], success_condition: str, failure_condition: str) -> Verdict:
    states: tuple[tuple[State, str], ...] = (("failed", failure_condition), ("succeeded", success_condition))
    for state, condition in states:
        found = _find(document, condition)
        if found is not None:
            return Verdict(state, str(found.get("reason") or ""), str(found.get("message") or ""))
    return _RUNNING


def _find(document: Mapping[str, Any], condition: str) -> Mapping[str, Any] | None:
    """The object that a condition finds, or None. A query that does not fit the object finds nothing."""
    if not condition:
        return None
    try:
        result = gjson.get(document, condition)
    except gjson.GJSONError:
        return None
    if isinstance(result, list):
        result = (result[0] if isinstance(result[0], dict) else {}) if result else None
    return result if isinstance(result, dict) else None
