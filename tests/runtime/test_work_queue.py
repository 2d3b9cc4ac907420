"""Keys wait once, come due in time, and are backed off when they fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.api.meta import Reference
from pykatib.runtime.queue import LONGEST_RETRY_SECONDS, WorkQueue

KINDS = ("Trial", "Suggestion", "Experiment")


def key(name: str, kind: str = "Trial") -> Reference:
    return Reference(kind, "ns", name)


def drained(queue: WorkQueue, now: float = 0.0) -> list[str]:
    found = []
    while (popped := queue.pop(now)) is not None:
        found.append(popped.name)
    return found


def test_a_key_that_waits_is_not_added_twice() -> None:
    queue = WorkQueue(KINDS)
    for name in ("a", "b", "a"):
        queue.add(key(name))
    assert len(queue) == 2
    assert drained(queue) == ["a", "b"]
    queue.add(key("a"))
    assert drained(queue) == ["a"]


def test_kinds_are_served_in_their_order_and_keys_in_theirs() -> None:
    queue = WorkQueue(KINDS)
    for name, kind in (("e", "Experiment"), ("s", "Suggestion"), ("t2", "Trial"), ("t1", "Trial")):
        queue.add(key(name, kind))
    assert drained(queue) == ["t2", "t1", "s", "e"]


def test_a_delayed_key_comes_when_it_is_due_and_only_once() -> None:
    queue = WorkQueue(KINDS)
    queue.add_at(key("a"), 10.0)
    queue.add_at(key("a"), 5.0)
    queue.add_at(key("a"), 7.0)
    assert (len(queue), queue.next_moment()) == (0, 5.0)
    assert drained(queue, 4.9) == []
    assert drained(queue, 5.0) == ["a"]
    assert queue.next_moment() is None
    assert drained(queue, 100.0) == []


def test_failures_in_a_row_are_backed_off_and_success_forgets_them() -> None:
    queue = WorkQueue(KINDS)
    assert [queue.failed(key("a"), 0.0) for _ in range(4)] == [0.01, 0.02, 0.04, 0.08]
    assert queue.failed(key("b"), 0.0) == 0.01
    queue.succeeded(key("a"))
    assert queue.failed(key("a"), 0.0) == 0.01


def test_a_key_may_fail_for_weeks() -> None:
    queue = WorkQueue(KINDS)
    delays = [queue.failed(key("a"), 0.0) for _ in range(2_000)]
    assert delays[-1] == max(delays) == LONGEST_RETRY_SECONDS


def test_news_of_a_key_that_failed_is_looked_at_at_once() -> None:
    queue = WorkQueue(KINDS)
    queue.failed(key("a"), 0.0)
    queue.add(key("a"))
    assert drained(queue, 0.0) == ["a"]
    assert drained(queue, 1.0) == ["a"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10)), max_size=20))
def test_every_delayed_key_comes_at_its_earliest_time(entries: list[tuple[str, float]]) -> None:
    queue = WorkQueue(KINDS)
    for name, moment in entries:
        queue.add_at(key(name), moment)
    earliest = {name: min(moment for other, moment in entries if other == name) for name, _ in entries}
    seen: dict[str, float] = {}
    while (due := queue.next_moment()) is not None:
        for name in drained(queue, due):
            seen.setdefault(name, due)
    assert seen == earliest


@pytest.mark.parametrize("now", [0.0, 1e9])
def test_an_empty_queue_has_nothing(now: float) -> None:
    queue = WorkQueue(KINDS)
    assert queue.pop(now) is None
    assert queue.next_moment() is None
