"""A real one-node Kubernetes for these tests: found running, or started and ended here.

It is started by a program `node` that KUBE_NODE names, or `../shared/kube/node` beside the project, which needs root
and Debian. Its state is below KUBE_DIR.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


class Unstartable(Exception):  # noqa: N818 - it states the fault, as our errors do
    """There can be no node here; the message says why."""


class RealNode:
    """The node of this machine. `start`, then `stop`; a node that was found running is left running."""

    def __init__(self) -> None:
        self.program = Path(os.environ.get("KUBE_NODE") or PROJECT.parent / "shared" / "kube" / "node")
        self.folder = Path(os.environ.get("KUBE_DIR") or "/var/tmp/kube-node")
        self.kubeconfig = self.folder / "kubeconfig"
        self.was_started = False
        self._foreign: set[int] = set()  # processes in Pods that were there before

    def check(self) -> None:
        """Raises Unstartable where there can be none."""
        if not self.program.is_file():
            raise Unstartable("no node: set KUBE_NODE to the program that starts a one-node Kubernetes")
        if os.geteuid() != 0:
            raise Unstartable("no node: it takes root to start one")
        if shutil.which("apt-get") is None:
            raise Unstartable("no node: it is made of Debian's packages, and this is not Debian")

    def start(self) -> None:
        """Brings the node up, unless it is."""
        self.check()
        if self.is_up():
            return
        self.was_started = True
        self._foreign = _in_pods()
        # The node's name server follows this folder, and misses it where it is made later than itself.
        (self.folder / "dns" / "hosts.d").mkdir(parents=True, exist_ok=True)
        done = subprocess.run([self.program, "up"], capture_output=True, text=True)
        if done.returncode != 0:
            self.stop()
            raise RuntimeError(f"the node did not come up:\n{done.stdout}{done.stderr}")

    def stop(self) -> None:
        """Takes the node down if it was started here, with all that runs in its Pods."""
        if not self.was_started:
            return
        subprocess.run([self.program, "down"], check=True, capture_output=True)
        self.was_started = False
        # What a Pod's container runs may outlive both its Pod and the runtime that started it.
        for pid in _in_pods() - self._foreign:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def is_up(self) -> bool:
        """Whether the node answers and takes Pods."""
        if not self.kubeconfig.exists():
            return False
        path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        asked = self.run("get", "node", "node", "-o", path, "--request-timeout=5s", check=False)
        return asked.returncode == 0 and asked.stdout == "True"

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs kubectl; a failure is told with what it said."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done

    def load(self, archive: Path) -> None:
        """Takes images of an archive into the node."""
        self._ctr("images", "import", str(archive))

    def images(self) -> dict[str, str]:
        """The digests of the images that the node has, by name."""
        rows = self._ctr("images", "ls").splitlines()[1:]
        return {row.split()[0]: row.split()[2] for row in rows}

    def _ctr(self, *arguments: str) -> str:
        command: Sequence[str] = ["ctr", "-a", str(self.folder / "containerd" / "containerd.sock"), "-n", "k8s.io"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _in_pods() -> set[int]:
    """The processes of this machine that run in Pods."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                if "/kubepods" in (entry / "cgroup").read_text():
                    found.add(int(entry.name))
    return found
