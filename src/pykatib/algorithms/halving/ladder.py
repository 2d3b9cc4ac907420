"""How much of the resource each level gives, from the least to all of it.

The resource is a parameter of the search space that an Experiment's algorithm sets by itself: epochs, trees, a share of
the data. Level by level it grows by the factor eta, and its last level is all of it. Where the parameter's range has
room for that, no level is below the range and all are on its steps. Where it has none, as in Katib's examples
(`min: 1, max: 1` with `r_l: 2`), the range is a placeholder, and the levels go down to 1.
"""

import math
from decimal import Decimal

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.parameters import Choice, Double, Integer, Parameter, SteppedDouble

_LEAST = 1.0
_TOLERANCE = 1e-9  # ln 243 / ln 3 is a little less than 5 in floating point


class Ladder:
    """The levels of one Experiment's resource, the least first.

    Raises:
        ValueError: the parameter cannot be a resource, or there is no room for a level; the text says why.
    """

    def __init__(self, parameter: Parameter, *, most: float, eta: float, least: float | None = None) -> None:
        self.parameter = _widened(parameter, most, least)
        low = least if least is not None else _lowest(self.parameter)
        if low > most:
            raise ValueError(f"is {most:g}, less than the least resource {low:g}")
        if low <= 0:
            raise ValueError(f"cannot begin at {low:g}: it is multiplied by {eta:g} from level to level")
        steps = int(math.log(most / low) / math.log(eta) + _TOLERANCE)
        amounts = [most * eta ** (level - steps) for level in range(steps + 1)]
        self.values: tuple[ParameterValue, ...] = tuple(
            dict.fromkeys(_at_most(self.parameter, amount) for amount in amounts)
        )
        """What the parameter is set to at each level."""
        self._amounts = tuple(float(value) for value in self.values)

    def __len__(self) -> int:
        return len(self.values)

    def level_of(self, value: ParameterValue) -> int:
        """The level of a value; of one that is on none, the highest that it reaches."""
        amount = float(value)
        reached = [level for level, least in enumerate(self._amounts) if amount >= least]
        return reached[-1] if reached else 0


def range_of(parameter: Parameter) -> tuple[float, float]:
    """Least and greatest of a parameter; ValueError where it is no number."""
    if not isinstance(parameter, Choice):
        return float(parameter.min), float(parameter.max)
    if parameter.numbers is None:
        raise ValueError(f"{parameter.name} is {parameter.kind}: a resource is an int, a double or a list of numbers")
    return min(parameter.numbers), max(parameter.numbers)


def _widened(parameter: Parameter, most: float, least: float | None) -> Parameter:
    """The parameter itself where its range has the resource, else one that has."""
    low, high = range_of(parameter)
    if low <= most <= high:
        return parameter
    low = least if least is not None else min(_LEAST, most)
    match parameter:
        case Integer():
            if most < 1:
                raise ValueError(f"is {most:g}, less than 1, while {parameter.name} is an int")
            return Integer(parameter.name, max(1, int(low)), int(most))
        case Double():
            return Double(parameter.name, low, most)
        case SteppedDouble():
            return SteppedDouble(parameter.name, Decimal(repr(low)), Decimal(repr(most)), Decimal(repr(parameter.step)))
        case Choice():
            raise ValueError(f"is {most:g}, which is not within the list of {parameter.name}")


def _lowest(parameter: Parameter) -> float:
    """The least of a resource that is worth a Trial: an int of 0 is none."""
    low, _ = range_of(parameter)
    return max(low, 1.0) if isinstance(parameter, Integer) else low


def _at_most(parameter: Parameter, amount: float) -> ParameterValue:
    """The greatest value of the parameter that is no more than the amount, else its least."""
    if isinstance(parameter, Double):
        return min(max(float(f"{amount:.12g}"), parameter.min), parameter.max)
    amount *= 1 + _TOLERANCE
    match parameter:
        case Integer():
            steps = (math.floor(amount) - parameter.min) // parameter.step
            return parameter.value_at(min(max(steps, 0), parameter.count - 1))
        case SteppedDouble():
            steps = math.floor((amount - parameter.min) / parameter.step * (1 + _TOLERANCE))
            return parameter.value_at(min(max(steps, 0), parameter.count - 1))
        case Choice():
            assert parameter.numbers is not None, "checked"
            in_order = sorted(zip(parameter.numbers, parameter.values, strict=True))
            reached = [value for number, value in in_order if number <= amount]
            return reached[-1] if reached else in_order[0][1]
