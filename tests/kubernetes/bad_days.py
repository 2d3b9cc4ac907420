"""What takes part in a bad day: Pods without a kubelet, workers that report, operators and DB managers to be killed."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from local_control_plane import free_port
from stand_in import StandIn, loss_of, read_all, wait_for

from pykatib.api import wire
from pykatib.api.errors import NotFound, PykatibError, Unavailable
from pykatib.api.experiment import Experiment
from pykatib.api.objects import WorkerJob
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.kube.injection_wrapping import SCRIPT
from pykatib.kube.operator import Operator
from pykatib.rpc.db_manager_client import DBManagerClient
from pykatib.store.contract import ObservationStore
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer

HERE = Path(__file__).parent


def apply(server: ApiServer, wanted: Experiment) -> None:
    """Creates an Experiment."""
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{wanted.metadata.namespace}/experiments"
    server.request("POST", path, body=wire.encode(wanted))


def trials_in(server: ApiServer, namespace: str) -> list[Trial]:
    """The Trials of a namespace."""
    return [wire.decode(json.dumps(each), Trial) for each in read_all(server, namespace, "trials")]


def jobs_in(server: ApiServer, namespace: str) -> list[dict[str, Any]]:
    """The Jobs of a namespace."""
    items: list[dict[str, Any]] = json.loads(
        server.request("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs")
    )["items"]  # fmt: skip
    return items


def check_no_value_came_twice(server: ApiServer, namespace: str) -> None:
    """Random search proposes no value twice: where two Trials have the same, one proposal was taken twice."""
    values = [tuple(trial.spec.parameter_assignments) for trial in trials_in(server, namespace)]
    assert len({*values}) == len(values)


@contextmanager
def namespace_in(server: ApiServer, purpose: str) -> Iterator[str]:
    """A new namespace."""
    body = json.dumps({"metadata": {"generateName": f"{purpose}-"}}).encode()
    name: str = json.loads(server.request("POST", "/api/v1/namespaces", body=body))["metadata"]["name"]
    try:
        yield name
    finally:
        server.request("DELETE", f"/api/v1/namespaces/{name}")


@contextmanager
def at_work(operator: Operator) -> Iterator[Operator]:
    """An operator on a thread of its own."""
    thread = threading.Thread(target=operator.run, name="operator")
    thread.start()
    try:
        yield operator
    finally:
        operator.stop()
        thread.join()


S = TypeVar("S", bound=StandIn)


@contextmanager
def completing(stand_in: S) -> Iterator[S]:
    """A stand-in at work."""
    stand_in.start()
    try:
        yield stand_in
    finally:
        stand_in.stop()


class HeldStandIn(StandIn):
    """Completes Jobs from when it is released."""

    def __init__(self, server: ApiServer, namespace: str, observations: ObservationStore) -> None:
        super().__init__(server, namespace, observations)
        self.released = threading.Event()

    def _complete(self, job: WorkerJob) -> None:
        if self.released.is_set():
            super()._complete(job)
        else:
            self._waiting.append(job)
            self._over.wait(0.1)


class PodRunner:
    """Plays scheduler and kubelet to a real Job controller: Pods succeed, and their Trials' metrics arrive once.

    `evictions` says how many Pods, the first that come, are evicted instead.
    """

    def __init__(
        self, server: ApiServer, namespace: str, observations: ObservationStore, *, evictions: int = 0
    ) -> None:
        self._server = server
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._observations = observations
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pod-runner")
        self._reported: set[str] = set()
        self._evictions_left = evictions
        self._evicted: set[str] = set()
        self.uids_by_job: dict[str, set[str]] = {}
        self.pods_by_job: dict[str, set[str]] = {}

    def __enter__(self) -> "PodRunner":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._server.close()

    @property
    def evicted_count(self) -> int:
        """Pods that were evicted."""
        return len(self._evicted)

    def _run(self) -> None:
        while not self._over.wait(0.1):
            try:
                for pod in json.loads(self._server.request("GET", self._path))["items"]:
                    self._play(pod)
            except Unavailable:
                continue

    def _play(self, pod: Mapping[str, Any]) -> None:
        meta = pod["metadata"]
        job = meta["labels"]["job-name"]
        owner = next(each["uid"] for each in meta["ownerReferences"] if each["controller"])
        self.uids_by_job.setdefault(job, set()).add(owner)
        self.pods_by_job.setdefault(job, set()).add(meta["uid"])
        if pod["status"]["phase"] != "Pending" or "deletionTimestamp" in meta or meta["uid"] in self._evicted:
            return
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        try:
            if self._evictions_left:
                self._evict(path, meta)
                return
            trial_path = f"/apis/kubeflow.org/v1beta1/namespaces/{meta['namespace']}/trials/{job}"
            trial = wire.decode(self._server.request("GET", trial_path), Trial)
            if meta["uid"] not in self._reported:
                self._observations.report(
                    meta["namespace"], job, [MetricLog(time.time(), "loss", repr(loss_of(trial)))]
                )
                self._reported.add(meta["uid"])
            body = json.dumps({"status": {"phase": "Succeeded"}}).encode()
            self._server.request("PATCH", f"{path}/status", body=body, content_type=MERGE_PATCH)
        except NotFound:
            pass  # deleted in the meantime

    def _evict(self, path: str, meta: Mapping[str, Any]) -> None:
        body = {
            "apiVersion": "policy/v1beta1",
            "kind": "Eviction",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        }
        self._server.request("POST", f"{path}/eviction", body=json.dumps(body).encode())
        self._evicted.add(meta["uid"])
        self._evictions_left -= 1


class OperatorProcess:
    """An operator as a process, observations in a folder; with an identity it is a candidate for a Lease."""

    def __init__(self, kubeconfig: str, namespace: str, folder: Path, identity: str = "") -> None:
        self.log = folder / f"operator-{identity}.log"
        words = [sys.executable, str(HERE / "operator_process.py"), kubeconfig, namespace, str(folder / "logs")]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*words, *([identity] if identity else [])], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def end(self) -> None:
        """Ends it, if it has not ended."""
        self.process.kill()
        self.process.wait()


class DBManagerProcess:
    """`katib db-manager` on SQLite, at one address whoever serves there. `start`, `kill`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [sys.executable, "-m", "pykatib.cli.main", "db-manager", "--listen-address", self.address]
        environment = {
            **os.environ,
            "DB_NAME": "sqlite",
            "KATIB_SQLITE_DB_PATH": str(self.folder / "katib.db"),
        }
        with (self.folder / "db-manager.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        wait_for("the DB manager", self._answers)

    def kill(self) -> None:
        """Ends it without a word, if it is there."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def values(self, namespace: str, trial_name: str) -> list[str]:
        """What it has of a Trial's loss, in order."""
        client = DBManagerClient(self.address, timeout_seconds=20)
        try:
            return [row.value for row in client.find(trial_name, namespace=namespace, metric_name="loss")]
        finally:
            client.close()

    def _answers(self) -> bool:
        client = DBManagerClient(self.address, timeout_seconds=1)
        try:
            client.find("nobody")
        except PykatibError:
            return False
        finally:
            client.close()
        return True


_PUSHING = """
import sys, time
from pykatib.sdk.report import report_metrics
for value in range(int(sys.argv[1])):
    report_metrics({"loss": value + 0.5})
    time.sleep(float(sys.argv[2]))
"""
_PRINTING = """
import sys, time
for value in range(int(sys.argv[1])):
    print(f"loss={value + 0.5}", flush=True)
    time.sleep(float(sys.argv[2]))
"""


class ReportingPods:
    """Runs a Job's worker as a Pod would: a program that pushes, or one that prints, wrapped, beside a real sidecar.

    A Job is completed once all its processes have ended well.
    """

    def __init__(
        self, server: ApiServer, namespace: str, folder: Path, address: str, *, values: int, seconds: float
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._folder = folder
        self._address = address
        self._words = [str(values), str(seconds)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporting-pods")
        self._pods: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._completed: set[str] = set()
        self.uids_by_job: dict[str, set[str]] = {}
        self.statuses: dict[str, list[int]] = {}

    def __enter__(self) -> "ReportingPods":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for processes in self._pods.values():
            for process in processes:
                process.kill()
                process.wait()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            for job in jobs_in(self._server, self._namespace):
                name, uid = job["metadata"]["name"], job["metadata"]["uid"]
                self.uids_by_job.setdefault(name, set()).add(uid)
                if uid not in self._pods:
                    self._pods[uid] = self._started(name, is_pushing=len(self._pods) % 2 == 0)
                self._complete(name, uid)

    def _complete(self, name: str, uid: str) -> None:
        statuses = [process.poll() for process in self._pods[uid]]
        if None in statuses or uid in self._completed:
            return
        self.statuses[name] = [status for status in statuses if status is not None]
        kind = "Failed" if any(statuses) else "Complete"
        body = json.dumps({"status": {"conditions": [{"type": kind, "status": "True"}]}}).encode()
        path = f"/apis/batch/v1/namespaces/{self._namespace}/jobs/{name}/status"
        try:
            self._server.request("PATCH", path, body=body, content_type=MERGE_PATCH)
        except NotFound:
            pass  # deleted in the meantime
        self._completed.add(uid)

    def _started(self, trial_name: str, *, is_pushing: bool) -> list["subprocess.Popen[bytes]"]:
        folder = self._folder / trial_name
        control, log = folder / "control", folder / "logs" / "metrics.log"
        for each in (control, log.parent):
            each.mkdir(parents=True)
        if is_pushing:
            environment = {"KATIB_TRIAL_NAME": trial_name, "KATIB_DB_MANAGER_ADDR": self._address}
            return [self._process(folder, [sys.executable, "-c", _PUSHING, *self._words], environment)]
        program = [sys.executable, "-c", _PRINTING, *self._words]
        sidecar = [
            *(sys.executable, "-m", "pykatib.sidecar", "-t", trial_name, "-m", "loss", "-o-type", "minimize"),
            *("-s-db", self._address, "-p", "200ms", "-path", str(log), "--kind", "StdOut"),
            *("--namespace", self._namespace, "--control", str(control)),
        ]
        return [
            self._process(folder, ["sh", "-c", SCRIPT, "katib", str(control), str(log), "", *program], {}),
            self._process(folder, sidecar, {}),
        ]

    def _process(self, folder: Path, words: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        with (folder / "output").open("ab") as output:
            return subprocess.Popen(
                words,
                env={**os.environ, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
