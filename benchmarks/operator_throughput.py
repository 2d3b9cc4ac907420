"""Trials a second and API writes a Trial of the operator, on a control plane alone.

    python benchmarks/operator_throughput.py [--trials 1000] [--parallel 50] [--experiments 1]

With several Experiments, each has so many Trials, and the slowest is told beside the fastest.

A stand-in in a process of its own completes the Jobs. Needs KUBE_ASSETS or KUBECONFIG as the tests do.
"""

import argparse
import json
import multiprocessing
import resource
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests" / "kubernetes"))

from local_control_plane import LocalControlPlane, find_assets  # noqa: E402
from stand_in import FolderObservations, StandIn, experiment, has_ended, read_experiment  # noqa: E402

from pykatib.api import wire  # noqa: E402
from pykatib.kube.crds import definitions  # noqa: E402
from pykatib.kube.operator import Operator  # noqa: E402
from pykatib.store.kubernetes.api_server import ApiServer  # noqa: E402

NAMESPACE = "default"


def stand_in(kubeconfig: str, folder: str) -> None:
    """Completes Jobs until it is terminated."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    each = StandIn(ApiServer.connect(kubeconfig), NAMESPACE, FolderObservations(Path(folder)))
    each.start()
    over.wait()
    each.stop()


def cpu_seconds() -> float:
    """What this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(kubeconfig: str, folder: str, *, trials: int, parallel: int, experiments: int) -> dict[str, float]:
    """Runs the Experiments; answers the figures."""
    server = ApiServer.connect(kubeconfig)
    operator = Operator(ApiServer.connect(kubeconfig), FolderObservations(Path(folder)))
    thread = threading.Thread(target=operator.run)
    thread.start()
    while operator.readiness().status != 200:
        time.sleep(0.1)
    started, used = time.monotonic(), cpu_seconds()
    names = [f"search-{number}" for number in range(experiments)]
    for name in names:
        wanted = experiment(NAMESPACE, name, trials=trials, parallel=parallel)
        path = f"/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/experiments"
        server.request("POST", path, body=wire.encode(wanted))
    marks: list[tuple[float, int]] = []
    ended: dict[str, float] = {}
    counts: dict[str, int] = {}
    while len(ended) < experiments:
        time.sleep(2.0)
        for name in names:
            if name not in ended:
                counts[name] = read_experiment(server, NAMESPACE, name).status.trials_succeeded
                if has_ended(server, NAMESPACE, name):
                    ended[name] = time.monotonic() - started
        marks.append((time.monotonic() - started, sum(counts.values())))
    seconds = max(ended.values())
    total = trials * experiments
    operator.stop()
    thread.join()
    for moment, count in marks[:: max(1, len(marks) // 10)]:
        print(f"{moment:7.1f} s {count:6d} Trials", flush=True)
    text = operator.figures().text
    writes = next(float(line.split()[-1]) for line in text.splitlines() if line.startswith("pykatib_api_writes_total "))
    server.close()
    return {
        "experiments": experiments,
        "trials": total,
        "parallel": parallel,
        "seconds": round(seconds, 1),
        "slowest_to_fastest": round(seconds / min(ended.values()), 2),
        "trials_per_second": round(total / seconds, 1),
        "object_writes_per_trial": round(writes / total, 2),
        "operator_cpu_ms_per_trial": round((cpu_seconds() - used) / total * 1000, 1),
        "operator_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Starts the control plane and the stand-in, measures, and ends them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=50)
    parser.add_argument("--experiments", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plane = LocalControlPlane(
            find_assets(Path(tempfile.gettempdir(), "pykatib-kube-assets")), Path(folder, "control-plane")
        )
        helper: multiprocessing.Process | None = None
        logs = Path(folder, "logs")
        logs.mkdir()
        try:
            plane.start([json.dumps(each) for each in definitions()])
            helper = multiprocessing.Process(target=stand_in, args=(str(plane.kubeconfig), str(logs)))
            helper.start()
            figures = measure(str(plane.kubeconfig), str(logs), **vars(options))
            print(json.dumps(figures))
        finally:
            if helper is not None:
                helper.terminate()
                helper.join()
            plane.stop()


if __name__ == "__main__":
    main()
