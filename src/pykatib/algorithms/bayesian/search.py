"""Bayesian optimisation: see `pykatib.algorithms.bayesian` for its parts.

Each proposal is a function of the seed, its index, the Trials that have ended and those that run. Nothing is carried
over from proposal to proposal but what can be computed again: hyperparameters are kept by the Trials they were found
from.
"""

import math
from collections.abc import Sequence

import numpy as np

from pykatib.algorithms.bayesian.acquisition import ACQUISITIONS
from pykatib.algorithms.bayesian.design import latin_hypercube
from pykatib.algorithms.bayesian.features import Features
from pykatib.algorithms.bayesian.gaussian_process import Hyperparameters, Posterior, fit
from pykatib.algorithms.bayesian.maximise import Climb, candidates
from pykatib.algorithms.bayesian.outputs import normalised
from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.encoding import Encoding, Floats
from pykatib.algorithms.permutation import Permutation
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import generator, key_of
from pykatib.algorithms.space import Point

_CANDIDATES = 384
_STARTS = 2  # of each kind
_INCUMBENTS = 5
_MOST_MODELLED = 300
_MOST_FITTED = 160
_MOST_ENUMERATED = 1024


class BayesianOptimization:
    """Proposes where the acquisition function of a model of the Trials is greatest."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        self._problem = problem
        self._space = problem.space
        self._encoding = Encoding(problem.space)
        self._features = Features(self._encoding)
        self._key = key_of(seed, "bayesianoptimization")
        self._rest = Permutation(key_of(seed, "bayesianoptimization order"), problem.space.size or 0)
        self._rest_place = 0
        count = settings.get("n_initial_points")
        self._initial_count = count if isinstance(count, int) else 10
        function = settings.get("acq_func")
        self._function = str(function) if function in ACQUISITIONS else "gp_hedge"
        self._climbs = settings.get("acq_optimizer") != "sampling"
        design = generator(key_of(seed, "bayesianoptimization design"), 0)
        self._design = latin_hypercube(self._initial_count, len(self._encoding), design)
        self._told: dict[int, FinishedTrial] = {}
        self._seen: set[Point] = set()
        self._fitted: tuple[tuple[int, ...], Hyperparameters] | None = None

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The most promising points, each chosen as if those before it and the running ones had met expectations."""
        for trial in request.active:
            self._seen.add(tuple(trial.values))
        pending = [self._encoding.row(trial.values) for trial in sorted(request.active, key=lambda t: t.index)]
        model = _Data(self._told, self._problem, self._encoding)
        batch: set[Point] = set()
        proposals: list[Proposal] = []
        for index in range(request.issued, request.issued + request.count):
            if self._space.size is not None and len(self._seen | batch) >= self._space.size:
                break
            point = self._propose(index, model, pending, batch)
            batch.add(point)
            pending.append(self._encoding.row(point))
            proposals.append(Proposal(point))
        return proposals

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Writes results down."""
        for trial in finished:
            self._told[trial.index] = trial
            self._seen.add(tuple(trial.values))

    def _propose(self, index: int, data: "_Data", pending: list[list[float]], batch: set[Point]) -> Point:
        draws = generator(self._key, index)
        if len(self._encoding) == 0:
            return self._space.from_unit([0.5] * len(self._space))
        if index < self._initial_count:
            rows = self._features.from_units(self._design[index : index + 1])
            return self._first_new(rows, draws, batch)
        if len(data.losses) < 2:
            return self._first_new(np.empty((0, len(self._encoding))), draws, batch)
        return self._first_new(self._most_promising(index, data, pending, draws), draws, batch)

    def _most_promising(
        self, index: int, data: "_Data", pending: list[list[float]], draws: np.random.Generator
    ) -> Floats:
        hyper = self._hyperparameters(data)
        columns = self._features.of(data.rows)
        posterior = Posterior(columns, data.targets, hyper, np.full(len(data.targets), hyper.noise))
        means = posterior.mean(columns)
        best = float(means.min())
        incumbents = data.rows[np.argsort(means, kind="stable")[:_INCUMBENTS]]
        if pending:
            running = self._features.of(np.array(pending))
            noise = np.concatenate([np.full(len(data.targets), hyper.noise), np.zeros(len(pending))])
            expected = posterior.mean(running)
            posterior = Posterior(
                np.concatenate([columns, running]), np.concatenate([data.targets, expected]), hyper, noise
            )
        function = self._function if self._function != "gp_hedge" else "EI"
        climb = Climb(posterior, ACQUISITIONS[function], best, self._features)
        rows = candidates(self._features, incumbents, draws, count=_CANDIDATES)
        scores = climb.score(rows)
        starts = [
            int(place) + start
            for start in (0, _CANDIDATES)
            for place in np.argsort(-scores[start : start + _CANDIDATES], kind="stable")[:_STARTS]
        ]
        climbed = [climb(rows[place], float(scores[place])) for place in starts] if self._climbs else []
        rows = np.concatenate([np.array([row for row, _ in climbed]).reshape(-1, rows.shape[1]), rows])
        scores = np.concatenate([[score for _, score in climbed], scores])
        return rows[np.argsort(-scores, kind="stable")]

    def _hyperparameters(self, data: "_Data") -> Hyperparameters:
        chosen = data.fitting()
        name = tuple(data.indices[chosen].tolist())
        if self._fitted is None or self._fitted[0] != name:
            columns = self._features.of(data.rows[chosen])
            found = fit(columns, data.targets[chosen], self._features.groups, self._features.numeric, warp=True)
            self._fitted = (name, found)
        return self._fitted[1]

    def _first_new(self, rows: Floats, draws: np.random.Generator, batch: set[Point]) -> Point:
        """The first row that is a new point, else a random one."""
        for row in rows.tolist():
            point = self._encoding.point(row)
            if point not in self._seen and point not in batch:
                return point
        for _ in range(16):
            point = self._space.sample(draws)
            if point not in self._seen and point not in batch:
                return point
        if self._space.size is None:
            return point
        place = self._rest_place
        while (point := self._space.at(self._rest[place])) in self._seen or point in batch:
            if place == self._rest_place and point in self._seen:
                self._rest_place += 1
            place += 1
        return point


class _Data:
    """What has been told, by the number of the proposal. Failures count as bad as the worst result."""

    def __init__(self, told: dict[int, FinishedTrial], problem: Problem, encoding: Encoding) -> None:
        trials = [
            told[index]
            for index in sorted(told)
            if told[index].outcome != "killed" or told[index].objective is not None
        ]
        losses = [problem.loss(trial.objective) for trial in trials]
        finite = [loss for loss in losses if loss is not None and math.isfinite(loss)]
        self.losses = np.array(finite)
        self.indices = np.array([trial.index for trial in trials])
        if len(finite) < 2:
            return
        lowest, greatest = min(finite), max(finite)
        filled = [greatest if loss is None or loss > greatest else max(loss, lowest) for loss in losses]
        self.rows: Floats = np.array([encoding.row(trial.values) for trial in trials])
        self.targets = normalised(np.array(filled))

    def fitting(self) -> np.ndarray:
        return np.arange(len(self.targets))
