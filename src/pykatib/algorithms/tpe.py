"""Tree-structured Parzen estimators (Bergstra, Bardenet, Bengio and Kégl, "Algorithms for hyper-parameter
optimization", 2011).

The Trials so far are split into the best 15 % and the rest, and a density is made of each. Some points are drawn from
the density of the good, and of these the one is proposed at which the good are densest in proportion to the rest.
Trials that still run count among the rest, and so do those that failed: nothing says that they are good, and what is
near them need not be tried just now. Early-stopped Trials count with the value that they had reached.

What is chosen here, and was chosen by measurement (`benchmarks/quality`, in the light of Watanabe, "Tree-structured
Parzen estimator: understanding its algorithm components and their roles for better empirical performance", 2023):

- The first points are those of a scrambled Sobol sequence.
- Good Trials weigh by their rank, as in CMA-ES, so that the best has the greatest say in where to draw.
- On cells, each good Trial has a bandwidth of its own that reaches to its neighbours on both sides, as in the first
  implementations of the method: one that narrows as a whole proposes the same few steps again and again.
- On a line it is the geometric mean of that and of Scott's rule, which follows how far all the good lie apart: the one
  knows where there are several optima, the other narrows sooner where there is one.
- The rest have fixed bandwidths that shrink with their number only: narrow ones would leave holes to fall into.
- Points are drawn whole, each from the kernel of one good Trial, in both variants. `tpe` then judges each parameter by
  itself and adds up, `multivariate-tpe` judges products of kernels, so it sees which values go well with which.

A proposal is a function of the seed, its number, and the sets of Trials told and running. In a finite space no point
comes twice.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.encoding import Dimension, Encoding, Floats
from pykatib.algorithms.parzen import Bandwidth, Parzen
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import generator, key_of
from pykatib.algorithms.ranking import Ranking
from pykatib.algorithms.sobol import ScrambledSobol
from pykatib.algorithms.space import Point

GOOD_SHARE = 0.15
MOST_GOOD = 25
CANDIDATES = 24

_FIXED_BANDWIDTH = 0.2  # times the shrinking of Scott's rule
_LEAST_BANDWIDTH = 0.003
_LEAST_CELLS = 0.25  # in cells; twice as much for the good, or they would never leave a step that they agree on
_MOST_NEIGHBOURS = 100  # a bandwidth from neighbour to neighbour is at least one part in so many, or in their number
_ROUNDS = 4  # of candidates, while all have been proposed before
_DRAWS = 64  # at random, after that
_MOST_REST = 1024
_NEAREST_REST = 512  # of which so many are those next to the good


class TPE:
    """Judges each parameter by itself."""

    joint: ClassVar[bool] = False

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        self._problem = problem
        self._space = problem.space
        self._startup = _count(settings, "n_startup_trials", 10)
        self._candidate_count = _count(settings, "n_EI_candidates", _count(settings, "n_ei_candidates", CANDIDATES))
        self._gamma = _number(settings, "gamma")
        self._prior_weight = _number(settings, "prior_weight") or 1.0
        self._encoding = Encoding(problem.space)
        self._key = key_of(seed, "tpe")
        self._sobol = ScrambledSobol(len(problem.space), seed=seed)
        self._ranking = Ranking(len(self._encoding))
        self._told: set[Point] = set()

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Ranks Trials that have ended."""
        for trial in finished:
            self._told.add(trial.values)
            loss = self._problem.loss(trial.objective)
            self._ranking.add(loss, trial.index, self._encoding.row(trial.values))

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The next points; each counts as running for those after it."""
        self._ranking.settle()
        active = sorted(request.active, key=lambda trial: trial.index)
        running = [self._encoding.row(trial.values) for trial in active]
        taken = self._told.union(trial.values for trial in active)
        proposals: list[Proposal] = []
        for index in range(request.issued, request.issued + request.count):
            if self._space.size is not None and len(taken) >= self._space.size:
                break
            point = self._propose(index, running, taken)
            proposals.append(Proposal(point))
            taken.add(point)
            running.append(self._encoding.row(point))
        return proposals

    def _propose(self, index: int, running: list[list[float]], taken: set[Point]) -> Point:
        numbers = generator(self._key, index)
        if len(self._ranking) < self._startup or len(self._encoding) == 0:
            point = self._space.from_words(self._sobol[index])
            if point not in taken:
                return point
        else:
            good, rest = self._densities(running)
            for _ in range(_ROUNDS):
                for row in self._candidates(good, rest, numbers):
                    point = self._encoding.point(row)
                    if point not in taken and self._space.allows(point):
                        return point
        return self._any(numbers, taken)

    def _candidates(self, good: Parzen, rest: Parzen, numbers: np.random.Generator) -> list[list[float]]:
        """Rows drawn from the good, the most promising first."""
        rows = good.draw(self._candidate_count, numbers)
        if self.joint:
            scores = good.joint_log_density(rows) - rest.joint_log_density(rows)
        else:
            scores = good.marginal_log_density(rows) - rest.marginal_log_density(rows)
        best_first: list[list[float]] = rows[np.argsort(-scores, kind="stable")].tolist()
        return best_first

    def _densities(self, running: list[list[float]]) -> tuple[Parzen, Parzen]:
        """The density of the good and that of the rest."""
        dimensions = self._encoding.dimensions
        rows = self._ranking.rows
        count = self._good_count(self._ranking.valid_count)
        good, weights = rows[:count], self._good_weights(count)
        rest, rest_weights = _thinned(rows[count:])
        rest = np.vstack([rest, np.array(running).reshape(len(running), len(dimensions))])
        rest_weights = np.concatenate([rest_weights, np.ones(len(running))])
        return (
            Parzen(dimensions, good, weights, self._bandwidths(good, follow=True), self._prior_weight),
            Parzen(dimensions, rest, rest_weights, self._bandwidths(rest, follow=False), self._prior_weight),
        )

    def _good_weights(self, count: int) -> Floats:
        """What each of the good counts for, best first."""
        return _rank_weights(count)

    def _good_count(self, count: int) -> int:
        """How many of so many Trials are good."""
        share = GOOD_SHARE * count if self._gamma is None else self._gamma * math.sqrt(count)
        return min(math.ceil(share), MOST_GOOD)

    def _bandwidths(self, rows: Floats, *, follow: bool) -> list[Bandwidth]:
        """The bandwidth of each column; `follow` lets it follow where the rows lie."""
        count = len(rows) + 1  # the prior is one more
        together = len(self._encoding) if self.joint else 1
        scott = count ** (-1 / (together + 4))
        return [
            _bandwidth(dimension, rows[:, place], scott, follow=follow)
            for place, dimension in enumerate(self._encoding.dimensions)
        ]

    def _any(self, numbers: np.random.Generator, taken: set[Point]) -> Point:
        """Some point that is not taken; there is one, unless doubles have no room for more than a few numbers."""
        for _ in range(_DRAWS):
            point = self._space.sample(numbers)
            if point not in taken:
                return point
        size = self._space.size
        if size is None:
            return point
        place = int(numbers.integers(0, min(size, 1 << 62)))
        while (point := self._space.at(place)) in taken:
            place = (place + 1) % size
        return point


class MultivariateTPE(TPE):
    """Judges all parameters together."""

    joint = True


def _bandwidth(dimension: Dimension, codes: Floats, scott: float, *, follow: bool) -> Bandwidth:
    count = len(codes) + 1
    if dimension.kind == "list":  # the share of any entry, beside the kernel's own: one Trial's worth for each
        return dimension.count / (count + dimension.count)
    least = _LEAST_CELLS / dimension.count if dimension.kind == "cells" else _LEAST_BANDWIDTH
    if not follow or len(codes) == 0:
        return max(_FIXED_BANDWIDTH * scott, least)
    if dimension.kind == "cells":
        return _reaches(dimension.middles[codes.astype(np.intp)], 2 * least)
    squares = float(np.sum((codes - codes.mean()) ** 2)) + 1 / 12  # the prior's own variance is that of [0, 1]
    spread = max(math.sqrt(squares / count) * scott, least)
    between: Floats = np.sqrt(spread * _reaches(codes, least))
    return between


def _reaches(places: Floats, least: float) -> Floats:
    """The distance from each place to the farther of its two neighbours; the outermost have one, if any."""
    order = np.argsort(places, kind="stable")
    gaps = np.diff(places[order])
    reaches = np.empty(len(places))
    reaches[order] = np.maximum(np.append(gaps, 0.0), np.insert(gaps, 0, 0.0)) if len(gaps) else 1.0
    least = max(least, 1 / min(_MOST_NEIGHBOURS, len(places) + 2))
    return np.clip(reaches, least, 1.0)


def _rank_weights(count: int) -> Floats:
    """Weights of so many Trials, best first, with a mean of 1."""
    weights: Floats = math.log(count + 0.5) - np.log(np.arange(1, count + 1))
    return weights / weights.mean() if count else weights


def _thinned(rows: Floats) -> tuple[Floats, Floats]:
    """At most so many of the rest, with weights: those next to the good, and of those far off each nth for n."""
    if len(rows) <= _MOST_REST:
        return rows, np.ones(len(rows))
    far = rows[_NEAREST_REST:]
    stride = -(-len(far) // (_MOST_REST - _NEAREST_REST))
    kept = far[::stride]
    weights = np.concatenate([np.ones(_NEAREST_REST), np.full(len(kept), len(far) / len(kept))])
    return np.vstack([rows[:_NEAREST_REST], kept]), weights


def _count(settings: Settings, name: str, default: int) -> int:
    value = settings.get(name)
    return value if isinstance(value, int) else default


def _number(settings: Settings, name: str) -> float | None:
    value = settings.get(name)
    return float(value) if isinstance(value, int | float) else None
