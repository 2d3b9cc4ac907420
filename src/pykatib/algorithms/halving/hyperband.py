"""Hyperband (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: a novel bandit-based approach to
hyperparameter optimization", 2018).

Brackets from many configurations with little of the resource to few with all of it, one after the other, then again
from the first. Within a bracket whoever is among the best part of those that have ended goes on at once.
"""

from pykatib.algorithms.description import Settings
from pykatib.algorithms.halving.brackets import hyperband
from pykatib.algorithms.halving.search import SuccessiveHalving
from pykatib.algorithms.halving.settings import eta_of, ladder_of, resource_place
from pykatib.algorithms.problem import Problem


class Hyperband(SuccessiveHalving):
    """Random configurations in brackets."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        ladder = ladder_of(problem, settings)
        super().__init__(
            problem,
            resource=resource_place(problem, settings),
            ladder=ladder,
            brackets=hyperband(len(ladder), eta_of(settings)),
            model="random",
            share=1.0,
            seed=seed,
        )
