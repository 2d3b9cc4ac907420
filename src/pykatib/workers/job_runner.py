"""Runs worker jobs as processes of this machine, playing their controllers, the scheduler and the kubelet.

A job waits for free slots, runs its init processes in their order and then its main process, while its metrics are
read; when that has ended, the rest of its metrics is kept and only then its status written. A failed process is tried
again as `backoffLimit` says (not at all when it says nothing: here a person waits). A job that is deleted is ended,
process group and all.

Dying at any moment is fine. Processes are started by a supervisor that ends them when we are gone and records how each
ended; on the next start, a job whose main process is on record as having ended by itself is only read, not run again;
one that was ended, or of which nothing is known, is run anew.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pykatib.algorithms.lineage import lineage_of
from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput, NotFound, StorageFailed
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.objects import ConfigMap, Event, WorkerJob
from pykatib.api.trial import Trial
from pykatib.api.wire import decode
from pykatib.runtime.clock import Clock
from pykatib.store.contract import Change, ObservationStore, Store, Subscription
from pykatib.workers import jobstatus
from pykatib.workers.attempts import MAIN, AttemptFolder, past_of
from pykatib.workers.checkpoints import CheckpointFolders
from pykatib.workers.custom_collectors import CustomCollectors
from pykatib.workers.distributed.kinds import KINDS
from pykatib.workers.distributed.logs import ReplicaLogs
from pykatib.workers.distributed.plan import GangPlan
from pykatib.workers.job_metrics import JobMetrics, forget_what_is_read_again, metrics_environment
from pykatib.workers.job_run import Failure, JobRun
from pykatib.workers.logfile import LogBound, seal_log
from pykatib.workers.places import Places
from pykatib.workers.pod import PodPlan, Refused
from pykatib.workers.processes import ProcessExit, ProcessSpec, ProcessStarted, StartFailed, SupervisorLost
from pykatib.workers.slots import Request, Slots
from pykatib.workers.strays import end_strays
from pykatib.workers.supervision import Supervision
from pykatib.workers.template_check import check_template
from pykatib.workers.worker_plan import plan_worker

logger = logging.getLogger(__name__)


class _Status(msgspec.Struct, rename="camel"):
    start_time: str | None = None


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
        self._checkpoints = CheckpointFolders(store, trial_folder)
        self._home_id = home_id
        self._supervision = Supervision(home_id)
        self._watch, self._unwatch = watch, unwatch
        self._watched: int | None = None
        self._log_bound = log_bound or LogBound()
        self._runs: dict[str, JobRun] = {}  # by the job's uid: every job that is not over
        self._waiting: dict[str, JobRun] = {}  # those that want slots, in order
        self._by_process: dict[str, JobRun] = {}
        self._custom_collectors = CustomCollectors(self._supervision, self._warn_of_metrics)
        self._said: set[tuple[str, FieldError]] = set()
        self._arrived: list[WorkerJob] = []
        self._subscription: Subscription | None = None

    # Runner

    def check(self, experiment: Experiment) -> Sequence[FieldError]:
        """Why Trials of this Experiment cannot run here."""
        template = experiment.spec.trial_template
        source = template.config_map if template is not None else None
        found = (
            self._store.find(Reference(names.CONFIG_MAP, source.config_map_namespace, source.config_map_name))
            if source is not None
            else None
        )
        try:
            place = self._places.of(experiment)
        except InvalidInput as error:
            return error.errors
        return check_template(experiment, place=place, config_map=found if isinstance(found, ConfigMap) else None)

    def start(self) -> None:
        """Ends what an earlier life left, and takes up its jobs."""
        end_strays(self._home_id)
        self._subscription = self._store.subscribe((names.JOB, *KINDS), self._on_change)
        self._checkpoints.start()
        self._take_up_arrivals()  # before a Trial's time is looked at: that of an earlier life does not count

    def advance(self) -> bool:
        """Takes in what processes have to tell, reads metrics that are due, starts what can be started."""
        did = self._take_up_arrivals()
        did |= self._take_events()
        now = self._clock.now()
        for run in list(self._runs.values()):
            moment = run.next_moment()
            if moment is not None and moment <= now:
                did |= self._look_after(run, now)
        did |= self._start_waiting()
        return self._checkpoints.sweep() or did

    def next_moment(self) -> float | None:
        """The next reading of metrics, deadline or retry."""
        moments = [moment for run in self._runs.values() if (moment := run.next_moment()) is not None]
        return min(moments, default=None)

    def close(self, *, now: bool = False) -> None:
        """Ends all processes; jobs that were running are taken up by the next start."""
        if self._subscription is not None:
            self._subscription.close()
        self._checkpoints.close()
        self._unwatch_supervisor()
        self._supervision.close(now=now)
        for run in self._runs.values():
            run.stop_reading()

    # Jobs come and go

    def _on_change(self, change: Change) -> None:
        old, new = change.old, change.new
        if isinstance(new, WorkerJob):
            if not isinstance(old, WorkerJob):
                self._arrived.append(new)
            elif new.metadata.deletion_timestamp is not None:
                self._on_unwanted(new.metadata.uid)
        elif isinstance(old, WorkerJob):
            self._on_unwanted(old.metadata.uid)

    def _on_unwanted(self, uid: str) -> None:
        run = self._runs.get(uid)
        if run is None:
            self._arrived = [job for job in self._arrived if job.metadata.uid != uid]
        elif not run.is_unwanted:
            run.is_unwanted = True
            run.deadline = None
            run.stop_reading()  # its Trial may run again, or be gone, before the process is
            if run.process_id:
                self._supervision.end(run.process_id)
            else:
                self._forget(run)

    def _forget(self, run: JobRun) -> None:
        self._runs.pop(run.uid, None)
        self._waiting.pop(run.uid, None)
        self._slots.release(run.uid)
        run.stop_reading()
        self._custom_collectors.end(run)

    def _take_up_arrivals(self) -> bool:
        arrived, self._arrived = self._arrived, []
        for job in arrived:
            status = decode(bytes(job.status), _Status)
            trial = self._trial_of(job)
            is_over = jobstatus.has_ended(bytes(job.status)) or job.metadata.deletion_timestamp is not None
            if not is_over and trial is not None and job.metadata.uid not in self._runs:
                self._take_up(job, trial, was_started=status.start_time is not None)
        return bool(arrived)

    def _trial_of(self, job: WorkerJob) -> Trial | None:
        for owner in job.metadata.owner_references:
            if owner.controller and owner.kind == names.TRIAL:
                trial = self._store.find(Reference(names.TRIAL, job.metadata.namespace, owner.name))
                if isinstance(trial, Trial) and trial.metadata.uid == owner.uid:
                    return trial
        return None

    def _take_up(self, job: WorkerJob, trial: Trial, *, was_started: bool) -> None:
        """Puts a job in the line, or settles it where an earlier life has run it already."""
        meta = trial.metadata
        folder = self._trial_folder(meta.namespace, meta.labels.get(names.LABEL_EXPERIMENT, ""), meta.name)
        run = self._runs[job.metadata.uid] = JobRun(job, trial, folder)
        past = past_of(folder, run.uid, was_started=was_started)
        run.next_number = past.next_number
        run.failure_count = past.failure_count
        if past.outcome == "lost":
            run.folder = past.last
            self._fail(run, names.WORKER_LOST, "this machine or its supervisor went away while the process ran")
        elif past.outcome == "ended" and past.last is not None and past.ended is not None:
            plan = self._plan(run, past.last)
            if plan is not None:
                run.set_attempt(past.last, plan)
                run.started(past.ended.started_at)
                forget_what_is_read_again(trial, past.last, self._observations, self._log_bound)
                if past.ended.exit_code == 0 or past.ended.process_id.endswith(f"/{MAIN}"):
                    self._open_metrics(run)
                self._on_exit(run, past.ended)
        else:
            if was_started:
                self._write_status(run, run.statuses.active(started_at=None))
            self._waiting[run.uid] = run

    # Starting

    def _start_waiting(self) -> bool:
        """Starts jobs in their order, as far as slots go.

        One that must wait keeps later ones waiting, or a large one would never come to its turn; but whoever asks for
        nothing takes nothing from it.
        """
        did = is_blocked = False
        for run in list(self._waiting.values()):
            if self._is_parent_at_work(run):
                continue
            plan = run.plan or self._prepare(run)
            if plan is None:
                did = True
                continue
            if is_blocked and plan.request != Request():
                continue
            assignment = self._slots.try_take(run.uid, plan.request)
            if assignment is None:
                is_blocked = True
                continue
            del self._waiting[run.uid]
            did = True
            self._begin(run, plan.with_gpus(assignment.gpu_ids) if assignment.gpu_ids else plan)
        return did

    def _is_parent_at_work(self, run: JobRun) -> bool:
        """Whether the Trial that this one continues still runs: one stopped early takes its time to end."""
        lineage = lineage_of(run.trial.metadata.labels)
        if lineage is None or not lineage.parent:
            return False
        parent = (run.trial.metadata.namespace, lineage.parent)
        return any((one.trial.metadata.namespace, one.trial.metadata.name) == parent for one in self._runs.values())

    def _prepare(self, run: JobRun) -> PodPlan | None:
        folder = AttemptFolder(run.trial_folder / str(run.next_number))
        plan = self._plan(run, folder)
        if plan is not None:
            run.set_attempt(folder, plan)
        return plan

    def _plan(self, run: JobRun, folder: AttemptFolder) -> PodPlan | None:
        """The plan of an attempt; None when there can be none, which fails the job."""
        trial = run.trial.metadata
        name = trial.labels.get(names.LABEL_EXPERIMENT, "")
        experiment = self._store.find(Reference(names.EXPERIMENT, trial.namespace, name))
        if not isinstance(experiment, Experiment):
            self._forget(run)  # its Trial goes too
            return None
        plan: PodPlan | Refused
        try:
            place = self._places.of(experiment)
            checkpoint = run.checkpoint = self._checkpoints.of(run.trial, experiment, folder)
            mounts = checkpoint.mounts if checkpoint is not None else None
            plan = plan_worker(
                run.trial, place=place, folder=folder.path, attempt=folder.number - 1, extra_mounts=mounts
            )
            if checkpoint is not None and isinstance(plan, PodPlan):
                plan = checkpoint.made(plan)
                unseen = checkpoint.unseen(plan)
                if unseen is not None:
                    self._say(experiment, unseen)
        except InvalidInput as error:
            plan = Refused(error.errors)
        if isinstance(plan, Refused):
            reasons = "; ".join(str(error) for error in plan.errors)
            self._fail(run, names.NOT_RUNNABLE_HERE, f"the {run.job.kind} cannot run on this machine: {reasons}")
            return None
        for warning in plan.warnings:
            self._say(experiment, warning)
        return plan

    def _say(self, experiment: Experiment, warning: FieldError) -> None:
        """Tells something about an Experiment once."""
        key = (experiment.metadata.uid, warning)
        if key not in self._said:
            self._said.add(key)
            self._warn(experiment.reference, names.RUNS_HERE, str(warning), self._clock.now())

    def _warn_of_metrics(self, run: JobRun, message: str) -> None:
        self._warn(run.trial.reference, names.METRICS, message, self._clock.now())

    def _warn(self, about: Reference, reason: str, message: str, now: float) -> None:
        self._store.record(Event(about.kind, about.namespace, about.name, names.WARNING, reason, message, now))

    def _begin(self, run: JobRun, plan: PodPlan) -> None:
        folder = run.folder
        assert folder is not None
        folder.make(plan.folders, plan.files)
        run.plan = plan
        if folder.number > 1:  # what an attempt that came to nothing has told
            self._observations.delete(run.trial.metadata.namespace, run.trial.metadata.name)
        if run.checkpoint is not None:
            run.checkpoint.drop_stale()
        run.queue_stages(plan)
        # What is about to happen is on record before it happens: a name that is used is never given again.
        self._store.flush()
        self._next_stage(run)

    def _next_stage(self, run: JobRun) -> None:
        stage, process = run.stages.popleft()
        folder, plan = run.folder, run.plan
        assert folder is not None
        assert plan is not None
        process_id = run.name_process(stage)
        self._by_process[process_id] = run
        self._ensure_supervisor()
        self._supervision.spawn(
            process_id,
            ProcessSpec(
                argv=process.argv,
                cwd=process.cwd,
                env={**process.env, **metrics_environment(folder)},
                log_path=folder.log,
                exit_path=folder.exit,
                grace_seconds=plan.grace_seconds,
                vouches=isinstance(plan, GangPlan) and stage == MAIN,
            ),
        )

        if stage == MAIN and plan.collector is not None:
            self._custom_collectors.start(run, folder, plan.collector)

    def _ensure_supervisor(self) -> None:
        self._supervision.start()
        fileno = self._supervision.fileno()
        if self._watched is None:
            self._watch(fileno)
            self._watched = fileno

    def _unwatch_supervisor(self) -> None:
        if self._watched is not None:
            self._unwatch(self._watched)
            self._watched = None

    def _open_metrics(self, run: JobRun) -> None:
        assert run.folder is not None
        assert run.plan is not None
        if isinstance(run.plan, GangPlan):
            others = [replica.log for replica in run.plan.replicas if replica.log is not None]
            run.replica_logs = ReplicaLogs(others, self._log_bound)
        run.metrics = JobMetrics(
            run.trial,
            run.folder,
            source_path=run.plan.collector_path,
            store=self._store,
            observations=self._observations,
            log_bound=self._log_bound,
        )

    # Running

    def _take_events(self) -> bool:
        events = self._supervision.poll()
        for event in events:
            if isinstance(event, SupervisorLost):
                self._unwatch_supervisor()
                for process_id in event.process_ids:
                    if process_id in self._custom_collectors:
                        self._custom_collectors.lost(process_id)
                    else:
                        self._on_lost(self._by_process.pop(process_id), event.message)
            elif event.process_id in self._custom_collectors:
                self._custom_collectors.take(event)
            elif isinstance(event, ProcessStarted):
                self._on_started(self._by_process[event.process_id], event)
            elif isinstance(event, StartFailed):
                self._on_start_failed(self._by_process.pop(event.process_id), event)
            else:
                self._on_exit(self._by_process.pop(event.process_id), event)
        return bool(events)

    def _on_started(self, run: JobRun, event: ProcessStarted) -> None:
        if run.is_unwanted:
            return
        if run.started_at is None:
            run.started(event.started_at)
            self._write_status(run, run.statuses.active(started_at=event.started_at))
        if not run.stages:
            self._open_metrics(run)

    def _look_after(self, run: JobRun, now: float) -> bool:
        """Does what is due for a job; True when something was done."""
        if run.ended is not None:
            self._conclude(run, run.ended)
            return True
        if run.deadline is not None and run.deadline <= now:
            run.is_late = True
            run.deadline = None
            if run.process_id:
                self._supervision.end(run.process_id)
            else:
                self._on_late(run)
            return True
        if run.retry_at is not None and run.retry_at <= now:
            run.retry_at = None
            self._waiting[run.uid] = run
            return True
        if run.replica_logs is not None and run.replica_logs.next_read <= now:
            run.replica_logs.read(now)
        return run.metrics is not None and run.metrics.next_read <= now and run.metrics.read(now)

    # Ending

    def _on_exit(self, run: JobRun, event: ProcessExit) -> None:
        run.process_id = ""
        has_completed = event.exit_code == 0 and not event.ended_by_supervisor
        if run.is_unwanted:
            self._on_cleared(run, has_completed=has_completed and not run.stages)
        elif run.stages and has_completed:
            self._next_stage(run)
        else:
            self._conclude(run, event)

    def _conclude(self, run: JobRun, event: ProcessExit) -> None:
        """Settles a job whose process has ended, once all its metrics are read; a long log takes several calls."""
        now = self._clock.now()
        problems: tuple[str, ...] = ()
        if run.metrics is not None:
            run.metrics.read(now)
            if run.collector_id:
                self._custom_collectors.wait(run, event, now)
                return
            if not run.metrics.caught_up:
                run.ended = event
                return
            problems = run.metrics.finish(now)
            run.stop_reading()
        if event.exit_code == 0 and not event.ended_by_supervisor:
            assert run.started_at is not None
            for problem in problems:
                self._warn(run.trial.reference, names.METRICS, problem, event.ended_at)
            self._end(run, run.statuses.complete(started_at=run.started_at, ended_at=event.ended_at))
        elif run.is_late:
            self._on_late(run)
        elif event.ended_by_supervisor:
            self._fail(run, names.WORKER_LOST, "the supervisor of worker processes was told to end")
        else:
            self._on_failure(run, run.failure(event))

    def _on_start_failed(self, run: JobRun, event: StartFailed) -> None:
        run.process_id = ""
        if run.is_unwanted:
            self._on_cleared(run)
        else:
            self._on_failure(run, run.plain_failure(event.message))

    def _on_lost(self, run: JobRun, message: str) -> None:
        run.process_id = ""
        if run.is_unwanted:
            self._on_cleared(run)
        else:
            self._fail(run, names.WORKER_LOST, message)

    def _on_failure(self, run: JobRun, failure: Failure) -> None:
        self._custom_collectors.end(run)
        delay = run.backoff(failure.retry_limit)
        if delay is None:
            message = run.told(failure.what, or_else=" and printed nothing", log=failure.log)
            self._fail(run, names.BACKOFF_LIMIT_EXCEEDED, message)
            return
        now = self._clock.now()
        text = f"{failure.what}; attempt {run.failure_count + 1} follows in {delay:g} s"
        self._warn(run.trial.reference, names.BACK_OFF, text, now)
        self._slots.release(run.uid)
        self._drop_volumes(run)
        run.plan = None
        run.retry_at = now + delay

    def _on_late(self, run: JobRun) -> None:
        message = f"{run.job.kind} was active longer than its limit of {run.limit_seconds} s"
        self._fail(run, names.DEADLINE_EXCEEDED, run.told(message))

    def _on_cleared(self, run: JobRun, *, has_completed: bool = False) -> None:
        """The processes of a job that nobody wants are gone; what one that completed wrote is still wanted."""
        self._forget(run)
        if not has_completed:
            self._drop_volumes(run)

    def _fail(self, run: JobRun, reason: str, message: str) -> None:
        status = run.statuses.failed(
            reason=reason,
            message=message,
            started_at=run.started_at,
            ended_at=self._clock.now(),
            attempts=max(1, run.failure_count),
        )
        self._end(run, status)

    def _end(self, run: JobRun, status: msgspec.Raw) -> None:
        self._forget(run)
        self._write_status(run, status)
        if run.folder is not None:
            self._tidy(run.folder, keeps_volumes=run.trial.spec.retain_run)

    def _tidy(self, folder: AttemptFolder, *, keeps_volumes: bool) -> None:
        """Removes what is kept no longer than the job."""
        drops_volumes = not keeps_volumes and folder.has_volumes()
        logs = (folder.log, *folder.replica_logs())
        most = self._log_bound.head_bytes + self._log_bound.tail_bytes
        is_long = any(log.exists() and log.stat().st_size > most for log in logs)
        if not drops_volumes and not is_long:
            return
        self._store.flush()  # as long as the job's end is not on record, it may be read again
        if drops_volumes:
            folder.drop_volumes()
        try:
            for log in logs:
                seal_log(log, self._log_bound)
        except StorageFailed as error:
            logger.warning("%s", error)

    def _drop_volumes(self, run: JobRun) -> None:
        if run.folder is not None and not run.trial.spec.retain_run:
            run.folder.drop_volumes()

    def _write_status(self, run: JobRun, status: msgspec.Raw) -> None:
        current = self._store.find(run.job.reference)
        if isinstance(current, WorkerJob) and current.metadata.uid == run.uid:
            try:
                self._store.update_status(msgspec.structs.replace(current, status=status))
            except NotFound:
                pass
