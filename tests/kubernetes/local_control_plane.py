"""A real Kubernetes control plane for tests and benchmarks: etcd, kube-apiserver and the collector of garbage.

No root, no network, no node: nothing runs a Job here but what a test does in its place. The programs come from
`KUBE_ASSETS`, or from a folder `../shared/kube/bin` beside the project, and etcd from there or from PATH.
"""

import json
import lzma
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
SHARED = PROJECT.parent / "shared" / "kube" / "bin"
START_SECONDS = 90.0
TOKEN = "test-admin"

COMPONENTS = ("kube-controller-manager", "kube-apiserver", "etcd")


class Unstartable(Exception):  # noqa: N818 - it states the fault, as our errors do
    """There is nothing to start a control plane from; the message says what is missing."""


class Cluster(NamedTuple):
    """Where the API server is found."""

    kubeconfig: str


def find_assets(cache: Path) -> Path:
    """A folder with kube-apiserver, kube-controller-manager and etcd.

    Raises:
        Unstartable: there is none.
    """
    given = os.environ.get("KUBE_ASSETS")
    if given:
        folder = Path(given)
    elif SHARED.is_dir():
        folder = _unpacked(cache)
    else:
        raise Unstartable("no cluster: set KUBE_ASSETS (a folder with kube-apiserver, etcd, kubectl) or KUBECONFIG")
    for name in COMPONENTS:
        if not (folder / name).exists():
            raise Unstartable(f"no cluster: {folder} has no {name}")
    return folder


def _unpacked(cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("kube-apiserver", "kube-controller-manager"):
        program = cache / name
        if not program.exists():
            part = cache / f"{name}.part"
            with lzma.open(SHARED / f"{name}.xz") as packed, part.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            part.chmod(0o755)
            part.rename(program)
    etcd = shutil.which("etcd") or _installed_etcd()
    if not (cache / "etcd").exists():
        (cache / "etcd").symlink_to(etcd)
    return cache


def _installed_etcd() -> str:
    """Debian's etcd, installed where that can be done."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unstartable("no cluster: etcd is not installed (Debian's package etcd-server)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment, stdout=subprocess.DEVNULL)
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "etcd-server"]
    subprocess.run(install, check=False, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = shutil.which("etcd")
    if found is None:
        raise Unstartable("no cluster: Debian's package etcd-server cannot be installed")
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class LocalControlPlane:
    """The processes of one control plane, their state below `folder`. `start`, then `stop`."""

    def __init__(self, assets: Path, folder: Path, *, controllers: Sequence[str] = ()) -> None:
        """Starts nothing yet. `controllers` run beside those that collect garbage."""
        self.folder = folder
        self._controllers = ",".join(("garbagecollector", "namespace", "serviceaccount", *controllers))
        self.kubeconfig = folder / "kubeconfig"
        self._assets = assets
        self._etcd_port, self._peer_port, self.api_port = free_port(), free_port(), free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def etcd_url(self) -> str:
        """Where etcd answers."""
        return f"http://127.0.0.1:{self._etcd_port}"

    def pids(self) -> dict[str, int]:
        """The process of each component."""
        return {name: process.pid for name, process in self._processes.items()}

    def start(self, definitions: Sequence[str] = ()) -> None:
        """Starts all; `definitions` (JSON) are there before the collector of garbage looks for kinds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_files()
        self.start_etcd()
        self.start_api_server()
        for definition in definitions:
            self._post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        self._wait("the definitions", lambda: self._are_served(definitions))
        self._start(
            "kube-controller-manager",
            "--kubeconfig", str(self.kubeconfig),
            "--leader-elect=false",
            "--controllers", self._controllers,
            "--concurrent-gc-syncs", "5",
            "--port", "0",
            "--secure-port", str(free_port()),
            "--bind-address", "127.0.0.1",
            "--cert-dir", str(self.folder / "cm-certs"),
        )  # fmt: skip
        self._wait("the default service account", self._has_service_account)

    def start_etcd(self) -> None:
        """Starts etcd, with the data that is there."""
        self._start(
            "etcd",
            "--name", "node",
            "--data-dir", str(self.folder / "etcd"),
            "--log-level", "error",
            "--listen-client-urls", self.etcd_url,
            "--advertise-client-urls", self.etcd_url,
            "--listen-peer-urls", f"http://127.0.0.1:{self._peer_port}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{self._peer_port}",
            "--initial-cluster", f"node=http://127.0.0.1:{self._peer_port}",
        )  # fmt: skip
        self._wait("etcd", lambda: b"true" in urllib.request.urlopen(f"{self.etcd_url}/health", timeout=2).read())

    def start_api_server(self) -> None:
        """Starts the API server."""
        self._start(
            "kube-apiserver",
            "--etcd-servers", self.etcd_url,
            "--secure-port", str(self.api_port),
            "--bind-address", "127.0.0.1",
            "--advertise-address", "127.0.0.1",
            "--endpoint-reconciler-type", "none",
            "--cert-dir", str(self.folder / "certs"),
            "--service-cluster-ip-range", "10.0.0.0/24",
            "--authorization-mode", "RBAC",
            "--token-auth-file", str(self.folder / "tokens.csv"),
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-account-key-file", str(self.folder / "sa.key"),
            "--service-account-signing-key-file", str(self.folder / "sa.key"),
        )  # fmt: skip
        self._wait("kube-apiserver", lambda: self.get("/readyz") == b"ok")

    def end(self, name: str, signal_number: int = signal.SIGTERM) -> None:
        """Ends one component."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal_number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Ends all."""
        for name in COMPONENTS:
            self.end(name)

    def get(self, path: str) -> bytes:
        """What the API server answers."""
        return self._request(path)

    def compact(self) -> None:
        """Has etcd forget all versions but the latest."""
        status = json.loads(self._etcd("/v3/maintenance/status", {}))
        self._etcd("/v3/kv/compaction", {"revision": status["header"]["revision"], "physical": True})

    def _etcd(self, path: str, body: object) -> bytes:
        request = urllib.request.Request(f"{self.etcd_url}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            content: bytes = answer.read()
            return content

    def _post(self, path: str, body: str) -> None:
        self._request(path, body.encode())

    def _request(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, body)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        request.add_header("Content-Type", "application/json")
        context = ssl._create_unverified_context()
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            content: bytes = answer.read()
            return content

    def _are_served(self, definitions: Sequence[str]) -> bool:
        for definition in definitions:
            spec = json.loads(definition)["spec"]
            self.get(f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}")
        return True

    def _has_service_account(self) -> bool:
        return bool(self.get("/api/v1/namespaces/default/serviceaccounts/default"))

    def _write_files(self) -> None:
        (self.folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        key = self.folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, stderr=subprocess.DEVNULL)
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [
                        {"name": "local", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}},
                    ],
                    "users": [{"name": "admin", "user": {"token": TOKEN}}],
                    "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin"}}],
                    "current-context": "local",
                }
            )
        )

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(self._assets / name), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _wait(self, what: str, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    tail = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{name} ended with {process.returncode}:\n{tail}")
            try:
                if is_there():
                    return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.1)
        raise RuntimeError(f"{what} did not come up in {START_SECONDS:.0f} s; its log is in {self.folder}")
