"""Running the real command line: in this process where nothing is started, in one of its own where something is."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from katib_in_process import Ended, run_here

PATIENCE_SECONDS = 30.0
"""Far beyond what anything takes: reached only by a test that fails."""

MANIFEST = """\
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata:
  name: {name}
spec:
  objective: {{type: minimize, objectiveMetricName: loss, additionalMetricNames: [rounds]}}
  algorithm:
    algorithmName: random
    algorithmSettings: [{{name: random_state, value: "7"}}]
  parallelTrialCount: {parallel}
  maxTrialCount: {max_trials}
  maxFailedTrialCount: {max_failed}
  resumePolicy: LongRunning
  parameters:
    - {{name: lr, parameterType: double, feasibleSpace: {{min: "0.01", max: "0.99"}}}}
    - {{name: layers, parameterType: int, feasibleSpace: {{min: "1", max: "8"}}}}
  trialTemplate:
    primaryContainerName: main
    trialParameters:
      - {{name: lr, reference: lr}}
      - {{name: layers, reference: layers}}
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
              - name: main
                image: busybox
                command: [sh, -c, {script}, "${{trialParameters.lr}}", "${{trialParameters.layers}}"]
"""

QUICK = "'echo loss=$0; echo rounds=$1'"
FAILING = "'echo before; echo \"ValueError: no such file\"; exit 3'"
LONG = "'echo loss=$0; echo $$$$ >> pids; sleep 1000'"
STUBBORN = "'trap : TERM; echo loss=1; echo $$$$ >> pids; while :; do sleep 0.1; done'"


def manifest(name: str = "tiny", *, script: str = QUICK, max_trials: int = 3, max_failed: int = 1) -> str:
    """An Experiment whose Trials run a line of shell."""
    return MANIFEST.format(
        name=name, script=script, max_trials=max_trials, max_failed=max_failed, parallel=min(2, max_trials)
    )


_READING = frozenset({"get", "describe", "best", "logs", "export", "export-model", "validate", "algorithms"})


class Katib:
    """The command line on one home folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KATIB")},
            "KATIB_HOME": str(self.home),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }

    def write(self, text: str, name: str = "experiment.yaml") -> Path:
        """A manifest in the folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def __call__(self, *arguments: object, stdin: str = "", environment: Mapping[str, str] | None = None) -> Ended:
        """Runs a command to its end: in this process where it only reads, for that is faster."""
        if arguments and arguments[0] in _READING and not environment:
            return run_here([str(argument) for argument in arguments], folder=self.folder, environment=self.environment)
        done = subprocess.run(
            _argv(arguments),
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def started(self, *arguments: object) -> "Iterator[subprocess.Popen[str]]":
        """A command that runs beside the test; it is gone afterwards."""
        with subprocess.Popen(
            _argv(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)

    def pids(self) -> list[int]:
        """The processes that Trials have noted down in the folder."""
        path = self.folder / "pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def wait_for_pids(self, count: int) -> list[int]:
        """Waits until so many Trials have noted themselves down."""
        wait_until(lambda: len(self.pids()) >= count)
        return self.pids()


def _argv(arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "pykatib.cli.main", *map(str, arguments)]


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits for a condition that must come about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """True for a process that is there and no mere entry."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
