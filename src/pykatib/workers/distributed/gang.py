"""The gang: a program that starts all replicas of a distributed job, and ends them together.

It is the job's one process to the supervisor, which ends it like any other. It runs as `python -I -S -c … <script>` and
uses the standard library alone, so that it starts fast and stays small. The script, which it removes once it is read,
says which processes each replica runs, one after another, and when the job has succeeded.

It promises that
- when a replica fails, the others are ended (SIGTERM, after the grace SIGKILL), and it exits with that one's code;
- it exits with 0 only when the replicas of a set that means success have all completed, and the rest has ended; one
  that completed while SIGTERM was on its way has completed, one that heard it may have exited for that;
- told to end, it waits for all replicas to end, for as long as the grace is, and dies of the same signal;
- when it is killed, so are the replicas (Linux), with their process groups;
- the report of how each replica ended is there before it exits.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

from pykatib.workers.distributed.ports import NoPort, Ports, fill_in
from pykatib.workers.supervisor import Tie, catches_term

FAILED_TO_START = 128
_MOST_SECONDS = 3600.0


class Replica:
    """A replica: the stages that are left, and the one that runs."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.name: str = told["name"]
        self.log: str | None = told["log"]
        self.stages: list[dict[str, Any]] = told["stages"]
        self.process: subprocess.Popen[bytes] | None = None
        self.code: int | None = None  # as a container's, once it has ended by itself
        self.how = ""
        self.is_over = False
        self.catches_term = False  # when SIGTERM was sent to it

    def note_term(self) -> None:
        """SIGTERM is sent to it now: if it has its own way to take that, its end says nothing of its work any more."""
        if self.process is not None:
            self.catches_term = catches_term(self.process.pid)


class Gang:
    """All replicas of one job."""

    def __init__(self, script: dict[str, Any]) -> None:
        self.replicas = [Replica(told) for told in script["replicas"]]
        self.success: list[set[str]] = [set(group) for group in script["success"]]
        self.endless = set(script["endless"])
        self.report_path: str = script["report"]
        self.linger: float = script["linger"]
        self.grace: float = script["grace"]
        self.ports = Ports()
        self.tie = Tie()
        self.failed: Replica | None = None
        self.is_told_to_end = False
        self.has_succeeded = False
        self.is_ending = False
        self.end_at: float | None = None  # when those that linger are ended
        self.kill_at: float | None = None
        self.wake_fd, wake_write = os.pipe()
        for fd in (self.wake_fd, wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.on_sigterm)

    def on_sigterm(self, *_: object) -> None:
        """Takes note; the loop acts. Who sends it to us sends it to the replicas too."""
        self.is_told_to_end = True
        for replica in self.replicas:
            replica.note_term()

    def run(self) -> int:
        """Runs all replicas to the end; the exit code, negative for a signal to die of."""
        for replica in self.replicas:
            if self.failed is None and not self.is_told_to_end:
                self.start_next(replica)
        while not all(replica.is_over for replica in self.replicas):
            self.decide()
            if all(replica.is_over for replica in self.replicas):
                break
            select.select([self.wake_fd], [], [], self.patience())
            self.drain()
            self.reap()
        self.decide()
        self.write_report()
        if self.has_succeeded:
            return 0
        if self.failed is not None and not self.is_told_to_end:
            return min(255, self.failed.code or 1)
        return -signal.SIGTERM

    def patience(self) -> float:
        """Seconds until something is due by itself."""
        due = [moment for moment in (self.end_at, self.kill_at) if moment is not None]
        return max(0.0, min(due) - time.monotonic()) if due else _MOST_SECONDS

    def drain(self) -> None:
        """Empties the pipe that signals write to."""
        try:
            while len(os.read(self.wake_fd, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    # What follows from what has happened

    def decide(self) -> None:
        """Notices success, failure, orders and overdue ends, and acts."""
        now = time.monotonic()
        is_failing = self.failed is not None and self.is_ending
        if not self.has_succeeded and not is_failing and self.is_success():
            # From here on a SIGTERM must not look as if it had ended us.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.has_succeeded = True
            self.failed = None  # one that failed in the same moment came too late
            self.end_at = now + self.linger
        if self.has_succeeded and all(replica.is_over or replica.name in self.endless for replica in self.replicas):
            self.end_at = now
        if not self.is_ending and (
            self.failed is not None or self.is_told_to_end or (self.end_at is not None and self.end_at <= now)
        ):
            self.is_ending = True
            self.end_at = None
            self.kill_at = now + self.grace
            if not self.is_told_to_end:  # else they have been told too, and a second SIGTERM means haste to some
                for replica in self.replicas:
                    replica.note_term()
            # Stopped, a process would never see the first.
            self.signal_all(*(() if self.is_told_to_end else (signal.SIGTERM, signal.SIGCONT)))
        if self.kill_at is not None and self.kill_at <= now:
            self.kill_at = None
            self.signal_all(signal.SIGKILL)

    def is_success(self) -> bool:
        """Whether all replicas of a set that means success have completed."""
        completed = {replica.name for replica in self.replicas if replica.is_over and replica.code == 0}
        return any(group and group <= completed for group in self.success)

    def signal_all(self, *numbers: signal.Signals) -> None:
        """Signals to the groups of all that run; those that wait for their next stage are over."""
        for replica in self.replicas:
            if replica.process is None:
                replica.is_over = True
                continue
            for number in numbers:
                _send_group(replica.process.pid, number)

    # Processes

    def start_next(self, replica: Replica) -> None:
        """Starts a replica's next stage."""
        stage = replica.stages.pop(0)
        tie = self.tie.open()
        try:
            argv = [fill_in(word, self.ports) for word in stage["argv"]]
            env = {**os.environ, **{name: fill_in(value, self.ports) for name, value in stage["env"].items()}}
            replica.process = _spawn(argv, env, stage["cwd"], replica.log, tie)
            self.tie.bind(tie, replica.process.pid)
        except (OSError, ValueError, NoPort) as error:
            replica.is_over = True
            replica.code = FAILED_TO_START
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            replica.how = f"could not be started: {stage['argv'][0]}: {reason}"
            self.failed = self.failed or replica
        finally:
            if tie >= 0:
                os.close(tie)

    def reap(self) -> None:
        """Takes notice of every process that has ended."""
        for replica in self.replicas:
            process = replica.process
            if process is None or not _has_ended(process):
                continue
            # Not reaped yet, a dead leader keeps its number from being given away: no stranger is in its group.
            _send_group(process.pid, signal.SIGKILL)
            code = process.wait()
            replica.process = None
            if code == 0 and replica.stages and not self.is_ending:
                self.start_next(replica)
                continue
            replica.is_over = True
            if code == 0 and not replica.stages and not replica.catches_term:
                replica.code, replica.how = 0, "completed"
            elif self.is_ending:
                replica.how = "was ended with the others"
            elif not self.has_succeeded:
                replica.code = code if code > 0 else 128 - code
                replica.how = f"exited with code {code}" if code > 0 else f"was ended by {_signal_name(-code)}"
                if not self.is_told_to_end:
                    self.failed = self.failed or replica
            else:  # after success nobody asks any more
                replica.code = code if code > 0 else 128 - code
                replica.how = "failed after the job had succeeded"

    def write_report(self) -> None:
        """Tells how each replica has ended."""
        document = {
            "replicas": [{"name": one.name, "code": one.code, "how": one.how} for one in self.replicas],
            "failed": self.failed.name if self.failed is not None else "",
        }
        unfinished = f"{self.report_path}.new"
        try:
            with open(unfinished, "w", encoding="utf-8") as file:
                json.dump(document, file)
            os.replace(unfinished, self.report_path)
        except OSError as error:
            print(f"cannot write {self.report_path}: {error}", file=sys.stderr, flush=True)


def _spawn(argv: list[str], env: dict[str, str], cwd: str, log: str | None, tie: int) -> "subprocess.Popen[bytes]":
    fds = (tie,) if tie >= 0 else ()
    output = None if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        return subprocess.Popen(
            argv, env=env, cwd=cwd, stdout=output, stderr=output, start_new_session=True, pass_fds=fds
        )
    finally:
        if output is not None:
            os.close(output)


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _send_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except OSError:
        pass


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIG{number}"


def main(path: str) -> None:
    """Reads the script and runs the gang."""
    with open(path, encoding="utf-8") as file:
        script = json.load(file)
    os.unlink(path)
    code = Gang(script).run()
    if code >= 0:
        sys.exit(code)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    signal.pause()
