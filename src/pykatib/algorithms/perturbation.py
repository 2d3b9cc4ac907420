"""A value changed a little, as population based training does: times 0.8 or 1.2, or to a neighbour in a list.

The value stays in its parameter's bounds and on its steps, and an int stays an int. What 20 % would leave where it is
moves by one step, so small ints can grow; a range with zero in it moves by at least a hundredth of its width, or it
would never leave zero. At a bound, a move outwards leaves the value there. Neighbours in a list of numbers are the
next smaller and greater; a list of words has no ends.
"""

import math
from typing import Final

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.parameters import Choice, Double, Integer, Parameter, SteppedDouble

_FIFTH: Final = 0.2
_PART_OF_RANGE: Final = 100


def perturbed(parameter: Parameter, value: ParameterValue, *, up: bool) -> ParameterValue:
    """The value after one move: up is further from zero, and further on in a list."""
    match parameter:
        case Choice():
            return _neighbour(parameter, value, up=up)
        case Double():
            return _moved(parameter, float(value), up=up)
        case Integer():
            whole = int(value)
            steps = (2 * abs(whole) + 5 * parameter.step) // (10 * parameter.step)
            return parameter.value_at(_place(parameter, value, steps, up=up == (whole >= 0)))
        case SteppedDouble():
            number = float(value)
            share = abs(number) * _FIFTH / parameter.step  # infinite where a step is next to nothing
            steps = round(share) if math.isfinite(share) else parameter.count
            return parameter.value_at(_place(parameter, value, steps, up=up == (number >= 0)))


def _place(parameter: Integer | SteppedDouble, value: ParameterValue, steps: int, *, up: bool) -> int:
    """The number of the value that many steps away, one at least."""
    least = parameter.count // _PART_OF_RANGE if parameter.min <= 0 <= parameter.max else 1
    distance = max(steps, least, 1)
    place = parameter.index_of(value) + (distance if up else -distance)
    return min(max(place, 0), parameter.count - 1)


def _moved(parameter: Double, value: float, *, up: bool) -> float:
    distance = abs(value) * _FIFTH
    if parameter.min <= 0 <= parameter.max:
        distance = max(distance, parameter.max / _PART_OF_RANGE - parameter.min / _PART_OF_RANGE)
    target = value + distance if up == (value >= 0) else value - distance
    return min(max(target, parameter.min), parameter.max)


def _neighbour(parameter: Choice, value: ParameterValue, *, up: bool) -> str:
    index = parameter.index_of(value)
    if parameter.numbers is None:
        return parameter.value_at((index + (1 if up else -1)) % parameter.count)
    order = sorted(range(parameter.count), key=parameter.numbers.__getitem__)
    rank = order.index(index) + (1 if up else -1)
    return parameter.value_at(order[min(max(rank, 0), parameter.count - 1)])
