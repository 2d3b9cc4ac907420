"""Experiments are asked where their algorithm is, and the host of services is made when one needs it."""

import msgspec

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.experiment import Experiment, ExperimentSpec, FeasibleSpace, ParameterSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec
from pykatib.api.suggestion import Suggestion, SuggestionSpec, SuggestionStatus
from pykatib.control.suggestion_plan import deployment_status
from pykatib.control.view import ExperimentView
from pykatib.runtime.algorithm_host import AlgorithmHost
from pykatib.runtime.algorithm_routes import AlgorithmRoutes


class Services(AlgorithmHost):
    """A host of services that remembers whose it has ended."""

    def __init__(self) -> None:
        super().__init__(registry.create)
        self.retired: list[str] = []

    def retire(self, suggestion: Suggestion) -> None:
        self.retired.append(suggestion.metadata.name)


class Scene:
    """Routes by the Experiment's name: `theirs` is served."""

    def __init__(self) -> None:
        self.made: list[Services] = []
        self.routes = AlgorithmRoutes(
            AlgorithmHost(registry.create),
            self.make,
            is_served=lambda experiment: experiment.metadata.name == "theirs",
        )

    def make(self) -> Services:
        self.made.append(Services())
        return self.made[-1]

    def ask(self, name: str) -> int:
        """Asks for two proposals; answers how many came."""
        experiment = Experiment(
            metadata=ObjectMeta(name=name, namespace="ns", uid=name),
            spec=ExperimentSpec(
                algorithm=AlgorithmSpec("random"),
                parameters=(ParameterSpec("x", names.INT, FeasibleSpace(min="1", max="9")),),
                objective=ObjectiveSpec(names.MINIMIZE, None, "loss"),
            ),
        )
        return len(self.routes.propose(experiment, suggestion(name), ExperimentView(), 2).proposals)


def suggestion(name: str) -> Suggestion:
    """A new Suggestion."""
    return Suggestion(metadata=ObjectMeta(name=name, namespace="ns"), spec=SuggestionSpec(requests=2))


def test_the_host_of_services_is_made_once_and_when_it_is_needed() -> None:
    scene = Scene()
    assert scene.ask("ours") == 2
    assert not scene.made
    assert scene.ask("theirs") == scene.ask("theirs") == 2
    assert len(scene.made) == 1


def test_what_an_earlier_process_made_is_ended_too() -> None:
    scene = Scene()
    scene.routes.retire(suggestion("ours"))
    assert not scene.made
    ready = deployment_status(SuggestionStatus(), is_ready=True, now=0.0)
    scene.routes.retire(msgspec.structs.replace(suggestion("theirs"), status=ready))
    assert scene.made[0].retired == ["theirs"]
