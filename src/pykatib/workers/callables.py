"""Runs the worker jobs of `tune()`: a Python function, inline, in threads or in worker processes.

A `CallableJob` names no image; its spec holds the parameters as the template rendered them, and the runner holds the
function. How the function is run is an `Executor`'s business; the runner turns what comes of it into metric logs and a
job status, the same for all.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from pykatib.algorithms.checkpoint_setting import PATH, checkpoint_path
from pykatib.api import names
from pykatib.api.errors import FieldError, NotFound
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.objects import WorkerJob
from pykatib.api.shared import AlgorithmSpec, MetricLog
from pykatib.api.trial import Trial
from pykatib.api.wire import decode
from pykatib.control.trial_plan import announced, is_being_stopped
from pykatib.control.view import is_finished
from pykatib.runtime.clock import Clock
from pykatib.store.contract import Change, ObservationStore, Store, Subscription
from pykatib.workers import jobstatus
from pykatib.workers.objective import Done, Objective, Outcome, Raised, run_objective
from pykatib.workers.reporting import TrialStopped, reporting_to
from pykatib.workers.template_check import is_callable

OBJECTIVE_FAILED = "ObjectiveFailed"
"""Reason of a CallableJob whose function raised."""


class CallableSpec(msgspec.Struct, frozen=True):
    """The spec of a CallableJob."""

    parameters: dict[str, str] = {}


class Sink(Protocol):
    """Takes what comes of a job, in order: any number of metrics, then one outcome."""

    def metrics(self, job_name: str, metrics: Mapping[str, str], *, timestamp: float | None) -> bool:
        """The job has reported metrics; whether it is to go on."""
        ...

    def outcome(self, job_name: str, outcome: Outcome) -> None:
        """The job has ended."""
        ...

    def lost(self, job_name: str, message: str, *, reason: str) -> None:
        """The job's worker went away under it."""
        ...


class Executor(Protocol):
    """Runs an objective."""

    def capacity(self) -> int:
        """How many more jobs it would take now."""
        ...

    def submit(self, job_name: str, parameters: dict[str, Any]) -> None:
        """Takes a job."""
        ...

    def cancel(self, job_name: str) -> None:
        """Nobody waits for that job any more; ends it where that can be done."""
        ...

    def advance(self) -> bool:
        """Does what is due, without waiting (inline: runs one job); True when something was done."""
        ...

    def close(self, *, now: bool) -> None:
        """Lets go of threads and processes."""
        ...


class CallableRunner:
    """Runs CallableJobs through an executor."""

    def __init__(
        self,
        store: Store,
        observations: ObservationStore,
        clock: Clock,
        *,
        convert: Callable[[Mapping[str, str]], dict[str, Any]],
        executor: Callable[[Sink], Executor],
    ) -> None:
        self._store = store
        self._observations = observations
        self._clock = clock
        self._convert = convert
        self._executor = executor(self)
        self._waiting: deque[Reference] = deque()
        self._running: dict[str, WorkerJob] = {}
        self._half_told: set[str] = set()  # jobs whose Trials have metrics of an attempt that came to nothing
        self._subscription: Subscription | None = None

    def check(self, experiment: Experiment) -> Sequence[FieldError]:
        """A function is run as it is; but it has no folder in which its parent's checkpoints could lie."""
        template = experiment.spec.trial_template
        if template is None or not is_callable(template.trial_spec) or not checkpoint_path(experiment.spec.algorithm):
            return ()
        algorithm = (experiment.spec.algorithm or AlgorithmSpec()).algorithm_name
        text = (
            f"{names.CHECKPOINT_SETTING} is a folder of a container: {algorithm} needs a program in a Job, no function"
        )
        return (FieldError(PATH, text),)

    def start(self) -> None:
        """Takes up the jobs in the store."""
        self._subscription = self._store.subscribe((names.CALLABLE_JOB,), self._on_change)
        self._half_told.update(reference.name for reference in self._waiting)  # of an earlier life, perhaps

    def _on_change(self, change: Change) -> None:
        old, new = change.old, change.new
        if isinstance(new, WorkerJob):
            if isinstance(old, WorkerJob):
                return
            if new.status != jobstatus.WAITING:
                if jobstatus.has_ended(bytes(new.status)):
                    return
                # Begun in an earlier life of this home, and ended with it: it begins anew, and so does its time limit.
                self._write_status(new, jobstatus.WAITING)
            self._waiting.append(new.reference)
        elif isinstance(old, WorkerJob):
            running = self._running.get(old.metadata.name)
            if running is not None and running.metadata.uid == old.metadata.uid:
                del self._running[old.metadata.name]
                self._half_told.add(old.metadata.name)
                self._executor.cancel(old.metadata.name)

    def advance(self) -> bool:
        """Hands waiting jobs out and lets the executor work."""
        started = False
        while self._waiting and self._executor.capacity() > 0:
            started |= self._begin(self._waiting.popleft())
        return self._executor.advance() or started

    def _begin(self, reference: Reference) -> bool:
        job = self._store.find(reference)
        if not isinstance(job, WorkerJob) or job.metadata.deletion_timestamp is not None:
            return False
        name = job.metadata.name
        running = self._running.get(name)
        if running is not None and running.metadata.uid == job.metadata.uid:
            return False  # deleted and made anew while it waited: it was here twice
        self._running[name] = job
        if name in self._half_told:  # an observation is of one attempt
            self._half_told.discard(name)
            self._observations.delete(job.metadata.namespace, name)
        trial = self._store.find(Reference(names.TRIAL, job.metadata.namespace, name))
        if isinstance(trial, Trial) and trial.spec.active_deadline_seconds is not None:  # it counts from here
            self._write_status(job, jobstatus.active(started_at=self._clock.now()))
        self._executor.submit(name, self._convert(decode(bytes(job.spec), CallableSpec).parameters))
        return True

    def next_moment(self) -> float | None:
        """Never by itself: executors wake the loop."""
        return None

    def close(self, *, now: bool = False) -> None:
        """Ends what runs."""
        if self._subscription is not None:
            self._subscription.close()
        self._executor.close(now=now)

    # Sink

    def metrics(self, job_name: str, metrics: Mapping[str, str], *, timestamp: float | None) -> bool:
        """Keeps reported metrics; whether the job is to go on: it may have been stopped because of them."""
        job = self._running.get(job_name)
        if job is None:
            return False
        moment = self._clock.now() if timestamp is None else timestamp
        logs = [MetricLog(moment, name, value) for name, value in metrics.items()]
        self._observations.report(job.metadata.namespace, job_name, logs)
        trial = self._store.find(Reference(names.TRIAL, job.metadata.namespace, job_name))
        return not (isinstance(trial, Trial) and is_being_stopped(trial))

    def outcome(self, job_name: str, outcome: Outcome) -> None:
        """Writes the end of a job. One that was stopped gets none: its Trial is about to delete it."""
        job = self._running.pop(job_name, None)
        if job is None:
            return
        now = self._clock.now()
        if isinstance(outcome, Done):
            if outcome.metrics:
                logs = [MetricLog(now, name, value) for name, value in outcome.metrics.items()]
                self._observations.report(job.metadata.namespace, job_name, logs)
            self._write_status(job, jobstatus.COMPLETE)
        elif isinstance(outcome, Raised):
            self._fail(job, OBJECTIVE_FAILED, outcome.traceback)
        else:
            self._stop(job, now)

    def lost(self, job_name: str, message: str, *, reason: str) -> None:
        """Writes the end of a job whose worker went away."""
        job = self._running.pop(job_name, None)
        if job is not None:
            self._fail(job, reason, message)

    def _stop(self, job: WorkerJob, now: float) -> None:
        """Sees to it that the Trial of a function that was stopped is: the function may have stopped by itself."""
        trial = self._store.find(Reference(names.TRIAL, job.metadata.namespace, job.metadata.name))
        if isinstance(trial, Trial) and not is_finished(trial) and not is_being_stopped(trial):
            self._store.update_status(announced(trial, "its function raised TrialStopped", now))

    def _fail(self, job: WorkerJob, reason: str, message: str) -> None:
        self._half_told.add(job.metadata.name)
        status = jobstatus.failed(reason=reason, message=message, started_at=None, ended_at=self._clock.now())
        self._write_status(job, status)

    def _write_status(self, job: WorkerJob, status: msgspec.Raw) -> None:
        current = self._store.find(job.reference)
        if isinstance(current, WorkerJob) and current.metadata.uid == job.metadata.uid:
            try:
                self._store.update_status(msgspec.structs.replace(current, status=status))
            except NotFound:
                pass


class InlineExecutor:
    """Calls the function in the loop's own thread, one job at a time."""

    def __init__(self, sink: Sink, objective: Objective, *, objective_metric_name: str) -> None:
        self._sink = sink
        self._objective = objective
        self._metric = objective_metric_name
        self._pending: deque[tuple[str, dict[str, Any]]] = deque()

    def capacity(self) -> int:
        """One at a time."""
        return 1 - len(self._pending)

    def submit(self, job_name: str, parameters: dict[str, Any]) -> None:
        """Takes a job; it runs at the next `advance`."""
        self._pending.append((job_name, parameters))

    def cancel(self, job_name: str) -> None:
        """Takes a job back that has not begun."""
        self._pending = deque(item for item in self._pending if item[0] != job_name)

    def advance(self) -> bool:
        """Runs one job to its end."""
        if not self._pending:
            return False
        name, parameters = self._pending[0]

        def report(metrics: Mapping[str, str], *, step: int | None, timestamp: float | None) -> None:
            if not self._sink.metrics(name, metrics, timestamp=timestamp):
                raise TrialStopped

        with reporting_to(report, from_all_threads=True):
            outcome = run_objective(self._objective, parameters, objective_metric_name=self._metric)
        self._pending.popleft()
        self._sink.outcome(name, outcome)
        return True

    def close(self, *, now: bool) -> None:
        """Nothing runs between calls."""


class ThreadExecutor:
    """Calls the function in threads of this process.

    A thread cannot be ended: a cancelled job runs on, unheard, until it next reports metrics.
    """

    def __init__(
        self, sink: Sink, objective: Objective, *, objective_metric_name: str, count: int, wake: Callable[[], None]
    ) -> None:
        self._sink = sink
        self._objective = objective
        self._metric = objective_metric_name
        self._count = count
        self._wake = wake
        self._jobs: queue.SimpleQueue[tuple[str, int, dict[str, Any]] | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._busy_count = 0
        self._number_by_name: dict[str, int] = {}  # of the run that is listened to: a cancelled one may still go on
        self._next_number = 0
        self._threads: list[threading.Thread] = []

    def capacity(self) -> int:
        """Threads that are free."""
        return self._count - self._busy_count

    def submit(self, job_name: str, parameters: dict[str, Any]) -> None:
        """Hands a job to a thread."""
        self._busy_count += 1
        self._number_by_name[job_name] = number = self._next_number
        self._next_number += 1
        if len(self._threads) < min(self._count, self._busy_count):
            # Daemons: an objective that hangs must not keep the interpreter from leaving.
            thread = threading.Thread(target=self._work, name=f"pykatib-trial-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((job_name, number, parameters))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            name, number, parameters = job
            with reporting_to(partial(self._report, name, number)):
                try:
                    outcome: Outcome = run_objective(self._objective, parameters, objective_metric_name=self._metric)
                except KeyboardInterrupt as error:  # raised by the function: no signal reaches a thread
                    outcome = Raised("KeyboardInterrupt", repr(error))
            self._post(partial(self._finish, name, number, outcome))

    def _report(
        self, name: str, number: int, metrics: Mapping[str, str], *, step: int | None, timestamp: float | None
    ) -> None:
        if self._number_by_name.get(name) != number:
            raise TrialStopped

        def tell() -> None:
            if self._number_by_name.get(name) == number:
                self._sink.metrics(name, metrics, timestamp=timestamp)

        self._post(tell)

    def _finish(self, name: str, number: int, outcome: Outcome) -> None:
        self._busy_count -= 1
        if self._number_by_name.get(name) == number:
            del self._number_by_name[name]
            self._sink.outcome(name, outcome)

    def _post(self, news: Callable[[], None]) -> None:
        self._news.put(news)
        self._wake()

    def cancel(self, job_name: str) -> None:
        """Nobody listens to that job any more."""
        self._number_by_name.pop(job_name, None)

    def advance(self) -> bool:
        """Takes in what the threads have to tell."""
        did = False
        while True:
            try:
                news = self._news.get_nowait()
            except queue.Empty:
                return did
            news()
            did = True

    def close(self, *, now: bool) -> None:
        """Tells the threads to end after what they are at; waits for that unless `now`, or unless nobody needs it."""
        for _ in self._threads:
            self._jobs.put(None)
        if not now and self._busy_count == len(self._number_by_name):
            for thread in self._threads:
                thread.join()


class ManualExecutor:
    """Runs nothing: somebody else does, and tells."""

    def __init__(self, sink: Sink, *, count: int) -> None:
        self._sink = sink
        self._count = count
        self.open: dict[str, dict[str, Any]] = {}

    def capacity(self) -> int:
        """As many as the Experiment allows."""
        return self._count - len(self.open)

    def submit(self, job_name: str, parameters: dict[str, Any]) -> None:
        """Shows a job to whoever asks for one."""
        self.open[job_name] = parameters

    def cancel(self, job_name: str) -> None:
        """Shows it no more."""
        self.open.pop(job_name, None)

    def finish(self, job_name: str, outcome: Outcome) -> bool:
        """Tells the end of a job; False when nobody waits for it."""
        if self.open.pop(job_name, None) is None:
            return False
        self._sink.outcome(job_name, outcome)
        return True

    def advance(self) -> bool:
        """Nothing to do."""
        return False

    def close(self, *, now: bool) -> None:
        """Nothing to end."""
