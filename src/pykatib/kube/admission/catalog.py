"""The algorithms of a cluster: those in the operator's process, and the services that its administrator names."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from pykatib.algorithms import registry
from pykatib.api.errors import FieldError
from pykatib.api.experiment import Experiment


class Services(NamedTuple):
    """Names of algorithms that are asked over the wire: those which katib-config has an image or address for."""

    search: Collection[str] = ()
    early_stopping: Collection[str] = ()


def no_services() -> Services:
    """A cluster without services of others."""
    return Services()


class ClusterCatalog:
    """An AlgorithmCatalog. `services` is asked at each judgement, for katib-config may change; from any thread."""

    def __init__(self, services: Callable[[], Services] = no_services) -> None:
        self._services = services

    def names(self) -> Sequence[str]:
        """The search algorithms, pykatib's own first."""
        return tuple(dict.fromkeys((*registry.names(), *self._services().search)))

    def early_stopping_names(self) -> Sequence[str]:
        """The early stopping algorithms."""
        return tuple(dict.fromkeys((*registry.early_stopping_names(), *self._services().early_stopping)))

    def check(self, experiment: Experiment) -> Sequence[FieldError]:
        """What the algorithm itself finds wrong; a service is asked later, when it runs."""
        algorithm = experiment.spec.algorithm
        if algorithm is not None and algorithm.algorithm_name in self._services().search:
            return ()
        return registry.check(experiment)
