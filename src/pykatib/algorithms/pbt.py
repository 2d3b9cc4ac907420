"""Population based training (Jaderberg and others, "Population based training of neural networks", 2017).

Each member of a population trains for the length of a Trial, then for another from where it was, and so on: a Trial is
one step of a member, and its parent is the Trial whose checkpoint it continues. After each step a member looks at the
others:

* *exploit*: one of the worst goes on from one of the best, with that one's checkpoint and hyperparameters, changed;
* *elite*: the best goes on with its own as they are;
* *explore*: all others go on with their own, changed.

Whoever asks is given work, whatever else runs: the next step of the idle member that has had the fewest Trials. A
member is compared with what others had reached in its own generation, or last before it, so that who is ahead does not
look better for that alone. Whose objective is not a finite number has diverged, and always goes on from one of the
best. A Trial without a result is repeated once, from the same parent with the same values, as the machine may have
been the reason; then its member goes on from one of the best, or begins anew where there is none.

What a member is and where it stands is in its Trials' labels (`pykatib.algorithms.lineage`), so the history tells
everything, in whatever order it is told.
"""

import math
from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal, ProposedTrial
from pykatib.algorithms.description import Settings
from pykatib.algorithms.lineage import Lineage, lineage_of
from pykatib.algorithms.perturbation import perturbed
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.randomness import key_of, unit_of, words
from pykatib.algorithms.space import Point

ALGORITHM: Final = "pbt"
_TRIES: Final = 2  # how often a step is tried before its member is replaced


class _Ended(NamedTuple):
    """A Trial of a member that has ended; `loss` is infinite where there is no finite objective."""

    number: int  # of its proposal
    name: str
    generation: int
    parent: str
    loss: float
    values: Point
    has_result: bool


class _Member:
    """One member's Trials that have ended, in the order in which they were proposed."""

    def __init__(self) -> None:
        self.ended: list[_Ended] = []
        self.results: list[_Ended] = []

    def add(self, trial: _Ended) -> None:
        insort(self.ended, trial, key=_order)
        if trial.has_result:
            insort(self.results, trial, key=_order)

    def at(self, generation: int) -> _Ended:
        """What it had reached in a generation, or last before it; else the first that it has reached at all."""
        place = bisect_right(self.results, generation, key=lambda trial: trial.generation)
        return self.results[max(0, place - 1)]

    def tries(self) -> int:
        """How often its last step was tried without a result."""
        count = 0
        for trial in reversed(self.ended):
            if trial.has_result or trial.generation != self.ended[-1].generation:
                break
            count += 1
        return count


def _order(trial: _Ended) -> tuple[int, str]:
    return trial.number, trial.name


class _Step(NamedTuple):
    """What a member does next."""

    values: Point
    generation: int
    parent: str = ""


class PopulationBasedTraining:
    """Proposes steps of the members of a population."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        population, threshold = settings["n_population"], settings["truncation_threshold"]
        resample, stated = settings["resample_probability"], settings["random_state"]
        assert isinstance(population, int), "a rule says so"
        assert isinstance(threshold, int | float), "a rule says so"
        self._problem = problem
        self._population = population
        self._threshold = float(threshold)
        self._resample = float(resample) if isinstance(resample, int | float) else 0.0
        self._key = key_of(stated if isinstance(stated, int) else seed, ALGORITHM)
        self._members: dict[int, _Member] = {}

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Takes notice of Trials that have ended. One that is no member's, for want of labels, is left aside."""
        for trial in finished:
            known = _identity(trial)
            if known is None:
                continue
            number, lineage = known
            loss = self._problem.loss(trial.objective)
            self._members.setdefault(number, _Member()).add(
                _Ended(
                    trial.index,
                    trial.name,
                    lineage.generation,
                    lineage.parent,
                    loss if loss is not None and math.isfinite(loss) else math.inf,
                    trial.values,
                    trial.outcome in ("succeeded", "early-stopped"),
                )
            )

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The next steps; a member makes one at a time."""
        running = {known[0] for trial in request.active if (known := _identity(trial)) is not None}
        proposals = []
        for place in range(request.count):
            random = self._random(request.issued + place)
            number = self._next(running)
            running.add(number)
            step = self._step(number, random)
            lineage = Lineage(generation=step.generation, parent=step.parent, member=str(number))
            proposals.append(Proposal(step.values, lineage.labels(ALGORITHM)))
        return proposals

    def _next(self, running: set[int]) -> int:
        """Whose turn it is: a new member's while there are too few, or where all others are busy."""
        idle = [number for number in self._members if number not in running]
        if not idle or len(idle) + len(running) < self._population:
            return next(number for number in range(len(idle) + len(running) + 1) if number not in {*idle, *running})
        return min(idle, key=lambda number: (len(self._members[number].ended), number))

    def _step(self, number: int, random: Iterator[int]) -> _Step:
        member = self._members.get(number)
        if member is None:
            return _Step(self._fresh(random), 0)
        last = member.ended[-1]
        if not last.has_result and member.tries() < _TRIES:
            return _Step(last.values, last.generation, last.parent)
        generation = last.generation + 1
        if not last.has_result or last.loss == math.inf:
            better = self._one_of_the_best(number, math.inf, random)
            return self._changed(better, generation, random) if better else _Step(self._fresh(random), generation)
        rank, compared = self._rank(number, last)
        if rank == 0 and compared > 1:
            return _Step(last.values, generation, last.name)
        if rank >= compared - self._share(compared) and 2 * compared >= self._population:
            better = self._one_of_the_best(number, last.loss, random)
            return self._changed(better or last, generation, random)
        return self._changed(last, generation, random)

    def _share(self, count: int) -> int:
        """How many of so many are among the best, or the worst: one at least, unless the threshold is zero."""
        return max(1, int(self._threshold * count)) if self._threshold > 0 else 0

    def _rank(self, number: int, own: _Ended) -> tuple[int, int]:
        """How many are better than a member, and how many are compared with it, itself included."""
        others = [
            (other.at(own.generation).loss, place)
            for place, other in self._members.items()
            if place != number and other.results
        ]
        return sum(other < (own.loss, number) for other in others), len(others) + 1

    def _one_of_the_best(self, number: int, worse_than: float, random: Iterator[int]) -> _Ended | None:
        """The latest of one of the others that are best now; None where none of them is better."""
        latest = sorted(((member.results[-1].loss, place) for place, member in self._members.items() if member.results))
        best = [
            self._members[place].results[-1]
            for loss, place in latest[: max(1, self._share(len(latest)))]
            if place != number and loss < worse_than
        ]
        return best[next(random) * len(best) >> 64] if best else None

    def _changed(self, parent: _Ended, generation: int, random: Iterator[int]) -> _Step:
        values = []
        for parameter, value in zip(self._problem.space.parameters, parent.values, strict=True):
            chance, direction, fresh = next(random), next(random), next(random)
            if unit_of(chance) < self._resample:
                values.append(parameter.from_word(fresh))
            else:
                values.append(perturbed(parameter, value, up=direction % 2 == 1))
        return _Step(tuple(values), generation, parent.name)

    def _fresh(self, random: Iterator[int]) -> Point:
        return self._problem.space.from_words([next(random) for _ in self._problem.space.parameters])

    def _random(self, index: int) -> Iterator[int]:
        """The words that belong to proposal number `index`."""
        return iter(words(self._key, index, 1 + 3 * len(self._problem.space)))


def _identity(trial: ProposedTrial | FinishedTrial) -> tuple[int, Lineage] | None:
    """Which member a Trial is of, and where it stands."""
    lineage = lineage_of(trial.labels)
    if lineage is None or not lineage.member.isdecimal():
        return None
    return int(lineage.member), lineage
