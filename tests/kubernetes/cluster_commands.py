"""`katib` on a cluster as a person runs it: a kubeconfig with contexts, commands in processes of their own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from katib_in_process import Ended, run_here
from pykatib.store.kubernetes.api_server import ApiServer

PATIENCE_SECONDS = 60.0
"""Far beyond what anything takes: reached only by a test that fails."""

MANIFEST = """\
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {{name: {name}{namespace}}}
spec:
  objective: {{type: minimize, objectiveMetricName: loss}}
  algorithm: {{algorithmName: {algorithm}}}
  parallelTrialCount: {parallel}
  maxTrialCount: {trials}
  resumePolicy: LongRunning
  parameters:
    - {{name: lr, parameterType: double, feasibleSpace: {{min: "0.01", max: "1.0"}}}}
  trialTemplate:
    primaryContainerName: training
    trialParameters: [{{name: lr, reference: lr}}]
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            containers: [{{name: training, image: example, command: [echo, "--lr=${{trialParameters.lr}}"]}}]
"""


def manifest(name: str = "search", *, trials: int = 4, namespace: str = "", algorithm: str = "random") -> str:
    """An Experiment whose Jobs a stand-in completes."""
    within = f", namespace: {namespace}" if namespace else ""
    return MANIFEST.format(name=name, trials=trials, parallel=min(2, trials), namespace=within, algorithm=algorithm)


_SHORT = frozenset({"get", "describe", "best", "export", "logs", "stop", "delete", "validate"})


class ClusterKatib:
    """The command line with a kubeconfig of its own: context `lab` is the cluster's, in a namespace."""

    def __init__(self, folder: Path, kubeconfig: str, namespace: str) -> None:
        self.folder = folder
        self.namespace = namespace
        config = json.loads(Path(kubeconfig).read_text())
        [config["contexts"][0]["name"], config["contexts"][0]["context"]["namespace"]] = ["lab", namespace]
        config["current-context"] = "lab"
        self._config: dict[str, Any] = config
        self._path = folder / "kubeconfig"
        self._write()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("KATIB", "KUBE"))},
            "KUBECONFIG": str(self._path),
            "KATIB_HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }

    def _write(self) -> None:
        self._path.write_text(json.dumps(self._config))

    def add_context(self, name: str, *, token: str = "", port: int = 0) -> None:
        """A further context for the same namespace: another user, or another way to the server."""
        context = dict(self._config["contexts"][0]["context"])
        if token:
            self._config["users"].append({"name": name, "user": {"token": token}})
            context["user"] = name
        if port:
            server = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
            self._config["clusters"].append({"name": name, "cluster": server})
            context["cluster"] = name
        self._config["contexts"].append({"name": name, "context": context})
        self._write()

    def write(self, text: str, name: str = "experiment.yaml") -> Path:
        """A manifest in the folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def _argv(self, arguments: tuple[object, ...], context: str) -> list[str]:
        chosen = ["--context", context] if context else []
        return [sys.executable, "-m", "pykatib.cli.main", *map(str, arguments), *chosen]

    def __call__(self, *arguments: object, context: str = "lab") -> Ended:
        """Runs a command to its end: in this process where it follows nothing, for that is faster."""
        if arguments[0] in _SHORT:
            return run_here(self._argv(arguments, context)[3:], folder=self.folder, environment=self.environment)
        done = subprocess.run(
            self._argv(arguments, context),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def started(self, *arguments: object, context: str = "lab") -> "Iterator[subprocess.Popen[str]]":
        """A command that runs beside the test; it is gone afterwards."""
        with subprocess.Popen(
            self._argv(arguments, context),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.environment,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """What a command prints up to the line that has the text, which it must come to."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"it ended without {text!r}:\n{seen}")


def token_of_user(server: ApiServer, namespace: str, name: str, rules: list[dict[str, list[str]]]) -> str:
    """The token of a new service account that may do just that in the namespace."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    account = {"metadata": {"name": name}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    server.request("POST", path, body=json.dumps(account).encode())
    server.request("POST", f"{rbac}/roles", body=json.dumps({**account, "rules": rules}).encode())
    binding = {
        **account,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    server.request("POST", f"{rbac}/rolebindings", body=json.dumps(binding).encode())
    body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}).encode()
    token: str = json.loads(server.request("POST", f"{path}/{name}/token", body=body))["status"]["token"]
    return token
