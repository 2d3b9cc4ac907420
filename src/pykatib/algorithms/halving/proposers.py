"""Where new configurations come from: at random, or from a model of those that have ended.

A model is one of the other algorithms over the space without the resource, one for each level that results came from.
It is asked at the highest level that has results enough (Falkner, Klein and Hutter, "BOHB: robust and efficient
hyperparameter optimization at scale", 2018, section 3.2), and some configurations are random all the same, so that the
guarantees of successive halving hold whatever the model thinks.
"""

from collections.abc import Mapping
from importlib import import_module

from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Outcome, ProposedTrial
from pykatib.algorithms.description import Create, Settings
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.random_search import RandomSearch
from pykatib.algorithms.randomness import key_of, unit_of, words
from pykatib.algorithms.space import Point

PROPOSERS: dict[str, tuple[str, str, Settings]] = {
    "tpe": ("pykatib.algorithms.tpe", "TPE", {"n_startup_trials": 0}),
    "multivariate-tpe": ("pykatib.algorithms.tpe", "MultivariateTPE", {"n_startup_trials": 0}),
    "bayesianoptimization": ("pykatib.algorithms.bayesian.search", "BayesianOptimization", {"n_initial_points": 0}),
}


_MOST_BESIDE = 1000  # more tell a density nothing new


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
        self._points: dict[int, Point] = {}
        self._known: set[Point] = set()
        self._models: dict[int, Algorithm] = {}
        self._results: dict[int, int] = {}  # by level, results that are numbers
        self._told: dict[int, set[int]] = {}

    def note(self, number: int, point: Point) -> None:
        """Takes a configuration into account when it is heard of first."""
        if number not in self._points:
            self._points[number] = point
            self._known.add(point)

    def tell(self, level: int, number: int, outcome: Outcome, objective: float | None) -> None:
        """What became of a configuration at a level."""
        if self._model == "random":
            return
        if level not in self._models:
            module, name, settings = PROPOSERS[self._model]
            make: Create = getattr(import_module(module), name)
            self._models[level] = make(self._problem, settings, seed=self._seed + level)
        point = self._points[number]
        self._models[level].tell([FinishedTrial(number, f"configuration-{number}", point, outcome, objective)])
        self._results[level] = self._results.get(level, 0) + (self._problem.loss(objective) is not None)
        self._told.setdefault(level, set()).add(number)

    def draw(self, number: int, running: Mapping[int, Point]) -> Point | None:
        """The new configuration of this number, beside those of which a Trial runs; None where all are known."""
        beside = set(running.values()) - self._known
        size = self._problem.space.size
        if size is not None and len(self._known) + len(beside) >= size:
            return None
        level = max((level for level, count in self._results.items() if count >= self._least_results), default=None)
        if level is not None and unit_of(words(self._key, number, 1)[0]) >= self._random_share:
            point = self._modelled(level, number, running)
            if point is not None and point not in self._known and point not in beside:
                return point
        return self._at_random(number, beside)

    def _modelled(self, level: int, number: int, running: Mapping[int, Point]) -> Point | None:
        # What has not come as far as this level is stated as well: a density of those that did come does not know that
        # they are the better ones. In a finite space that also keeps the model from proposing what is known.
        told = self._told[level]
        beside = {**self._points, **running}
        active = tuple(
            ProposedTrial(each, f"configuration-{each}", point) for each, point in beside.items() if each not in told
        )
        found = self._models[level].ask(Ask(1, number, active[-_MOST_BESIDE:]))
        return found[0].values if found else None

    def _at_random(self, number: int, beside: set[Point]) -> Point | None:
        """The next of a series of random points that is not known."""
        known = self._known
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
