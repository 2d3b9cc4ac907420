"""How an early stopping method describes itself: as a search algorithm does (`algorithms.description`), but it is made
for an objective instead of a search space."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from pykatib.algorithms.description import SettingInfo, Settings, read_settings
from pykatib.algorithms.stopping.contract import Stopping
from pykatib.api.errors import FieldError
from pykatib.api.shared import ObjectiveSpec, Setting


class Create(Protocol):
    """Makes a method."""

    def __call__(self, objective: ObjectiveSpec, settings: Settings) -> Stopping: ...


class Rule(Protocol):
    """What else must hold of its settings; yields mistakes, whose paths are the names of settings."""

    def __call__(self, objective: ObjectiveSpec, settings: Settings) -> Sequence[FieldError]: ...


class StoppingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One early stopping method."""

    name: str
    summary: str
    create: Create
    settings: tuple[SettingInfo, ...] = ()
    rules: tuple[Rule, ...] = ()
    compares: bool = True  # with other Trials; else a Trial is judged by itself
    katib: str = ""  # why an existing Katib cannot be served with it; empty where it can

    def read_settings(self, stated: Sequence[Setting], *, path: str) -> Settings:
        """All settings as values; InvalidInput names every one that is unknown, repeated or wrong."""
        return read_settings(self.settings, stated, path=path, of=f"the early stopping {self.name}")
