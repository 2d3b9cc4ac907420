"""BOHB (Falkner, Klein and Hutter, "BOHB: robust and efficient hyperparameter optimization at scale", 2018).

Hyperband's brackets, whose configurations come from a model of the results so far.
"""

from pykatib.algorithms.description import Settings
from pykatib.algorithms.halving.brackets import hyperband
from pykatib.algorithms.halving.search import SuccessiveHalving
from pykatib.algorithms.halving.settings import eta_of, ladder_of, random_share, resource_place
from pykatib.algorithms.problem import Problem


class Bohb(SuccessiveHalving):
    """Configurations of a model in brackets."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        ladder = ladder_of(problem, settings)
        super().__init__(
            problem,
            resource=resource_place(problem, settings),
            ladder=ladder,
            brackets=hyperband(len(ladder), eta_of(settings)),
            model=str(settings["proposer"]),
            share=random_share(settings),
            seed=seed,
        )
