"""Which host an Experiment's algorithm is asked at: the one of this process, or the one that asks services of others.

The second is made when it is first needed, for what it needs may be an extra that is not installed. The route is
asked for each time, so that a changed configuration counts from the next question on.
"""

from collections.abc import Callable

from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.suggestion import Suggestion
from pykatib.control.suggestion_plan import Answer, was_deployed
from pykatib.control.view import ExperimentView
from pykatib.runtime.algorithm_host import AlgorithmGateway


class AlgorithmRoutes:
    """An AlgorithmGateway over two others. One loop owns it; `retire` may be called from any thread."""

    def __init__(
        self,
        here: AlgorithmGateway,
        make_services: Callable[[], AlgorithmGateway],
        *,
        is_served: Callable[[Experiment], bool],
    ) -> None:
        """Experiments for which `is_served` holds are asked at the host of services, all others `here`."""
        self._here = here
        self._make_services = make_services
        self._services: AlgorithmGateway | None = None
        self._is_served = is_served

    def propose(self, experiment: Experiment, suggestion: Suggestion, view: ExperimentView, count: int) -> Answer:
        """Up to `count` proposals; fewer mean that there are no more. Raises InvalidInput, StillThinking."""
        host = self._here
        if self._is_served(experiment):
            host = self._services = self._services or self._make_services()
        return host.propose(experiment, suggestion, view, count)

    def forget(self, reference: Reference, uid: str) -> None:
        """Lets an Experiment's algorithm go, wherever it was asked."""
        self._here.forget(reference, uid)
        if self._services is not None:
            self._services.forget(reference, uid)

    def retire(self, suggestion: Suggestion) -> None:
        """Ends what was made to serve a Suggestion, by an earlier process too."""
        self._here.retire(suggestion)
        if self._services is not None or was_deployed(suggestion):
            self._services = self._services or self._make_services()
            self._services.retire(suggestion)
