"""A part of the operator's benchmarks: a control plane alone, an operator in a process of its own, and what both use.

Nothing runs a Job here but a stand-in, which completes it and has its Trial's metric arrive; it has a process of its
own too. CPU is told for each of them, for on a machine that others use as well the clock tells of the others.
"""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[1]
TESTS = PROJECT / "tests" / "kubernetes"
sys.path.insert(0, str(TESTS))

from local_control_plane import LocalControlPlane, find_assets, free_port  # noqa: E402
from stand_in import FolderObservations as FolderObservations  # noqa: E402
from stand_in import StandIn  # noqa: E402
from stand_in import experiment as experiment  # noqa: E402
from stand_in import has_ended as has_ended  # noqa: E402
from stand_in import read_experiment as read_experiment  # noqa: E402

from pykatib.api.errors import NotFound  # noqa: E402
from pykatib.api.objects import WorkerJob  # noqa: E402
from pykatib.kube.crds import definitions  # noqa: E402
from pykatib.store.kubernetes.api_server import ApiServer  # noqa: E402

NAMESPACE = "default"
EXPERIMENTS = f"/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/experiments"
TRIALS = f"/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/trials"
SUGGESTIONS = f"/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/suggestions"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"

_OPERATOR = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from stand_in import FolderObservations
from pykatib.kube.entry import run_operator
sys.exit(run_operator(kubeconfig=sys.argv[2], metrics_address=sys.argv[3], health_address=sys.argv[3],
                      log_level="warning", observations=FolderObservations(Path(sys.argv[4]))))
"""


class _Held(StandIn):
    """Completes Jobs from when it is released."""

    def __init__(self, server: ApiServer, folder: Path, released: Event) -> None:
        super().__init__(server, NAMESPACE, FolderObservations(folder))
        self._released = released

    def _complete(self, job: WorkerJob) -> None:
        if self._released.is_set():
            super()._complete(job)
        else:
            self._waiting.append(job)
            if len(self._waiting) == 1:
                time.sleep(0.05)


def _stand_in(kubeconfig: str, folder: str, released: Event) -> None:
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    each = _Held(ApiServer.connect(kubeconfig), Path(folder), released)
    each.start()
    over.wait()
    each.stop()


class Bench:
    """What runs: `server` to ask, `released` lets Jobs complete."""

    def __init__(self, plane: LocalControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        self.logs = folder / "logs"
        self.kubeconfig = str(plane.kubeconfig)
        self.server = ApiServer.connect(self.kubeconfig)
        self.released = multiprocessing.Event()
        self.released.set()
        self.processes: dict[str, psutil.Process] = {}
        self._address = f"127.0.0.1:{free_port()}"
        self._operator: subprocess.Popen[bytes] | None = None

    def start_operator(self) -> float:
        """Starts an operator; answers how many seconds it took until it knew the cluster."""
        started = time.monotonic()
        command = [sys.executable, "-c", _OPERATOR, str(TESTS), self.kubeconfig, self._address, str(self.logs)]
        self._operator = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.processes["operator"] = psutil.Process(self._operator.pid)
        while self._operator.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{self._address}/readyz") as answer:
                if answer.status == 200:
                    return time.monotonic() - started
            time.sleep(0.05)
        raise RuntimeError("the operator has ended")

    def stop_operator(self) -> None:
        """Ends the operator, if there is one."""
        if self._operator is not None:
            self._operator.terminate()
            self._operator.wait()
            self._operator = None

    def operator_memory_mb(self) -> float:
        """What the operator holds in memory now."""
        return float(self.processes["operator"].memory_info().rss) / 2**20

    def operator_peak_mb(self) -> float:
        """The most that it has held."""
        status = Path(f"/proc/{self.processes['operator'].pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else float("nan")

    def cpu_seconds(self) -> dict[str, float]:
        """CPU that each process has used so far."""
        return {name: sum(process.cpu_times()[:2]) for name, process in self.processes.items()}

    def object_writes(self) -> float:
        """Writes of objects that the operator has sent."""
        with urllib.request.urlopen(f"http://{self._address}/metrics") as answer:
            return _figure(answer.read().decode(), r"^pykatib_api_writes_total ")

    def requests(self) -> float:
        """Writes that the API server has served to whomever: POST, PUT, PATCH and DELETE."""
        text = self.server.request("GET", "/metrics").decode()
        return _figure(text, r'^apiserver_request_total\{.*verb="(?:POST|PUT|PATCH|DELETE)".*\} ')

    def bytes_written(self) -> float:
        """What etcd has been sent, which is little but what was written."""
        with urllib.request.urlopen(f"{self.plane.etcd_url}/metrics") as answer:
            return _figure(answer.read().decode(), r"^etcd_network_client_grpc_received_bytes_total ")

    def size(self, path: str) -> int:
        """The bytes of an object's JSON; 0 where it is not there."""
        try:
            return len(self.server.request("GET", path))
        except NotFound:
            return 0


def _figure(text: str, beginning: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(beginning, line))


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """A control plane with a stand-in; no operator yet."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        assets = find_assets(Path(tempfile.gettempdir(), "pykatib-kube-assets"))
        plane = LocalControlPlane(assets, folder / "control-plane")
        helper: multiprocessing.Process | None = None
        made: Bench | None = None
        try:
            plane.start([json.dumps(each) for each in definitions()])
            made = Bench(plane, folder)
            arguments = (made.kubeconfig, str(made.logs), made.released)
            helper = multiprocessing.Process(target=_stand_in, args=arguments)
            helper.start()
            made.processes["stand-in"] = psutil.Process(helper.pid)
            for component, pid in plane.pids().items():
                made.processes[component] = psutil.Process(pid)
            yield made
        finally:
            if made is not None:
                made.stop_operator()
            if helper is not None:
                helper.terminate()
                helper.join()
            if made is not None:
                made.server.close()
            plane.stop()


def load() -> str:
    """How busy the machine is."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def print_cpu(used: dict[str, float], before: dict[str, float], count: int) -> None:
    """CPU a Trial, by process."""
    parts = [f"{name} {(used[name] - before.get(name, 0.0)) / count * 1000:.1f}" for name in used]
    print(f"CPU ms a Trial: {', '.join(parts)}", flush=True)
