"""What an algorithm is given to work on: the space, the objective, the budget."""

import math

import msgspec

from pykatib.algorithms.space import SearchSpace
from pykatib.api.experiment import NasConfig
from pykatib.api.shared import ObjectiveSpec, Setting


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One Experiment as an algorithm sees it. `nas_config` is for architecture search, whose space is empty."""

    space: SearchSpace
    objective: ObjectiveSpec
    experiment_name: str = ""
    max_trial_count: int | None = None
    parallel_trial_count: int | None = None
    nas_config: NasConfig | None = None
    stated_settings: tuple[Setting, ...] = ()  # as the user wrote them, for algorithms that hand them on

    @property
    def maximise(self) -> bool:
        """Whether a greater objective is better; as in Katib, everything but `maximize` is minimised."""
        return self.objective.type == "maximize"

    def loss(self, objective: float | None) -> float | None:
        """The objective turned so that less is better; None where there is none or it is not a number."""
        if objective is None or math.isnan(objective):
            return None
        return -objective if self.maximise else objective
