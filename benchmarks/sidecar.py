"""How soon the metrics collector of a Pod is at work, and how much memory it takes, beside each kind of source.

    python benchmarks/sidecar.py [--rounds 5] [--lines 10000]

Each round is a process, which reports to a DB manager on SQLite that is there already. "first" is from its start to
the arrival of the first value, which a program had written before (with StdOut and File, in a report of some thousand
lines), and "CPU" what it had taken of a processor by then; memory is the highest that the kernel saw, of
which "own" is not shared with other processes of the same program.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "rpc")]

from db_manager_support import serving  # noqa: E402
from sqlalchemy import URL  # noqa: E402

from pykatib.rpc.db_manager_client import DBManagerClient  # noqa: E402

EVENTS = ROOT / "tests" / "workers" / "collectors" / "event_files" / "tensorflow2"


class Round(NamedTuple):
    """What one process took."""

    first_seconds: float
    first_cpu_seconds: float
    peak_kib: int
    own_kib: int


class Answering(BaseHTTPRequestHandler):
    """An endpoint with one metric."""

    def do_GET(self) -> None:
        """Answers."""
        body = b"loss 1\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def memory_of(pid: int) -> tuple[int, int]:
    """The highest resident memory of a process so far, and what of the present is its own, in KiB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]), int(fields["RssAnon"].split()[0])


def cpu_of(pid: int) -> float:
    """The seconds of CPU that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(kind: str, address: str, trial: str, folder: Path, *, lines: int, port: int) -> Round:
    """One sidecar beside a program that goes on while it is measured."""
    control = folder / trial
    control.mkdir()
    os.mkfifo(control / "alive")
    held = os.open(control / "alive", os.O_RDWR)  # the program runs
    (control / "started").touch()
    path, metric, count = control / "metrics", "loss", lines
    words = ["--kind", kind]
    if kind == "StdOut":
        path.write_text("".join(f"epoch {i}: loss={1 / (i + 1)}\n" for i in range(lines)))
    elif kind == "File":
        path.write_text("".join(f'{{"loss": {1 / (i + 1)}}}\n' for i in range(lines)))
        words += ["-format", "JSON"]
    elif kind == "TensorFlowEvent":
        path, metric, count = EVENTS, "train/accuracy", 3
    else:
        count = 1
        words += ["--http-get", f'{{"port": {port}, "path": "/metrics"}}']
    words += ["-t", trial, "-m", metric, "-s-db", address, "-path", str(path), "--control", str(control)]
    client = DBManagerClient(address)
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "pykatib.sidecar", *words], stderr=subprocess.DEVNULL)
    try:
        while not client.find(trial):
            assert process.poll() is None, "it has ended"
            time.sleep(0.005)
        first, cpu = time.perf_counter() - begin, cpu_of(process.pid)
        while len(client.find(trial)) < count:
            time.sleep(0.05)
        time.sleep(1.5)  # one more look, with nothing to do
        peak, own = memory_of(process.pid)
        (control / "exit").write_text("0\n")
        assert process.wait(30) == 0, "it has failed"
    finally:
        process.kill()
        process.wait()
        os.close(held)
        client.close()
    return Round(first, cpu, peak, own)


def rounds(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[Round]]]:
    """What each kind took."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with serving(URL.create("sqlite", database=str(folder / "logs.db"))) as address:
        for kind in ("StdOut", "File", "TensorFlowEvent", "PrometheusMetric"):
            yield (
                kind,
                [
                    run(kind, address, f"{kind}-{n}", folder, lines=arguments.lines, port=server.server_port)
                    for n in range(arguments.rounds)
                ],
            )
    server.shutdown()
    server.server_close()
    thread.join()


def main() -> None:
    """Prints a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind, taken in rounds(arguments, Path(folder)):
            first = statistics.median(one.first_seconds for one in taken)
            cpu = statistics.median(one.first_cpu_seconds for one in taken)
            peak, own = max(one.peak_kib for one in taken) / 1024, max(one.own_kib for one in taken) / 1024
            print(
                f"{kind:17} first value after {first:.2f} s, CPU {cpu:.2f} s (medians); "
                f"memory {peak:.1f} MiB at most, own {own:.1f} MiB"
            )


if __name__ == "__main__":
    main()
