"""What a gang tells of its replicas when it has ended, and the job status that is made of it.

Statuses are in the training operator's words: conditions `Created`, `Running`, and `Succeeded` or `Failed`, and how
many replicas of each type are active, succeeded, failed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from pykatib.api import names
from pykatib.api.times import rfc3339

REPORT_NAME: Final = "replicas.json"
"""The gang's report, in the folder of the attempt."""


class ReplicaEnd(msgspec.Struct, frozen=True):
    """How a replica ended: `code` as a container's, None for one that was ended with the others or never began."""

    name: str
    code: int | None = None
    how: str = ""


class Report(msgspec.Struct, frozen=True):
    """How all ended; `failed` is the replica that failed first, where one did."""

    replicas: tuple[ReplicaEnd, ...] = ()
    failed: str = ""

    def find(self, name: str) -> ReplicaEnd | None:
        """What became of a replica."""
        return next((one for one in self.replicas if one.name == name), None)


def read_report(folder: Path) -> Report:
    """The report of an attempt; an empty one where its gang was ended before it could tell."""
    try:
        return msgspec.json.decode((folder / REPORT_NAME).read_bytes(), type=Report)
    except (OSError, msgspec.MsgspecError):
        return Report()


class TeamStatuses:
    """Makes the statuses of one distributed job.

    Args:
        kind: its kind.
        counts: how many replicas each type has; nothing where that is not known.
        folder: of the attempt that it tells of.
    """

    def __init__(self, kind: str, counts: Mapping[str, int], folder: Path | None = None) -> None:
        self._kind = kind
        self._counts = counts
        self._folder = folder

    def active(self, *, started_at: float | None, attempts_failed: int = 0) -> msgspec.Raw:
        """A job whose replicas run (or, with `started_at` None, wait for free slots)."""
        created = self._condition("Created", f"{self._kind}Created", f"{self._kind} is created.", started_at)
        if started_at is None:
            return _encoded({"conditions": [created]})
        running = self._condition(names.RUNNING, f"{self._kind}Running", f"{self._kind} is running.", started_at)
        return _encoded(
            {
                "startTime": rfc3339(started_at),
                "conditions": [created, running],
                "replicaStatuses": {role: {"active": count} for role, count in self._counts.items()},
            }
        )

    def complete(self, *, started_at: float, ended_at: float) -> msgspec.Raw:
        """A job that succeeded."""
        message = f"{self._kind} successfully completed."
        end = self._condition(names.SUCCEEDED, f"{self._kind}Succeeded", message, ended_at)
        return self._ended(end, started_at, ended_at, completed=True)

    def failed(
        self, *, reason: str, message: str, started_at: float | None, ended_at: float, attempts: int = 1
    ) -> msgspec.Raw:
        """A job that failed for good."""
        return self._ended(self._condition(names.FAILED, reason, message, ended_at), started_at, ended_at)

    def _ended(
        self, end: dict[str, str], started_at: float | None, ended_at: float, *, completed: bool = False
    ) -> msgspec.Raw:
        begun = ended_at if started_at is None else started_at
        running = self._condition(names.RUNNING, f"{self._kind}Running", f"{self._kind} is running.", begun)
        running["status"] = names.FALSE
        created = self._condition("Created", f"{self._kind}Created", f"{self._kind} is created.", begun)
        status: dict[str, Any] = {"conditions": [created, *([running] if started_at is not None else []), end]}
        if started_at is not None:
            status["startTime"] = rfc3339(started_at)
            status["replicaStatuses"] = self._tallies()
        if completed:
            status["completionTime"] = rfc3339(ended_at)
        return _encoded(status)

    def _tallies(self) -> dict[str, dict[str, int]]:
        report = read_report(self._folder) if self._folder is not None else Report()
        tallies: dict[str, dict[str, int]] = {}
        for role in self._counts:
            codes = [one.code for one in report.replicas if one.name.rpartition("-")[0] == role.lower()]
            counts = {
                "succeeded": sum(code == 0 for code in codes),
                "failed": sum(code is not None and code != 0 for code in codes),
            }
            tallies[role] = {word: count for word, count in counts.items() if count}
        return tallies

    def _condition(self, kind: str, reason: str, message: str, moment: float | None) -> dict[str, str]:
        condition = {"type": kind, "status": names.TRUE, "reason": reason, "message": message}
        if moment is not None:
            condition["lastUpdateTime"] = condition["lastTransitionTime"] = rfc3339(moment)
        return condition


def _encoded(status: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(status))
