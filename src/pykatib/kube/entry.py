"""The operator's process: wiring, signals, pages."""

import os
import signal
import socket
from types import FrameType

from pykatib.kube.health import HealthServer
from pykatib.kube.leases import LeaderElection
from pykatib.kube.logs import set_up_logging
from pykatib.kube.operator import Operator
from pykatib.store.contract import ObservationStore
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.observations import MemoryObservationStore


def run_operator(
    *,
    namespace: str | None = None,
    kubeconfig: str | None = None,
    context: str | None = None,
    lease: tuple[str, str] | None = None,
    identity: str = "",
    metrics_address: str = ":8080",
    health_address: str = ":18080",
    log_as_json: bool = False,
    log_level: str = "info",
    observations: ObservationStore | None = None,
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
        MemoryObservationStore() if observations is None else observations,
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
