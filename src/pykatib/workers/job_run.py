"""One job that is being run: what is known of it, how far it is. The runner decides; this is what it decides on."""

from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

from pykatib.api.objects import WorkerJob
from pykatib.api.trial import Trial
from pykatib.workers import jobstatus
from pykatib.workers.attempts import COLLECTOR, MAIN, AttemptFolder
from pykatib.workers.checkpoints import Checkpoint
from pykatib.workers.distributed.kinds import is_distributed
from pykatib.workers.distributed.logs import ReplicaLogs
from pykatib.workers.distributed.plan import GangPlan
from pykatib.workers.distributed.report import TeamStatuses, read_report
from pykatib.workers.job_metrics import JobMetrics
from pykatib.workers.logfile import last_lines
from pykatib.workers.pod import PodPlan, ProcessPlan
from pykatib.workers.processes import ProcessExit

FIRST_BACKOFF_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 60.0
_LAST_LINE_COUNT: Final = 20
_LAST_LINE_BYTES: Final = 4096


class Failure(NamedTuple):
    """What has failed, where its output is, and how many attempts may follow the first."""

    what: str
    log: Path | None = None
    retry_limit: int = 0


class JobRun:
    """A job that is not over. Its attempts follow each other; each runs its stages one after another."""

    def __init__(self, job: WorkerJob, trial: Trial, trial_folder: Path) -> None:
        self.job = job
        self.trial = trial
        self.trial_folder = trial_folder
        self.next_number = 1
        self.failure_count = 0

        self.plan: PodPlan | None = None  # of the attempt that waits or runs
        self.folder: AttemptFolder | None = None
        self.checkpoint: Checkpoint | None = None
        self.stages: deque[tuple[str, ProcessPlan]] = deque()  # to come
        self.process_id = ""  # of the process that was asked for and has not been heard to end
        self.metrics: JobMetrics | None = None  # of a main process that has been started
        self.replica_logs: ReplicaLogs | None = None  # of a distributed job that runs
        self.ended: ProcessExit | None = None  # its exit, while metrics are left to be read
        self.collector_id = ""  # of the user's own collector, until it has been heard to end
        self.collector_until: float | None = None  # when it is ended, if it does not leave by itself

        self.statuses: jobstatus.Statuses = TeamStatuses(job.kind, {}) if is_distributed(job.kind) else jobstatus
        self.started_at: float | None = None
        self.limit_seconds: int | None = None
        self.deadline: float | None = None
        self.retry_at: float | None = None
        self.is_late = False
        self.is_unwanted = False

    @property
    def uid(self) -> str:
        """The job's uid."""
        return self.job.metadata.uid

    def set_attempt(self, folder: AttemptFolder, plan: PodPlan) -> None:
        """The attempt that waits, runs, or is read again."""
        self.folder, self.plan = folder, plan
        if isinstance(plan, GangPlan):
            self.statuses = TeamStatuses(self.job.kind, plan.team.counts(), folder.path)
        self.next_number = folder.number + 1

    def queue_stages(self, plan: PodPlan) -> None:
        """The processes of the attempt, in order."""
        self.stages = deque((f"init-{index}", process) for index, process in enumerate(plan.init))
        self.stages.append((MAIN, plan.main))
        copying = self.checkpoint.copying() if self.checkpoint is not None else None
        if copying is not None:
            self.stages.appendleft((f"init-{copying.name}", copying))

    def name_collector(self) -> str:
        """The id of the user's own collector in this attempt."""
        assert self.folder is not None
        self.collector_id = f"{self.uid}/{self.folder.number}/{COLLECTOR}"
        return self.collector_id

    def name_process(self, stage: str) -> str:
        """The id of a stage's process: one that no other process ever had or will have."""
        assert self.folder is not None
        self.process_id = f"{self.uid}/{self.folder.number}/{stage}"
        return self.process_id

    def started(self, moment: float) -> None:
        """Its first process was started: time runs from now on, through all attempts."""
        self.started_at = moment
        self.limit_seconds = self.plan.active_deadline_seconds if self.plan is not None else None
        self.deadline = None if self.limit_seconds is None else moment + self.limit_seconds

    def next_moment(self) -> float | None:
        """When it wants a look though nothing is heard of it."""
        if self.ended is not None:
            return 0.0 if self.collector_until is None else self.collector_until
        readers = (reader.next_read for reader in (self.metrics, self.replica_logs) if reader is not None)
        moments = [self.deadline, self.retry_at, *readers]
        return min((moment for moment in moments if moment is not None), default=None)

    def failure(self, ended: ProcessExit) -> Failure:
        """What it means that its process has failed: of a job with replicas, that one of them has."""
        plan = self.plan
        if not isinstance(plan, GangPlan) or not ended.process_id.endswith(f"/{MAIN}"):
            return self.plain_failure(described(ended))
        assert self.folder is not None
        report = read_report(self.folder.path)
        replica, end = plan.team.find(report.failed), report.find(report.failed)
        if replica is None or end is None:
            return Failure(f"what runs the replicas {ended.describe()}")
        limit = replica.retry_limit(plan.backoff_limit) if replica.may_retry(end.code or 0) else 0
        return Failure(f"the replica {replica.name} {end.how}", plan.log_of(replica.name), limit)

    def plain_failure(self, what: str) -> Failure:
        """The failure of a job without replicas.

        Without `backoffLimit` there is one attempt: on a cluster the default of six hides most mistakes for minutes,
        and here a person waits.
        """
        return Failure(what, None, (self.plan.backoff_limit if self.plan is not None else None) or 0)

    def backoff(self, retry_limit: int) -> float | None:
        """Counts a failure; seconds until the next attempt, None where that was the last."""
        self.failure_count += 1
        if self.failure_count > retry_limit:
            return None
        seconds: float = min(FIRST_BACKOFF_SECONDS * 2 ** (self.failure_count - 1), LONGEST_BACKOFF_SECONDS)
        return seconds

    def told(self, what: str, *, or_else: str = "", log: Path | None = None) -> str:
        """A sentence about its end, and the last lines that it, or the replica with that log, has printed."""
        if log is None and self.folder is not None:
            log = self.folder.log
        lines = last_lines(log, _LAST_LINE_COUNT, max_bytes=_LAST_LINE_BYTES) if log is not None else ""
        return f"{what}; its last lines were:\n{lines}" if lines else what + or_else

    def stop_reading(self) -> None:
        """Reads no more metrics."""
        if self.metrics is not None:
            self.metrics.close()
            self.metrics = None
        if self.replica_logs is not None:
            self.replica_logs.close()
            self.replica_logs = None
        self.ended = None


def described(ended: ProcessExit) -> str:
    """Which process has ended, and how."""
    stage = ended.process_id.rpartition("/")[2]
    who = "the process" if stage == MAIN else f"the init process {stage.removeprefix('init-')}"
    return f"{who} {ended.describe()}"
