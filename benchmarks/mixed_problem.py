"""The search that the throughput benchmarks share: five parameters of mixed kinds and an objective of no cost.

Only the standard library is used here, for the peers' interpreters import it too.
"""

import math
from collections.abc import Mapping
from typing import Any

X = (-5.0, 5.0)
Y = (-5.0, 5.0)
LEARNING_RATE = (1e-5, 1e-1)  # searched on a logarithmic scale
LAYERS = (1, 8)
OPTIMIZERS = ("sgd", "adam", "ftrl")


def objective(parameters: Mapping[str, Any]) -> float:
    """A bowl; least at x = 1, y = -2, lr = 1e-3, layers = 3, optimizer = adam."""
    value: float = (parameters["x"] - 1) ** 2 + (parameters["y"] + 2) ** 2
    value += (math.log10(parameters["lr"]) + 3) ** 2 + (parameters["layers"] - 3) ** 2
    return value + 0.1 * OPTIMIZERS.index(parameters["optimizer"])
