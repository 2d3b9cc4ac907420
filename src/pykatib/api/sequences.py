"""A list that only grows, as an immutable value.

The name lists of an Experiment's status and the assignments of a Suggestion gain one entry per Trial. As tuples they
would be copied whole each time, and a store would write them whole each time: ten thousand Trials would cost a hundred
times a thousand. An `AppendLog` is a length over a list that its versions share: appending to the newest version is
constant, appending to an older one copies. Stores recognise a newer version of the same log (`extends`) and write
only what is new.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class AppendLog(Sequence[T], Generic[T]):
    """An immutable sequence with constant-time `append` that returns the longer sequence."""

    __slots__ = ("_items", "_length")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items: list[T] = list(items)
        self._length = len(self._items)

    @classmethod
    def _over(cls, items: list[T], length: int) -> "AppendLog[T]":
        log: AppendLog[T] = cls.__new__(cls)
        log._items = items
        log._length = length
        return log

    def append(self, item: T) -> "AppendLog[T]":
        """This log with `item` at its end; this one stays as it is."""
        return self.extend((item,))

    def extend(self, items: Iterable[T]) -> "AppendLog[T]":
        """This log with `items` at its end; this one stays as it is."""
        shared = self._items
        if len(shared) != self._length or not shared:  # another version has grown over us; or the shared empty one
            shared = shared[: self._length]
        shared.extend(items)
        return self._over(shared, len(shared))

    def extends(self, earlier: "AppendLog[T]") -> bool:
        """True when `earlier` is known to be a beginning of this log, without comparing entries."""
        return earlier._length == 0 or (self._items is earlier._items and self._length >= earlier._length)

    def since(self, start: int) -> list[T]:
        """The entries from index `start` on."""
        return self._items[start : self._length]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        items = self._items
        for index in range(self._length):
            yield items[index]

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return self._items[: self._length][index]
        if not -self._length <= index < self._length:
            raise IndexError(index)
        return self._items[index if index >= 0 else self._length + index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AppendLog):
            return NotImplemented
        if self._length != other._length:
            return False
        return self._items is other._items or self.since(0) == other.since(0)

    def __hash__(self) -> int:
        return hash(self._length)

    def __repr__(self) -> str:
        return f"AppendLog({self.since(0)!r})"


EMPTY_LOG: AppendLog[Any] = AppendLog()
"""The default of log fields; one object, so that encoders can leave it out."""
