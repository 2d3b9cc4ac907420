"""The Pareto set of an Experiment with several objectives, kept up to date one Trial at a time.

A Trial is in it when no other is at least as good in every objective and better in one. Trials without a finite value
of each objective are not; of Trials with equal values the one that was created first is, as with the best Trial. What
the set is depends on the Trials and not on the order in which they ended.

Members are sorted by their values, so with two objectives a Trial costs a search by halves; with more it is compared
with all members at worst. The status of an Experiment shows `MOST_SHOWN` of them, for no object may grow with Trials.
"""

import math
from bisect import bisect_left
from typing import Final, NamedTuple

from pykatib.api.experiment import ParetoTrial
from pykatib.api.objectives import Direction
from pykatib.api.shared import MetricValue
from pykatib.api.trial import Trial
from pykatib.control.observation import number_of, value_text

MOST_SHOWN: Final = 100
Losses = tuple[float, ...]


class _Member(NamedTuple):
    losses: Losses
    order: int
    trial: Trial


class ParetoFront:
    """The Trials that no other beats, sorted by the first objective, best first."""

    def __init__(self, directions: tuple[Direction, ...]) -> None:
        self.directions = directions
        self._members: list[_Member] = []
        self._shown: tuple[ParetoTrial, ...] | None = ()

    def __len__(self) -> int:
        return len(self._members)

    def consider(self, trial: Trial, order: int) -> None:
        """Takes a finished Trial in if it belongs there, and out whom it beats. `order` is that of creation."""
        losses = self._losses_of(trial)
        if losses is None:
            return
        members = self._members
        place = bisect_left(members, losses, key=_losses)
        if place < len(members) and members[place].losses == losses:
            if order < members[place].order:
                members[place] = _Member(losses, order, trial)
                self._shown = None
            return
        if len(self.directions) == 2:  # the second objective falls along the members: neighbours tell all
            if place and members[place - 1].losses[1] <= losses[1]:
                return
            end = place
            while end < len(members) and members[end].losses[1] >= losses[1]:
                end += 1
            del members[place:end]
        else:  # whoever beats it is sorted before it, and whom it beats after it
            if any(_covers(members[index].losses, losses) for index in range(place)):
                return
            members[place:] = [member for member in members[place:] if not _covers(losses, member.losses)]
        members.insert(place, _Member(losses, order, trial))
        self._shown = None

    def shown(self) -> tuple[ParetoTrial, ...]:
        """The members for a status; of more than `MOST_SHOWN` so many, evenly spaced, with both ends."""
        if self._shown is None:
            members, last = self._members, len(self._members) - 1
            if len(members) > MOST_SHOWN:
                members = [members[place * last // (MOST_SHOWN - 1)] for place in range(MOST_SHOWN)]
            self._shown = tuple(self._entry(member.trial) for member in members)
        return self._shown

    def _entry(self, trial: Trial) -> ParetoTrial:
        return ParetoTrial(
            trial.metadata.name,
            tuple(MetricValue(metric, _text(trial, metric)) for metric, _ in self.directions),
        )

    def _losses_of(self, trial: Trial) -> Losses | None:
        losses = []
        for direction in self.directions:
            value = number_of(_text(trial, direction.metric))
            if value is None or not math.isfinite(value):
                return None
            losses.append(direction.loss(value))
        return tuple(losses)


def _losses(member: _Member) -> Losses:
    return member.losses


def _text(trial: Trial, metric: str) -> str:
    objective = trial.spec.objective
    return value_text(trial.status.observation, objective, metric) if objective is not None else ""


def _covers(one: Losses, other: Losses) -> bool:
    """Whether the one is nowhere worse than the other."""
    return all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
