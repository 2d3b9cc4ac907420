"""The search space: the parameters of an Experiment as typed values, and points of it as tuples in their order.

A point can be found from a unit cube (`from_unit`), from 64-bit words (`from_words`), from a numpy Generator
(`sample`) and, where the space is finite, from a number (`at`); it becomes the assignments of a Trial with `format`
and is read back with `parse`. The formats and bounds of single dimensions are in `pykatib.algorithms.parameters`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.distributions import DISTRIBUTION_NAMES, DistributionName
from pykatib.algorithms.parameters import (
    Choice,
    Double,
    Integer,
    Parameter,
    SteppedDouble,
    exact_number,
    whole_number,
)
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import FeasibleSpace, ParameterSpec
from pykatib.api.shared import ParameterAssignment

if TYPE_CHECKING:  # only for its name: numpy takes longer to import than the rest of the package
    import numpy as np

Point = tuple[ParameterValue, ...]
_Number = TypeVar("_Number")


class SearchSpace:
    """All points that may be proposed. `size` is their number, None where a parameter is continuous."""

    __slots__ = ("_readers", "names", "parameters", "restricted", "size", "uniform")

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.names = tuple(parameter.name for parameter in self.parameters)
        self.restricted = False  # by conditions or constraints, as `pykatib.algorithms.restricted` is
        self.uniform = all(parameter.uniform for parameter in self.parameters)
        self.size: int | None = 1
        for parameter in self.parameters:
            self.size = None if self.size is None or parameter.count is None else self.size * parameter.count
        self._readers: tuple[Callable[[int], ParameterValue], ...] = tuple(p.from_word for p in self.parameters)

    @classmethod
    def from_specs(cls, specs: Sequence[ParameterSpec], *, path: str = "spec.parameters") -> "SearchSpace":
        """The space of a manifest; InvalidInput names every place that makes none."""
        errors: list[FieldError] = []
        parameters: list[Parameter] = []
        for index, spec in enumerate(specs):
            parameter = _parameter(spec, f"{path}[{index}]", errors)
            if parameter is not None:
                parameters.append(parameter)
        if errors:
            raise InvalidInput(errors)
        return cls(parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def from_words(self, words: Sequence[int]) -> Point:
        """The point at 64-bit words, one a parameter; evenly distributed words give the stated distributions."""
        return tuple([read(word) for read, word in zip(self._readers, words, strict=True)])

    def from_unit(self, units: Sequence[float]) -> Point:
        """The point at a place of the unit cube, by the inverse distribution functions."""
        return tuple([parameter.from_unit(float(unit)) for parameter, unit in zip(self.parameters, units, strict=True)])

    def to_unit(self, values: Sequence[ParameterValue]) -> tuple[float, ...]:
        """The place of a point in the unit cube; the middle of its cell where a parameter has steps or a list."""
        return tuple([parameter.to_unit(value) for parameter, value in zip(self.parameters, values, strict=True)])

    def sample(self, generator: "np.random.Generator") -> Point:
        """A random point."""
        words = generator.integers(0, 2**64 - 1, size=len(self.parameters), dtype="uint64", endpoint=True)
        return self.from_words(words.tolist())

    def at(self, index: int) -> Point:
        """The point number `index` of a finite space; the last parameter changes fastest."""
        values: list[ParameterValue] = []
        for parameter in reversed(self.parameters):
            if parameter.count is None:
                raise IndexError(f"{parameter.name} has no step, so its values cannot be counted")
            index, place = divmod(index, parameter.count)
            values.append(parameter.value_at(place))
        if index != 0:
            raise IndexError("the space has fewer points")
        return tuple(reversed(values))

    def index_of(self, values: Sequence[ParameterValue]) -> int:
        """The number of a point; the inverse of `at`."""
        index = 0
        for parameter, value in zip(self.parameters, values, strict=True):
            index = index * (parameter.count or 1) + parameter.index_of(value)
        return index

    def contains(self, values: Sequence[ParameterValue]) -> bool:
        """Whether the point may be proposed: in the bounds, on the steps, of the right types."""
        return len(values) == len(self.parameters) and all(
            parameter.contains(value) for parameter, value in zip(self.parameters, values, strict=True)
        )

    def format(self, values: Sequence[ParameterValue]) -> tuple[ParameterAssignment, ...]:
        """The assignments of a Trial, in the order of the space."""
        return tuple(
            [
                ParameterAssignment(parameter.name, parameter.format(value))
                for parameter, value in zip(self.parameters, values, strict=True)
            ]
        )

    def parse(self, assignments: Sequence[ParameterAssignment]) -> Point:
        """The point that assignments mean; they are matched by name, those of other names are left aside."""
        text_by_name = {assignment.name: assignment.value for assignment in assignments}
        values: list[ParameterValue] = []
        errors: list[FieldError] = []
        for parameter in self.parameters:
            text = text_by_name.get(parameter.name)
            if text is None:
                errors.append(FieldError(f"parameterAssignments.{parameter.name}", "is missing"))
                continue
            try:
                values.append(parameter.parse(text))
            except ValueError as problem:
                errors.append(FieldError(f"parameterAssignments.{parameter.name}", str(problem)))
        if errors:
            raise InvalidInput(errors)
        return self.settled(values)

    def settled(self, values: Sequence[ParameterValue]) -> Point:
        """The point that values mean, parameters that are not active there set to a value of their own."""
        return tuple(values)

    def inactive(self, values: Sequence[ParameterValue]) -> set[int]:
        """The places of the parameters that are not active at a point."""
        return set()

    def allows(self, values: Sequence[ParameterValue]) -> bool:
        """Whether all constraints hold at a point of the bounds."""
        return True

    def repaired(self, values: Sequence[ParameterValue]) -> Point:
        """The point itself where it is allowed, else an allowed one near it."""
        return tuple(values)

    def replaced(self, parameter: Parameter) -> "SearchSpace":
        """The space with a parameter of the same name in the place of its own."""
        return SearchSpace([parameter if each.name == parameter.name else each for each in self.parameters])

    def without(self, place: int, values: Sequence[ParameterValue]) -> "SearchSpace":
        """The space without the parameter at a place, of what is allowed whichever of these values that one has."""
        return SearchSpace([parameter for each, parameter in enumerate(self.parameters) if each != place])


def _parameter(spec: ParameterSpec, path: str, errors: list[FieldError]) -> Parameter | None:
    """The typed parameter of a spec, or None after noting what is wrong with it."""
    feasible = spec.feasible_space
    match spec.parameter_type:
        case "discrete" | "categorical" as kind:
            if feasible.values:
                return Choice(spec.name, kind, feasible.values)
            errors.append(FieldError(f"{path}.feasibleSpace.list", "needs at least one value"))
        case "int":
            return _integer(spec.name, feasible, f"{path}.feasibleSpace", errors)
        case "double":
            return _double(spec.name, feasible, f"{path}.feasibleSpace", errors)
        case other:
            errors.append(
                FieldError(f"{path}.parameterType", f"must be double, int, discrete or categorical, not {other!r}")
            )
    return None


def _integer(name: str, feasible: FeasibleSpace, path: str, errors: list[FieldError]) -> Integer | None:
    low = _read(whole_number, feasible.min, f"{path}.min", errors)
    high = _read(whole_number, feasible.max, f"{path}.max", errors)
    step = _read(whole_number, feasible.step, f"{path}.step", errors) if feasible.step else 1
    distribution = _distribution(feasible, path, errors)
    if low is None or high is None or step is None or distribution is None:
        return None
    if not _sound(low, high, step, distribution, feasible, path, errors):
        return None
    return Integer(name, low, high, step, distribution)


def _double(name: str, feasible: FeasibleSpace, path: str, errors: list[FieldError]) -> Double | SteppedDouble | None:
    low = _read(exact_number, feasible.min, f"{path}.min", errors)
    high = _read(exact_number, feasible.max, f"{path}.max", errors)
    step = _read(exact_number, feasible.step, f"{path}.step", errors) if feasible.step else None
    distribution = _distribution(feasible, path, errors)
    if low is None or high is None or distribution is None or (feasible.step and step is None):
        return None
    if not _sound(low, high, step, distribution, feasible, path, errors):
        return None
    if step is None:
        return Double(name, float(low), float(high), distribution)
    return SteppedDouble(name, low, high, step, distribution)


def _sound(
    low: object, high: object, step: object, name: str, feasible: FeasibleSpace, path: str, errors: list[FieldError]
) -> bool:
    """Whether bounds and step agree with each other and with the distribution."""
    first, last = exact_number(str(low)), exact_number(str(high))
    count = len(errors)
    if first > last:
        errors.append(
            FieldError(f"{path}.min", f"must not be greater than max: found {feasible.min} and {feasible.max}")
        )
    if step is not None and exact_number(str(step)) <= 0:
        errors.append(FieldError(f"{path}.step", f"must be greater than zero, found {feasible.step}"))
    if name in ("logUniform", "logNormal") and float(first) <= 0:
        errors.append(FieldError(f"{path}.min", f"must be greater than zero with {name}, found {feasible.min}"))
    return len(errors) == count


def _distribution(feasible: FeasibleSpace, path: str, errors: list[FieldError]) -> DistributionName | None:
    for name in DISTRIBUTION_NAMES:
        if feasible.distribution == name:
            return name
    if feasible.distribution in ("", "unknown"):
        return "uniform"
    found = f"must be one of {', '.join(DISTRIBUTION_NAMES)}, not {feasible.distribution!r}"
    errors.append(FieldError(f"{path}.distribution", found))
    return None


def _read(reader: Callable[[str], _Number], text: str, path: str, errors: list[FieldError]) -> _Number | None:
    try:
        return reader(text)
    except ValueError as problem:
        errors.append(FieldError(path, str(problem)))
        return None
