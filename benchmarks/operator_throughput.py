"""Trials a second and API writes a Trial of the operator, on a control plane alone.

    python benchmarks/operator_throughput.py [--trials 1000] [--parallel 50]

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


def measure(kubeconfig: str, folder: str, trials: int, parallel: int) -> dict[str, float]:
    """Runs one Experiment; answers the figures."""
    server = ApiServer.connect(kubeconfig)
    operator = Operator(ApiServer.connect(kubeconfig), FolderObservations(Path(folder)))
    thread = threading.Thread(target=operator.run)
    thread.start()
    while operator.readiness().status != 200:
        time.sleep(0.1)
    started, used = time.monotonic(), cpu_seconds()
    wanted = experiment(NAMESPACE, trials=trials, parallel=parallel)
    server.request("POST", f"/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/experiments", body=wire.encode(wanted))
    marks: list[tuple[float, int]] = []
    while not has_ended(server, NAMESPACE):
        time.sleep(2.0)
        marks.append((time.monotonic() - started, read_experiment(server, NAMESPACE).status.trials_succeeded))
    seconds = time.monotonic() - started
    operator.stop()
    thread.join()
    for moment, count in marks[:: max(1, len(marks) // 10)]:
        print(f"{moment:7.1f} s {count:6d} Trials", flush=True)
    text = operator.figures().text
    writes = next(float(line.split()[-1]) for line in text.splitlines() if line.startswith("pykatib_api_writes_total "))
    server.close()
    return {
        "trials": trials,
        "parallel": parallel,
        "seconds": round(seconds, 1),
        "trials_per_second": round(trials / seconds, 1),
        "object_writes_per_trial": round(writes / trials, 2),
        "operator_cpu_ms_per_trial": round((cpu_seconds() - used) / trials * 1000, 1),
        "operator_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Starts the control plane and the stand-in, measures, and ends them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=50)
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
            print(json.dumps(measure(str(plane.kubeconfig), str(logs), options.trials, options.parallel)))
        finally:
            if helper is not None:
                helper.terminate()
                helper.join()
            plane.stop()


if __name__ == "__main__":
    main()
