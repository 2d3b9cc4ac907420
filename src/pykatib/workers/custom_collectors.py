"""Collectors of users' own: each a process beside a job's main process.

Its end decides nothing but when reading ends: when the main process has ended it may go on for a while, to come to the
end of what it reads. What it prints and pushes is read by the job's collector, like all else.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from pykatib.workers.attempts import AttemptFolder
from pykatib.workers.job_metrics import metrics_environment
from pykatib.workers.job_run import JobRun
from pykatib.workers.pod import ProcessPlan
from pykatib.workers.processes import ProcessExit, ProcessSpec, ProcessStarted, StartFailed
from pykatib.workers.supervision import Supervision

COLLECTOR_SECONDS: Final = 30.0
"""How long a collector may go on when the main process has ended."""

Warn: TypeAlias = Callable[[JobRun, str], None]


class CustomCollectors:
    """The collectors that run. The job runner owns it, and tells it of every event that concerns one of them."""

    def __init__(self, supervision: Supervision, warn: Warn) -> None:
        self._supervision = supervision
        self._warn = warn
        self._runs: dict[str, JobRun] = {}

    def __contains__(self, process_id: object) -> bool:
        return process_id in self._runs

    def start(self, run: JobRun, folder: AttemptFolder, process: ProcessPlan) -> None:
        """Starts the collector of a job's attempt."""
        process_id = run.name_collector()
        self._runs[process_id] = run
        self._supervision.spawn(
            process_id,
            ProcessSpec(
                argv=process.argv,
                cwd=process.cwd,
                env={**process.env, **metrics_environment(folder)},
                log_path=folder.collector_log,
                exit_path=folder.collector_exit,
            ),
        )

    def take(self, event: ProcessStarted | ProcessExit | StartFailed) -> None:
        """Hears what has become of a collector."""
        if isinstance(event, ProcessStarted):
            return
        run = self._gone(event.process_id)
        if isinstance(event, StartFailed):
            self._warn(run, f"the Custom collector: {event.message}")
        elif event.exit_code != 0 and not run.is_unwanted:
            self._warn(run, f"the Custom collector {event.describe()}")

    def lost(self, process_id: str) -> None:
        """A collector went with its supervisor."""
        self._gone(process_id)

    def _gone(self, process_id: str) -> JobRun:
        run = self._runs.pop(process_id)
        run.collector_id = ""
        run.collector_until = None
        return run

    def end(self, run: JobRun) -> None:
        """Has the collector of a job ended, if it has one that runs."""
        if run.collector_id:
            self._supervision.end(run.collector_id)

    def wait(self, run: JobRun, ended: ProcessExit, now: float) -> None:
        """The main process has ended: lets the collector finish, unless there is nothing to wait for."""
        if run.ended is None:
            run.ended = ended
            run.collector_until = now + COLLECTOR_SECONDS if ended.exit_code == 0 else now
        elif run.collector_until is not None and run.collector_until <= now:
            self.end(run)
            run.collector_until = now + COLLECTOR_SECONDS  # its end will be heard long before
