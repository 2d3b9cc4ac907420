"""The operations of a `nasConfig`: which there are, what their parameters may be, and each concrete one of them.

An operation of the manifest stands for as many concrete ones as its parameters have combinations; the last parameter
changes fastest, and they are numbered from 0 across all operations, as in Katib. Read without numpy: the manual, the
command line and admission need no more than this.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.description import nearest
from pykatib.algorithms.space import SearchSpace
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import NasConfig, Operation

OPERATIONS_PATH: Final = "spec.nasConfig.operations"
MOST_OPERATIONS: Final = 10_000

POOLINGS: Final = ("max_pooling", "avg_pooling")


class OperationKind(msgspec.Struct, frozen=True):
    """What an operation must have and may have: names of parameters."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """Every parameter that the operation has."""
        return self.required + self.optional


ENAS_KINDS: Final[Mapping[str, OperationKind]] = {
    "convolution": OperationKind(("filter_size",), ("num_filter", "stride")),
    "separable_convolution": OperationKind(("filter_size",), ("num_filter", "stride", "depth_multiplier")),
    "depthwise_convolution": OperationKind(("filter_size",), ("stride", "depth_multiplier")),
    "dilated_convolution": OperationKind(("filter_size",), ("num_filter", "stride", "dilation_rate")),
    "reduction": OperationKind(("reduction_type",), ("pool_size", "stride")),
    "max_pooling": OperationKind(("pool_size",), ("stride",)),
    "avg_pooling": OperationKind(("pool_size",), ("stride",)),
    "skip_connection": OperationKind(),
}
"""The operations of ENAS's networks; Katib has the first three and `reduction`."""

DARTS_KINDS: Final[Mapping[str, OperationKind]] = {
    "separable_convolution": OperationKind(("filter_size",)),
    "dilated_convolution": OperationKind(("filter_size",)),
    "convolution": OperationKind(("filter_size",)),
    "max_pooling": OperationKind(("filter_size",)),
    "avg_pooling": OperationKind(("filter_size",)),
    "skip_connection": OperationKind((), ("filter_size",)),
    "none": OperationKind((), ("filter_size",)),
}
"""The operations of DARTS's cells; `none` is always among them, stated or not."""


class ConcreteOperation(msgspec.Struct, frozen=True):
    """One operation with a value for each of its parameters."""

    id: int
    kind: str
    parameters: Mapping[str, ParameterValue]


Kinds: TypeAlias = Mapping[str, OperationKind]


def expand(config: NasConfig) -> tuple[ConcreteOperation, ...]:
    """Every concrete operation; InvalidInput where parameters make none, or too many."""
    found: list[ConcreteOperation] = []
    errors: list[FieldError] = []
    for index, operation in enumerate(config.operations):
        try:
            space = operation_space(operation, index)
        except InvalidInput as problem:
            errors.extend(problem.errors)
            continue
        count = space.size or 0
        if len(found) + count > MOST_OPERATIONS:
            text = f"come to more than {MOST_OPERATIONS} operations; give the parameters fewer values"
            raise InvalidInput([FieldError(OPERATIONS_PATH, text)])
        found += [
            ConcreteOperation(
                len(found) + place, operation.operation_type, dict(zip(space.names, space.at(place), strict=True))
            )
            for place in range(count)
        ]
    if errors:
        raise InvalidInput(errors)
    return tuple(found)


def operation_space(operation: Operation, index: int) -> SearchSpace:
    """The parameters of an operation as a finite space; InvalidInput with their paths where they are none."""
    path = f"{OPERATIONS_PATH}[{index}].parameters"
    space = SearchSpace.from_specs(operation.parameters, path=path)
    errors = [
        FieldError(
            f"{path}[{place}].feasibleSpace.step",
            f"is needed for the double {parameter.name}: an operation is "
            "made for every value, and without a step there is no end",
        )
        for place, parameter in enumerate(space.parameters)
        if parameter.count is None
    ]
    if errors:
        raise InvalidInput(errors)
    return space


def check_operations(operations: Sequence[Operation], kinds: Kinds, *, program: str) -> Iterator[FieldError]:
    """Operations and parameters that the program of Trials does not know, that are missing, or make no sense."""
    for index, operation in enumerate(operations):
        path = f"{OPERATIONS_PATH}[{index}]"
        kind = kinds.get(operation.operation_type)
        if kind is None:
            text = f"unknown operation {operation.operation_type!r} of {program}; "
            yield FieldError(f"{path}.operationType", text + nearest(operation.operation_type, tuple(kinds)))
            continue
        yield from _check_parameters(operation, kind, path)


def _check_parameters(operation: Operation, kind: OperationKind, path: str) -> Iterator[FieldError]:
    names = [parameter.name for parameter in operation.parameters]
    for required in kind.required:
        if required not in names:
            yield FieldError(f"{path}.parameters", f"{operation.operation_type} needs the parameter {required}")
    for place, parameter in enumerate(operation.parameters):
        here = f"{path}.parameters[{place}]"
        if parameter.name not in kind.known:
            known = nearest(parameter.name, kind.known) if kind.known else "it has none"
            yield FieldError(
                f"{here}.name", f"unknown parameter {parameter.name!r} of {operation.operation_type}; {known}"
            )
            continue
        space = parameter.feasible_space
        stated = [("list[{}]", place, text) for place, text in enumerate(space.values)]
        stated += [(name, 0, text) for name, text in (("min", space.min), ("max", space.max)) if text]
        for field, place_in_list, text in stated:
            problem = parameter_problem(parameter.name, text)
            if problem is not None:
                yield FieldError(f"{here}.feasibleSpace.{field.format(place_in_list)}", problem)


def parameter_problem(name: str, value: object) -> str | None:
    """What is wrong with the value of an operation's parameter, None where nothing is."""
    if name == "reduction_type":
        return None if value in POOLINGS else f"found {value!r}, wanted one of {', '.join(POOLINGS)}"
    if whole_from_one(value) is None:
        return f"found {value!r}, wanted a whole number from 1 for {name}"
    return None


def whole_from_one(value: object) -> int | None:
    """The number that a value means where it is whole and at least 1."""
    try:
        number = float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        return None
    return int(number) if number >= 1 and number == int(number) else None
