"""Shuffled ranges that are never written down, and draws without repeats."""

from collections import Counter

import pytest
from scipy import stats

from pykatib.algorithms.permutation import Distinct, Permutation
from pykatib.algorithms.randomness import words


@pytest.mark.parametrize("size", [1, 2, 3, 10, 4096, 4097, 5000, 65537])
def test_every_number_comes_once(size: int) -> None:
    order = Permutation(7, size)

    assert sorted(order[place] for place in range(size)) == list(range(size))
    for beyond in (-1, size):
        with pytest.raises(IndexError):
            order[beyond]


def test_all_orders_of_a_small_range_are_as_likely() -> None:
    counts = Counter(tuple(Permutation(words(1, key, 1)[0], 4)[place] for place in range(4)) for key in range(4800))

    assert len(counts) == 24
    assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_the_first_number_of_a_large_range_is_anywhere() -> None:
    size = 10**12
    firsts = [Permutation(words(1, key, 1)[0], size)[0] / size for key in range(2000)]
    run = [Permutation(9, size)[place] / size for place in range(2000)]

    assert stats.kstest(firsts, "uniform").pvalue > 0.01
    assert stats.kstest(run, "uniform").pvalue > 0.01


def test_a_range_beyond_words_is_shuffled_as_well() -> None:
    order = Permutation(3, 10**60)
    numbers = {order[place] for place in range(1000)}

    assert len(numbers) == 1000
    assert stats.kstest([number / 10**60 for number in numbers], "uniform").pvalue > 0.01
    assert stats.kstest([number % 10**9 / 10**9 for number in numbers], "uniform").pvalue > 0.01


def test_draws_come_in_their_order_without_repeats_and_then_the_rest() -> None:
    series = [3, 3, 1, 3, 4]
    order = Distinct(lambda place: series[place % len(series)], 6, 5)

    numbers = [order[place] for place in range(6)]
    assert numbers[:3] == [3, 1, 4]
    assert sorted(numbers) == list(range(6))
    with pytest.raises(IndexError):
        order[6]


def test_a_fresh_series_answers_for_a_late_place_as_one_that_lived_through_all() -> None:
    def draw(place: int) -> int:
        return int(10 ** (3 * (words(2, place, 1)[0] / 2**64))) - 1

    lived = Distinct(draw, 999, 5)
    numbers = [lived[place] for place in range(999)]

    assert sorted(numbers) == list(range(999))
    assert Distinct(draw, 999, 5)[800] == numbers[800]
