"""A Pod of two processes: a wrapped program and the sidecar beside it, with a real DB manager to report to."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shells import start_wrapped

from pykatib.rpc.db_manager_client import DBManagerClient

TRIAL, NAMESPACE = "trial-1", "team-a"


def wait_for(condition: Callable[[], bool], what: str = "it") -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen"
        time.sleep(0.02)


class Pod:
    """The folders and processes of one Pod; `close` ends what is left."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self.control, self.log = folder / "control", folder / "logs" / "metrics.log"
        self.control.mkdir()
        self.log.parent.mkdir()
        self.sidecar_log = folder / "sidecar.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start_program(
        self, words: Sequence[str], *, stop_seconds: str = "", log: bool = True
    ) -> "subprocess.Popen[bytes]":
        """The program, its output kept as for StdOut unless `log` is False."""
        process = start_wrapped(
            words,
            control=self.control,
            log=self.log if log else None,
            stop_seconds=stop_seconds,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def start_python(self, program: str, *, stop_seconds: str = "", log: bool = True) -> "subprocess.Popen[bytes]":
        """A program in Python."""
        return self.start_program([sys.executable, "-uc", program], stop_seconds=stop_seconds, log=log)

    def start_sidecar(
        self, *arguments: str, kind: str = "StdOut", path: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        """The sidecar, reading often."""
        words = ["-t", TRIAL, "-m", "loss;accuracy", "-o-type", "minimize", "-s-db", self.address, "-p", "50ms"]
        words += ["-path", str(path or self.log), "--kind", kind, "--namespace", NAMESPACE]
        words += ["--control", str(self.control), *arguments]
        with open(self.sidecar_log, "ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pykatib.sidecar", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._processes.append(process)
        return process

    def run(self, program: str, *arguments: str) -> int:
        """A program in Python beside the sidecar, to their ends; answers how the sidecar ended."""
        self.start_python(program).wait(60)
        return self.start_sidecar(*arguments).wait(60)

    def said(self) -> str:
        """What the sidecar has logged."""
        return self.sidecar_log.read_text()

    def close(self) -> None:
        """Ends every process that was started."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def values(address: str, metric: str = "loss", *, namespace: str = NAMESPACE) -> list[str]:
    """What the DB manager has of a metric, in order."""
    client = DBManagerClient(address, timeout_seconds=20)
    try:
        return [row.value for row in client.find(TRIAL, namespace=namespace, metric_name=metric)]
    finally:
        client.close()
