"""What validation needs to know of the algorithms that there are."""

from collections.abc import Sequence
from typing import Protocol

from pykatib.api.errors import FieldError
from pykatib.api.experiment import Experiment


class AlgorithmCatalog(Protocol):
    """The algorithms that can be asked for; `pykatib.algorithms.registry` is one."""

    def names(self) -> Sequence[str]:
        """The search algorithms."""
        ...

    def early_stopping_names(self) -> Sequence[str]:
        """The early stopping algorithms."""
        ...

    def check(self, experiment: Experiment) -> Sequence[FieldError]:
        """What the algorithms themselves find wrong: settings, and what they ask of the search space."""
        ...
