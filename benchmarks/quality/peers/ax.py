"""Ax with BoTorch, as its Client chooses: a design of Sobol points, then a Gaussian process. Lists of numbers and steps
are ordered choices to it.
"""

import logging

from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

from peers.places import at_place, place_count


class Optimizer:
    """Ax's Client; running trials are in it."""

    def __init__(self, method, columns, *, seed, budget, parallel):
        logging.disable(logging.WARNING)
        self.columns = columns
        self.client = Client(random_seed=seed)
        self.client.configure_experiment([self.dimension(c) for c in columns])
        self.client.configure_optimization("-loss")
        self.client.configure_generation_strategy(method="fast", initialization_random_seed=seed)
        self.indices = []

    def dimension(self, c):
        count = place_count(c)
        if c["kind"] == "categories":
            return ChoiceParameterConfig(c["name"], [str(k) for k in range(count)], "str", is_ordered=False)
        if count is not None:
            return ChoiceParameterConfig(c["name"], list(range(count)), "int", is_ordered=True)
        return RangeParameterConfig(
            c["name"],
            (c["low"], c["high"]),
            "int" if c["kind"] == "int" else "float",
            scaling="log" if c["log"] else "linear",
        )

    def ask(self, count):
        ((index, found),) = self.client.get_next_trials(1).items()
        self.indices.append(index)
        return [
            at_place(c, int(found[c["name"]])) if place_count(c) is not None else found[c["name"]] for c in self.columns
        ]

    def tell(self, number, value):
        self.client.complete_trial(self.indices[number], {"loss": value})
