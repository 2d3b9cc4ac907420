"""The first points, before there is a model: a Latin hypercube with the points far apart.

Each parameter is cut into as many equal shares as there are points, and each share is used once (McKay, Beckman and
Conover, "A comparison of three methods for selecting values of input variables", 1979). Of some such designs the one
is taken whose closest pair is farthest apart.
"""

import numpy as np

from pykatib.algorithms.encoding import Floats

_DESIGNS = 32
_MOST_COMPARED = 200  # points; beyond, comparing all pairs costs more than it gains


def latin_hypercube(count: int, width: int, generator: np.random.Generator) -> Floats:
    """`count` places of the unit cube."""
    best, farthest = np.empty((count, width)), -1.0
    for _ in range(_DESIGNS if 2 <= count <= _MOST_COMPARED else 1):
        shares = np.argsort(generator.random((count, width)), axis=0)
        places = (shares + generator.random((count, width))) / count
        distance = _closest(places) if 2 <= count <= _MOST_COMPARED else 0.0
        if distance > farthest:
            best, farthest = places, distance
    return best


def _closest(places: Floats) -> float:
    squares = np.sum((places[:, None, :] - places[None, :, :]) ** 2, axis=2)
    squares[np.diag_indices(len(places))] = np.inf
    return float(squares.min())
