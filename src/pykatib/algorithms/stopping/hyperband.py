"""Hyperband (Li et al., 2018) over reports: several sets of rungs, from one that stops early to one that never does.

Which early results tell the late ones is not known beforehand. So Trials are dealt to brackets: those of bracket s
meet their first rung at `max_resource` / `reduction_factor`^s reports, and are compared with Trials of their bracket
alone. As in the paper a bracket has the more Trials the earlier it stops. Which one a Trial belongs to depends on its
name and nothing else, so it is the same after a restart.
"""

import hashlib
import math

from pykatib.algorithms.stopping.curve import Curve, Watched
from pykatib.algorithms.stopping.rungs import Rungs
from pykatib.api.shared import EarlyStoppingRule


class HyperbandStop:
    """Brackets of rungs."""

    def __init__(self, watched: Watched, *, min_resource: int, max_resource: int, reduction_factor: int) -> None:
        self.watched = watched
        rungs = [max_resource]
        while rungs[-1] // reduction_factor >= min_resource:
            rungs.append(rungs[-1] // reduction_factor)
        rungs.reverse()
        most = len(rungs) - 1
        # The last of all reports is no rung: who has come there is through.
        self._rungs_of = [frozenset(rungs[most - bracket : most]) for bracket in range(most + 1)]
        self._weights = [
            math.ceil((most + 1) * reduction_factor**bracket / (bracket + 1)) for bracket in range(most + 1)
        ]
        self._brackets = [Rungs(watched, factor=reduction_factor) for _ in self._rungs_of]

    @property
    def brackets(self) -> list[tuple[int, ...]]:
        """The rungs of each bracket."""
        return [tuple(sorted(rungs)) for rungs in self._rungs_of]

    def bracket_of(self, trial: str) -> int:
        """The bracket that a Trial belongs to."""
        digest = hashlib.blake2b(trial.encode(), digest_size=8).digest()
        place = int.from_bytes(digest) % sum(self._weights)
        for bracket, weight in enumerate(self._weights):
            if place < weight:
                return bracket
            place -= weight
        raise AssertionError("the weights add up")

    def decides_at(self, trial: str, step: int) -> bool:
        """At the rungs of the Trial's bracket."""
        return step in self._rungs_of[self.bracket_of(trial)]

    def judge(self, trial: str, curve: Curve, step: int) -> str | None:
        """Stops a Trial that is not among the best of its bracket at a rung."""
        bracket = self.bracket_of(trial)
        reason = self._brackets[bracket].judge(trial, curve, step)
        return None if reason is None else f"{reason} of bracket {bracket}"

    def ended(self, trial: str, curve: Curve) -> None:
        """It stays on its rungs."""

    def forget(self, trial: str) -> None:
        """Takes it off its rungs."""
        self._brackets[self.bracket_of(trial)].forget(trial)

    def rule(self) -> EarlyStoppingRule | None:
        """None: a rule is made before the Trial's name is known, and so its bracket."""
        return None
