"""Operators that are killed, that come in twos, and that lose their Lease or the API server."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from cuttable_proxy import CuttableProxy
from local_control_plane import Cluster
from stand_in import FolderObservations, StandIn, check_invariants, experiment, has_ended, read_experiment, wait_for

from pykatib.api import wire
from pykatib.kube.leases import LeaderElection
from pykatib.kube.operator import LEASE_LOST, STOPPED, Operator
from pykatib.store.kubernetes.api_server import ApiServer

HERE = Path(__file__).parent


@pytest.fixture
def observations(tmp_path: Path) -> FolderObservations:
    """Where metrics arrive, whichever process asks."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return FolderObservations(folder)


@pytest.fixture
def stand_in(cluster: Cluster, namespace: str, observations: FolderObservations) -> Iterator[StandIn]:
    """Completes the Jobs of the namespace."""
    each = StandIn(ApiServer.connect(cluster.kubeconfig), namespace, observations)
    each.start()
    yield each
    each.stop()


def create(server: ApiServer, namespace: str, *, trials: int, parallel: int) -> None:
    """Applies an Experiment."""
    body = wire.encode(experiment(namespace, trials=trials, parallel=parallel))
    server.request("POST", f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments", body=body)


class OperatorThread:
    """An operator at work; `status` is what `run` answered."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.status: int | None = None
        self._thread = threading.Thread(target=self._run, name="operator")
        self._thread.start()

    def _run(self) -> None:
        self.status = self.operator.run()

    def join(self) -> None:
        """Waits for its end."""
        self._thread.join()

    @property
    def is_working(self) -> bool:
        """Whether it leads and knows the cluster."""
        return self.operator.figures().text.endswith("pykatib_leading 1.0\n")


@contextmanager
def ended(*threads: OperatorThread) -> Iterator[None]:
    """Ends operators, whatever happens."""
    try:
        yield
    finally:
        for each in threads:
            each.operator.stop()
        for each in threads:
            each.join()


@pytest.mark.slow
def test_an_operator_that_is_killed_again_and_again_loses_and_doubles_nothing(
    cluster: Cluster,
    namespace: str,
    server: ApiServer,
    stand_in: StandIn,
    tmp_path: Path,
) -> None:
    create(server, namespace, trials=150, parallel=6)
    command = [sys.executable, str(HERE / "operator_process.py"), cluster.kubeconfig, namespace, str(tmp_path / "logs")]
    moments = random.Random(7)
    log = tmp_path / "operator.log"
    kills = 0
    while not has_ended(server, namespace):
        seen = read_experiment(server, namespace).status.trials
        with log.open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            # Each life is to do something, then dies at any instant of what follows.
            wait_for(
                "progress", lambda seen=seen: has_ended(server, namespace)  # type: ignore[misc]
                or read_experiment(server, namespace).status.trials > seen,
            )  # fmt: skip
            time.sleep(moments.uniform(0.0, 0.4))
            if kills == 20:
                wait_for("the end", lambda: has_ended(server, namespace))
        finally:
            process.kill()
            process.wait()
        kills += 1
    assert kills > 3, "the test was over before it began"
    check_invariants(server, namespace, stand_in)
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
def test_sigterm_ends_an_operator_at_once_and_another_goes_on(
    cluster: Cluster, namespace: str, server: ApiServer, stand_in: StandIn, tmp_path: Path
) -> None:
    create(server, namespace, trials=40, parallel=4)
    command = [sys.executable, str(HERE / "operator_process.py"), cluster.kubeconfig, namespace, str(tmp_path / "logs")]
    first = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        wait_for("progress", lambda: read_experiment(server, namespace).status.trials > 4)
        first.send_signal(signal.SIGTERM)
        _, told = first.communicate(timeout=20)
    finally:
        first.kill()
        first.wait()
    assert first.returncode == STOPPED
    assert all(json.loads(line)["level"] for line in told.splitlines())
    second = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for("the end", lambda: has_ended(server, namespace))
    finally:
        second.kill()
        second.wait()
    check_invariants(server, namespace, stand_in)


def election(cluster: Cluster, namespace: str, identity: str) -> LeaderElection:
    """A candidate who is quick to act."""
    return LeaderElection(
        ApiServer.connect(cluster.kubeconfig),
        namespace=namespace,
        name="leader",
        identity=identity,
        lease_seconds=2,
        renewal_limit_seconds=1.5,
        retry_seconds=0.2,
    )


def test_of_two_operators_one_leads_and_the_other_takes_over(
    cluster: Cluster, namespace: str, server: ApiServer, stand_in: StandIn, observations: FolderObservations
) -> None:
    first, second = (
        OperatorThread(
            Operator(
                ApiServer.connect(cluster.kubeconfig),
                observations,
                namespace=namespace,
                election=election(cluster, namespace, identity),
            )
        )
        for identity in ("first", "second")
    )
    with ended(first, second):
        wait_for("a leader", lambda: first.is_working or second.is_working)
        leader, follower = (first, second) if first.is_working else (second, first)
        assert follower.operator.readiness().status == 200
        create(server, namespace, trials=20, parallel=2)
        wait_for("progress", lambda: read_experiment(server, namespace).status.trials > 2)
        assert not follower.is_working
        leader.operator.stop()
        leader.join()
        assert leader.status == STOPPED
        wait_for("the other", lambda: follower.is_working)
        wait_for("the end", lambda: has_ended(server, namespace))
    check_invariants(server, namespace, stand_in)


def test_an_operator_whose_lease_is_taken_stops(
    cluster: Cluster, namespace: str, server: ApiServer, observations: FolderObservations
) -> None:
    operator = OperatorThread(
        Operator(
            ApiServer.connect(cluster.kubeconfig),
            observations,
            namespace=namespace,
            election=election(cluster, namespace, "ours"),
        )
    )
    with ended(operator):
        wait_for("the lease", lambda: operator.is_working)
        server.request(
            "PATCH",
            f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/leader",
            body=json.dumps({"spec": {"holderIdentity": "theirs", "leaseDurationSeconds": 60}}).encode(),
            content_type="application/merge-patch+json",
        )
        operator.join()
    assert operator.status == LEASE_LOST


@pytest.mark.slow
def test_an_operator_outlives_an_api_server_that_is_away(
    cluster: Cluster,
    namespace: str,
    server: ApiServer,
    stand_in: StandIn,
    observations: FolderObservations,
    tmp_path: Path,
) -> None:
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    host, port = config["clusters"][0]["cluster"]["server"].removeprefix("https://").rsplit(":", 1)
    if host != "127.0.0.1":
        pytest.skip("the cluster is not on this machine, so its connections cannot be cut")
    proxy = CuttableProxy(int(port))
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    operator = OperatorThread(Operator(ApiServer.connect(str(kubeconfig)), observations, namespace=namespace))
    with ended(operator):
        create(server, namespace, trials=40, parallel=4)
        wait_for("progress", lambda: read_experiment(server, namespace).status.trials > 4)
        proxy.cut()
        time.sleep(3.0)
        proxy.mend()
        wait_for("the end", lambda: has_ended(server, namespace), seconds=60.0)
    proxy.close()
    check_invariants(server, namespace, stand_in)
