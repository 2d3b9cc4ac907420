"""A real API server for these tests: one that is started here from KUBE_ASSETS or `../shared/kube`, or KUBECONFIG's.

Only what was started here is stopped. Where there is nothing to start and no cluster, the tests say so and are skipped.
Tests of one run that are spread over several processes share one control plane: the last to leave ends it.
"""

import fcntl
import itertools
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from local_control_plane import COMPONENTS, Cluster, LocalControlPlane, Unstartable, find_assets

from pykatib.kube.crds import definitions
from pykatib.store.kubernetes.api_server import ApiServer

_namespace_numbers = itertools.count(1)
_left_to_others: list[LocalControlPlane] = []  # started here, ended by another process of this run


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with Katib's definitions in it."""
    if "KUBE_ASSETS" not in os.environ and os.environ.get("KUBECONFIG"):
        yield _prepared(Cluster(os.environ["KUBECONFIG"]))
        return
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    state = shared / "control-plane.json"
    plane: LocalControlPlane | None = None
    with _locked(shared / "control-plane.lock"):
        if state.exists():
            known = json.loads(state.read_text())
        else:
            try:
                assets = find_assets(Path(tempfile.gettempdir(), "pykatib-kube-assets"))
            except Unstartable as reason:
                pytest.skip(str(reason))
            plane = LocalControlPlane(assets, shared / "control-plane")
            try:
                plane.start([json.dumps(each) for each in definitions()])
            except BaseException:
                plane.stop()
                raise
            known = {"kubeconfig": str(plane.kubeconfig), "pids": plane.pids(), "users": 0}
        known["users"] += 1
        state.write_text(json.dumps(known))
    yield Cluster(known["kubeconfig"])
    with _locked(shared / "control-plane.lock"):
        known = json.loads(state.read_text())
        known["users"] -= 1
        if known["users"]:
            state.write_text(json.dumps(known))
            if plane is not None:
                _left_to_others.append(plane)
        else:
            state.unlink()
            if plane is not None:
                plane.stop()
            else:
                _end(known["pids"])


def _end(pids: dict[str, int]) -> None:
    for name in COMPONENTS:
        try:
            os.kill(pids[name], signal.SIGTERM)
        except ProcessLookupError:
            continue
        for _ in range(100):
            if not _is_running(pids[name]):
                break
            time.sleep(0.1)
        else:
            os.kill(pids[name], signal.SIGKILL)


def _is_running(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass  # started by another process of this run
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _prepared(cluster: Cluster) -> Cluster:
    server = ApiServer.connect(cluster.kubeconfig)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for each in definitions():
        body, name = json.dumps(each).encode(), each["metadata"]["name"]
        server.request(
            "PATCH",
            f"{path}/{name}?fieldManager=pykatib-tests&force=true",
            body=body,
            content_type="application/apply-patch+yaml",
        )
    server.close()
    return cluster


@pytest.fixture
def namespace(server: ApiServer) -> Iterator[str]:
    """A new namespace."""
    name = f"test-{os.getpid()}-{next(_namespace_numbers)}"
    server.request("POST", "/api/v1/namespaces", body=json.dumps({"metadata": {"name": name}}).encode())
    yield name
    server.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def server(cluster: Cluster) -> Iterator[ApiServer]:
    """A connection to the cluster."""
    opened = ApiServer.connect(cluster.kubeconfig)
    yield opened
    opened.close()
