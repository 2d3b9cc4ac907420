"""Tree-structured Parzen estimators for several objectives (Ozaki, Tanigaki, Watanabe and Onishi, "Multiobjective
tree-structured Parzen estimator for computationally expensive optimization problems", 2020 and 2022).

As `multivariate-tpe`, with another answer to which Trials are good: those of the first fronts, and of the front that is
not taken whole the ones that add most hypervolume. They all weigh alike, for none of a front is better than another.
Trials without a finite value of each objective count as failed: among the rest.
"""

from collections.abc import Sequence

import numpy as np

from pykatib.algorithms.contract import FinishedTrial
from pykatib.algorithms.description import Settings
from pykatib.algorithms.dominance import best_first, front_numbers
from pykatib.algorithms.encoding import Floats
from pykatib.algorithms.objective_setting import directions_in, losses_of
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.ranking import Ranking
from pykatib.algorithms.tpe import MOST_GOOD, MultivariateTPE


class MultiObjectiveTPE(MultivariateTPE):
    """The algorithm `motpe`."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int) -> None:
        super().__init__(problem, settings, seed=seed)
        self._directions = directions_in(problem, settings)
        self._fronts = FrontRanking(len(self._encoding), len(self._directions))
        self._ranking = self._fronts

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Ranks Trials that have ended."""
        for trial in finished:
            self._told.add(trial.values)
            self._fronts.add_losses(losses_of(trial, self._directions), trial.index, self._encoding.row(trial.values))

    def _good_weights(self, count: int) -> Floats:
        return np.ones(count)


class FrontRanking(Ranking):
    """Rows by front, then by what they add to the hypervolume, then by the number of the proposal; failed ones last."""

    __slots__ = ("_entries", "_is_settled", "_width")

    def __init__(self, width: int, objective_count: int) -> None:
        super().__init__(width)
        self._width = objective_count
        self._entries: list[tuple[int, list[float] | None, list[float]]] = []
        self._is_settled = True

    def __len__(self) -> int:
        return len(self._entries)

    def add_losses(self, losses: list[float] | None, index: int, row: list[float]) -> None:
        """Takes in a Trial; `settle` puts it in its place."""
        self._entries.append((index, losses, row))
        self.valid_count += losses is not None
        self._is_settled = False

    def settle(self) -> None:
        """Brings the rows up to date."""
        if self._is_settled:
            return
        self._entries.sort(key=lambda entry: (entry[1] is None, entry[0], entry[1] or [], entry[2]))
        losses = np.array([losses for _, losses, _ in self._entries if losses is not None])
        rows = np.array([row for _, _, row in self._entries]).reshape(len(self._entries), -1)
        if self.valid_count:
            order = best_first(losses, front_numbers(losses, needed=MOST_GOOD), needed=MOST_GOOD)
            rows = np.concatenate([rows[order], rows[len(order) :]])
        self.rows = rows
        self._is_settled = True
