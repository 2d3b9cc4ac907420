"""DARTS as Katib has it: the search is one training (Liu et al. 2019), so this hands it to one Trial and is done.

What the Trial gets are three texts: the settings, the names of the candidate operations, the number of layers. Settings
that are stated stay the texts that they are in the manifest and defaults are numbers, as in Katib; settings that are
not known here are handed on, for programs of one's own.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.nas.rules import CUSTOM, first_values
from pykatib.algorithms.nas.strings import to_text
from pykatib.algorithms.problem import Problem
from pykatib.api.experiment import NasConfig

SKIP: Final = "skip_connection"
NONE: Final = "none"


class Darts:
    """The algorithm `darts`."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        config = problem.nas_config
        assert config is not None, "the rules ask for it"
        stated = {setting.name: setting.value for setting in problem.stated_settings if setting.name != CUSTOM}
        handed_on: dict[str, object] = {
            name: _handed_on(stated[name]) if name in stated else value
            for name, value in settings.items()
            if name != CUSTOM and (name in stated or value is not None)
        }
        self._proposal = Proposal(
            (to_text(handed_on), to_text(list(candidates(config))), str(config.graph_config.num_layers))
        )

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The one Trial, until it has been handed out."""
        return [self._proposal] if request.issued == 0 and request.count > 0 else []

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """How the Trial ends makes no difference: there is no other."""


def candidates(config: NasConfig) -> Iterator[str]:
    """The names of the operations that an edge chooses from, as Katib writes them: `max_pooling_3x3`."""
    for index, operation in enumerate(config.operations):
        if operation.operation_type in (SKIP, NONE):
            yield operation.operation_type
            continue
        for (size,) in first_values(operation, index):
            yield f"{operation.operation_type}_{size}x{size}"


def _handed_on(text: str) -> str | None:
    return None if text == "None" else text
