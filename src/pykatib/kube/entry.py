"""The operator's process: wiring, signals, pages."""

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from pykatib.api.errors import Unavailable
from pykatib.kube.admission.catalog import Services
from pykatib.kube.admission.service import WebhookOptions, Webhooks
from pykatib.kube.algorithm_deployments import cluster_algorithms
from pykatib.kube.cluster_injection import ClusterInjection
from pykatib.kube.health import Answer, HealthServer, Page
from pykatib.kube.katib_config import KatibConfig
from pykatib.kube.leases import LeaderElection
from pykatib.kube.live_config import LiveConfig
from pykatib.kube.logs import set_up_logging
from pykatib.kube.operator import CORE_NAMESPACE, Operator
from pykatib.kube.template_walls import TemplateWalls
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
        return run_operator(observations=observations, db_manager=address, **options)
    finally:
        observations.close()


def all_ready(parts: Sequence[Page]) -> Answer:
    """The first part that is not ready, else that all are."""
    answers = [part() for part in parts]
    return next((answer for answer in answers if answer.status != 200), answers[-1])


def known_config(config: LiveConfig) -> KatibConfig:
    """katib-config; raises Unavailable where none could be read yet, for an empty one would refuse too much."""
    current = config.current
    if config.problem and current == KatibConfig():
        raise Unavailable(f"katib-config is not known: {config.problem}")
    return current


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
    core_namespace: str = CORE_NAMESPACE,
    webhooks: WebhookOptions | None = None,
    db_manager: str = "",
) -> int:
    """Runs an operator until SIGTERM or SIGINT; answers the exit status.

    `lease` is namespace and name of the Lease to hold; None works without one. `webhooks` says where they answer; None
    works without them. `db_manager` is where Trials' sidecars report; empty for Katib's usual place.

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
    # A connection of its own too: services of algorithms are made and waited for beside the loop.
    algorithm_server = ApiServer.connect(kubeconfig, context=context)
    config = LiveConfig(algorithm_server, core_namespace)
    operator = Operator(
        server,
        observations,
        namespace=namespace,
        election=election,
        core_namespace=core_namespace,
        host=lambda done: cluster_algorithms(
            algorithm_server, config, done, db_manager_address=db_manager or db_manager_address(os.environ)
        ),
    )
    admission: Webhooks | None = None
    if webhooks is not None:
        admission = Webhooks(
            lambda: ApiServer.connect(kubeconfig, context=context),
            webhooks,
            walls=TemplateWalls(core_namespace),
            services=lambda: Services(config.current.served_algorithms(), config.current.served_early_stoppings()),
            injection=lambda asked: ClusterInjection(
                asked,
                lambda: known_config(config),
                db_manager_address=db_manager or db_manager_address(os.environ),
            ),
        )

    def stop(number: int, frame: FrameType | None) -> None:
        operator.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    parts = [operator.readiness] if admission is None else [operator.readiness, admission.readiness]
    pages = {"/healthz": operator.health, "/readyz": lambda: all_ready(parts), "/metrics": operator.figures}
    servers: list[HealthServer] = []
    try:
        config.start()
        if admission is not None:
            admission.start()
        servers.extend(HealthServer(address, pages) for address in dict.fromkeys((metrics_address, health_address)))
        return operator.run()
    finally:
        for each in servers:
            each.close()
        if admission is not None:
            admission.close()
        config.close()
        algorithm_server.close()
        for number, handler in before.items():
            signal.signal(number, handler)
