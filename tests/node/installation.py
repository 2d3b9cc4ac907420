"""`manifests/standalone` on the node, by kubectl, as a user installs it."""

import json
import shutil
from pathlib import Path

from katib_experiments import NAMESPACE, with_our_images
from real_node import RealNode

OVERLAY = Path(__file__).resolve().parent / "overlay"
DEPLOYMENTS = ("katib-mysql", "katib-db-manager", "katib-controller")
DATA = Path("/var/tmp/pykatib-test-mysql")
READY_SECONDS = 240


class Installation:
    """What `apply` has put on the node."""

    def __init__(self, node: RealNode) -> None:
        self.node = node

    def manifest(self) -> str:
        """All objects, images replaced by those that the node has."""
        return with_our_images(self.node.run("kustomize", str(OVERLAY)).stdout)

    def is_there(self) -> bool:
        """Whether somebody has installed it already."""
        return bool(
            self.node.run("-n", NAMESPACE, "get", "deployment", "katib-controller", "--ignore-not-found").stdout
        )

    def apply(self, *, has_new_images: bool) -> None:
        """Installs it, and returns when all of its Pods are ready."""
        is_update = self.is_there()
        if not is_update:
            shutil.rmtree(DATA, ignore_errors=True)
            DATA.mkdir(mode=0o777)
            DATA.chmod(0o777)  # a hostPath volume does not heed fsGroup
        self.node.run("apply", "-f", "-", stdin=self.manifest())
        if is_update and has_new_images:
            for name in DEPLOYMENTS[1:]:
                self.node.run("-n", NAMESPACE, "rollout", "restart", f"deployment/{name}")
        for name in DEPLOYMENTS:
            waited = self.node.run(
                "-n", NAMESPACE, "rollout", "status", f"deployment/{name}", f"--timeout={READY_SECONDS}s", check=False
            )
            assert waited.returncode == 0, f"{waited.stdout}{waited.stderr}\n{self.news()}"

    def remove(self) -> None:
        """Takes away all of it: Experiments and their Trials first, while there is somebody to clean up after them."""
        for kind in ("experiments", "trials"):
            self.node.run("delete", kind, "--all", "--all-namespaces", "--timeout=120s")
        self.node.run("delete", "--ignore-not-found", "--timeout=120s", "-f", "-", stdin=self.manifest())
        self.remove_data()

    def remove_data(self) -> None:
        """Takes away the database's files."""
        shutil.rmtree(DATA, ignore_errors=True)

    def news(self) -> str:
        """What Pods, events and logs say, for somebody who has to find out what went wrong."""
        parts = [
            self._said("-n", NAMESPACE, "get", "experiments,suggestions,trials,jobs,pods", "-o", "wide"),
            *(self._said("-n", NAMESPACE, "logs", f"deployment/{name}", "--tail=40") for name in DEPLOYMENTS),
            *self._failing_pods(),
            "\n".join(self._said("-n", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp").splitlines()[-40:]),
        ]
        return "\n\n".join(parts)

    def _failing_pods(self) -> list[str]:
        listed = self.node.run("-n", NAMESPACE, "get", "pods", "-o", "json", check=False)
        pods = json.loads(listed.stdout)["items"] if listed.returncode == 0 else []
        names = [
            each["metadata"]["name"] for each in pods if each["status"].get("phase") not in ("Running", "Succeeded")
        ]
        return [self._said("-n", NAMESPACE, "logs", name, "--all-containers", "--tail=30") for name in names[:5]]

    def _said(self, *arguments: str) -> str:
        done = self.node.run(*arguments, check=False)
        return f"$ kubectl {' '.join(arguments)}\n{done.stdout}{done.stderr}"
