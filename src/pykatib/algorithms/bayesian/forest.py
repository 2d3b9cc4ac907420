"""Ensembles of regression trees as models: skopt's RF, ET and GBRT, small.

- RF: each tree sees a bootstrap sample and takes the best cut among half of the columns (Breiman, "Random forests",
  2001);
- ET: each tree sees all Trials and takes the best of one random cut a column (Geurts, Ernst and Wehenkel, "Extremely
  randomized trees", 2006);
- GBRT: shallow trees, each fitted to what those before it left over (Friedman, "Greedy function approximation", 2001),
  on several bootstrap samples.

The deviation of a prediction is by the law of total variance that of the trees' means plus the mean of the variances in
their leaves (Hutter et al., "Algorithm runtime prediction", 2014, section 4.3.2); for GBRT, that of its samples.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pykatib.algorithms.encoding import Floats

ForestKind: TypeAlias = Literal["RF", "ET", "GBRT"]

_TREES = 32
_LEAST_IN_LEAF = 2
_SAMPLES, _STAGES, _RATE, _DEPTH = 6, 12, 0.3, 3
_LEAST_DEVIATION = 1e-3


class Tree:
    """One regression tree as arrays; a column of -1 marks a leaf."""

    def __init__(
        self, columns: Floats, targets: Floats, draws: np.random.Generator, *, depth: int, random_cuts: bool
    ) -> None:
        self._column: list[int] = []
        self._cut: list[float] = []
        self._left: list[int] = []
        self._right: list[int] = []
        self._mean: list[float] = []
        self._variance: list[float] = []
        self._random_cuts = random_cuts
        self._grow(columns, targets, draws, depth)
        self._arrays = (
            np.array(self._column),
            np.array(self._cut),
            np.array(self._left),
            np.array(self._right),
            np.array(self._mean),
            np.array(self._variance),
        )

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """The mean and the variance of the leaf that each row falls into."""
        column, cut, left, right, mean, variance = self._arrays
        node = np.zeros(len(columns), dtype=np.intp)
        each = np.arange(len(columns))
        while True:
            tested = column[node]
            inner = tested >= 0
            if not inner.any():
                return mean[node], variance[node]
            goes_left = columns[each, np.maximum(tested, 0)] <= cut[node]
            node = np.where(inner, np.where(goes_left, left[node], right[node]), node)

    def _grow(self, columns: Floats, targets: Floats, draws: np.random.Generator, depth: int) -> int:
        node = len(self._mean)
        self._mean.append(float(targets.mean()))
        self._variance.append(float(targets.var()))
        for entries, blank in ((self._column, -1), (self._left, 0), (self._right, 0)):
            entries.append(blank)
        self._cut.append(0.0)
        found = self._best_cut(columns, targets, draws) if depth > 0 and len(targets) >= 2 * _LEAST_IN_LEAF else None
        if found is None:
            return node
        self._column[node], self._cut[node] = found
        lower = columns[:, found[0]] <= found[1]
        self._left[node] = self._grow(columns[lower], targets[lower], draws, depth - 1)
        self._right[node] = self._grow(columns[~lower], targets[~lower], draws, depth - 1)
        return node

    def _best_cut(self, columns: Floats, targets: Floats, draws: np.random.Generator) -> tuple[int, float] | None:
        """The column and the cut that leave the least variance, among those tried."""
        low, high = columns.min(axis=0), columns.max(axis=0)
        open_columns = np.flatnonzero(high > low)
        if len(open_columns) == 0 or targets.min() == targets.max():
            return None
        if self._random_cuts:
            cuts = low[open_columns] + draws.random(len(open_columns)) * (high - low)[open_columns]
            lower = (columns[:, open_columns] <= cuts).astype(np.float64)
            counts = lower.sum(axis=0)
            sums = targets @ lower
            score = _explained(counts, sums, len(targets), float(targets.sum()))
            place = int(np.argmax(score))
            return (int(open_columns[place]), float(cuts[place])) if np.isfinite(score[place]) else None
        tried = draws.permutation(open_columns)[: max(1, (len(open_columns) + 1) // 2)]
        order = np.argsort(columns[:, tried], axis=0, kind="stable")
        ordered = np.take_along_axis(columns[:, tried], order, axis=0)
        sums = np.cumsum(targets[order], axis=0)[:-1]
        counts = np.arange(1, len(targets), dtype=np.float64)[:, None]
        score = _explained(counts, sums, len(targets), float(targets.sum()))
        score = np.where(ordered[1:] > ordered[:-1], score, -np.inf)
        row, column = np.unravel_index(int(np.argmax(score)), score.shape)
        if not np.isfinite(score[row, column]):
            return None
        return int(tried[column]), float((ordered[row, column] + ordered[row + 1, column]) / 2)


class Forest:
    """Many trees and what they predict together."""

    def __init__(self, kind: ForestKind, columns: Floats, targets: Floats, draws: np.random.Generator) -> None:
        self._boosted = kind == "GBRT"
        self._groups: list[tuple[float, list[Tree]]] = []
        for _ in range(_SAMPLES if self._boosted else _TREES):
            sample = np.arange(len(targets)) if kind == "ET" else _bootstrap(len(targets), draws)
            seen, wanted = columns[sample], targets[sample]
            if not self._boosted:
                tree = Tree(seen, wanted, draws, depth=64, random_cuts=kind == "ET")
                self._groups.append((0.0, [tree]))
                continue
            start = float(wanted.mean())
            left_over = wanted - start
            trees = []
            for _ in range(_STAGES):
                tree = Tree(seen, left_over, draws, depth=_DEPTH, random_cuts=False)
                left_over = left_over - _RATE * tree.predict(seen)[0]
                trees.append(tree)
            self._groups.append((start, trees))

    def mean(self, columns: Floats) -> Floats:
        """The expected targets."""
        return self.predict(columns)[0]

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations."""
        means = np.empty((len(self._groups), len(columns)))
        within = np.zeros(len(columns))
        for place, (start, trees) in enumerate(self._groups):
            if self._boosted:
                means[place] = start + _RATE * np.sum([tree.predict(columns)[0] for tree in trees], axis=0)
            else:
                means[place], variance = trees[0].predict(columns)
                within += variance / len(self._groups)
        deviation = np.sqrt(means.var(axis=0) + within)
        return means.mean(axis=0), np.maximum(deviation, _LEAST_DEVIATION)


def _bootstrap(count: int, draws: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(draws.integers(count, size=count))


def _explained(counts: Floats, sums: Floats, total: int, total_sum: float) -> Floats:
    """What a cut takes off the squared error, up to a constant; -∞ where a side would be too small."""
    rest = total - counts
    with np.errstate(divide="ignore", invalid="ignore"):
        score: Floats = sums**2 / counts + (total_sum - sums) ** 2 / rest
    return np.where((counts >= _LEAST_IN_LEAF) & (rest >= _LEAST_IN_LEAF), score, -np.inf)
