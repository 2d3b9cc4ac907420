"""The program of a pool's worker process: takes an objective function once, then Trials, one after the other.

Started as `python -m pykatib.workers.pool_worker FD`; FD is a socket to the pool. Messages are pickled tuples:

    pool → worker   ("objective", sys.path, cloudpickled function, objective metric name, environment)
                    ("run", job name, parameters)
    worker → pool   ("ready",)
                    ("begun", job name)
                    ("metrics", job name, metrics, timestamp)
                    ("outcome", job name, Done | Raised | Stopped)

When the pool goes away, however it does, the worker ends at once with everything that it started: it leads a process
group of its own, and a thread watches the pool's end of a pipe.
"""

import os
import pickle
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from pykatib.workers.objective import Objective, Outcome, Raised, run_objective
from pykatib.workers.reporting import reporting_to


def _end_with_pool(lifeline: int) -> None:
    """Blocks until the pool's process is gone, then ends the whole group."""
    try:
        while os.read(lifeline, 1):
            pass
    finally:
        os.killpg(os.getpgrp(), signal.SIGKILL)


class _Worker:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()  # an objective may report from threads of its own

    def send(self, *message: Any) -> None:
        data = pickle.dumps(message)
        with self._lock:
            self._connection.send_bytes(data)

    def serve(self) -> None:
        objective: Objective | None = None
        metric_name = ""
        while True:
            try:
                message = pickle.loads(self._connection.recv_bytes())
            except EOFError:
                return
            if message[0] == "objective":
                _, path, pickled, metric_name, environment = message
                sys.path[:] = path
                os.environ.update(environment)
                objective = self._load(pickled)
                self.send("ready")
            else:
                _, job_name, parameters = message
                self.send("begun", job_name)
                self.send("outcome", job_name, self._run(objective, job_name, parameters, metric_name))

    def _load(self, pickled: bytes) -> Objective:
        try:
            function: Objective = cloudpickle.loads(pickled)
        except Exception as error:  # a module that cannot be imported here: every Trial fails with that reason
            text = f"the objective could not be loaded in a worker process: {type(error).__name__}: {error}"

            def unloadable(_: dict[str, Any]) -> Any:
                raise RuntimeError(text)

            return unloadable
        return function

    def _run(self, objective: Objective | None, job_name: str, parameters: dict[str, Any], metric_name: str) -> Outcome:
        assert objective is not None, "the pool sends the objective first"

        def report(metrics: Mapping[str, str], *, step: int | None, timestamp: float | None) -> None:
            self.send("metrics", job_name, dict(metrics), timestamp)

        os.environ["KATIB_TRIAL_NAME"] = job_name
        with reporting_to(report, from_all_threads=True):
            try:
                return run_objective(objective, parameters, objective_metric_name=metric_name)
            except KeyboardInterrupt as error:  # raised by the function itself: the signal is ignored here
                return Raised("KeyboardInterrupt", repr(error))


def main() -> None:
    """Serves the pool until it goes away."""
    connection_fd, lifeline_fd = int(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's to answer
    threading.Thread(target=_end_with_pool, args=(lifeline_fd,), daemon=True).start()
    _Worker(Connection(connection_fd)).serve()


if __name__ == "__main__":
    main()
