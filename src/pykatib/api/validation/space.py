"""Rules of the search space: parameters, and the graph and operations of architecture search.

Katib takes any text for a bound and finds out in the algorithm's service; here a space that makes no sense is refused
with the place and the value. What passes here is read by every algorithm.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from pykatib.api import names
from pykatib.api.errors import FieldError
from pykatib.api.experiment import ExperimentSpec, FeasibleSpace, NasConfig, ParameterSpec
from pykatib.api.schema_walk import did_you_mean, shown

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MAX_DIGITS = 400
_RANGED = (names.DOUBLE, names.INT)


def check_space(spec: ExperimentSpec) -> Iterator[FieldError]:
    """Exactly one kind of space, and that one sound."""
    if spec.parameters and spec.nas_config is not None:
        yield FieldError("spec", "found both `parameters` and `nasConfig`; an Experiment searches one of them")
    if not spec.parameters and spec.nas_config is None:
        yield FieldError("spec.parameters", "is required: name at least one parameter to search, or a `nasConfig`")
    yield from check_parameters(spec.parameters, "spec.parameters")
    if spec.nas_config is not None:
        yield from _check_nas(spec.nas_config)


def check_parameters(parameters: Sequence[ParameterSpec], path: str) -> Iterator[FieldError]:
    """Names, types and feasible spaces."""
    first_of: dict[str, int] = {}
    for index, parameter in enumerate(parameters):
        here = f"{path}[{index}]"
        if not parameter.name.strip():
            yield FieldError(f"{here}.name", "is required: a parameter needs a name")
        elif parameter.name in first_of:
            yield FieldError(
                f"{here}.name",
                f"found {shown(parameter.name)} again; parameter {first_of[parameter.name]} has that name already",
            )
        else:
            first_of[parameter.name] = index
        if parameter.parameter_type not in names.PARAMETER_TYPES:
            yield FieldError(f"{here}.parameterType", _unknown(parameter.parameter_type, names.PARAMETER_TYPES))
            continue
        yield from _check_distribution(parameter, f"{here}.feasibleSpace")
        if parameter.parameter_type in _RANGED:
            yield from _check_range(parameter, f"{here}.feasibleSpace")
        else:
            yield from _check_list(parameter, f"{here}.feasibleSpace")


def _unknown(found: str, known: Sequence[str]) -> str:
    if not found:
        return f"is required: one of {', '.join(known)}"
    return f"found {shown(found)}, wanted one of {', '.join(known)}{did_you_mean(found, known)}"


def _check_distribution(parameter: ParameterSpec, path: str) -> Iterator[FieldError]:
    distribution = parameter.feasible_space.distribution
    if distribution in ("", "unknown", names.UNIFORM):  # `unknown` is a word of Katib's for nothing said
        return
    if distribution not in names.DISTRIBUTIONS:
        yield FieldError(f"{path}.distribution", _unknown(distribution, names.DISTRIBUTIONS))
    elif parameter.parameter_type not in _RANGED:
        yield FieldError(
            f"{path}.distribution",
            f"found {shown(distribution)}; the entries of a {parameter.parameter_type} list are equally likely: "
            "leave it out",
        )


def number_of(text: str) -> Decimal | None:
    """The number that a text means, exactly; None where it is none or no double can hold it."""
    text = text.strip()
    if len(text) > _MAX_DIGITS or _NUMBER.fullmatch(text) is None:
        return None
    as_float = float(text)
    if as_float in (float("inf"), float("-inf")) or (as_float == 0.0 and re.match(r"[-+.0]*[1-9]", text)):
        return None
    return Decimal(text)


def _check_range(parameter: ParameterSpec, path: str) -> Iterator[FieldError]:
    space, whole = parameter.feasible_space, parameter.parameter_type == names.INT
    if space.values:
        yield FieldError(f"{path}.list", f"a parameter of type {parameter.parameter_type} has min and max, not a list")
    bounds: dict[str, Decimal] = {}
    for field, text in (("min", space.min), ("max", space.max), ("step", space.step)):
        if not text:
            if field != "step":
                yield FieldError(f"{path}.{field}", f"is required for a parameter of type {parameter.parameter_type}")
            continue
        number = number_of(text)
        if number is None:
            yield FieldError(f"{path}.{field}", f"found {shown(text)}, wanted a finite number")
        elif whole and number != number.to_integral_value():
            yield FieldError(f"{path}.{field}", f"found {shown(text)}, wanted a whole number for the type int")
        else:
            bounds[field] = number
    yield from _check_bounds(space, bounds, path)


def _check_bounds(space: FeasibleSpace, bounds: dict[str, Decimal], path: str) -> Iterator[FieldError]:
    low, high, step = bounds.get("min"), bounds.get("max"), bounds.get("step")
    if low is not None and high is not None and low > high:
        yield FieldError(f"{path}.min", f"found {space.min}, which is greater than max, {space.max}")
    if step is not None and step <= 0:
        yield FieldError(f"{path}.step", f"found {space.step}, wanted a number greater than zero")
    elif step is not None and low is not None and high is not None and low < high and step > high - low:
        yield FieldError(
            f"{path}.step", f"found {space.step}, which is wider than the whole range from {space.min} to {space.max}"
        )
    if low is not None and low <= 0 and space.distribution in (names.LOG_UNIFORM, names.LOG_NORMAL):
        yield FieldError(f"{path}.min", f"found {space.min}; {space.distribution} needs a min greater than zero")


def _check_list(parameter: ParameterSpec, path: str) -> Iterator[FieldError]:
    space, kind = parameter.feasible_space, parameter.parameter_type
    for field, text in (("min", space.min), ("max", space.max), ("step", space.step)):
        if text:
            yield FieldError(f"{path}.{field}", f"a parameter of type {kind} has a list, not {field}")
    if not space.values:
        yield FieldError(f"{path}.list", f"is required for a parameter of type {kind}: name at least one value")
    seen: dict[str | Decimal, str] = {}
    for index, text in enumerate(space.values):
        entry: str | Decimal | None = number_of(text) if kind == names.DISCRETE else text
        if entry is None:
            yield FieldError(f"{path}.list[{index}]", f"found {shown(text)}, wanted a number for the type discrete")
        elif entry in seen:
            yield FieldError(
                f"{path}.list[{index}]", f"found {shown(text)}, but {shown(seen[entry])} is in the list already"
            )
        else:
            seen[entry] = text


def _check_nas(config: NasConfig) -> Iterator[FieldError]:
    graph, path = config.graph_config, "spec.nasConfig"
    if graph.num_layers is None:
        yield FieldError(f"{path}.graphConfig.numLayers", "is required: the number of layers, at least 1")
    elif graph.num_layers < 1:
        yield FieldError(f"{path}.graphConfig.numLayers", f"found {graph.num_layers}, wanted at least 1")
    for field, sizes in (("inputSizes", graph.input_sizes), ("outputSizes", graph.output_sizes)):
        for index, size in enumerate(sizes):
            if size < 1:
                yield FieldError(f"{path}.graphConfig.{field}[{index}]", f"found {size}, wanted at least 1")
    if not config.operations:
        yield FieldError(f"{path}.operations", "is required: name at least one operation")
    for index, operation in enumerate(config.operations):
        here = f"{path}.operations[{index}]"
        if not operation.operation_type.strip():
            yield FieldError(f"{here}.operationType", "is required: an operation needs a name")
        yield from check_parameters(operation.parameters, f"{here}.parameters")
