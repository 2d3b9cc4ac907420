"""What a search algorithm is: `ask` and `tell` over plain values.

The law (tested for every algorithm by `pykatib.algorithms.conformance`): *cold equals warm*. A fresh instance that is
told the whole history, in any order, answers the next `ask` as the instance that lived through it. So randomness comes
from a generator derived from the seed and the number of the proposal (`Ask.issued` + its place in the batch), never
from state hidden in memory. Algorithms do no I/O, read no clock and start no thread.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

ParameterValue: TypeAlias = float | int | str
"""A double is a float, an int an int; discrete and categorical values are the very texts of the manifest's list."""

Outcome: TypeAlias = Literal["succeeded", "early-stopped", "failed", "killed", "metrics-unavailable"]


class ProposedTrial(msgspec.Struct, frozen=True, gc=False):
    """A Trial that has been proposed and has not finished. `index` counts proposals from 0."""

    index: int
    name: str
    values: tuple[ParameterValue, ...]
    labels: Mapping[str, str] | None = None


class FinishedTrial(msgspec.Struct, frozen=True, gc=False):
    """A Trial that has ended. `values` in the order of the space; `metrics` holds what parsed as numbers.

    `objective` is None where the Trial has none (failed, killed, no metrics); it may be NaN or infinite.
    """

    index: int
    name: str
    values: tuple[ParameterValue, ...]
    outcome: Outcome
    objective: float | None
    metrics: Mapping[str, float] = {}
    labels: Mapping[str, str] | None = None


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """One set of values to try, in the order of the space."""

    values: tuple[ParameterValue, ...]
    labels: Mapping[str, str] | None = None


class Ask(msgspec.Struct, frozen=True, gc=False):
    """A request for proposals: `count` more, after `issued` handed out so far, while `active` are still running."""

    count: int
    issued: int
    active: tuple[ProposedTrial, ...] = ()


class Algorithm(Protocol):
    """A search algorithm at work on one Experiment."""

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """Up to `request.count` proposals; fewer means that there are no more to come, ever."""
        ...

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Takes notice of Trials that have ended; each is told once, in any order."""
        ...
