"""One dimension of a search space: a double, a stepped double, an int, or a choice from a list.

Promises: values never leave the bounds; steps are counted from `min` in exact decimal arithmetic, so 0.01 + 4 · 0.005
is 0.03 and prints so; every step has a whole cell of its own, the two ends included; ints are exact whatever their
size. All kinds answer the same questions (`Parameter`), and all can be addressed by a unit number, by a 64-bit word,
and, where `count` is not None, by an index from 0.

A stepped parameter with a distribution other than uniform gives each value the mass of its cell, from half a step
below to half a step above. In logarithms the lowest cell starts at `min / 2` where half a step below would not be
positive.
"""

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.distributions import Distribution, DistributionName
from pykatib.algorithms.randomness import unit_of

_WORD = 1 << 64
_LAST_UNIT = 1 - 2**-53


class Cells:
    """`count` equally wide cells and how the mass lies on them; None means evenly."""

    __slots__ = ("_distribution", "_left", "_step", "count")

    def __init__(self, count: int, distribution: Distribution | None = None, left: float = 0.0, step: float = 1.0):
        self.count = count
        self._distribution = distribution
        self._left = left
        self._step = step

    @property
    def uniform(self) -> bool:
        """Whether all cells weigh the same."""
        return self._distribution is None

    def from_word(self, word: int) -> int:
        """The cell that a 64-bit word falls into; exact for uniform cells up to 2**64 of them."""
        if self._distribution is None:
            return (word * self.count) >> 64
        return self.from_unit(unit_of(word))

    def from_unit(self, unit: float) -> int:
        """The cell that a number of [0, 1] falls into."""
        unit = min(max(unit, 0.0), _LAST_UNIT)
        if self._distribution is None:
            return (int(unit * _WORD) * self.count) >> 64
        place = (self._distribution.quantile(unit) - self._left) / self._step
        return min(max(int(place), 0), self.count - 1)

    def middle(self, index: int) -> float:
        """The unit number in the middle of a cell's mass."""
        if self._distribution is None:
            return (2 * index + 1) / (2 * self.count)
        return (self._edge(index) + self._edge(index + 1)) / 2

    def weight(self, index: int) -> float:
        """The share of the mass on a cell."""
        if self._distribution is None:
            return 1 / self.count
        return self._edge(index + 1) - self._edge(index)

    def _edge(self, index: int) -> float:
        if self._distribution is None or index <= 0:
            return 0.0
        return 1.0 if index >= self.count else self._distribution.cdf(self._left + index * self._step)


def _cells_of(name: DistributionName, count: int, low: float, high: float, step: float) -> Cells:
    """The cells of the values low, low + step, …, high."""
    if name == "uniform" or count == 1:
        return Cells(count)
    left, right = low - step / 2, high + step / 2
    floor = max(left, low / 2) if name in ("logUniform", "logNormal") else left
    return Cells(count, Distribution(name, low, high, left=floor, right=right), left, step)


class Double:
    """A number anywhere between `min` and `max`."""

    kind: Literal["double"] = "double"
    step: None = None
    __slots__ = ("_constant", "_distribution", "count", "distribution", "max", "min", "name", "uniform")

    def __init__(self, name: str, low: float, high: float, distribution: DistributionName = "uniform") -> None:
        self.name = name
        self.min = low
        self.max = high
        self.distribution: DistributionName = distribution
        self.uniform = distribution == "uniform"
        self._constant = low == high
        self.count: int | None = 1 if self._constant else None
        self._distribution = Distribution(distribution, low, high)

    def from_word(self, word: int) -> float:
        """The value at a 64-bit word, spread as the distribution says."""
        return self._distribution.quantile(unit_of(word))

    def from_unit(self, unit: float) -> float:
        """The value at a number of [0, 1], spread as the distribution says."""
        return self._distribution.quantile(min(max(unit, 0.0), 1.0))

    def to_unit(self, value: ParameterValue) -> float:
        """Where a value lies in [0, 1]; the inverse of `from_unit`."""
        return 0.5 if self._constant else self._distribution.cdf(float(value))

    def value_at(self, index: int) -> float:
        """The value number `index`; only a space of one value has numbers."""
        if not self._constant or index != 0:
            raise IndexError(index)
        return self.min

    def index_of(self, value: ParameterValue) -> int:
        """The number of a value; the inverse of `value_at`."""
        if not self._constant or not self.contains(value):
            raise ValueError(f"{value!r} has no place among the values of {self.name}")
        return 0

    def contains(self, value: ParameterValue) -> bool:
        """Whether the value may be proposed."""
        return isinstance(value, float) and self.min <= value <= self.max

    def format(self, value: ParameterValue) -> str:
        """The text of a value: the shortest that reads back as the same number."""
        return repr(float(value))

    def parse(self, text: str) -> float:
        """The value of a text; ValueError where it is no number of the space."""
        value = _number(text)
        if not self.contains(value):
            raise ValueError(f"{text} is not between {self.min!r} and {self.max!r}")
        return value


class SteppedDouble:
    """One of the numbers min, min + step, min + 2 · step, … up to `max`."""

    kind: Literal["double"] = "double"
    __slots__ = (
        "_cells",
        "_first",
        "_scale",
        "_step",
        "count",
        "distribution",
        "max",
        "min",
        "name",
        "step",
        "uniform",
    )

    def __init__(
        self, name: str, low: Decimal, high: Decimal, step: Decimal, distribution: DistributionName = "uniform"
    ) -> None:
        # As whole multiples of 10**-places everything is an int, and int / int is the correctly rounded double.
        places = max(0, -min(_exponent(low), _exponent(high), _exponent(step)))
        self._scale: int = 10**places
        self._first, last, self._step = (_shifted(number, places) for number in (low, high, step))
        self.name = name
        self.count: int = (last - self._first) // self._step + 1
        self.min = float(low)
        self.max = self.value_at(self.count - 1)
        self.step = float(step)
        self.distribution: DistributionName = distribution
        self._cells = _cells_of(distribution, self.count, self.min, self.max, self.step)
        self.uniform = self._cells.uniform

    def from_word(self, word: int) -> float:
        """The value at a 64-bit word, spread as the distribution says."""
        return (self._first + self._cells.from_word(word) * self._step) / self._scale

    def from_unit(self, unit: float) -> float:
        """The value whose cell holds a number of [0, 1]."""
        return (self._first + self._cells.from_unit(unit) * self._step) / self._scale

    def to_unit(self, value: ParameterValue) -> float:
        """The middle of the value's cell in [0, 1]; a value between two steps counts as the nearer."""
        return self._cells.middle(self._nearest(float(value)))

    def value_at(self, index: int) -> float:
        """The value number `index`, counted from `min`."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return (self._first + index * self._step) / self._scale

    def index_of(self, value: ParameterValue) -> int:
        """The number of a value; the inverse of `value_at`."""
        index = self._nearest(float(value))
        if self.value_at(index) != value:
            raise ValueError(f"{value!r} has no place among the values of {self.name}")
        return index

    def contains(self, value: ParameterValue) -> bool:
        """Whether the value may be proposed."""
        return isinstance(value, float) and math.isfinite(value) and self.value_at(self._nearest(value)) == value

    def format(self, value: ParameterValue) -> str:
        """The text of a value: the shortest that reads back as the same number."""
        return repr(float(value))

    def parse(self, text: str) -> float:
        """The value of a text; off a step by rounding noise alone counts as on it, as in 0.049999999999999996."""
        number = _number(text)
        if math.isfinite(number):
            value = self.value_at(self._nearest(number))
            if abs(value - number) <= max(1e-9 * self.step, 4 * math.ulp(value)):
                return value
        raise ValueError(f"{text} is not among {self.min!r}, {self.min + self.step!r}, … {self.max!r}")

    def _nearest(self, value: float) -> int:
        numerator, denominator = value.as_integer_ratio()
        distance = numerator * self._scale - self._first * denominator
        step = self._step * denominator
        return min(max((2 * distance + step) // (2 * step), 0), self.count - 1)


class Integer:
    """One of the whole numbers min, min + step, min + 2 · step, … up to `max`; `step` is 1 where none is given."""

    kind: Literal["int"] = "int"
    __slots__ = ("_cells", "count", "distribution", "max", "min", "name", "step", "uniform")

    def __init__(
        self, name: str, low: int, high: int, step: int = 1, distribution: DistributionName = "uniform"
    ) -> None:
        self.name = name
        self.count: int = (high - low) // step + 1
        self.min = low
        self.max = low + (self.count - 1) * step
        self.step = step
        self.distribution: DistributionName = distribution
        self._cells = _cells_of(distribution, self.count, float(low), float(self.max), float(step))
        self.uniform = self._cells.uniform

    def from_word(self, word: int) -> int:
        """The value at a 64-bit word, spread as the distribution says."""
        return self.min + self._cells.from_word(word) * self.step

    def from_unit(self, unit: float) -> int:
        """The value whose cell holds a number of [0, 1]."""
        return self.min + self._cells.from_unit(unit) * self.step

    def to_unit(self, value: ParameterValue) -> float:
        """The middle of the value's cell in [0, 1]; a value between two steps counts as the nearer."""
        index = (2 * (int(value) - self.min) + self.step) // (2 * self.step)
        return self._cells.middle(min(max(index, 0), self.count - 1))

    def value_at(self, index: int) -> int:
        """The value number `index`, counted from `min`."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.min + index * self.step

    def index_of(self, value: ParameterValue) -> int:
        """The number of a value; the inverse of `value_at`."""
        if not self.contains(value):
            raise ValueError(f"{value!r} has no place among the values of {self.name}")
        return (int(value) - self.min) // self.step

    def contains(self, value: ParameterValue) -> bool:
        """Whether the value may be proposed."""
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.min <= value <= self.max
            and (value - self.min) % self.step == 0
        )

    def format(self, value: ParameterValue) -> str:
        """The text of a value, in decimal digits."""
        return str(int(value))

    def parse(self, text: str) -> int:
        """The value of a text; `3.0` and `3e0` are read as 3."""
        value = whole_number(text)
        if not self.contains(value):
            raise ValueError(f"{text} is not among {self.min}, {self.min + self.step}, … {self.max}")
        return value


class Choice:
    """One text of a list. A discrete list of numbers is `ordinal`: in [0, 1] it lies in the order of the numbers."""

    step: None = None
    distribution: DistributionName = "uniform"
    uniform = True
    __slots__ = (
        "_cells",
        "_index_by_value",
        "_order",
        "_rank",
        "count",
        "kind",
        "name",
        "numbers",
        "ordinal",
        "values",
    )

    def __init__(self, name: str, kind: Literal["discrete", "categorical"], values: Sequence[str]) -> None:
        self.name = name
        self.kind: Literal["discrete", "categorical"] = kind
        self.values = tuple(dict.fromkeys(values))
        self.count: int = len(self.values)
        self.numbers: tuple[float, ...] | None = _numbers(self.values) if kind == "discrete" else None
        self.ordinal = self.numbers is not None
        self._cells = Cells(self.count)
        self._index_by_value = {value: index for index, value in enumerate(self.values)}
        numbers = self.numbers
        self._order = sorted(range(self.count), key=numbers.__getitem__) if numbers else list(range(self.count))
        self._rank = {index: rank for rank, index in enumerate(self._order)}

    def from_word(self, word: int) -> str:
        """The value at a 64-bit word, all alike."""
        return self.values[(word * self.count) >> 64]

    def from_unit(self, unit: float) -> str:
        """The value whose cell holds a number of [0, 1]."""
        return self.values[self._order[self._cells.from_unit(unit)]]

    def to_unit(self, value: ParameterValue) -> float:
        """The middle of the value's cell in [0, 1]."""
        return self._cells.middle(self._rank[self.index_of(value)])

    def value_at(self, index: int) -> str:
        """The value number `index`, in the order of the list."""
        if index < 0:
            raise IndexError(index)
        return self.values[index]

    def index_of(self, value: ParameterValue) -> int:
        """The number of a value in the list."""
        index = self._index_by_value.get(str(value))
        if index is None:
            raise ValueError(f"{value!r} has no place among the values of {self.name}")
        return index

    def contains(self, value: ParameterValue) -> bool:
        """Whether the value may be proposed."""
        return isinstance(value, str) and value in self._index_by_value

    def format(self, value: ParameterValue) -> str:
        """The text of a value: the very text of the list."""
        return str(value)

    def parse(self, text: str) -> str:
        """The entry that a text means; of a discrete list also by number, so that `0.10` finds `0.1`."""
        if text in self._index_by_value:
            return text
        if self.numbers is not None:
            number = _numbers((text,))
            if number is not None and number[0] in self.numbers:
                return self.values[self.numbers.index(number[0])]
        raise ValueError(f"{text} is not in the list {', '.join(self.values)}")


Parameter: TypeAlias = Double | SteppedDouble | Integer | Choice


def whole_number(text: str) -> int:
    """The int that a text means, however it is written (`10`, `1e1`, `10.0`); ValueError where it is not whole."""
    number = exact_number(text)
    if number != number.to_integral_value():
        raise ValueError(f"{text} is not a whole number")
    return int(number)


def exact_number(text: str) -> Decimal:
    """The decimal that a text means; ValueError where it is no finite number within a double's range."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"{text or repr(text)} is not a number") from None
    if not number.is_finite() or not math.isfinite(float(number)) or (number and float(number) == 0.0):
        raise ValueError(f"{text} is not a number that a double can hold")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text or repr(text)} is not a number") from None


def _numbers(texts: Sequence[str]) -> tuple[float, ...] | None:
    """The texts as numbers, or None where one of them is none."""
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{number} is not finite")
    return exponent


def _shifted(number: Decimal, places: int) -> int:
    """number · 10**places, exactly; Decimal's own arithmetic would round to the precision of the context."""
    sign, digits, _ = number.as_tuple()
    value: int = int("".join(map(str, digits))) * 10 ** (_exponent(number) + places)
    return -value if sign else value
