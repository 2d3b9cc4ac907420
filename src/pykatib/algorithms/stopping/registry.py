"""The early stopping methods that can be asked for by name."""

from pykatib.algorithms.description import Settings, nearest
from pykatib.algorithms.stopping.builtin import BUILTIN
from pykatib.algorithms.stopping.contract import Stopping
from pykatib.algorithms.stopping.description import StoppingInfo
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.shared import EarlyStoppingSpec, ObjectiveSpec

NAME_PATH = "spec.earlyStopping.algorithmName"
SETTINGS_PATH = "spec.earlyStopping.algorithmSettings"

_BY_NAME = {info.name: info for info in BUILTIN}


def names() -> tuple[str, ...]:
    """Every early stopping method."""
    return tuple(_BY_NAME)


def info(name: str) -> StoppingInfo:
    """The description of a method; InvalidInput where there is none of that name."""
    if name not in _BY_NAME:
        raise InvalidInput([FieldError(NAME_PATH, f"unknown early stopping {name!r}; {nearest(name, names())}")])
    return _BY_NAME[name]


def check(experiment: Experiment) -> tuple[FieldError, ...]:
    """What is wrong with an Experiment's early stopping: its name, its settings."""
    spec = experiment.spec
    if spec.early_stopping is None:
        return ()
    try:
        read(spec.early_stopping, spec.objective or ObjectiveSpec())
    except InvalidInput as problem:
        return problem.errors
    return ()


def create(stopping: EarlyStoppingSpec, objective: ObjectiveSpec) -> Stopping:
    """The method of an Experiment. Raises InvalidInput with every mistake."""
    found, settings = read(stopping, objective)
    return found.create(objective, settings)


def read(stopping: EarlyStoppingSpec, objective: ObjectiveSpec) -> tuple[StoppingInfo, Settings]:
    """A method and its settings. Raises InvalidInput with every mistake."""
    found = info(stopping.algorithm_name)
    settings = found.read_settings(stopping.algorithm_settings, path=SETTINGS_PATH)
    place = {setting.name: index for index, setting in enumerate(stopping.algorithm_settings)}
    errors = [
        FieldError(
            f"{SETTINGS_PATH}[{place[error.path]}].value" if error.path in place else SETTINGS_PATH,
            f"{error.path} {error.message}",
        )
        for rule in found.rules
        for error in rule(objective, settings)
    ]
    if errors:
        raise InvalidInput(errors)
    return found, settings
