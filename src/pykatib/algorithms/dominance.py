"""Order among points with several losses: fronts, crowding, and subsets of great hypervolume.

A point dominates another when it is nowhere worse and somewhere better. The first front are those that none dominates,
the second those that only the first dominates, and so on (Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist
multiobjective genetic algorithm: NSGA-II", 2002). Two losses take n log n; more take a comparison of all with all, and
beyond `MOST_COMPARED` points only as many fronts are told apart as are needed.
"""

from bisect import bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pykatib.algorithms.encoding import Floats

Places = NDArray[np.intp]

MOST_COMPARED: Final = 2000
_MARGIN: Final = 0.1  # from the worst of a front to the point that hypervolumes are measured from
_SAMPLES: Final = 1024
_ROUNDING: Final = 1e-12


def front_numbers(losses: Floats, *, needed: int) -> Places:
    """The number of each point's front, from 0. Those behind the first `needed` points may share a number."""
    distinct, inverse = np.unique(losses, axis=0, return_inverse=True)  # sorted by the first loss, then the next
    inverse = inverse.reshape(-1)
    numbers = _of_two(distinct) if losses.shape[1] == 2 else _of_many(distinct, needed)
    return numbers[inverse]


def _of_two(losses: Floats) -> Places:
    """Of points sorted by their first loss each belongs to the first front whose least second loss is greater."""
    tails: list[float] = []
    numbers = np.empty(len(losses), dtype=np.intp)
    for place, second in enumerate(losses[:, 1].tolist()):
        number = bisect_right(tails, second)
        if number == len(tails):
            tails.append(second)
        else:
            tails[number] = second
        numbers[place] = number
    return numbers


def _of_many(losses: Floats, needed: int) -> Places:
    numbers = np.full(len(losses), -1, dtype=np.intp)
    left = np.arange(len(losses))
    number = 0
    while len(left):
        if len(losses) > MOST_COMPARED and len(losses) - len(left) >= needed:
            numbers[left] = number
            break
        front = _first_front(losses[left])
        numbers[left[front]] = number
        left = left[~front]
        number += 1
    return numbers


def _first_front(losses: Floats) -> NDArray[np.bool_]:
    """Whom none dominates, of distinct points sorted by their losses: whoever dominates is sorted before."""
    kept = np.zeros(len(losses), dtype=np.bool_)
    members = np.empty_like(losses)
    count = 0
    for place, point in enumerate(losses):
        if not (members[:count] <= point).all(axis=1).any():
            kept[place] = True
            members[count] = point
            count += 1
    return kept


def dominator_counts(losses: Floats) -> Places:
    """How many other points dominate each."""
    counts = np.zeros(len(losses), dtype=np.intp)
    for point in losses:
        counts += (point <= losses).all(axis=1) & (point < losses).any(axis=1)
    return counts


def crowding(losses: Floats) -> Floats:
    """How far the neighbours of each point of a front lie apart, as shares of the front; infinite at the ends."""
    distances = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        width = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = np.inf
        if width > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
    return distances


def best_first(losses: Floats, numbers: Places, *, needed: int) -> Places:
    """Places of points by their fronts; the first `needed` of a front in the order in which they add hypervolume.

    That is the split of Ozaki, Tanigaki, Watanabe and Onishi, "Multiobjective tree-structured Parzen estimator for
    computationally expensive optimization problems", 2020, with the greedy choice of subsets.
    """
    order: list[int] = []
    for number in range(int(numbers.max(initial=-1)) + 1):
        front = np.flatnonzero(numbers == number)
        if len(order) < needed and len(front) > 1:
            front = front[_by_hypervolume(losses[front], min(needed, len(front)))]
        order.extend(front.tolist())
    return np.array(order, dtype=np.intp)


def _by_hypervolume(losses: Floats, count: int) -> Places:
    """Places of a front's points: first `count`, each adding most hypervolume to those before, then the rest."""
    low, high = losses.min(axis=0), losses.max(axis=0)
    width = np.where(high > low, high / 2 - low / 2, 1.0)  # halves: the range itself may be no finite number
    scaled = (losses / 2 - low / 2) / width  # [0, 1], and measured from 1 + _MARGIN on
    picked = _greedy_area(scaled, count) if losses.shape[1] == 2 else _greedy_volume(scaled, count)
    rest = np.setdiff1d(np.arange(len(losses)), picked)
    return np.concatenate([picked, rest])


def _greedy_area(scaled: Floats, count: int) -> Places:
    """Between neighbours on a front of two losses lies a rectangle: exact."""
    picked: list[int] = []
    free = np.ones(len(scaled), dtype=np.bool_)
    firsts, seconds = np.array([-np.inf, 1 + _MARGIN]), np.array([1 + _MARGIN, -np.inf])
    for _ in range(count):
        right = np.searchsorted(firsts, scaled[:, 0], side="right").clip(1, len(firsts) - 1)
        gains = (firsts[right] - scaled[:, 0]) * (seconds[right - 1] - scaled[:, 1])
        gains = np.where(free, gains, -1.0)
        place = _greatest(gains)
        picked.append(place)
        free[place] = False
        at = int(np.searchsorted(firsts, scaled[place, 0], side="right"))
        firsts, seconds = np.insert(firsts, at, scaled[place, 0]), np.insert(seconds, at, scaled[place, 1])
    return np.array(picked, dtype=np.intp)


def _greedy_volume(scaled: Floats, count: int) -> Places:
    """Which of many fixed points of the box are dominated, counted: the same points whenever it is asked."""
    samples = np.random.Generator(np.random.Philox(key=_SAMPLES)).random((_SAMPLES, scaled.shape[1])) * (1 + _MARGIN)
    covers: NDArray[np.bool_] = np.all(scaled[:, None, :] <= samples[None, :, :], axis=2)
    open_samples = np.ones(_SAMPLES, dtype=np.bool_)
    picked: list[int] = []
    free = np.ones(len(scaled), dtype=np.bool_)
    for _ in range(count):
        gains = (covers & open_samples).sum(axis=1).astype(np.float64)
        # Of those that add nothing to the count, whoever dominates most.
        gains = np.where(free, gains + covers.sum(axis=1) / (_SAMPLES + 1), -1.0)
        place = _greatest(gains)
        picked.append(place)
        free[place] = False
        open_samples &= ~covers[place]
    return np.array(picked, dtype=np.intp)


def _greatest(gains: Floats) -> int:
    """The first of the greatest; differences of rounding do not count."""
    return int(np.argmax(gains >= gains.max() - _ROUNDING))
