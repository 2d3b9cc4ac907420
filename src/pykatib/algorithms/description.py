"""How an algorithm describes itself: name, settings with their rules, what it promises, and how it is made.

A description is light: it is read for help texts, documentation and validation without importing what the algorithm
needs to run. A package of others offers one as an entry point of the group `pykatib.algorithms`, under the algorithm's
name.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Literal, Protocol, TypeAlias, cast

import msgspec

from pykatib.algorithms.contract import Algorithm
from pykatib.algorithms.problem import Problem
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.objectives import OBJECTIVES_SETTING
from pykatib.api.shared import Setting

SettingValue: TypeAlias = int | float | str | bool
SettingKind: TypeAlias = Literal["int", "float", "bool", "text"]
Bound: TypeAlias = int | float

SEVERAL = ("motpe", "nsga2", "default")
"""The algorithms that have the setting `objectives`."""


class SettingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. `default` is None where there is no value without one; `help` says what that means."""

    name: str
    kind: SettingKind
    help: str
    default: SettingValue | None = None
    at_least: Bound | None = None
    above: Bound | None = None
    at_most: Bound | None = None
    below: Bound | None = None
    choices: tuple[str, ...] = ()
    allows_none: bool = False  # the text `None` means: without a value (Katib's architecture search)

    @property
    def expected(self) -> str:
        """What the setting accepts, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        text = {"int": "a whole number", "float": "a number", "bool": "true or false", "text": "a text"}[self.kind]
        limits = (("at least", self.at_least), ("above", self.above), ("at most", self.at_most), ("below", self.below))
        stated = [f"{word} {limit}" for word, limit in limits if limit is not None]
        text = " ".join([text, " and ".join(stated)]) if stated else text
        return f"{text}, or None" if self.allows_none else text

    def parse(self, text: str) -> SettingValue | None:
        """The value of a text; ValueError says what was expected."""
        if self.allows_none and text == "None":
            return None
        try:
            value = _READERS[self.kind](text.strip())
        except ValueError:
            raise ValueError(f"must be {self.expected}, found {text!r}") from None
        if not self._accepts(value):
            raise ValueError(f"must be {self.expected}, found {text!r}")
        return value

    def _accepts(self, value: SettingValue) -> bool:
        if isinstance(value, str):
            return not self.choices or value in self.choices
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_READERS: dict[SettingKind, Callable[[str], SettingValue]] = {"int": int, "float": float, "bool": _bool, "text": str}

Settings: TypeAlias = Mapping[str, SettingValue | None]
"""Every setting of an algorithm by name: what the Experiment says, else the default."""


class Create(Protocol):
    """Makes an algorithm; a class whose constructor takes these is one."""

    def __call__(self, problem: Problem, settings: Settings, *, seed: int) -> Algorithm: ...


class Rule(Protocol):
    """What else must hold of an Experiment; yields mistakes with their paths."""

    def __call__(self, problem: Problem, settings: Settings) -> Sequence[FieldError]: ...


class Searched(Protocol):
    """The problem that is really searched, where a setting makes it another than what the manifest says."""

    def __call__(self, problem: Problem, settings: Settings) -> Problem: ...


def as_stated(problem: Problem, settings: Settings) -> Problem:
    """The problem of the manifest."""
    return problem


class AlgorithmInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One search algorithm."""

    name: str
    summary: str
    create: Create
    settings: tuple[SettingInfo, ...] = ()
    rules: tuple[Rule, ...] = ()
    searched: Searched = as_stated
    one_by_one: bool = False  # ask(2) proposes what ask(1) and ask(1) would
    exhausts: bool = False  # proposes each point of a finite space once, then none
    architecture: bool = False  # searches `nasConfig` instead of `parameters`
    open_settings: bool = False  # takes settings that it does not know, and hands them on

    def read_settings(self, stated: Sequence[Setting], *, path: str) -> Settings:
        """All settings as values; InvalidInput names every one that is unknown, repeated or wrong."""
        return read_settings(
            self.settings, stated, path=path, of=f"the algorithm {self.name}", takes_others=self.open_settings
        )


def read_settings(
    known: Sequence[SettingInfo], stated: Sequence[Setting], *, path: str, of: str, takes_others: bool = False
) -> Settings:
    """All settings as values, what is stated or else the default; InvalidInput names every mistake.

    `of` says in messages whose settings they are. With `takes_others` an unknown one is no mistake but a text.
    """
    info_by_name = {setting.name: setting for setting in known}
    values: dict[str, SettingValue | None] = {setting.name: setting.default for setting in known}
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, setting in enumerate(stated):
        info = info_by_name.get(setting.name)
        if info is None and not takes_others:
            hint = f" of {of}; {nearest(setting.name, list(info_by_name))}" if known else f": {of} has none"
            if setting.name == OBJECTIVES_SETTING:
                hint = f": {of} looks at one metric; {', '.join(SEVERAL[:-1])} and {SEVERAL[-1]} take several"
            errors.append(FieldError(f"{path}[{index}].name", f"unknown setting {setting.name!r}{hint}"))
        elif setting.name in seen:
            errors.append(FieldError(f"{path}[{index}].name", f"{setting.name} is set more than once"))
        elif info is None:
            values[setting.name] = setting.value
        else:
            try:
                values[setting.name] = info.parse(setting.value)
            except ValueError as problem:
                errors.append(FieldError(f"{path}[{index}].value", f"{setting.name} {problem}"))
        seen.add(setting.name)
    if errors:
        raise InvalidInput(errors)
    return values


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a name that is not known: the ones it may have meant, else all there are."""
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"


def from_module(module: str, name: str) -> Create:
    """A maker that imports its module when it is first used."""

    def create(problem: Problem, settings: Settings, *, seed: int) -> Algorithm:
        maker = cast(Create, getattr(import_module(module), name))
        return maker(problem, settings, seed=seed)

    return create
