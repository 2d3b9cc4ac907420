"""A runner whose worker jobs live in simulated time and do what a seed says."""

import random
from collections.abc import Callable, Sequence

import msgspec

from pykatib.api import names
from pykatib.api.conditions import set_condition
from pykatib.api.errors import FieldError, NotFound
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.objects import WorkerJob
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.control.view import is_finished
from pykatib.runtime.clock import ManualClock
from pykatib.store.contract import Change, ObservationStore, Store
from pykatib.workers import jobstatus

FATES = ("succeed",) * 8 + ("fail", "hang", "vanish", "say nothing", "stop early")
MOST_MISFORTUNES = 3
"""How often the jobs of one Trial may come to grief before one succeeds."""


class _Process(msgspec.Struct):
    job: WorkerJob
    started_at: float
    ends_at: float
    fate: str
    reports: list[float]


class ScriptedRunner:
    """Implements `pykatib.workers.runner.Runner`. Its processes die with it, as those of a machine do."""

    def __init__(
        self,
        store: Store,
        observations: ObservationStore,
        clock: ManualClock,
        rng: random.Random,
        *,
        starts: dict[str, int],
        on_completion: Callable[[WorkerJob], None],
    ) -> None:
        self._store = store
        self._observations = observations
        self._clock = clock
        self._rng = rng
        self._starts = starts
        self._on_completion = on_completion
        self._waiting: list[Reference] = []
        self.processes: dict[str, _Process] = {}

    def check(self, experiment: Experiment) -> Sequence[FieldError]:
        return ()

    def start(self) -> None:
        self._store.subscribe((names.JOB,), self._on_change)

    def _on_change(self, change: Change) -> None:
        old, new = change.old, change.new
        if isinstance(new, WorkerJob):
            if not isinstance(old, WorkerJob) and not jobstatus.has_ended(bytes(new.status)):
                self._waiting.append(new.reference)
        elif isinstance(old, WorkerJob):
            self.processes.pop(old.metadata.uid, None)

    def advance(self) -> bool:
        did = bool(self._waiting)
        while self._waiting:
            job = self._store.find(self._waiting.pop(0))
            if isinstance(job, WorkerJob) and job.metadata.uid not in self.processes:
                self._begin(job)
        now = self._clock.now()
        for process in [*self.processes.values()]:
            while process.reports and process.reports[0] <= now:
                self._report(process, process.reports.pop(0), worse_by=1.0)
                did = True
            if process.ends_at <= now:
                self._end(process)
                did = True
        return did

    def _begin(self, job: WorkerJob) -> None:
        now = self._clock.now()
        name = job.metadata.name
        started = self._starts[name] = self._starts.get(name, 0) + 1
        fate = self._rng.choice(FATES) if started <= MOST_MISFORTUNES else "succeed"
        duration = self._rng.choice((0.0, 0.5, 3.0, 8.0))
        ends_at = float("inf") if fate == "hang" else now + duration
        reports = sorted(now + duration * self._rng.random() for _ in range(self._rng.randrange(3)))
        self.processes[job.metadata.uid] = _Process(job, now, ends_at, fate, reports if fate != "say nothing" else [])
        self._write(job, jobstatus.active(started_at=now))

    def _report(self, process: _Process, moment: float, *, worse_by: float) -> None:
        spec = msgspec.json.decode(process.job.spec)
        x = float(spec["template"]["spec"]["containers"][0]["args"][0].removeprefix("--x="))
        log = MetricLog(moment, "loss", repr(x * x + worse_by))
        self._observations.report(process.job.metadata.namespace, process.job.metadata.name, [log])

    def _announce_early_stop(self, process: _Process) -> None:
        """What a collector does: metrics, then the word that the Trial is stopped; the job ends a moment later."""
        now = self._clock.now()
        self._report(process, now, worse_by=0.5)
        job = process.job.metadata
        process.fate, process.ends_at = "say nothing", now + 1.0
        trial = self._store.find(Reference(names.TRIAL, job.namespace, job.name))
        if isinstance(trial, Trial) and job.is_controlled_by(trial.metadata.uid) and not is_finished(trial):
            conditions = set_condition(
                trial.status.conditions, names.EARLY_STOPPED, reason=names.TRIAL_EARLY_STOPPED, message="", now=now
            )
            status = msgspec.structs.replace(trial.status, conditions=conditions)
            self._store.update_status(msgspec.structs.replace(trial, status=status))

    def _end(self, process: _Process) -> None:
        now = self._clock.now()
        if process.fate == "stop early":
            self._announce_early_stop(process)
            return
        del self.processes[process.job.metadata.uid]
        if process.fate in ("fail", "vanish"):
            reason = names.WORKER_LOST if process.fate == "vanish" else names.BACKOFF_LIMIT_EXCEEDED
            status = jobstatus.failed(reason=reason, message="", started_at=process.started_at, ended_at=now)
        else:
            if process.fate == "succeed":
                self._report(process, now, worse_by=0.0)
            status = jobstatus.complete(started_at=process.started_at, ended_at=now)
        if self._write(process.job, status) and process.fate not in ("fail", "vanish"):
            self._on_completion(process.job)

    def _write(self, job: WorkerJob, status: msgspec.Raw) -> bool:
        found = self._store.find(job.reference)
        if not isinstance(found, WorkerJob) or found.metadata.uid != job.metadata.uid:
            return False
        try:
            self._store.update_status(msgspec.structs.replace(found, status=status))
        except NotFound:
            return False
        return True

    def next_moment(self) -> float | None:
        moments = [process.ends_at for process in self.processes.values()]
        moments += [process.reports[0] for process in self.processes.values() if process.reports]
        if self._waiting:
            return self._clock.now()
        return min((moment for moment in moments if moment != float("inf")), default=None)

    def close(self, *, now: bool = False) -> None:
        self.processes.clear()
