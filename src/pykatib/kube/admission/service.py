"""The webhooks of one operator process, put together: judge, server and certificates.

They need neither the Lease nor the operator's cache, so every replica answers from its start, leader or not.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from pykatib.kube.admission.catalog import ClusterCatalog, Services, no_services
from pykatib.kube.admission.configurations import (
    CONFIGURATION_NAME,
    MUTATE_EXPERIMENT,
    MUTATE_POD,
    VALIDATE_EXPERIMENT,
    Service,
)
from pykatib.kube.admission.experiments import ExperimentAdmission
from pykatib.kube.admission.pods import Injection, NoInjection, PodAdmission
from pykatib.kube.admission.reviews import Handler, refusing
from pykatib.kube.admission.server import WebhookServer
from pykatib.kube.certificate_keeper import SECONDS_BETWEEN_LOOKS, CertificateKeeper
from pykatib.kube.health import Answer, parsed_address
from pykatib.kube.template_walls import TemplateWalls, finder
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.resources import Catalog

ANY_ADDRESS = ("", "0.0.0.0", "::")


class WebhookOptions(NamedTuple):
    """How the webhooks are reached, and where their certificates are kept."""

    address: str = ":8443"
    service: Service = Service("kubeflow")
    secret_name: str = "katib-webhook-cert"
    configuration_name: str = CONFIGURATION_NAME
    makes_certificates: bool = True
    seconds_between_looks: float = SECONDS_BETWEEN_LOOKS

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of the certificate: the Service's, and the address itself where it is a definite one."""
        host, _ = parsed_address(self.address)
        return (self.service.host,) if host in ANY_ADDRESS else (self.service.host, host)


class Webhooks:
    """Serves from `start` to `close`."""

    def __init__(
        self,
        connect: Callable[[], ApiServer],
        options: WebhookOptions,
        *,
        walls: TemplateWalls,
        injection: Callable[[ApiServer], Injection] = lambda server: NoInjection(),
        services: Callable[[], Services] = no_services,
    ) -> None:
        """Listens; raises InvalidInput where it cannot.

        Args:
            connect: makes connections to the API server.
            options: where and under which names.
            walls: which ConfigMaps an Experiment may use.
            injection: what makes Pods report, given a connection to ask with; without it they are let in as they are.
            services: the algorithms of others; asked from any thread.
        """
        self._lookups = connect()  # must not wait behind the throttled writes of the operator
        injecting = injection(self._lookups)
        kinds = Catalog(self._lookups, time.monotonic)
        experiments = ExperimentAdmission(
            catalog=ClusterCatalog(services),
            templates=lambda namespace: finder(self._lookups, walls, namespace),
            collector_kinds=injecting.collector_kinds,
            has_kind=lambda kind, api_version: kinds.of(kind, api_version) is not None,
        )
        handlers: dict[str, Handler] = {
            MUTATE_EXPERIMENT: refusing(experiments.mutate),
            VALIDATE_EXPERIMENT: refusing(experiments.validate),
        }
        handlers[MUTATE_POD] = PodAdmission(self._lookups, injecting).mutate
        try:
            self._server = WebhookServer(options.address, handlers)
        except BaseException:
            self._lookups.close()
            raise
        self._keeper = CertificateKeeper(
            connect(),
            namespace=options.service.namespace,
            secret_name=options.secret_name,
            configuration_name=options.configuration_name,
            hosts=options.hosts,
            serve=self._server.serve,
            makes_them=options.makes_certificates,
            seconds_between_looks=options.seconds_between_looks,
        )

    @property
    def port(self) -> int:
        """The port that they answer at."""
        return self._server.port

    def start(self) -> None:
        """Begins to look after certificates, and to answer once there is one."""
        self._keeper.start()

    def readiness(self) -> Answer:
        """Whether they answer."""
        if self._server.is_serving:
            return Answer(200, "ok\n")
        return Answer(503, "the webhooks have no certificate yet\n")

    def close(self) -> None:
        """Answers no more."""
        self._keeper.close()
        self._server.close()
        self._lookups.close()
