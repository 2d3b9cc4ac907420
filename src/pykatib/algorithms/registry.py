"""The algorithms that can be asked for by name: pykatib's own, and those of other packages.

Other packages offer an `AlgorithmInfo` as an entry point of the group `pykatib.algorithms`, under the algorithm's
name. Listing names loads none of them; one that cannot be loaded is told with its name and package, and harms no
other. Names of pykatib's own cannot be taken, nor can two packages share one; `notes` tells of who tries.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from pykatib.algorithms.builtin import BUILTIN
from pykatib.algorithms.contract import Algorithm
from pykatib.algorithms.description import AlgorithmInfo, Settings, nearest
from pykatib.algorithms.nas.rules import references_to_nothing
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import SearchSpace
from pykatib.algorithms.stopping import registry as stopping
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec

GROUP = "pykatib.algorithms"
NAME_PATH = "spec.algorithm.algorithmName"
SETTINGS_PATH = "spec.algorithm.algorithmSettings"

_BUILTIN_BY_NAME = {info.name: info for info in BUILTIN}


def names() -> tuple[str, ...]:
    """Every algorithm that can be asked for, pykatib's own first."""
    return (*_BUILTIN_BY_NAME, *_plugins())


def early_stopping_names() -> tuple[str, ...]:
    """Every early stopping algorithm that can be asked for."""
    return stopping.names()


def package_of(name: str) -> str:
    """The package that offers an algorithm, with its version; empty where that is pykatib."""
    points = _plugins().get(name, ())
    return " and ".join(_package(point) for point in points)


def notes() -> tuple[str, ...]:
    """What packages offer in vain, a sentence each."""
    return tuple(
        f"{_package(point)} offers an algorithm {point.name!r}, a name that pykatib's own has; that one is used"
        for point in entry_points(group=GROUP)
        if point.name in _BUILTIN_BY_NAME
    )


def info(name: str) -> AlgorithmInfo:
    """The description of an algorithm; InvalidInput where there is none or its package cannot be loaded."""
    if name in _BUILTIN_BY_NAME:
        return _BUILTIN_BY_NAME[name]
    plugin = _plugins().get(name)
    if plugin is None:
        raise _wrong_name(f"unknown algorithm {name!r}; {nearest(name, names())}")
    if len(plugin) > 1:
        raise _wrong_name(f"the algorithm {name!r} is offered by {package_of(name)}; uninstall all but one of them")
    return _load(plugin[0])


def check(experiment: Experiment) -> tuple[FieldError, ...]:
    """What its algorithms find wrong with an Experiment: names, settings, and what is asked of the search space.

    A search space that makes no sense to any algorithm is left to the validation of the Experiment.
    """
    return (*_check_search(experiment), *stopping.check(experiment))


def _check_search(experiment: Experiment) -> tuple[FieldError, ...]:
    try:
        chosen, settings = _chosen(experiment)
    except InvalidInput as problem:
        return problem.errors
    try:
        problem_of = _problem(experiment)
    except InvalidInput:
        return ()
    errors = tuple(error for rule in chosen.rules for error in rule(problem_of, settings))
    if (chosen.architecture or problem_of.nas_config is not None) and not errors:
        # Of other searches, the assignments are the parameters, and the template was held against them before.
        errors = references_to_nothing(experiment, chosen.searched(problem_of, settings).space.names)
    return errors


def create(experiment: Experiment, *, seed: int) -> tuple[SearchSpace, Algorithm]:
    """The space and the algorithm of an Experiment. `seed` counts where there is no setting `random_state`."""
    chosen, settings = _chosen(experiment)
    problem = _problem(experiment)
    errors = [error for rule in chosen.rules for error in rule(problem, settings)]
    if errors:
        raise InvalidInput(errors)
    problem = chosen.searched(problem, settings)
    state = settings.get("random_state")
    return problem.space, chosen.create(problem, settings, seed=state if isinstance(state, int) else seed)


def _chosen(experiment: Experiment) -> tuple[AlgorithmInfo, Settings]:
    spec = experiment.spec.algorithm or AlgorithmSpec()
    if not spec.algorithm_name:
        raise _wrong_name(f"is missing; there are {', '.join(names())}")
    found = info(spec.algorithm_name)
    return found, found.read_settings(spec.algorithm_settings, path=SETTINGS_PATH)


def _problem(experiment: Experiment) -> Problem:
    spec = experiment.spec
    return Problem(
        space=SearchSpace.from_specs(spec.parameters),
        objective=spec.objective or ObjectiveSpec(),
        experiment_name=experiment.metadata.name,
        max_trial_count=spec.max_trial_count,
        parallel_trial_count=spec.parallel_trial_count,
        nas_config=spec.nas_config,
        stated_settings=spec.algorithm.algorithm_settings if spec.algorithm is not None else (),
    )


@cache
def _plugins() -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        if point.name not in _BUILTIN_BY_NAME:
            found.setdefault(point.name, {})[_package(point)] = point
    return {name: tuple(points.values()) for name, points in found.items()}


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


@cache
def _load(plugin: EntryPoint) -> AlgorithmInfo:
    source = f"the algorithm {plugin.name!r} of {plugin.value} ({_package(plugin)})"
    try:
        loaded = plugin.load()
    except (Exception, SystemExit) as problem:  # whatever a foreign module raises while it is imported
        raise _wrong_name(f"{source} cannot be loaded: {type(problem).__name__}: {problem}") from problem
    if not isinstance(loaded, AlgorithmInfo):
        raise _wrong_name(f"{source} is a {type(loaded).__name__}, not a pykatib AlgorithmInfo")
    if loaded.name != plugin.name:
        raise _wrong_name(f"{source} calls itself {loaded.name!r}")
    return loaded


def _wrong_name(message: str) -> InvalidInput:
    return InvalidInput([FieldError(NAME_PATH, message)])
