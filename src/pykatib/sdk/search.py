"""The search space in Python: what each parameter may be.

from pykatib import search

parameters = {
    "lr": search.double(1e-4, 1e-1, log=True),
    "layers": search.int(1, 8),
    "optimizer": search.categorical(["sgd", "adam"]),
}
"""

import builtins
from collections.abc import Sequence
from typing import Any

import msgspec

from pykatib.api import names
from pykatib.api.experiment import FeasibleSpace, ParameterSpec


class Dimension(msgspec.Struct, frozen=True):
    """One parameter of a search space, not yet named; `choices` are the listed values as Python objects."""

    parameter_type: str
    feasible_space: FeasibleSpace
    choices: tuple[Any, ...] = ()

    def spec(self, name: str) -> ParameterSpec:
        """The parameter as an Experiment states it."""
        return ParameterSpec(name, self.parameter_type, self.feasible_space)

    def value_of(self, text: str) -> Any:
        """The Python value that an assignment's text stands for."""
        if self.parameter_type == names.DOUBLE:
            return float(text)
        if self.parameter_type == names.INT:
            return builtins.int(text)
        return self.choices[self.feasible_space.values.index(text)]


def _range(kind: str, low: float, high: float, step: float | None, log: bool, distribution: str | None) -> Dimension:
    if log and distribution is not None:
        raise ValueError("say log=True or a distribution, not both")
    chosen = names.LOG_UNIFORM if log else distribution or names.UNIFORM
    space = FeasibleSpace(
        max=_text(high), min=_text(low), step="" if step is None else _text(step), distribution=chosen
    )
    return Dimension(kind, space)


def _text(value: Any) -> str:
    return str(value.item() if hasattr(value, "item") else value)


def double(
    min: float,  # noqa: A002 - Katib's names
    max: float,  # noqa: A002
    step: float | None = None,
    *,
    log: bool = False,
    distribution: str | None = None,
) -> Dimension:
    """A float between `min` and `max`, both included.

    Args:
        min: the least value.
        max: the greatest value.
        step: distance of the values from `min` on; any value when None.
        log: search on a logarithmic scale (`logUniform`).
        distribution: `uniform`, `logUniform`, `normal` or `logNormal` instead; the normal ones are centred on the
            range, three standard deviations to each side, and cut off at its ends.
    """
    return _range(names.DOUBLE, min, max, step, log, distribution)


def int(  # noqa: A001 - Katib's name
    min: builtins.int,  # noqa: A002
    max: builtins.int,  # noqa: A002
    step: builtins.int | None = None,
    *,
    log: bool = False,
    distribution: str | None = None,
) -> Dimension:
    """A whole number between `min` and `max`, both included; arguments as for `double`."""
    return _range(names.INT, min, max, step, log, distribution)


def categorical(list: Sequence[Any]) -> Dimension:  # noqa: A002
    """One of the listed values, which have no order. They may be any objects; the function gets them as they are."""
    return _listed(names.CATEGORICAL, list)


def discrete(list: Sequence[float]) -> Dimension:  # noqa: A002
    """One of the listed numbers."""
    return _listed(names.DISCRETE, list)


def _listed(kind: str, values: Sequence[Any]) -> Dimension:
    if isinstance(values, str | bytes):
        raise ValueError(f"found the text {values!r} where a list of values is wanted")
    choices = tuple(values)
    texts = tuple(value if isinstance(value, str) else _text(value) for value in choices)
    if len(set(texts)) != len(texts):
        raise ValueError(f"the values {choices!r} are not all different as text, which is how Trials name them")
    return Dimension(kind, FeasibleSpace(values=texts), choices)
