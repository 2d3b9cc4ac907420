"""How many metric rows a second the DB manager takes, and how long a Trial's log of 10,000 rows takes to come out.

    python benchmarks/db_manager.py [mariadb] [postgresql] [sqlite] [--clients 8] [--seconds 10]

Starts real database servers that flush every commit, `katib db-manager` as a process, and the clients as processes,
each reporting 1,000 rows a call over its own connection. All of it shares the machine it runs on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "rpc")]

from db_manager_support import db_manager_process, free_port  # noqa: E402
from sqlalchemy import URL  # noqa: E402

from database_servers import KINDS  # noqa: E402
from pykatib.api.shared import MetricLog  # noqa: E402
from pykatib.rpc.db_manager_client import DBManagerClient, report_request  # noqa: E402

REPORT_ROWS = 1_000
LOG_ROWS = 10_000


def logs(count: int) -> list[MetricLog]:
    """Rows as a training loop reports them: two metrics a step, microseconds in the times."""
    return [
        MetricLog(1_750_000_000.0 + index * 0.123457, ("loss", "accuracy")[index % 2], repr(1.0 / (index + 3)))
        for index in range(count)
    ]


def client(address: str, number: int, seconds: float) -> None:
    """Reports for so long; prints how many rows it has delivered in how many seconds."""
    manager = DBManagerClient(address)
    request = report_request(f"trial-{number}", logs(REPORT_ROWS))
    manager.report(report_request(f"warm-{number}", logs(10)))
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.perf_counter()
    count = 0
    while time.perf_counter() - begin < seconds:
        manager.report(request)
        count += REPORT_ROWS
    print(json.dumps([count, time.perf_counter() - begin]))
    manager.close()


@contextmanager
def database(kind: str, folder: Path) -> Iterator[URL]:
    """A database of that kind that loses nothing in a power cut (SQLite: at most the last commits)."""
    if kind == "sqlite":
        yield URL.create("sqlite", database=str(folder / "logs.db"))
        return
    server = KINDS[kind](durable=True)
    try:
        yield server.url()
    finally:
        server.remove()


def rows_in(address: str, clients: int, seconds: float) -> float:
    """Rows a second over all clients."""
    command = [sys.executable, __file__, "--client", address, "--seconds", str(seconds)]
    processes = [
        subprocess.Popen([*command, "--number", str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(clients)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    rates = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        count, taken = json.loads(process.communicate()[0].splitlines()[-1])
        rates.append(count / taken)
    return sum(rates)


def log_out(address: str, *, metric_name: str | None = None) -> tuple[float, float]:
    """Median and best milliseconds of reading a Trial's log, by a client, as values."""
    manager = DBManagerClient(address)
    taken = []
    for _ in range(15):
        begin = time.perf_counter()
        found = manager.find("long", metric_name=metric_name)
        taken.append((time.perf_counter() - begin) * 1_000)
        assert len(found) == (LOG_ROWS if metric_name is None else LOG_ROWS // 2)
    manager.close()
    return statistics.median(taken), min(taken)


def main() -> None:
    """Measures each database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=["postgresql", "mariadb", "sqlite"])
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--client", default="", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.client:
        client(chosen.client, chosen.number, chosen.seconds)
        return
    print(
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; {chosen.clients} clients, {REPORT_ROWS} rows a report"
    )
    print("| database | rows/s in | 10,000-row log out, ms (best) | one of its two metrics, ms (best) |")
    print("|---|---|---|---|")
    for kind in chosen.kinds:
        with (
            tempfile.TemporaryDirectory() as name,
            database(kind, Path(name)) as url,
            db_manager_process(url, free_port(), Path(name)) as process,
        ):
            process.wait_until_serving()
            rate = rows_in(process.address, chosen.clients, chosen.seconds)
            manager = DBManagerClient(process.address)
            manager.report(report_request("long", logs(LOG_ROWS)))
            manager.close()
            whole, best = log_out(process.address)
            half, best_half = log_out(process.address, metric_name="loss")
            process.end()
        print(f"| {kind} | {rate:,.0f} | {whole:.0f} ({best:.0f}) | {half:.0f} ({best_half:.0f}) |", flush=True)


if __name__ == "__main__":
    main()
