"""What an early stopping method is: it looks at curves and says which Trials need not go on.

One instance serves one Experiment. It is told of each step of each curve once, in the order of steps, and of Trials
that have ended; what it keeps of them is so ordered that it does not matter who reported first, and a fresh instance
that is told everything again decides as the one that lived through it. Methods do no I/O, read no clock and start no
thread. A step costs the same however many Trials there are: nobody looks through all of them.
"""

from typing import Protocol

from pykatib.algorithms.stopping.curve import Curve, Watched
from pykatib.api.shared import EarlyStoppingRule


class Stopping(Protocol):
    """An early stopping method at work on one Experiment."""

    @property
    def watched(self) -> Watched:
        """The metric that it looks at."""
        ...

    def decides_at(self, trial: str, step: int) -> bool:
        """Whether it has an opinion about a Trial at this step. Between two such steps the last one stands."""
        ...

    def judge(self, trial: str, curve: Curve, step: int) -> str | None:
        """Takes notice that a curve has come to a step at which it decides; why to stop the Trial, None to go on."""
        ...

    def ended(self, trial: str, curve: Curve) -> None:
        """The Trial has succeeded, or was stopped early: its curve is whole, or as long as it will get."""
        ...

    def forget(self, trial: str) -> None:
        """Takes back what `judge` has noted of a Trial: it runs anew, is told again, or is gone."""
        ...

    def rule(self) -> EarlyStoppingRule | None:
        """What it would hold against a Trial that starts now, as far as one of Katib's rules can say it."""
        ...
