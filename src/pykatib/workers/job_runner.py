"""Runs `batch/v1` Jobs as processes of this machine, playing Job controller, scheduler and kubelet.

A job waits for free slots, runs its init processes in their order and then its main process, while its metrics are
read; when that has ended, the rest of its metrics is kept and only then its status written. A failed process is tried
again as `backoffLimit` says (none when it says nothing: here a person waits). A job that is deleted is ended, process
group and all.

Dying at any moment is fine. Processes are started by a supervisor that ends them when we are gone and records how each
ended; on the next start, a job whose main process is on record as having ended by itself is only read, not run again;
one that was ended, or of which nothing is known, is run anew.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput, NotFound, StorageFailed
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.objects import ConfigMap, Event, WorkerJob
from pykatib.api.shared import MetricsCollectorSpec
from pykatib.api.trial import Trial
from pykatib.api.wire import decode
from pykatib.runtime.clock import Clock
from pykatib.store.contract import Change, ObservationStore, Store, Subscription
from pykatib.workers import jobstatus
from pykatib.workers.attempts import AttemptFolder, attempt_numbers, last_attempt
from pykatib.workers.collectors.collector import Collector, check_collector, make_collector
from pykatib.workers.logfile import LogBound, last_lines, seal_log
from pykatib.workers.places import Places
from pykatib.workers.pod import PodPlan, ProcessPlan, Refused, plan_pod
from pykatib.workers.processes import (
    ProcessExit,
    ProcessSpec,
    ProcessStarted,
    StartFailed,
    SupervisorLost,
    read_exit,
)
from pykatib.workers.slots import Slots
from pykatib.workers.strays import end_strays
from pykatib.workers.supervision import Supervision
from pykatib.workers.template_check import sample_plan

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.3
"""How often a running job's metrics are read."""

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 60.0
LAST_LINE_COUNT = 20
LAST_LINE_BYTES = 4096
RUNS_HERE = "RunsHere"
"""Reason of the events that say what differs here from the cluster."""


class _Run:
    """One job that is being run: its plan, its attempt, how far it is."""

    def __init__(self, job: WorkerJob, trial: Trial) -> None:
        self.job = job
        self.trial = trial
        self.plan: PodPlan | None = None
        self.folder = AttemptFolder(Path())
        self.collector: Collector | None = None
        self.stages: deque[tuple[str, ProcessPlan]] = deque()
        self.process_id = ""
        self.started_at: float | None = None
        self.failure_count = 0
        self.next_poll: float | None = None
        self.deadline: float | None = None
        self.retry_at: float | None = None
        self.is_late = False
        self.is_unwanted = False

    @property
    def uid(self) -> str:
        return self.job.metadata.uid


class _Status(msgspec.Struct, rename="camel"):
    start_time: str | None = None
    conditions: list[dict[str, str]] = []


class _Kind(msgspec.Struct):
    kind: str = ""


class JobRunner:
    """Runs Jobs. One loop owns it.

    Args:
        store: where jobs come from and their statuses go.
        observations: where metrics go.
        clock: tells the time.
        places: where each Experiment's Trials run.
        slots: CPUs and GPUs to share out.
        trial_folder: all attempts of a Trial, by namespace, Experiment and Trial.
        home_id: marks the processes of this home.
        watch: has the loop woken when a descriptor can be read.
        unwatch: takes that back.
        log_bound: how much of each log is kept.
    """

    def __init__(
        self,
        store: Store,
        observations: ObservationStore,
        clock: Clock,
        *,
        places: Places,
        slots: Slots,
        trial_folder: Callable[[str, str, str], Path],
        home_id: str,
        watch: Callable[[int], None],
        unwatch: Callable[[int], None],
        log_bound: LogBound | None = None,
    ) -> None:
        self._store = store
        self._observations = observations
        self._clock = clock
        self._places = places
        self._slots = slots
        self._trial_folder = trial_folder
        self._home_id = home_id
        self._supervision = Supervision(home_id)
        self._watch, self._unwatch = watch, unwatch
        self._watched: int | None = None
        self._log_bound = log_bound or LogBound()
        self._waiting: deque[_Run] = deque()
        self._runs: dict[str, _Run] = {}  # by the job's uid: every job that is not over
        self._by_process: dict[str, _Run] = {}
        self._said: set[tuple[str, str]] = set()
        self._arrived: list[WorkerJob] = []
        self._subscription: Subscription | None = None

    # Runner

    def check(self, experiment: Experiment) -> Sequence[FieldError]:
        """Why Trials of this Experiment cannot run here."""
        template = experiment.spec.trial_template
        if template is None or is_callable(template.trial_spec):
            return ()
        source = template.config_map
        config_map = (
            self._store.find(Reference(names.CONFIG_MAP, source.config_map_namespace, source.config_map_name))
            if source is not None
            else None
        )
        try:
            plan = sample_plan(
                experiment,
                place=self._places.of(experiment),
                config_map=config_map if isinstance(config_map, ConfigMap) else None,
            )
        except InvalidInput as error:
            return error.errors
        collector = experiment.spec.metrics_collector_spec or MetricsCollectorSpec()
        return (*check_collector(collector), *(plan.errors if isinstance(plan, Refused) else ()))

    def start(self) -> None:
        """Ends what an earlier life left, and takes up its jobs."""
        end_strays(self._home_id)
        self._subscription = self._store.subscribe((names.JOB,), self._on_change)

    def advance(self) -> bool:
        """Takes in what processes have to tell, reads metrics that are due, starts what can be started."""
        did = self._take_up_arrivals()
        did |= self._take_events()
        now = self._clock.now()
        for run in list(self._runs.values()):
            did |= self._look_after(run, now)
        return self._start_waiting() or did

    def next_moment(self) -> float | None:
        """The next reading of metrics, deadline or retry."""
        moments = [
            moment
            for run in self._runs.values()
            for moment in (run.next_poll, run.deadline, run.retry_at)
            if moment is not None
        ]
        return min(moments, default=None)

    def close(self, *, now: bool = False) -> None:
        """Ends all processes; jobs that were running are taken up by the next start."""
        if self._subscription is not None:
            self._subscription.close()
        self._unwatch_supervisor()
        self._supervision.close(now=now)
        for run in self._runs.values():
            if run.collector is not None:
                run.collector.close()

    # Jobs come and go

    def _on_change(self, change: Change) -> None:
        old, new = change.old, change.new
        if isinstance(new, WorkerJob):
            if not isinstance(old, WorkerJob):
                self._arrived.append(new)
            elif new.metadata.deletion_timestamp is not None:
                self._unwanted(new.metadata.uid)
        elif isinstance(old, WorkerJob):
            self._unwanted(old.metadata.uid)

    def _unwanted(self, uid: str) -> None:
        run = self._runs.get(uid)
        if run is None:
            self._arrived = [job for job in self._arrived if job.metadata.uid != uid]
        elif not run.is_unwanted:
            run.is_unwanted = True
            if run.process_id:
                self._supervision.end(run.process_id)
            else:
                self._forget(run)

    def _forget(self, run: _Run) -> None:
        self._runs.pop(run.uid, None)
        if run in self._waiting:
            self._waiting.remove(run)
        self._slots.release(run.uid)
        if run.collector is not None:
            run.collector.close()
            run.collector = None

    def _take_up_arrivals(self) -> bool:
        arrived, self._arrived = self._arrived, []
        for job in arrived:
            if job.metadata.uid in self._runs or job.metadata.deletion_timestamp is not None:
                continue
            status = decode(bytes(job.status), _Status)
            if status.conditions:
                continue  # over
            trial = self._trial_of(job)
            if trial is None:
                continue
            run = _Run(job, trial)
            self._runs[run.uid] = run
            if not self._ended_before(run, was_started=status.start_time is not None):
                self._waiting.append(run)
        return bool(arrived)

    def _trial_of(self, job: WorkerJob) -> Trial | None:
        for owner in job.metadata.owner_references:
            if owner.controller and owner.kind == names.TRIAL:
                trial = self._store.find(Reference(names.TRIAL, job.metadata.namespace, owner.name))
                if isinstance(trial, Trial) and trial.metadata.uid == owner.uid:
                    return trial
        return None

    def _folder_of(self, trial: Trial) -> Path:
        experiment = trial.metadata.labels.get(names.LABEL_EXPERIMENT, "")
        return self._trial_folder(trial.metadata.namespace, experiment, trial.metadata.name)

    def _ended_before(self, run: _Run, *, was_started: bool) -> bool:
        """Settles a job of an earlier life: True when its process ended by itself and there is nothing left to run."""
        folder = last_attempt(self._folder_of(run.trial))
        if folder is None:
            return False
        process_id = f"{run.uid}/{folder.path.name}/main"
        ended = read_exit(folder.exit, process_id=process_id)
        if ended is not None and not ended.ended_by_supervisor:
            plan = self._plan(run, folder)
            if plan is None:
                return True
            run.plan, run.folder, run.process_id = plan, folder, process_id
            run.started_at = ended.started_at
            self._open_collector(run)
            self._on_exit(run, ended)
            return True
        if ended is None and was_started:
            self._fail(run, names.WORKER_LOST, "this machine or its supervisor went away while the process ran")
            return True
        return False

    # Starting

    def _plan(self, run: _Run, folder: AttemptFolder) -> PodPlan | None:
        """The plan of an attempt; None when there can be none, which fails the job."""
        experiment = self._experiment_of(run.trial)
        if experiment is None:
            self._forget(run)
            return None
        try:
            plan = plan_pod(
                run.trial,
                place=self._places.of(experiment),
                folder=folder.path,
                attempt=int(folder.path.name) - 1,
            )
        except InvalidInput as error:
            plan = Refused(error.errors)
        if isinstance(plan, Refused):
            reasons = "; ".join(str(error) for error in plan.errors)
            self._fail(run, "NotRunnableHere", f"the Job cannot run on this machine: {reasons}")
            return None
        for warning in plan.warnings:
            self._say(experiment, str(warning))
        return plan

    def _experiment_of(self, trial: Trial) -> Experiment | None:
        name = trial.metadata.labels.get(names.LABEL_EXPERIMENT, "")
        found = self._store.find(Reference(names.EXPERIMENT, trial.metadata.namespace, name))
        return found if isinstance(found, Experiment) else None

    def _say(self, experiment: Experiment, text: str) -> None:
        """Tells something about an Experiment once."""
        key = (experiment.metadata.uid, text)
        if key not in self._said:
            self._said.add(key)
            about = experiment.reference
            now = self._clock.now()
            self._store.record(Event(about.kind, about.namespace, about.name, names.WARNING, RUNS_HERE, text, now))

    def _start_waiting(self) -> bool:
        """Starts jobs in their order, as far as slots go; a job that must wait keeps later ones waiting too."""
        did = False
        while self._waiting:
            run = self._waiting[0]
            if run.plan is None and not self._prepare(run):
                if self._waiting and self._waiting[0] is run:
                    self._waiting.popleft()
                continue
            assert run.plan is not None
            assignment = self._slots.try_take(run.uid, run.plan.request)
            if assignment is None:
                break
            self._waiting.popleft()
            did = True
            plan = run.plan.with_gpus(assignment.gpu_ids) if assignment.gpu_ids else run.plan
            run.plan = plan
            self._begin(run, plan)
        return did

    def _prepare(self, run: _Run) -> bool:
        parent = self._folder_of(run.trial)
        number = (attempt_numbers(parent) or [0])[-1] + 1
        run.folder = AttemptFolder(parent / str(number))
        run.plan = self._plan(run, run.folder)
        return run.plan is not None

    def _begin(self, run: _Run, plan: PodPlan) -> None:
        run.folder.make(plan.folders, plan.files)
        trial = run.trial.metadata
        self._observations.delete(trial.namespace, trial.name)  # of an attempt that came to nothing
        run.stages = deque((f"init-{index}", process) for index, process in enumerate(plan.init))
        run.stages.append(("main", plan.main))
        # What is about to happen is on record before it happens: a name that is used is never given again.
        self._store.flush()
        self._next_stage(run)

    def _next_stage(self, run: _Run) -> None:
        stage, process = run.stages.popleft()
        assert run.plan is not None
        run.process_id = f"{run.uid}/{run.folder.path.name}/{stage}"
        self._by_process[run.process_id] = run
        self._ensure_supervisor()
        self._supervision.spawn(
            run.process_id,
            ProcessSpec(
                argv=process.argv,
                cwd=process.cwd,
                env={**process.env, names.ENV_METRICS_FILE: str(run.folder.pushed)},
                log_path=run.folder.log,
                exit_path=run.folder.exit,
                grace_seconds=run.plan.grace_seconds,
            ),
        )

    def _ensure_supervisor(self) -> None:
        self._supervision.start()
        fileno = self._supervision.fileno()
        if fileno != self._watched:
            self._unwatch_supervisor()
            self._watch(fileno)
            self._watched = fileno

    def _unwatch_supervisor(self) -> None:
        if self._watched is not None:
            self._unwatch(self._watched)
            self._watched = None

    def _open_collector(self, run: _Run) -> None:
        objective = run.trial.spec.objective
        assert run.plan is not None
        assert objective is not None, "validated"
        run.collector = make_collector(
            run.trial.spec.metrics_collector or MetricsCollectorSpec(),
            metric_names=objective.metric_names,
            log_path=run.folder.log,
            source_path=run.plan.collector_path,
            push_path=run.folder.pushed,
            log_bound=self._log_bound,
        )

    # Running

    def _take_events(self) -> bool:
        events = self._supervision.poll()
        for event in events:
            if isinstance(event, SupervisorLost):
                self._watched = None  # its descriptor is closed already
                for process_id in event.process_ids:
                    run = self._by_process.pop(process_id, None)
                    if run is not None:
                        self._on_lost(run, event.message)
                continue
            if isinstance(event, ProcessStarted):
                run = self._by_process.get(event.process_id)
                if run is not None:
                    self._on_started(run, event)
                continue
            run = self._by_process.pop(event.process_id, None)
            if run is None:
                continue
            if isinstance(event, StartFailed):
                self._on_start_failed(run, event)
            else:
                self._on_exit(run, event)
        return bool(events)

    def _on_started(self, run: _Run, event: ProcessStarted) -> None:
        if run.started_at is None:
            run.started_at = event.started_at
            limit = run.plan.active_deadline_seconds if run.plan is not None else None
            run.deadline = None if limit is None else event.started_at + limit
            self._write_status(run, jobstatus.active(started_at=run.started_at))
        if run.process_id.endswith("/main") and run.collector is None:
            self._open_collector(run)
            run.next_poll = self._clock.now() + POLL_SECONDS

    def _look_after(self, run: _Run, now: float) -> bool:
        did = False
        if run.next_poll is not None and run.next_poll <= now:
            did = self._read_metrics(run, now)
        if run.deadline is not None and run.deadline <= now and not run.is_late:
            run.is_late = True
            run.deadline = None
            if run.process_id in self._by_process:
                self._supervision.end(run.process_id)
            else:
                self._on_late(run)
            did = True
        if run.retry_at is not None and run.retry_at <= now:
            run.retry_at = None
            run.plan = None
            self._waiting.append(run)
            did = True
        return did

    def _read_metrics(self, run: _Run, now: float) -> bool:
        collector = run.collector
        if collector is None:
            run.next_poll = None
            return False
        logs = collector.poll(now)
        if logs:
            trial = run.trial.metadata
            self._observations.report(trial.namespace, trial.name, logs)
        run.next_poll = now + (POLL_SECONDS if collector.caught_up else 0.0)
        return bool(logs)

    # Ending

    def _on_exit(self, run: _Run, event: ProcessExit) -> None:
        if run.is_unwanted:
            self._cleared(run)
            return
        if run.stages and event.exit_code == 0 and not run.is_late:
            self._next_stage(run)
            return
        problems = self._finish_metrics(run, event.ended_at)
        stage = run.process_id.rpartition("/")[2]
        run.process_id = ""
        if run.is_late:
            self._on_late(run)
        elif event.exit_code == 0:
            assert run.started_at is not None
            trial = run.trial.reference
            for problem in problems:
                self._store.record(
                    Event(trial.kind, trial.namespace, trial.name, names.WARNING, "Metrics", problem, event.ended_at)
                )
            self._end(run, jobstatus.complete(started_at=run.started_at, ended_at=event.ended_at))
        elif event.ended_by_supervisor:
            self._retry(run, 0.0)  # ended by nobody's wish: the supervisor was told to leave
        else:
            what = "the process" if stage == "main" else f"the init process {stage.removeprefix('init-')}"
            self._on_failure(run, f"{what} {event.describe()}")

    def _on_start_failed(self, run: _Run, event: StartFailed) -> None:
        run.process_id = ""
        if run.is_unwanted:
            self._cleared(run)
        else:
            self._on_failure(run, event.message)

    def _on_lost(self, run: _Run, message: str) -> None:
        run.process_id = ""
        if run.is_unwanted:
            self._cleared(run)
        else:
            self._finish_metrics(run, self._clock.now())
            self._fail(run, names.WORKER_LOST, message)

    def _on_failure(self, run: _Run, what: str) -> None:
        run.failure_count += 1
        limit = run.plan.backoff_limit if run.plan is not None else None
        if run.failure_count <= (limit or 0):
            delay = min(FIRST_BACKOFF_SECONDS * 2 ** (run.failure_count - 1), LONGEST_BACKOFF_SECONDS)
            trial = run.trial.reference
            text = f"{what}; attempt {run.failure_count + 1} of {(limit or 0) + 1} follows in {delay:g} s"
            now = self._clock.now()
            self._store.record(Event(trial.kind, trial.namespace, trial.name, names.WARNING, "BackOff", text, now))
            self._retry(run, delay)
            return
        lines = last_lines(run.folder.log, LAST_LINE_COUNT, max_bytes=LAST_LINE_BYTES)
        message = f"{what}; its last lines were:\n{lines}" if lines else f"{what} and printed nothing"
        self._fail(run, names.BACKOFF_LIMIT_EXCEEDED, message)

    def _retry(self, run: _Run, delay: float) -> None:
        self._slots.release(run.uid)
        run.next_poll = None
        run.retry_at = self._clock.now() + delay

    def _on_late(self, run: _Run) -> None:
        limit = run.plan.active_deadline_seconds if run.plan is not None else None
        lines = last_lines(run.folder.log, LAST_LINE_COUNT, max_bytes=LAST_LINE_BYTES)
        message = f"Job was active longer than its limit of {limit} s"
        self._fail(run, names.DEADLINE_EXCEEDED, f"{message}; its last lines were:\n{lines}" if lines else message)

    def _finish_metrics(self, run: _Run, now: float) -> tuple[str, ...]:
        """Keeps what is left of a job's metrics, and says what was wrong with them."""
        run.next_poll = None
        if run.collector is None:
            if run.plan is None or run.stages:
                return ()
            self._open_collector(run)  # so short that its start and its end were heard together
        collector, run.collector = run.collector, None
        assert collector is not None
        trial = run.trial.metadata
        for logs in collector.finish(now):
            self._observations.report(trial.namespace, trial.name, logs)
        return collector.problems

    def _cleared(self, run: _Run) -> None:
        """The processes of a job that nobody wants are gone."""
        self._forget(run)
        run.folder.drop_volumes()

    def _fail(self, run: _Run, reason: str, message: str) -> None:
        status = jobstatus.failed(
            reason=reason,
            message=message,
            started_at=run.started_at,
            ended_at=self._clock.now(),
            attempts=max(1, run.failure_count),
        )
        self._end(run, status)

    def _end(self, run: _Run, status: msgspec.Raw) -> None:
        self._forget(run)
        if run.folder.path != Path():
            try:
                seal_log(run.folder.log, self._log_bound)
            except StorageFailed as error:
                logger.warning("%s", error)
            if not run.trial.spec.retain_run:
                run.folder.drop_volumes()
        self._write_status(run, status)

    def _write_status(self, run: _Run, status: msgspec.Raw) -> None:
        current = self._store.find(run.job.reference)
        if isinstance(current, WorkerJob) and current.metadata.uid == run.uid:
            try:
                self._store.update_status(msgspec.structs.replace(current, status=status))
            except NotFound:
                pass


def is_callable(trial_spec: msgspec.Raw) -> bool:
    """True for a template that runs a Python function."""

    return bool(bytes(trial_spec)) and decode(bytes(trial_spec), _Kind).kind == names.CALLABLE_JOB
