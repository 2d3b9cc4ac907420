"""Makes what `default` stands for; the rules by which it is picked are in `pykatib.algorithms.choosing`."""

from pykatib.algorithms.builtin import BUILTIN
from pykatib.algorithms.choosing import pick
from pykatib.algorithms.contract import Algorithm
from pykatib.algorithms.description import Settings
from pykatib.algorithms.problem import Problem
from pykatib.api.objectives import OBJECTIVES_SETTING
from pykatib.api.shared import Setting


def create(problem: Problem, settings: Settings, *, seed: int) -> Algorithm:
    """The algorithm that is picked, with its own defaults; a grid is shuffled."""
    name = pick(problem, settings).name
    info = next(info for info in BUILTIN if info.name == name)
    given = {"random_state": str(seed)}
    if settings[OBJECTIVES_SETTING] is not None:
        given[OBJECTIVES_SETTING] = str(settings[OBJECTIVES_SETTING])
    known = {setting.name for setting in info.settings}
    own = info.read_settings([Setting(*each) for each in given.items() if each[0] in known], path="settings")
    return info.create(problem, own, seed=seed)
