"""The setting by which an algorithm says where a Trial's program finds its checkpoints, and what is wrong with it.

It is Katib's name for it. Runners read it whatever the algorithm, so one that continues Trials only has to list it.
"""

from collections.abc import Sequence
from typing import Final

from pykatib.algorithms.description import SettingInfo, Settings
from pykatib.algorithms.problem import Problem
from pykatib.api import names
from pykatib.api.errors import FieldError
from pykatib.api.shared import AlgorithmSpec

PATH: Final = "spec.algorithm.algorithmSettings"

CHECKPOINT_SETTING: Final = SettingInfo(
    name=names.CHECKPOINT_SETTING,
    kind="text",
    help="The folder, within the worker's container, that holds its checkpoints: empty at first, else its parent's.",
)


def checkpoint_path(algorithm: AlgorithmSpec | None) -> str:
    """Where checkpoints are in a Trial's primary container; empty where the algorithm has none."""
    settings = algorithm.algorithm_settings if algorithm is not None else ()
    return next((each.value.strip() for each in settings if each.name == names.CHECKPOINT_SETTING), "")


def names_a_folder(problem: Problem, settings: Settings) -> Sequence[FieldError]:
    """The rule that the folder, where one is stated, can be mounted."""
    path = settings.get(names.CHECKPOINT_SETTING)
    if path is None:
        return ()
    parts = str(path).split("/")
    is_below_root = str(path).startswith("/") and any(part not in ("", ".") for part in parts)
    if is_below_root and ".." not in parts and ":" not in str(path) and str(path) == str(path).strip():
        return ()
    text = f"must be an absolute path below / without .. and :, such as /checkpoints, found {path!r}"
    return (FieldError(PATH, f"{names.CHECKPOINT_SETTING} {text}"),)


def states(*wanted: SettingInfo) -> "_States":
    """The rule that these settings are stated."""
    return _States(wanted)


class _States:
    def __init__(self, wanted: Sequence[SettingInfo]) -> None:
        self._wanted = wanted

    def __call__(self, problem: Problem, settings: Settings) -> Sequence[FieldError]:
        missing = [setting for setting in self._wanted if settings.get(setting.name) is None]
        return [
            FieldError(PATH, f"{setting.name} is missing: it must be {setting.expected}. {setting.help}")
            for setting in missing
        ]
