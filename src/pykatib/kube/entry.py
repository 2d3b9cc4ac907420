"""The operator's process: wiring, signals, pages."""

import os
import signal
import socket
from collections.abc import Mapping
from types import FrameType
from typing import Any

from pykatib.kube.health import HealthServer
from pykatib.kube.leases import LeaderElection
from pykatib.kube.logs import set_up_logging
from pykatib.kube.operator import Operator
from pykatib.rpc.remote_observations import RemoteObservationStore
from pykatib.store.contract import ObservationStore
from pykatib.store.kubernetes.api_server import ApiServer

DB_MANAGER_SECONDS = 15.0
"""How long a question to the DB manager is tried before its Trial is put off."""


def db_manager_address(environment: Mapping[str, str]) -> str:
    """Where the DB manager is, by Katib's variables: `<ip>.<namespace>:<port>`, without a namespace that is empty."""
    host = environment.get("KATIB_DB_MANAGER_SERVICE_IP", "katib-db-manager")
    core = environment.get("KATIB_CORE_NAMESPACE", "kubeflow")
    namespace = environment.get("KATIB_DB_MANAGER_SERVICE_NAMESPACE", core)
    port = environment.get("KATIB_DB_MANAGER_SERVICE_PORT", "6789")
    return f"{host}.{namespace}:{port}" if namespace else f"{host}:{port}"


def run_with_db_manager(address: str, **options: Any) -> int:  # Any: those of `run_operator`
    """Runs an operator whose metrics are at a DB manager; options, answer and errors are those of `run_operator`."""
    observations = RemoteObservationStore(address or db_manager_address(os.environ), timeout_seconds=DB_MANAGER_SECONDS)
    try:
        return run_operator(observations=observations, **options)
    finally:
        observations.close()


def run_operator(
    *,
    observations: ObservationStore,
    namespace: str | None = None,
    kubeconfig: str | None = None,
    context: str | None = None,
    lease: tuple[str, str] | None = None,
    identity: str = "",
    metrics_address: str = ":8080",
    health_address: str = ":18080",
    log_as_json: bool = False,
    log_level: str = "info",
) -> int:
    """Runs an operator until SIGTERM or SIGINT; answers the exit status.

    `lease` is namespace and name of the Lease to hold; None works without one.

    Raises:
        InvalidInput: the kubeconfig or an address cannot be used.
    """
    set_up_logging(as_json=log_as_json, level=log_level)
    server = ApiServer.connect(kubeconfig, context=context)
    election: LeaderElection | None = None
    if lease is not None:
        who = identity or f"{socket.gethostname()}_{os.urandom(4).hex()}"
        # A connection of its own: the lease must not wait behind a throttled write.
        lease_server = ApiServer.connect(kubeconfig, context=context)
        election = LeaderElection(lease_server, namespace=lease[0], name=lease[1], identity=who)
    operator = Operator(
        server,
        observations,
        namespace=namespace,
        election=election,
    )

    def stop(number: int, frame: FrameType | None) -> None:
        operator.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    pages = {"/healthz": operator.health, "/readyz": operator.readiness, "/metrics": operator.figures}
    servers: list[HealthServer] = []
    try:
        servers.extend(HealthServer(address, pages) for address in dict.fromkeys((metrics_address, health_address)))
        return operator.run()
    finally:
        for each in servers:
            each.close()
        for number, handler in before.items():
            signal.signal(number, handler)
