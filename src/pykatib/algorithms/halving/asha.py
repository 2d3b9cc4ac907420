"""Asynchronous successive halving, ASHA (Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A
system for massively parallel hyperparameter tuning", 2020).

All configurations begin with the least of the resource, and a part of 1/eta of those at each level goes on to the next.
"""

from pykatib.algorithms.description import Settings
from pykatib.algorithms.halving.brackets import one_bracket
from pykatib.algorithms.halving.search import SuccessiveHalving
from pykatib.algorithms.halving.settings import eta_of, ladder_of, random_share, resource_place
from pykatib.algorithms.problem import Problem


class Asha(SuccessiveHalving):
    """One bracket without an end."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        ladder = ladder_of(problem, settings)
        super().__init__(
            problem,
            resource=resource_place(problem, settings),
            ladder=ladder,
            brackets=one_bracket(eta_of(settings)),
            model=str(settings["proposer"]),
            share=random_share(settings),
            seed=seed,
        )
