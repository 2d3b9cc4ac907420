"""Successive halving that never waits: whoever asks is always given work (Li and others, 2020, algorithm 2).

A proposal is, in this order: a configuration that has earned more of the resource, from the highest level down; else a
new configuration; else, where a finite space has no new ones, a known one at a level where it has not been yet. A Trial
without a result, for whatever reason, has ended as well: it earns nothing and holds up nothing.

Labels on each Trial say which configuration it is and in which bracket, its resource says at which level. So the
history alone tells everything, in whatever order it is told. A Trial without labels is a configuration of its own.
"""

import math
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal, ProposedTrial
from pykatib.algorithms.halving.brackets import Brackets
from pykatib.algorithms.halving.ladder import Ladder
from pykatib.algorithms.halving.proposers import Proposer
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import Point

PREFIX = "halving.suggestion.katib.kubeflow.org"
CONFIGURATION_LABEL = f"{PREFIX}/configuration"
BRACKET_LABEL = f"{PREFIX}/bracket"


class _Rung:
    """What has ended at one level of one bracket, the best first."""

    def __init__(self) -> None:
        self.ended: list[tuple[float, int]] = []  # loss (infinite where there is none), configuration
        self.numbers: set[int] = set()

    def add(self, loss: float, number: int) -> None:
        if number not in self.numbers:
            self.numbers.add(number)
            insort(self.ended, (loss, number))


class SuccessiveHalving:
    """Proposes Trials of configurations at levels of the resource."""

    def __init__(
        self,
        problem: Problem,
        *,
        resource: int,
        ladder: Ladder,
        brackets: Brackets,
        model: str,
        share: float,
        seed: int,
    ) -> None:
        self._problem = problem
        self._resource = resource  # the place of the resource among the parameters
        self._ladder = ladder
        self._brackets = brackets
        self._proposer = Proposer(without(problem, resource, ladder), model, random_share=share, seed=seed)
        self._points: dict[int, Point] = {}  # by configuration, without the resource
        self._bracket_of: dict[int, int] = {}
        self._rungs: dict[tuple[int, int], _Rung] = {}  # by bracket and level
        self._been_at: dict[int, set[int]] = {}  # levels by configuration
        self._next = 0

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Takes notice of Trials that have ended."""
        for trial in finished:
            number, bracket, level = self._identity(trial)
            point = self._configuration(trial)
            self._points.setdefault(number, point)
            self._bracket_of.setdefault(number, bracket)
            self._been_at.setdefault(number, set()).add(level)
            self._next = max(self._next, number + 1)
            loss = self._problem.loss(trial.objective)
            rung = self._rungs.setdefault((bracket, level), _Rung())
            rung.add(math.inf if loss is None else loss, number)
            self._proposer.note(number, self._points[number])
            self._proposer.tell(level, number, trial.outcome, trial.objective)

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """More Trials; each counts as running for those after it."""
        running = _Running(self._next)
        for trial in sorted(request.active, key=lambda trial: trial.index):
            number, bracket, level = self._identity(trial)
            running.add(number, bracket, level, self._points.get(number, self._configuration(trial)))
        proposals = []
        for _ in range(request.count):
            found = self._promoted(running) or self._new(running) or self._left_over(running)
            if found is None:
                break
            number, bracket, level, point = found
            running.add(number, bracket, level, point)
            proposals.append(self._proposal(number, bracket, level, point))
        return proposals

    # What to propose

    def _promoted(self, running: "_Running") -> tuple[int, int, int, Point] | None:
        """The best configuration that may go on, from the highest level down."""
        for level in range(len(self._ladder) - 2, -1, -1):
            for place, bracket in enumerate(self._brackets.all):
                rung = self._rungs.get((place, level))
                if rung is None:
                    continue
                for loss, number in rung.ended[: bracket.go_on(level, len(rung.ended))]:
                    if loss < math.inf and not self._has_been(number, level + 1, running):
                        return number, place, level + 1, self._points[number]
        return None

    def _new(self, running: "_Running") -> tuple[int, int, int, Point] | None:
        """A configuration that has not been tried."""
        number = running.next
        point = self._proposer.draw(number, running.points)
        if point is None:
            return None
        bracket = self._brackets.of(number)
        return number, bracket, self._brackets.all[bracket].first_level, point

    def _left_over(self, running: "_Running") -> tuple[int, int, int, Point] | None:
        """Of a finite space that is known: the best of the lowest level that lacks something."""
        best = {number: place for place, number in enumerate(self._best_first())}
        points = {**self._points, **running.points}
        for level in range(len(self._ladder)):
            waiting = [number for number in points if not self._has_been(number, level, running)]
            if waiting:
                number = min(waiting, key=lambda number: (best.get(number, math.inf), number))
                bracket = self._bracket_of.get(number, running.brackets.get(number, 0))
                return number, bracket, level, points[number]
        return None

    def _best_first(self) -> Iterator[int]:
        for _, rung in sorted(self._rungs.items(), key=lambda item: -item[0][1]):
            yield from (number for _, number in rung.ended)

    def _has_been(self, number: int, level: int, running: "_Running") -> bool:
        return level in self._been_at.get(number, ()) or (number, level) in running.levels

    # Between Trials and configurations

    def _proposal(self, number: int, bracket: int, level: int, point: Point) -> Proposal:
        values = (*point[: self._resource], self._ladder.values[level], *point[self._resource :])
        return Proposal(values, {CONFIGURATION_LABEL: str(number), BRACKET_LABEL: str(bracket)})

    def _configuration(self, trial: ProposedTrial | FinishedTrial) -> Point:
        return (*trial.values[: self._resource], *trial.values[self._resource + 1 :])

    def _identity(self, trial: ProposedTrial | FinishedTrial) -> tuple[int, int, int]:
        """A Trial's configuration, bracket and level."""
        labels: Mapping[str, str] = trial.labels or {}
        level = self._ladder.level_of(trial.values[self._resource])
        number, bracket = labels.get(CONFIGURATION_LABEL, ""), labels.get(BRACKET_LABEL, "")
        if number.isdecimal() and bracket.isdecimal() and int(bracket) < len(self._brackets.all):
            return int(number), int(bracket), level
        return -1 - max(trial.index, 0), self._brackets.beginning_at(level), level


class _Running:
    """The Trials that run, those of the same answer included."""

    def __init__(self, following: int) -> None:
        self.next = following
        self.points: dict[int, Point] = {}
        self.brackets: dict[int, int] = {}
        self.levels: set[tuple[int, int]] = set()

    def add(self, number: int, bracket: int, level: int, point: Point) -> None:
        """One more."""
        self.points[number] = point
        self.brackets[number] = bracket
        self.levels.add((number, level))
        self.next = max(self.next, number + 1)


def without(problem: Problem, resource: int, ladder: Ladder) -> Problem:
    """The problem over the space without the resource, of configurations that are allowed at every level."""
    return Problem(
        space=problem.space.without(resource, ladder.values),
        objective=problem.objective,
        experiment_name=problem.experiment_name,
        max_trial_count=problem.max_trial_count,
        parallel_trial_count=problem.parallel_trial_count,
    )
