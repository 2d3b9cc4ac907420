"""An AppendLog is a tuple to look at, and shares its entries underneath."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api.sequences import EMPTY_LOG, AppendLog


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.lists(st.integers(), max_size=3)),
        max_size=20,
    )
)
def test_versions_behave_like_tuples_whichever_one_is_extended(steps: list[tuple[int, list[int]]]) -> None:
    logs: list[AppendLog[int]] = [AppendLog()]
    tuples: list[tuple[int, ...]] = [()]
    for place, items in steps:
        at = place % len(logs)
        logs.append(logs[at].extend(items))
        tuples.append((*tuples[at], *items))
    for log, expected in zip(logs, tuples, strict=True):
        assert tuple(log) == expected
        assert len(log) == len(expected)
        assert [log[index] for index in range(-len(expected), len(expected))] == [*expected, *expected]
        assert log[1:-1] == list(expected[1:-1])
        assert log.since(1) == list(expected[1:])
        assert log == AppendLog(expected)
        assert hash(log) == hash(AppendLog(expected))
    for later, seen in zip(logs, tuples, strict=True):
        for earlier, before in zip(logs, tuples, strict=True):
            if later.extends(earlier):
                assert seen[: len(before)] == before


def test_the_newest_version_knows_what_it_extends() -> None:
    first = AppendLog([1, 2])
    second = first.append(3)
    fork = first.append(4)
    assert second.extends(first)
    assert not first.extends(second)
    assert not fork.extends(second)
    assert AppendLog([1, 2]).extends(EMPTY_LOG)
    assert not AppendLog([1, 2]).extends(AppendLog([1]))


def test_the_shared_empty_log_stays_empty() -> None:
    assert list(EMPTY_LOG.append(1)) == [1]
    assert list(EMPTY_LOG.extend([2, 3])) == [2, 3]
    assert list(EMPTY_LOG) == []


@pytest.mark.parametrize("index", [2, -3])
def test_an_index_beyond_the_version_is_an_error_though_another_version_has_it(index: int) -> None:
    first = AppendLog([1, 2])
    first.append(3)
    with pytest.raises(IndexError):
        first[index]


def test_items_that_fail_half_way_leave_every_version_as_it_was() -> None:
    def failing() -> Iterator[int]:
        yield 3
        raise RuntimeError

    log = AppendLog([1, 2])
    with pytest.raises(RuntimeError):
        log.extend(failing())
    assert list(log) == [1, 2]
    assert list(log.append(9)) == [1, 2, 9]


def test_logs_compare_with_logs_only() -> None:
    assert AppendLog([1]) != [1]
    assert AppendLog([1]) != AppendLog([2])
    assert AppendLog([1]) != AppendLog([1, 2])
    assert repr(AppendLog([1])) == "AppendLog([1])"


def test_appending_costs_the_same_however_long_the_log_is() -> None:
    log: AppendLog[int] = AppendLog()
    for number in range(1000):
        log = log.append(number)
    entries = log._items
    assert log.append(1)._items is entries
