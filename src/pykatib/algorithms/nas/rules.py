"""What architecture search asks of an Experiment, each mistake with its path; and the problems it makes of one.

Katib's checks are among these, and those whose answer in Katib comes from a Trial that has failed: an operation that
the program does not know, a stride that leaves nothing of the image, a template that asks for an assignment which there
is not.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from pykatib.algorithms.description import Settings, nearest
from pykatib.algorithms.nas.operations import (
    DARTS_KINDS,
    ENAS_KINDS,
    OPERATIONS_PATH,
    check_operations,
    expand,
    whole_from_one,
)
from pykatib.algorithms.nas.space import ArchitectureSpace, TextSpace
from pykatib.algorithms.problem import Problem
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment, NasConfig, Operation

GRAPH_PATH: Final = "spec.nasConfig.graphConfig"
DARTS_ASSIGNMENTS: Final = ("algorithm-settings", "search-space", "num-layers")
CUSTOM: Final = "custom_operations"


def searched_by_enas(problem: Problem, settings: Settings) -> Problem:
    """The problem whose space is all architectures of the `nasConfig`."""
    assert problem.nas_config is not None, "the rules ask for it"
    return msgspec.structs.replace(problem, space=ArchitectureSpace(problem.nas_config))


def searched_by_darts(problem: Problem, settings: Settings) -> Problem:
    """The problem whose one point is the texts that DARTS's Trial gets."""
    return msgspec.structs.replace(problem, space=TextSpace(DARTS_ASSIGNMENTS))


def enas_can_search(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """The rules of `enas`."""
    config = problem.nas_config
    if config is None:
        return (_needs_nas_config("enas"),)
    errors = list(_check_enas_graph(config))
    if settings[CUSTOM] is not True:
        errors += check_operations(config.operations, ENAS_KINDS, program="the programs for enas")
    if not errors:
        errors += _check_expansion(config)
    if not errors and settings[CUSTOM] is not True:
        errors += _check_shrinking(config)
    return errors


def darts_can_search(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """The rules of `darts`."""
    config = problem.nas_config
    if config is None:
        return (_needs_nas_config("darts"),)
    errors = list(_check_outline(config))
    if settings[CUSTOM] is not True:
        errors += check_operations(config.operations, DARTS_KINDS, program="the programs for darts")
    if not errors:
        errors += _check_expansion(config)
    if not errors:
        errors += _check_filters(config.operations, any_size=settings[CUSTOM] is True)
        errors += _check_cells(config)
    return errors


def references_to_nothing(experiment: Experiment, names: Sequence[str]) -> tuple[FieldError, ...]:
    """Placeholders of the template that would be filled with an assignment which there is not."""
    template = experiment.spec.trial_template
    parameters = (template.trial_parameters if template is not None else None) or ()
    return tuple(
        FieldError(
            f"spec.trialTemplate.trialParameters[{index}].reference",
            f"found {parameter.reference!r}, which is no assignment of this algorithm; "
            + nearest(parameter.reference, tuple(names)),
        )
        for index, parameter in enumerate(parameters)
        if parameter.reference and not parameter.reference.startswith("${") and parameter.reference not in names
    )


def _needs_nas_config(name: str) -> FieldError:
    return FieldError("spec.nasConfig", f"is required: {name} searches for an architecture")


def _check_outline(config: NasConfig) -> Iterator[FieldError]:
    if not config.operations:
        yield FieldError(OPERATIONS_PATH, "needs at least one operation")
    layers = config.graph_config.num_layers
    if layers is None or layers < 1:
        yield FieldError(f"{GRAPH_PATH}.numLayers", f"found {layers or 0}, wanted at least 1")


def _check_enas_graph(config: NasConfig) -> Iterator[FieldError]:
    yield from _check_outline(config)
    for field, sizes in (
        ("inputSizes", config.graph_config.input_sizes),
        ("outputSizes", config.graph_config.output_sizes),
    ):
        if not sizes:
            yield FieldError(f"{GRAPH_PATH}.{field}", "is required, as in [32, 32, 3] and [10]")


def _check_expansion(config: NasConfig) -> Sequence[FieldError]:
    try:
        expand(config)
    except InvalidInput as problem:
        return problem.errors
    return ()


def _check_shrinking(config: NasConfig) -> Iterator[FieldError]:
    """Strides that leave nothing of the image: one that is wider than it, or so many that no layer could go without."""
    graph = config.graph_config
    if len(graph.input_sizes) != 3:
        return  # no image: the program knows what it is
    height, width, _ = graph.input_sizes
    side = min(height, width)
    for index, operation in enumerate(config.operations):
        for place, parameter in enumerate(operation.parameters):
            if parameter.name not in ("stride", "pool_size"):
                continue
            space = parameter.feasible_space
            sizes = [number for text in (*space.values, space.max) if (number := whole_from_one(text)) is not None]
            if sizes and max(sizes) > side:
                yield FieldError(
                    f"{OPERATIONS_PATH}[{index}].parameters[{place}].feasibleSpace",
                    f"{parameter.name} {max(sizes)} leaves nothing of an image of {height}x{width}",
                )
                return
    least = min((_stride(operation.parameters) for operation in expand(config)), default=1)
    layers = graph.num_layers or 0
    if least**layers > side:
        enough = next(layer for layer in range(1, layers + 1) if least**layer > side)
        yield FieldError(
            f"{GRAPH_PATH}.numLayers",
            f"found {layers}, but every operation shrinks its input by {least} or more: nothing of {height}x{width} is "
            f"left after {enough}; give some operation a stride of 1, or take fewer layers",
        )


def _stride(parameters: object) -> int:
    """By how much an operation shrinks its input; a pooling's stride is its size, where it has none of its own."""
    assert isinstance(parameters, dict)
    for name in ("stride", "pool_size"):
        number = whole_from_one(parameters.get(name))
        if number is not None:
            return number
    return 2 if "reduction_type" in parameters else 1


def _check_filters(operations: Sequence[Operation], *, any_size: bool) -> Iterator[FieldError]:
    for index, operation in enumerate(operations):
        if operation.operation_type in ("skip_connection", "none"):
            continue
        path = f"{OPERATIONS_PATH}[{index}].parameters"
        if not operation.parameters:
            yield FieldError(path, "needs the sizes of the filter, as its first parameter")
            continue
        sizes = [values[0] for values in first_values(operation, index)]
        even = [size for size in sizes if (number := whole_from_one(size)) is not None and number % 2 == 0]
        if even and not any_size:
            yield FieldError(f"{path}[0].feasibleSpace", f"found {even[0]}; a filter of a cell has an odd size")


def first_values(operation: Operation, index: int) -> list[tuple[object, ...]]:
    """The values of the first parameter, each as a tuple of one; what follows in the manifest is not searched."""
    first = msgspec.structs.replace(operation, parameters=operation.parameters[:1])
    return [tuple(found.parameters.values()) for found in expand(NasConfig(operations=(first,)))]


def _check_cells(config: NasConfig) -> Iterator[FieldError]:
    """Each reduction cell halves the image, and there are up to two."""
    sizes, layers = config.graph_config.input_sizes, config.graph_config.num_layers or 0
    reductions = len({layers // 3, 2 * layers // 3} - {0})
    if len(sizes) == 3 and min(sizes[:2]) < 2**reductions:
        yield FieldError(
            f"{GRAPH_PATH}.inputSizes",
            f"found {sizes[0]}x{sizes[1]}, of which {reductions} reduction cells leave nothing",
        )
