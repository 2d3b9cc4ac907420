"""Webhooks at work on a real API server, for one namespace of it, so that other tests are not asked about."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local_control_plane import Cluster
from stand_in import wait_for

from pykatib.api.errors import NotFound
from pykatib.kube.admission.configurations import Service, webhook_configurations
from pykatib.kube.admission.service import WebhookOptions, Webhooks
from pykatib.kube.certificate_keeper import CONFIGURATION_PATHS
from pykatib.kube.template_walls import TemplateWalls
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer

TEST_LABEL = "pykatib-test"


class Bench:
    """One namespace with webhooks; `url` is where they answer."""

    def __init__(self, cluster: Cluster, server: ApiServer, namespace: str, core: str) -> None:
        self.cluster = cluster
        self.server = server
        self.namespace = namespace
        self.core = core
        self.port = 0
        self.name = f"{namespace}.test"
        self.secret = f"/api/v1/namespaces/{namespace}/secrets/webhook-cert"
        self.experiments = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments"

    def options(self, address: str = "127.0.0.1:0") -> WebhookOptions:
        """How webhooks of this bench are reached."""
        return WebhookOptions(
            address=address,
            service=Service(self.namespace),
            secret_name="webhook-cert",
            configuration_name=self.name,
            seconds_between_looks=0.2,
        )

    def made(self, address: str = "127.0.0.1:0", **options: Any) -> Webhooks:
        """Webhooks that do not answer yet."""
        return Webhooks(
            lambda: ApiServer.connect(self.cluster.kubeconfig),
            self.options(address),
            walls=TemplateWalls(self.core),
            **options,
        )

    def configure(self, url: str) -> None:
        """Has the API server ask about this namespace, and no other."""
        label = json.dumps({"metadata": {"labels": {TEST_LABEL: self.namespace}}}).encode()
        self.server.request("PATCH", f"/api/v1/namespaces/{self.namespace}", body=label, content_type=MERGE_PATCH)
        for path, configuration in zip(CONFIGURATION_PATHS, webhook_configurations(url, name=self.name), strict=True):
            for webhook in configuration["webhooks"]:
                here = {"key": TEST_LABEL, "operator": "In", "values": [self.namespace]}
                webhook.setdefault("namespaceSelector", {})["matchExpressions"] = [here]
            self.server.request("POST", path, body=json.dumps(configuration).encode())

    def served(self) -> bytes:
        """The certificate that a new connection is shown."""
        context = ssl._create_unverified_context()
        with (
            socket.create_connection(("127.0.0.1", self.port), 5) as plain,
            context.wrap_socket(plain) as connection,
        ):
            shown = connection.getpeercert(binary_form=True)
        assert shown is not None
        return ssl.DER_cert_to_PEM_cert(shown).encode()

    def wait_until_trusted(self) -> None:
        """Returns when the API server trusts what is served now, as a dry run tells."""

        def is_asked() -> bool:
            try:
                self.server.request("POST", f"{self.experiments}?dryRun=All", body=experiment_of({}, name="probe"))
            except Exception as error:
                return "failed calling webhook" not in str(error)
            return False

        wait_for("the webhooks' answer", is_asked)

    def close(self) -> None:
        """Has the API server ask no more."""
        for path in CONFIGURATION_PATHS:
            try:
                self.server.request("DELETE", f"{path}/{self.name}")
            except NotFound:
                pass


def experiment_of(spec: Any, *, name: str) -> bytes:
    """The JSON of an Experiment."""
    tree = {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": {"name": name}, "spec": spec}
    return json.dumps(tree).encode()


@contextmanager
def serving(
    cluster: Cluster, server: ApiServer, namespace: str, core: str = "kubeflow", **options: Any
) -> Iterator[Bench]:
    """A bench whose webhooks answer."""
    bench = Bench(cluster, server, namespace, core)
    webhooks = bench.made(**options)
    bench.port = webhooks.port
    try:
        bench.configure(f"https://127.0.0.1:{webhooks.port}")
        webhooks.start()
        bench.wait_until_trusted()
        yield bench
    finally:
        bench.close()
        webhooks.close()
