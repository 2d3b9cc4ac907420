"""CMA-ES (Hansen and Ostermeier, "Completely derandomized self-adaptation in evolution strategies", 2001).

Trials are counted into generations by the number of their proposal: the first λ make the first generation, the next λ
the second, and so on. A generation is complete when all its Trials have ended, in whatever order; the distribution
then moves towards the better half of them. Trials without a result count as the worst. While a generation waits for
its last Trials, further proposals come from the distribution as it is and belong to the next one.

*Replay.* Each proposal carries a label with the number of the distribution that it was drawn from, and its randomness
is a function of the seed and its index. So the history alone tells what every sample was: the optimiser is a function
of the Trials, and is led through them again after a restart, generation by generation. An instance that lives on only
goes through what is new. A Trial that was not drawn here (other seed, other version) enters by its values.

*Restarts.* `ipop` starts again from a random place with twice the population whenever a run has converged (Auger and
Hansen, "A restart CMA evolution strategy with increasing population size", 2005); `bipop` takes turns between that and
small populations with small steps, by the Trials that each has used (Hansen, "Benchmarking a BI-population CMA-ES on
the BBOB-2009 function testbed", 2009). Trials of an earlier run do not count into generations of a later one.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pykatib.algorithms.cma_distribution import Sample, SearchDistribution, Variables
from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal, ProposedTrial
from pykatib.algorithms.description import Settings
from pykatib.algorithms.permutation import Permutation
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import key_of, unit_of, words
from pykatib.algorithms.space import Point

GENERATION_LABEL = "cmaes.suggestion.katib.kubeflow.org/generation"
DEFAULT_SIGMA = 1 / 6
_ATTEMPTS = 16
_FOREIGN = -1


class CmaEsSearch:
    """Draws from the current distribution and moves it on with each complete generation."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        self._problem = problem
        self._space = problem.space
        self._variables = Variables(problem.space)
        self._key = key_of(seed, "cmaes")
        self._seen = _Seen(problem, key_of(seed, "cmaes order"))
        restarts_key = key_of(seed, "cmaes restarts")
        self._runs = _Runs(self._variables, settings, restarts_key) if self._variables.dimensions else None
        self._generation = 0  # how often the distribution has moved, over all runs
        self._first_of_run = 0  # the generation that the current run started with
        self._members: list[int] = []  # indexes of the current generation, as far as they are known
        self._next = 0  # the first index that belongs to no generation yet
        self._drawn_from: dict[int, int] = {}  # index -> generation, of Trials that belong to no complete one
        self._trials: dict[int, ProposedTrial | FinishedTrial] = {}
        self._not_drawn: dict[int, list[int]] = {}  # generation -> indexes whose samples are not known yet
        self._samples: dict[int, Sample | None] = {}
        self._losses: dict[int, float | None] = {}

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """Points of the current distribution; in a finite space none twice."""
        for trial in request.active:
            self._note(trial)
        if self._runs is not None:
            self._replay(self._runs)
        labels = {GENERATION_LABEL: str(self._generation)}
        proposals: list[Proposal] = []
        batch: set[Point] = set()
        for index in range(request.issued, request.issued + request.count):
            point = self._draw(index, batch)
            if point is None:
                break
            batch.add(point)
            proposals.append(Proposal(point, labels))
        return proposals

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Writes results down; what they change is worked out when proposals are asked for."""
        for trial in finished:
            self._note(trial)
            if trial.index in self._trials:
                loss = self._problem.loss(trial.objective)
                self._losses[trial.index] = None if loss == math.inf else loss

    @property
    def kept_count(self) -> int:
        """How many Trials are still in memory: those of the current generation and of later ones."""
        return len(self._trials)

    def _note(self, trial: ProposedTrial | FinishedTrial) -> None:
        """Takes a Trial into account when it is heard of first, running or ended."""
        if trial.index < self._next or trial.index in self._trials:
            return
        self._seen.add(tuple(trial.values))
        generation = _generation_of(trial)
        self._trials[trial.index] = trial
        self._drawn_from[trial.index] = generation
        self._not_drawn.setdefault(generation, []).append(trial.index)

    def _replay(self, runs: "_Runs") -> None:
        """Moves the distribution on through all generations that are complete."""
        while True:
            for index in self._not_drawn.pop(self._generation, ()):
                self._samples[index] = self._sample_of(index, runs.current)
            run = runs.current
            while len(self._members) < run.population and self._next in self._trials:
                if _FOREIGN < self._drawn_from[self._next] < self._first_of_run:
                    self._forget(self._next)
                else:
                    self._members.append(self._next)
                self._next += 1
            if len(self._members) < run.population or any(index not in self._losses for index in self._members):
                return
            run.update([(self._sample_or_values(index), self._losses[index]) for index in self._members])
            for index in self._members:
                self._forget(index)
            self._members = []
            self._generation += 1
            if runs.restarted():
                self._first_of_run = self._generation

    def _draw(self, index: int, batch: set[Point]) -> Point | None:
        """The proposal of an index; in a finite space one that is new, None when there is none left."""
        if self._seen.everything(batch):
            return None
        if self._runs is not None:
            point = None
            for word in words(self._key, index, _ATTEMPTS):
                point = self._variables.point(self._runs.current.draw(word >> 32))
                if self._space.allows(point) and self._seen.new(point, batch):
                    return point
            if point is not None and self._seen.new(mended := self._space.repaired(point), batch):
                return mended
        return self._seen.some_other(batch)

    def _sample_of(self, index: int, distribution: SearchDistribution) -> Sample | None:
        """The sample that a Trial was, drawn again; None where it did not come from this distribution."""
        values = tuple(self._trials[index].values)
        for word in words(self._key, index, _ATTEMPTS if self._seen.finite or self._space.restricted else 1):
            sample = distribution.draw(word >> 32)
            if self._variables.point(sample) == values:
                return sample
        return None

    def _sample_or_values(self, index: int) -> Sample:
        return self._samples.get(index) or self._variables.sample(self._trials[index].values)

    def _forget(self, index: int) -> None:
        for known in (self._trials, self._drawn_from, self._samples, self._losses):
            known.pop(index, None)


class _Runs:
    """The runs of CMA-ES, one after the other, and where and how large the next begins."""

    def __init__(self, variables: Variables, settings: Settings, key: int) -> None:
        self._variables = variables
        self._key = key
        sigma = settings.get("sigma")
        self._sigma = float(sigma) if isinstance(sigma, int | float) and sigma > 0 else DEFAULT_SIGMA
        strategy = settings.get("restart_strategy")
        self._strategy = strategy if strategy in ("ipop", "bipop") else "none"
        self._restarts = 0
        self._regime: Literal["large", "small"] = "small"
        self._trials_by_regime = {"large": 0, "small": 0}
        self.current = self._start(np.full(variables.number_count, 0.5), self._sigma, None)
        self._population = self.current.population
        self._large = self._population

    def _start(self, mean: NDArray[np.float64], sigma: float, population: int | None) -> SearchDistribution:
        return SearchDistribution(self._variables, mean=mean, sigma=sigma, population=population)

    def restarted(self) -> bool:
        """Begins a new run where the current one, after one more generation, has come to its end."""
        self._trials_by_regime[self._regime] += self.current.population
        if self._strategy == "none" or not self.current.converged():
            return False
        self._restarts += 1
        first, second, *places = map(unit_of, words(self._key, self._restarts, 2 + self._variables.number_count))
        few_in_small = self._trials_by_regime["small"] < self._trials_by_regime["large"]
        self._regime = "small" if self._strategy == "bipop" and few_in_small else "large"
        if self._regime == "large":
            self._large *= 2
            population, sigma = self._large, self._sigma
        else:  # Hansen (2009), section 2: λ · (λ_large / 2λ)^(u²), σ · 10^(-2u)
            population = max(4, int(self._population * (self._large / (2 * self._population)) ** (first**2)))
            sigma = self._sigma * 10 ** (-2 * second)
        self.current = self._start(np.array(places), sigma, population)
        return True


class _Seen:
    """The points of a finite space that have been proposed; of a continuous space nothing is kept."""

    def __init__(self, problem: Problem, key: int) -> None:
        self._space = problem.space
        self._size = problem.space.size
        self.finite = self._size is not None
        self._points: set[Point] = set()
        self._rest = Permutation(key, self._size or 0)
        self._place = 0

    def add(self, point: Point) -> None:
        """Notes a point."""
        if self.finite:
            self._points.add(point)

    def new(self, point: Point, batch: set[Point]) -> bool:
        """Whether a point may still be proposed."""
        return not self.finite or (point not in self._points and point not in batch)

    def everything(self, batch: set[Point]) -> bool:
        """Whether all points have been proposed."""
        return self._size is not None and len(self._points) + len(batch - self._points) >= self._size

    def some_other(self, batch: set[Point]) -> Point:
        """The first point of a random order that is new; there must be one."""
        place = self._place
        while not self.new(point := self._space.at(self._rest[place]), batch):
            if place == self._place and point in self._points:
                self._place += 1
            place += 1
        return point


def _generation_of(trial: ProposedTrial | FinishedTrial) -> int:
    """The number on a Trial's label, `_FOREIGN` where there is none."""
    text = (trial.labels or {}).get(GENERATION_LABEL, "")
    return int(text) if text.isdecimal() else _FOREIGN
