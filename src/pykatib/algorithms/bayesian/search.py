"""Bayesian optimisation: see `pykatib.algorithms.bayesian` for its parts.

Each proposal is a function of the seed, its index, the Trials that have ended and those that run. Nothing is carried
over from proposal to proposal but what can be computed again: hyperparameters are kept by the Trials they were found
from.

*The portfolio.* Hyperparameters of greatest probability are too sure of themselves: once they take a dimension for
smooth, or a category for bad, expected improvement does not look again. `gp_hedge` therefore takes fixed turns: mostly
expected improvement, at times the confidence bound, at times improvement as a model with half the lengths expects it,
to which places between Trials are less certain. (Hoffman, Brochu and de Freitas, "Portfolio allocation for Bayesian
optimization", 2011, choose by past gains. Turns need no state.)

*Side by side.* A running Trial, and a proposal of the same batch, enters the model with the result that is expected
of it, without noise: expectations elsewhere stay as they are, but nothing more is to be learnt there (Desautels, Krause
and Burdick, "Parallelizing exploration-exploitation tradeoffs in Gaussian process bandit optimization", 2014).
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from pykatib.algorithms.bayesian.acquisition import ACQUISITIONS
from pykatib.algorithms.bayesian.design import latin_hypercube
from pykatib.algorithms.bayesian.features import Features
from pykatib.algorithms.bayesian.forest import Forest, ForestKind
from pykatib.algorithms.bayesian.gaussian_process import Hyperparameters, Posterior, fit
from pykatib.algorithms.bayesian.history import History
from pykatib.algorithms.bayesian.kernel import squared_distances
from pykatib.algorithms.bayesian.maximise import Climb, candidates
from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.encoding import Encoding, Floats
from pykatib.algorithms.permutation import Permutation
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import generator, key_of
from pykatib.algorithms.space import Point

_CANDIDATES = 384  # of each kind: anywhere, and near the best
_MANY_CANDIDATES = 1536  # where there is no climbing
_STARTS = 2  # for climbing, of each kind
_INCUMBENTS = 5
_ATTEMPTS = 64
_MOST_REPLACED = 32  # candidates, by random points; to find one may take many draws
_BESIDE = 0.005  # in the unit cube: what lies closer to a running Trial would tell the same
_LARGEST_DESIGN = 1000  # initial points beyond are random

TURNS = (("EI", 1.0), ("LCB", 1.0), ("EI", 1.0), ("EI", 0.5))
"""The portfolio of `gp_hedge`: an acquisition function and what the lengths are multiplied with, in turns by index."""


class BayesianOptimization:
    """Proposes where the acquisition function of a model of the Trials is greatest."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        self._space = problem.space
        self._encoding = Encoding(problem.space)
        self._features = Features(self._encoding)
        self._key = key_of(seed, "bayesianoptimization")
        self._rest = Permutation(key_of(seed, "bayesianoptimization order"), problem.space.size or 0)
        self._rest_place = 0
        self._estimator = str(settings.get("base_estimator") or "GP")
        self._function = str(settings.get("acq_func") or "gp_hedge")
        self._climbs = self._estimator == "GP" and settings.get("acq_optimizer") != "sampling"
        count = settings.get("n_initial_points")
        self._initial_count = count if isinstance(count, int) else 10
        design = generator(key_of(seed, "bayesianoptimization design"), 0)
        self._design = latin_hypercube(min(self._initial_count, _LARGEST_DESIGN), len(self._encoding), design)
        self._history = History(len(self._encoding), problem.loss)
        self._seen: set[Point] = set()
        self._fitted: tuple[tuple[int, ...], Hyperparameters] | None = None

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The most promising points, each chosen as if those before it and the running ones had met expectations."""
        running = sorted(request.active, key=lambda trial: trial.index)
        pending = [self._encoding.row(trial.values) for trial in running]
        taken = {tuple(trial.values) for trial in running}
        proposals: list[Proposal] = []
        for index in range(request.issued, request.issued + request.count):
            if self._space.size is not None and len(self._seen) + len(taken - self._seen) >= self._space.size:
                break
            draws = generator(self._key, index)
            point = self._first_new(self._promising(index, pending, draws), draws, taken)
            taken.add(point)
            pending.append(self._encoding.row(point))
            proposals.append(Proposal(point))
        return proposals

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Writes results down."""
        for trial in finished:
            self._seen.add(tuple(trial.values))
            self._history.add(trial, self._encoding.row(trial.values))

    def _promising(self, index: int, pending: list[list[float]], draws: np.random.Generator) -> Floats:
        """Rows to propose, the best first; none where there is nothing to go by."""
        if len(self._encoding) == 0:
            return np.empty((0, 0))
        if index < len(self._design):
            return self._features.from_units(self._design[index : index + 1])
        if index < self._initial_count or self._history.valid_count < 2:
            return np.empty((0, len(self._encoding)))
        rows, targets = self._history.modelled()
        columns = self._features.of(rows)
        running = self._features.of(np.array(pending)) if pending else np.empty((0, columns.shape[1]))
        function, shrink = TURNS[index % len(TURNS)] if self._function == "gp_hedge" else (self._function, 1.0)
        model, means, best = self._model(columns, targets, running, draws, shrink)
        incumbents = rows[np.argsort(means, kind="stable")[:_INCUMBENTS]]
        climb = Climb(model, ACQUISITIONS[function], best, self._features)
        count = _CANDIDATES if self._climbs else _MANY_CANDIDATES
        found = candidates(self._features, incumbents, draws, count=count)
        if self._space.restricted:
            found = self._allowed(found, count, draws)
        scores = climb.score(found)
        if self._climbs:
            starts = [
                start + int(place)
                for start in (0, count)
                for place in np.argsort(-scores[start : start + count], kind="stable")[:_STARTS]
            ]
            climbed = [climb(found[place], float(scores[place])) for place in starts]
            found = np.concatenate([[row for row, _ in climbed], found])
            scores = np.concatenate([[score for _, score in climbed], scores])
        if len(running):
            squares = squared_distances(self._features.of(found), running).min(axis=1)
            found, scores = found[squares > _BESIDE**2], scores[squares > _BESIDE**2]
        promising: Floats = found[np.argsort(-scores, kind="stable")]
        return promising

    def _allowed(self, rows: Floats, count: int, draws: np.random.Generator) -> Floats:
        """Rows of which the first `count` are anywhere: random points in the place of those that are not allowed.

        They are as the points are that they mean, so that a parameter which is not active makes no difference.
        """
        found: list[list[float]] = []
        anywhere = 0
        for place, row in enumerate(rows.tolist()):
            point = self._encoding.point(row)
            if not self._space.allows(point):
                if place >= count or anywhere >= _MOST_REPLACED:
                    point = self._space.repaired(point)
                else:
                    point, anywhere = self._space.sample(draws), anywhere + 1
            found.append(self._encoding.row(point))
        return np.array(found)

    def _model(
        self, columns: Floats, targets: Floats, running: Floats, draws: np.random.Generator, shrink: float
    ) -> tuple[Posterior | Forest, Floats, float]:
        """A model that knows of the running Trials, what to expect of those that have ended, and the best of all."""
        if self._estimator != "GP":
            kind = cast(ForestKind, self._estimator)
            forest = Forest(kind, columns, targets, draws)
            means = forest.mean(columns)
            if len(running):
                expected = forest.mean(running)
                believed = np.concatenate([targets, expected])
                forest = Forest(kind, np.concatenate([columns, running]), believed, draws)
                return forest, means, float(min(means.min(), expected.min()))
            return forest, means, float(means.min())
        hyper = self._hyperparameters().with_lengths_times(shrink)
        noise = np.full(len(targets), hyper.noise)
        posterior = Posterior(columns, targets, hyper, noise)
        means = posterior.mean(columns)
        if len(running):
            expected = posterior.mean(running)
            believed = np.concatenate([targets, expected])
            noise = np.concatenate([noise, np.zeros(len(running))])
            posterior = Posterior(np.concatenate([columns, running]), believed, hyper, noise)
            return posterior, means, float(min(means.min(), expected.min()))
        return posterior, means, float(means.min())

    def _hyperparameters(self) -> Hyperparameters:
        rows, targets, name = self._history.fitted()
        if self._fitted is None or self._fitted[0] != name:
            found = fit(self._features.of(rows), targets, self._features.groups, self._features.numeric)
            self._fitted = (name, found)
        return self._fitted[1]

    def _first_new(self, rows: Floats, draws: np.random.Generator, taken: set[Point]) -> Point:
        """The first row that is a new point, else a random one."""
        for row in rows.tolist():
            point = self._encoding.point(row)
            if point not in self._seen and point not in taken and self._space.allows(point):
                return point
        for _ in range(_ATTEMPTS):
            point = self._space.sample(draws)
            if self._space.size is None or (point not in self._seen and point not in taken):
                return point
        place = self._rest_place
        while (point := self._space.at(self._rest[place])) in self._seen or point in taken:
            if place == self._rest_place and point in self._seen:
                self._rest_place += 1
            place += 1
        return point
