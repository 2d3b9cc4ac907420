"""Nevergrad: `nevergrad-ngopt` is its own choice by space and budget, `nevergrad-oneplusone` the plain evolution
strategy. Lists of numbers are choices with transitions to the neighbours.
"""

import nevergrad

from peers.places import at_place, place_count

KINDS = {"nevergrad-ngopt": "NGOpt", "nevergrad-oneplusone": "OnePlusOne"}


class Optimizer:
    """Nevergrad's ask and tell; it counts running candidates by the number of workers."""

    def __init__(self, method, columns, *, seed, budget, parallel):
        self.columns = columns
        space = nevergrad.p.Dict(**{c["name"]: self.dimension(c) for c in columns})
        space.random_state.seed(seed)
        kind = nevergrad.optimizers.registry[KINDS[method]]
        self.search = kind(space, budget=budget, num_workers=parallel)
        self.candidates = []

    def dimension(self, c):
        count = place_count(c)
        if c["kind"] == "categories":
            return nevergrad.p.Choice(list(range(count)))
        if count is not None:
            return nevergrad.p.TransitionChoice(list(range(count)))
        kind = nevergrad.p.Log if c["log"] else nevergrad.p.Scalar
        made = kind(lower=c["low"], upper=c["high"])
        return made.set_integer_casting() if c["kind"] == "int" else made

    def ask(self, count):
        candidate = self.search.ask()
        self.candidates.append(candidate)
        found = [(c, candidate.value[c["name"]]) for c in self.columns]
        return [
            at_place(c, int(x)) if place_count(c) is not None else int(x) if c["kind"] == "int" else float(x)
            for c, x in found
        ]

    def tell(self, number, value):
        self.search.tell(self.candidates[number], value)
