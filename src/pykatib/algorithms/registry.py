"""The algorithms that can be asked for by name: pykatib's own, and those of other packages.

Other packages offer an `AlgorithmInfo` as an entry point of the group `pykatib.algorithms`, under the algorithm's
name. Listing names loads none of them; one that cannot be loaded is told with its name and package, and harms no
other. Names of pykatib's own cannot be taken, nor can two packages share one; `notes` tells of who tries.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from pykatib.algorithms import choosing
from pykatib.algorithms.builtin import BUILTIN
from pykatib.algorithms.contract import Algorithm
from pykatib.algorithms.description import AlgorithmInfo, Settings, nearest
from pykatib.algorithms.guarded import FirstPoints, Guarded
from pykatib.algorithms.nas.rules import references_to_nothing
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import SearchSpace
from pykatib.algorithms.space_settings import (
    SPACE_SETTINGS,
    SpaceSettings,
    known_points,
    remarks,
    space_of,
    split_settings,
)
from pykatib.algorithms.stopping import registry as stopping
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

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
        chosen, settings, of_space = _chosen(experiment)
    except InvalidInput as problem:
        return problem.errors
    if not _is_sound(experiment):
        return ()
    try:
        problem_of = _problem(experiment, of_space)
    except InvalidInput as problem:
        return problem.errors
    errors = tuple(error for rule in chosen.rules for error in rule(problem_of, settings))
    if not errors:
        try:
            known_points(chosen.searched(problem_of, settings).space, of_space)
        except InvalidInput as problem:
            return problem.errors
    if (chosen.architecture or problem_of.nas_config is not None) and not errors:
        # Of other searches, the assignments are the parameters, and the template was held against them before.
        errors = references_to_nothing(experiment, chosen.searched(problem_of, settings).space.names)
    return errors


def create(experiment: Experiment, *, seed: int) -> tuple[SearchSpace, Algorithm]:
    """The space and the algorithm of an Experiment. `seed` counts where there is no setting `random_state`.

    The algorithm has been told the Trials that it is to know from the start, and keeps to the space, whoever wrote it.
    """
    chosen, settings, of_space = _chosen(experiment)
    problem = _problem(experiment, of_space)
    errors = [error for rule in chosen.rules for error in rule(problem, settings)]
    if errors:
        raise InvalidInput(errors)
    problem = chosen.searched(problem, settings)
    points = known_points(problem.space, of_space)
    state = settings.get("random_state")
    algorithm = chosen.create(problem, settings, seed=state if isinstance(state, int) else seed)
    if problem.space.restricted:
        algorithm = Guarded(algorithm, problem.space)
    if points.first:
        algorithm = FirstPoints(algorithm, points.first, one_by_one=chosen.one_by_one)
    if points.known:
        algorithm.tell(points.known)
    return problem.space, algorithm


def settled(experiment: Experiment, recorded: Sequence[Setting]) -> tuple[Experiment, tuple[Setting, ...]]:
    """An Experiment that leaves its algorithm open, with what was picked among its settings, and what to record.

    `recorded` is what was kept of it before, with which nothing is picked anew. Other Experiments stay as they are.
    """
    if not choosing.is_default(experiment):
        return experiment, ()
    own = experiment.spec.algorithm.algorithm_settings if experiment.spec.algorithm is not None else ()
    if choosing.recorded_in(own):  # a service is sent it back among these
        return experiment, ()
    known = choosing.recorded_in(recorded)
    if known:
        return choosing.with_settings(experiment, known), ()
    try:
        _, settings, of_space = _chosen(experiment)
        found = choosing.recorded(choosing.pick(_problem(experiment, of_space), settings))
    except InvalidInput:  # as `create` will tell
        return experiment, ()
    return choosing.with_settings(experiment, found), found


def notes_on(experiment: Experiment) -> tuple[str, ...]:
    """What is worth knowing of a search space that `check` finds nothing wrong with, in sentences."""
    try:
        _, _, of_space = _chosen(experiment)
        return remarks(_problem(experiment, of_space).space)
    except InvalidInput:
        return ()


def _chosen(experiment: Experiment) -> tuple[AlgorithmInfo, Settings, SpaceSettings]:
    spec = experiment.spec.algorithm or AlgorithmSpec()
    if not spec.algorithm_name:
        raise _wrong_name(f"is missing; there are {', '.join(names())}")
    found = info(spec.algorithm_name)
    of_space = split_settings(spec.algorithm_settings)
    if found.architecture and of_space.text_by_name:
        errors = [
            FieldError(path, f"{name} is about parameters, and {found.name} searches an architecture")
            for name, path in of_space.path_by_name.items()
        ]
        raise InvalidInput(errors)
    try:
        return found, found.read_settings(of_space.own, path=""), of_space
    except InvalidInput as error:
        raise InvalidInput([_placed(each, of_space) for each in error.errors]) from None


def _placed(error: FieldError, of_space: SpaceSettings) -> FieldError:
    """A mistake in one of the algorithm's own settings, at its place among all that are stated."""
    number, _, field = error.path.removeprefix("[").partition("].")
    setting = of_space.own[int(number)]
    close = get_close_matches(setting.name, SPACE_SETTINGS, n=1, cutoff=0.75)
    message = error.message
    if close and message.startswith("unknown setting"):
        message = f"unknown setting {setting.name!r}; did you mean {close[0]}, which every algorithm has?"
    return FieldError(f"{of_space.paths[int(number)]}.{field}", message)


def _is_sound(experiment: Experiment) -> bool:
    try:
        SearchSpace.from_specs(experiment.spec.parameters)
    except InvalidInput:
        return False
    return True


def _problem(experiment: Experiment, of_space: SpaceSettings) -> Problem:
    spec = experiment.spec
    return Problem(
        space=space_of(spec.parameters, of_space),
        objective=spec.objective or ObjectiveSpec(),
        experiment_name=experiment.metadata.name,
        max_trial_count=spec.max_trial_count,
        parallel_trial_count=spec.parallel_trial_count,
        nas_config=spec.nas_config,
        stated_settings=of_space.own,
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
