"""Worker processes for objective functions: an executor that keeps Python processes and hands them Trials.

The function travels once to each worker, by cloudpickle, so that functions of notebooks, closures and lambdas work. A
worker that dies takes one Trial with it, which fails and says how; another worker takes its place. One that dies while
it is idle takes none, though a Trial was on its way to it: what it has not said to have begun is given to a new one.
"""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from pykatib.workers.callables import Sink
from pykatib.workers.objective import Objective

WORKER_DIED = "WorkerDied"
"""Reason of a CallableJob whose worker process ended under it: the function crashed the interpreter or was killed."""

GRACE_SECONDS = 2.0


class _Process:
    """One worker process and what it is at."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        life_reader, self._life_writer = os.pipe()
        self.job_name: str | None = None
        self.parameters: dict[str, Any] = {}
        self.was_idle = False
        """Whether it has ended a Trial, and so is able to run one."""
        self.has_begun = False
        """Whether the Trial that it was given last has begun."""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pykatib.workers.pool_worker", str(theirs.fileno()), str(life_reader)],
                pass_fds=(theirs.fileno(), life_reader),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**environment},
            )
        except OSError:
            ours.close()
            os.close(self._life_writer)
            raise
        finally:
            theirs.close()
            os.close(life_reader)
        self.connection = Connection(ours.detach())

    def greet(self, greeting: bytes) -> None:
        """Hands over the objective. Raises OSError when the process is gone."""
        self.connection.send_bytes(greeting)

    def run(self, job_name: str, parameters: dict[str, Any]) -> None:
        """Hands over a Trial. Raises OSError when the process is gone."""
        self.job_name, self.parameters, self.has_begun = job_name, parameters, False
        self.connection.send_bytes(pickle.dumps(("run", job_name, parameters)))

    def end(self, *, now: bool = True) -> str:
        """Ends the process and all that it started; says how it ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL if now else signal.SIGTERM)
        if not now:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        self.connection.close()
        with contextlib.suppress(OSError):
            os.close(self._life_writer)
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def how_it_ended(self) -> str:
        """Waits for a process that has closed its end, and gives its descriptors back."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_SECONDS)
        if self._process.returncode is None:
            return self.end()
        code = self._process.returncode
        self.end()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class PoolExecutor:
    """Runs an objective in up to `count` worker processes.

    Raises:
        TypeError: the function cannot be sent to another process.
    """

    def __init__(
        self,
        sink: Sink,
        objective: Objective,
        *,
        objective_metric_name: str,
        count: int,
        environment: Mapping[str, str],
        watch: Callable[[int], None],
        unwatch: Callable[[int], None],
    ) -> None:
        self._sink = sink
        self._count = count
        self._environment = {**os.environ, **environment}
        self._watch, self._unwatch = watch, unwatch
        try:
            pickled = cloudpickle.dumps(objective)
        except Exception as error:
            message = f"the objective cannot be sent to worker processes ({error}); run it in threads or inline instead"
            raise TypeError(message) from error
        self._greeting = pickle.dumps(("objective", sys.path, pickled, objective_metric_name, dict(environment)))
        self._idle: list[_Process] = []
        self._busy: dict[str, _Process] = {}

    def capacity(self) -> int:
        """Processes that are free or may be started."""
        return self._count - len(self._busy)

    def submit(self, job_name: str, parameters: dict[str, Any]) -> None:
        """Hands a job to a process, a new one if none is free."""
        while self._idle:
            process = self._idle.pop()
            try:
                process.run(job_name, parameters)
            except OSError:  # it died while it was idle
                self._drop(process)
            else:
                self._busy[job_name] = process
                return
        try:
            process = _Process(self._environment)
        except OSError as error:
            self._sink.lost(job_name, f"no worker process could be started: {error}", reason=WORKER_DIED)
            return
        self._watch(process.connection.fileno())
        self._busy[job_name] = process
        process.job_name = job_name
        with contextlib.suppress(OSError):  # it has died already; `advance` finds out how
            process.greet(self._greeting)
            process.run(job_name, parameters)

    def _drop(self, process: _Process) -> str:
        self._unwatch(process.connection.fileno())
        return process.how_it_ended()

    def cancel(self, job_name: str) -> None:
        """Ends the process that runs the job: there is no other way to end a function."""
        process = self._busy.pop(job_name, None)
        if process is not None:
            self._unwatch(process.connection.fileno())
            process.end(now=False)

    def advance(self) -> bool:
        """Takes in what the processes have to tell."""
        did = False
        for process in [*self._busy.values(), *self._idle]:
            while self._has_news(process):
                did = True
                try:
                    message = pickle.loads(process.connection.recv_bytes())
                except (EOFError, OSError):
                    self._lost(process)
                    break
                self._take(process, message)
        return did

    @staticmethod
    def _has_news(process: _Process) -> bool:
        try:
            return process.connection.poll(0)
        except OSError:
            return False

    def _take(self, process: _Process, message: tuple[Any, ...]) -> None:
        if message[0] == "metrics":
            _, job_name, metrics, timestamp = message
            self._sink.metrics(job_name, metrics, timestamp=timestamp)
        elif message[0] == "begun":
            process.has_begun = True
        elif message[0] == "outcome":
            _, job_name, outcome = message
            self._busy.pop(job_name, None)
            process.job_name = None
            process.was_idle = True
            self._idle.append(process)
            self._sink.outcome(job_name, outcome)

    def _lost(self, process: _Process) -> None:
        job_name = process.job_name
        how = self._drop(process)
        if process in self._idle:
            self._idle.remove(process)
        if job_name is not None and self._busy.pop(job_name, None) is not None:
            if process.was_idle and not process.has_begun:
                self.submit(job_name, process.parameters)
                return
            message = f"the worker process ended with {how} while it ran this Trial"
            if how == "signal SIGKILL":
                message += "; perhaps the kernel killed it for want of memory"
            self._sink.lost(job_name, message, reason=WORKER_DIED)

    def close(self, *, now: bool) -> None:
        """Ends all processes: idle ones at once, busy ones gently unless `now`."""
        for process in self._idle:
            self._unwatch(process.connection.fileno())
            process.end()
        for process in self._busy.values():
            self._unwatch(process.connection.fileno())
            process.end(now=now)
        self._idle.clear()
        self._busy.clear()
