"""The store on a real API server keeps the contract."""

import time
from collections.abc import Callable, Iterator

import pytest
from local_control_plane import Cluster

from pykatib.store.conformance import StoreConformance
from pykatib.store.contract import Store
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.store import KubernetesStore

SETTLE_SECONDS = 60.0


def settle(store: KubernetesStore, reached: Callable[[], bool]) -> None:
    """Pumps until `reached()`; what is asked for may not be there yet."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        store.pump()
        if reached():
            return
        assert time.monotonic() < deadline, "the store never came to that"
        store.wait(0.2)


class TestKubernetesStore(StoreConformance):
    """The contract, held against etcd and kube-apiserver."""

    @pytest.fixture
    def store(self, cluster: Cluster, namespace: str) -> Iterator[Store]:
        """A store that follows one empty namespace."""
        self.namespace = namespace
        self.opened = KubernetesStore(ApiServer.connect(cluster.kubeconfig), namespace=namespace)
        yield self.opened
        self.opened.close()

    def settle(self, reached: Callable[[], bool]) -> None:
        """Pumps until `reached()`."""
        settle(self.opened, reached)

    def later(self) -> None:
        """Kubernetes' ages are whole seconds."""
        time.sleep(1.1)
