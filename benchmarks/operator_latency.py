"""How soon the operator acts: from an Experiment's arrival to its first Job, from a Job's end to the next Trial's Job.

    python benchmarks/operator_latency.py [--rounds 20] [--trials 60]

Told from the moment before the request is sent to the moment in which a watch brings the Job. Goals: 1 s and, as the
median, 0.3 s.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from measuring import print_table
from operator_bench import EXPERIMENTS, JOBS, NAMESPACE, Bench, FolderObservations, bench, experiment, load
from pykatib.api import wire
from pykatib.api.errors import PykatibError
from pykatib.api.shared import MetricLog
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer, Canceller


class Arrivals:
    """When a watch has brought each Job."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrived: dict[str, float] = {}

    def take(self, name: str) -> None:
        """Notes a Job."""
        with self._changed:
            self._arrived.setdefault(name, time.monotonic())
            self._changed.notify_all()

    def wait(self, is_wanted: Callable[[str], bool]) -> tuple[str, float]:
        """A Job that is wanted, and when it came."""
        with self._changed:
            found: list[str] = []

            def look() -> bool:
                found[:] = [name for name in self._arrived if is_wanted(name)]
                return bool(found)

            if not self._changed.wait_for(look, 60.0):
                raise RuntimeError("no Job came")
            return found[0], self._arrived[found[0]]


@contextmanager
def watching(kubeconfig: str) -> Iterator[Arrivals]:
    """Follows the Jobs."""
    server, arrivals, canceller = ApiServer.connect(kubeconfig), Arrivals(), Canceller()

    def follow() -> None:
        version = json.loads(server.request("GET", JOBS))["metadata"]["resourceVersion"]
        try:
            with server.watch(JOBS, {"watch": "true", "resourceVersion": version}, canceller) as lines:
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ADDED":
                        arrivals.take(event["object"]["metadata"]["name"])
        except PykatibError:
            if not canceller.is_cancelled:
                raise

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(1.0)
    try:
        yield arrivals
    finally:
        canceller.cancel()
        thread.join()
        server.close()


def first_jobs(found: Bench, arrivals: Arrivals, rounds: int) -> list[float]:
    """Seconds from an Experiment's POST to its first Job."""
    seconds = []
    for number in range(rounds):
        wanted = wire.encode(experiment(NAMESPACE, f"first{number:03}", trials=1, parallel=1))
        started = time.monotonic()
        found.server.request("POST", EXPERIMENTS, body=wanted)
        _, arrived = arrivals.wait(lambda name, number=number: name.startswith(f"first{number:03}-"))  # type: ignore[misc]
        seconds.append(arrived - started)
        time.sleep(0.3)
    return seconds


def next_jobs(found: Bench, arrivals: Arrivals, trials: int) -> list[float]:
    """Seconds from a Job's last status to the next Trial's Job."""
    observations = FolderObservations(found.logs)
    body = wire.encode(experiment(NAMESPACE, "chain", trials=trials, parallel=1))
    found.server.request("POST", EXPERIMENTS, body=body)
    known: set[str] = set()
    seconds: list[float] = []
    ended: float | None = None
    for _ in range(trials):
        name, arrived = arrivals.wait(lambda name: name.startswith("chain-") and name not in known)
        known.add(name)
        if ended is not None:
            seconds.append(arrived - ended)
        observations.report(NAMESPACE, name, [MetricLog(time.time(), "loss", "0.5")])
        time.sleep(0.05)
        status = json.dumps({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}).encode()
        ended = time.monotonic()
        found.server.request("PATCH", f"{JOBS}/{name}/status", body=status, content_type=MERGE_PATCH)
    return seconds


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    options = parser.parse_args()
    with bench() as found:
        found.released.clear()
        found.start_operator()
        with watching(found.kubeconfig) as arrivals:
            samples = {
                "Experiment posted to its first Job": first_jobs(found, arrivals, options.rounds),
                "Job ended to the next Trial's Job": next_jobs(found, arrivals, options.trials),
            }
        lines = [
            [what, *(f"{value:.3f}" for value in (min(times), statistics.median(times), max(times)))]
            for what, times in samples.items()
        ]
        print_table(["", "least, s", "median, s", "most, s"], lines)
        print(load())


if __name__ == "__main__":
    main()
