"""Where new configurations come from: at random, or from a model of all results so far.

The model is one of the other algorithms over the space without the resource. It is told each configuration once, with
what it came to at the highest level that it has been at. So that levels can be compared, results of a lower level are
moved by what nine in ten of the configurations that have been at both differ by at most: what has not been given more
of the resource yet must look much better than what has, to be believed. (One model a level, as in Falkner, Klein and
Hutter, "BOHB: robust and efficient hyperparameter optimization at scale", 2018, knows at the highest level only the few
that came so far.) Some configurations are random all the same, so that the guarantees of successive halving hold
whatever the model thinks.
"""

import math
from bisect import insort
from collections.abc import Collection
from importlib import import_module

from pykatib.algorithms.contract import Ask, FinishedTrial, ProposedTrial
from pykatib.algorithms.description import Create, Settings
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.random_search import RandomSearch
from pykatib.algorithms.randomness import key_of, unit_of, words
from pykatib.algorithms.space import Point

_GREEDY: Settings = {"n_startup_trials": 0, "gamma": 0.3, "prior_weight": 0.2}  # most results are cheap: few are good
PROPOSERS: dict[str, tuple[str, str, Settings]] = {
    "tpe": ("pykatib.algorithms.tpe", "TPE", _GREEDY),
    "multivariate-tpe": ("pykatib.algorithms.tpe", "MultivariateTPE", _GREEDY),
    "bayesianoptimization": ("pykatib.algorithms.bayesian.search", "BayesianOptimization", {"n_initial_points": 0}),
}

_DOUBT = 0.9
"""Of the differences between two levels, the greatest first tenth is left aside."""
_BEST = 150
_OTHERS = 150
"""A model is told so many of the best, and so many of the rest, evenly spaced: more would tell it little."""


class Proposer:
    """Draws configurations by their numbers. `problem` is that of the space without the resource."""

    def __init__(self, problem: Problem, model: str, *, random_share: float, seed: int) -> None:
        self._problem = problem
        self._model = model
        self._random = RandomSearch(problem, {}, seed=seed)
        self._random_share = random_share
        self._seed = seed
        self._key = key_of(seed, "halving proposer")
        self._least_results = len(problem.space) + 2
        self._losses: dict[Point, dict[int, float]] = {}  # by configuration and level; infinite where there is none
        self._steps: dict[int, list[float]] = {}  # by level: what the next one differs by

    def tell(self, level: int, point: Point, loss: float) -> None:
        """What a configuration came to at a level; infinite where it came to nothing."""
        losses = self._losses.setdefault(point, {})
        losses[level] = loss
        for lower in (level - 1, level):
            step = losses.get(lower + 1, math.inf) - losses.get(lower, math.inf)
            if math.isfinite(step):
                insort(self._steps.setdefault(lower, []), step)

    def draw(self, number: int, running: Collection[Point]) -> Point | None:
        """The new configuration of this number, beside those of which a Trial runs; None where all are known."""
        beside = set(running) - self._losses.keys()
        size = self._problem.space.size
        if size is not None and len(self._losses) + len(beside) >= size:
            return None
        is_modelled = self._model != "random" and len(self._losses) >= self._least_results
        if is_modelled and unit_of(words(self._key, number, 1)[0]) >= self._random_share:
            point = self._modelled(number, beside)
            if point is not None and point not in self._losses and point not in beside:
                return point
        return self._at_random(number, beside)

    def _modelled(self, number: int, beside: set[Point]) -> Point | None:
        module, name, settings = PROPOSERS[self._model]
        make: Create = getattr(import_module(module), name)
        model = make(self._problem, settings, seed=self._seed)
        sign = -1 if self._problem.maximise else 1
        model.tell(
            [
                FinishedTrial(index, "", point, "succeeded", sign * loss)
                if loss < math.inf
                else FinishedTrial(index, "", point, "failed", None)
                for index, (loss, point) in enumerate(self._comparable())
            ]
        )
        running = tuple(ProposedTrial(index, "", point) for index, point in enumerate(sorted(beside)))
        found = model.ask(Ask(1, number, running))
        return found[0].values if found else None

    def _comparable(self) -> list[tuple[float, Point]]:
        """Losses as they might be at the highest level, with their configurations: the best, and some of the rest."""
        highest = max(self._steps, default=-1) + 1
        moves = {highest: 0.0}
        for level in range(highest - 1, -1, -1):
            steps = self._steps.get(level)
            moves[level] = moves[level + 1] + (steps[int(_DOUBT * len(steps))] if steps else 0.0)
        everything = sorted(
            (losses[top] + moves.get(top, 0.0), point)
            for point, losses in self._losses.items()
            for top in [max(losses)]
        )
        rest = everything[_BEST:]
        return everything[:_BEST] + rest[:: -(-len(rest) // _OTHERS) or 1]

    def _at_random(self, number: int, beside: set[Point]) -> Point | None:
        """The next of a series of random points that is not known."""
        known = self._losses
        space = self._problem.space
        while True:
            found = self._random.ask(Ask(1, number))
            if not found:  # the series of a finite space has come to its end, but deleted Trials left gaps in it
                assert space.size is not None, "only a finite space ends"
                points = map(space.at, range(space.size))
                return next((point for point in points if point not in known and point not in beside), None)
            if found[0].values not in known and found[0].values not in beside:
                return found[0].values
            number += 1
