"""What runs worker jobs: the seam between the control plane and processes, functions, or a person's own loop.

A runner plays Job controller and kubelet for the jobs that it accepts: it follows the store, starts what has come,
ends what has gone, reports metrics while a job runs and writes the job's status when it has ended, in that order, so
that whoever sees a job completed can read all its metrics.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from pykatib.api.errors import FieldError
from pykatib.api.experiment import Experiment


class Runner(Protocol):
    """Runs worker jobs. One loop owns it."""

    def check(self, experiment: Experiment) -> Sequence[FieldError]:
        """What of an Experiment's template cannot be run here; nothing where all can."""
        ...

    def start(self) -> None:
        """Takes up the jobs that are in the store, after ending what is left of an earlier life."""
        ...

    def advance(self) -> bool:
        """Does what is due, without waiting; True when something was done and more may be."""
        ...

    def next_moment(self) -> float | None:
        """When it wants to be called though nobody wakes the loop; None for never."""
        ...

    def close(self, *, now: bool = False) -> None:
        """Ends all that runs, gently, or `now` at once."""
        ...


Wake = Callable[[], None]
"""Wakes the loop from another thread."""
