"""Successive halving that never waits: whoever asks is always given work (Li and others, 2020, algorithm 2).

A proposal is, in this order: a configuration that has earned more of the resource, from the highest level down; else a
new configuration; else, where a finite space has no new ones, a known one at a level where it has not been yet. A Trial
without a result, for whatever reason, has ended as well: it earns nothing and holds up nothing.

A configuration is its values without the resource, which no two share, and the resource says at which level a Trial
is. Labels say in which bracket it is, and count configurations. So the history alone tells everything, in whatever
order it is told; where labels get lost, as on the way through Katib's controller, all are of the first bracket.
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


class _Place:
    """What a Trial is: a configuration at a level of a bracket. `number` is -1 where no label tells."""

    __slots__ = ("bracket", "level", "number", "point")

    def __init__(self, point: Point, bracket: int, level: int, number: int) -> None:
        self.point = point
        self.bracket = bracket
        self.level = level
        self.number = number


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
        self._known: dict[Point, _Place] = {}  # each configuration, where it was heard of first
        self._been_at: set[tuple[Point, int]] = set()
        self._rungs: dict[tuple[int, int], list[tuple[float, Point]]] = {}  # by bracket and level, the best first
        self._most = -1  # the greatest number of a configuration

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Takes notice of Trials that have ended."""
        for trial in finished:
            place = self._place_of(trial)
            self._most = max(self._most, place.number)
            self._known.setdefault(place.point, place)
            if (place.point, place.level) in self._been_at:
                continue
            self._been_at.add((place.point, place.level))
            loss = self._problem.loss(trial.objective)
            loss = math.inf if loss is None else loss
            insort(self._rungs.setdefault((place.bracket, place.level), []), (loss, place.point))
            self._proposer.tell(place.level, place.point, loss)

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """More Trials; each counts as running for those after it."""
        running = _Running(self._known, self._been_at, self._most)
        for trial in sorted(request.active, key=lambda trial: trial.index):
            running.add(self._place_of(trial))
        proposals = []
        for _ in range(request.count):
            found = self._promoted(running) or self._new(running) or self._left_over(running)
            if found is None:
                break
            running.add(found)
            proposals.append(self._proposal(found))
        return proposals

    # What to propose

    def _promoted(self, running: "_Running") -> _Place | None:
        """The best configuration that may go on, from the highest level down."""
        for level in range(len(self._ladder) - 2, -1, -1):
            for number, bracket in enumerate(self._brackets.all):
                if level < bracket.first_level:
                    continue
                ended = self._rungs.get((number, level), [])
                for loss, point in ended[: bracket.go_on(level, len(ended))]:
                    if loss < math.inf and not running.has_been(point, level + 1):
                        return _Place(point, number, level + 1, self._known[point].number)
        return None

    def _new(self, running: "_Running") -> _Place | None:
        """A configuration that has not been tried."""
        number = running.next
        point = self._proposer.draw(number, running.points)
        if point is None:
            return None
        bracket = self._brackets.of(number)
        return _Place(point, bracket, self._brackets.all[bracket].first_level, number)

    def _left_over(self, running: "_Running") -> _Place | None:
        """Of a finite space that is known: the best of the lowest level that lacks something."""
        known = list(dict.fromkeys([*self._best_first(), *sorted(self._known.keys() | running.points.keys())]))
        for level in range(len(self._ladder)):
            for point in known:
                if not running.has_been(point, level):
                    first = self._known.get(point) or running.points[point]
                    return _Place(point, first.bracket, level, first.number)
        return None

    def _best_first(self) -> Iterator[Point]:
        for _, ended in sorted(self._rungs.items(), key=lambda item: (-item[0][1], item[0][0])):
            yield from (point for _, point in ended)

    # Between Trials and configurations

    def _proposal(self, place: _Place) -> Proposal:
        values = (*place.point[: self._resource], self._ladder.values[place.level], *place.point[self._resource :])
        labels = {BRACKET_LABEL: str(place.bracket)}
        if place.number >= 0:
            labels[CONFIGURATION_LABEL] = str(place.number)
        return Proposal(values, labels)

    def _place_of(self, trial: ProposedTrial | FinishedTrial) -> _Place:
        labels: Mapping[str, str] = trial.labels or {}
        bracket = _number(labels.get(BRACKET_LABEL))
        return _Place(
            (*trial.values[: self._resource], *trial.values[self._resource + 1 :]),
            bracket if 0 <= bracket < len(self._brackets.all) else 0,
            self._ladder.level_of(trial.values[self._resource]),
            _number(labels.get(CONFIGURATION_LABEL)),
        )


class _Running:
    """The Trials that run, those of the same answer included, beside what has ended."""

    def __init__(self, known: Mapping[Point, _Place], been_at: set[tuple[Point, int]], most: int) -> None:
        self.points: dict[Point, _Place] = {}
        self._known = known
        self._been_at = been_at
        self._is_at: set[tuple[Point, int]] = set()
        self._most = most
        self._new_count = 0

    @property
    def next(self) -> int:
        """The number of the next new configuration: that of none before, whether or not labels tell theirs."""
        return max(self._most + 1, len(self._known) + self._new_count)

    def add(self, place: _Place) -> None:
        """One more."""
        if place.point not in self._known and place.point not in self.points:
            self._new_count += 1
        self.points.setdefault(place.point, place)
        self._is_at.add((place.point, place.level))
        self._most = max(self._most, place.number)

    def has_been(self, point: Point, level: int) -> bool:
        """Whether a configuration is at a level, or has been."""
        return (point, level) in self._been_at or (point, level) in self._is_at


def without(problem: Problem, resource: int, ladder: Ladder) -> Problem:
    """The problem over the space without the resource, of configurations that are allowed at every level."""
    return Problem(
        space=problem.space.without(resource, ladder.values),
        objective=problem.objective,
        experiment_name=problem.experiment_name,
        max_trial_count=problem.max_trial_count,
        parallel_trial_count=problem.parallel_trial_count,
    )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else -1
