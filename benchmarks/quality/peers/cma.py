"""The package `cma`: numeric spaces only. Starts in the middle with a quarter of the range, as its manual says, and
starts anew with twice the population when it stops itself. Lists of numbers are whole numbers to it.
"""

import math

import cma
import numpy

from peers.places import at_place, place_count


class Optimizer:
    """Generations are handed out point by point and told when all of one are there."""

    def __init__(self, method, columns, *, seed, budget, parallel):
        self.columns = columns
        self.generator = numpy.random.default_rng(seed)
        self.population = 4 + int(3 * math.log(len(columns)))
        self.ranges = [self.range(c) for c in columns]
        self.whole = [k for k, c in enumerate(columns) if place_count(c) is not None or c["kind"] == "int"]
        self.waiting = []
        self.generation = {}
        self.told = {}
        self.count = 0
        self.search = self.start([(low + high) / 2 for low, high in self.ranges])

    def range(self, c):
        if c["kind"] == "categories":
            raise ValueError("cma knows no categories")
        count = place_count(c)
        if count is not None:
            return -0.5, count - 0.5
        edge = 0.5 if c["kind"] == "int" else 0.0
        if c["log"]:
            return math.log(max(c["low"] - edge, c["low"] / 2)), math.log(c["high"] + edge)
        return c["low"] - edge, c["high"] + edge

    def start(self, middle):
        counted = [k for k in self.whole if not self.columns[k].get("log")]
        options = {
            "bounds": [list(edge) for edge in zip(*self.ranges, strict=True)],
            "CMA_stds": [(high - low) / 4 for low, high in self.ranges],
            "popsize": self.population,
            "seed": int(self.generator.integers(1, 2**31 - 1)),
            "verbose": -9,
        }
        if counted:
            options["integer_variables"] = counted
        return cma.CMAEvolutionStrategy(middle, 1.0, options)

    def ask(self, count):
        if not self.waiting and not self.generation:
            if self.search.stop():
                self.population *= 2
                self.search = self.start([self.generator.uniform(low, high) for low, high in self.ranges])
            self.waiting = list(self.search.ask())
        # A generation that is out but not told is enlarged.
        point = self.waiting.pop(0) if self.waiting else self.search.ask(1)[0]
        self.generation[self.count] = point
        self.count += 1
        return [self.value(c, float(x)) for c, x in zip(self.columns, point, strict=True)]

    def value(self, c, x):
        count = place_count(c)
        if count is not None:
            return at_place(c, min(max(round(x), 0), count - 1))
        x = math.exp(x) if c["log"] else x
        x = min(max(x, c["low"]), c["high"])
        return min(max(round(x), c["low"]), c["high"]) if c["kind"] == "int" else x

    def tell(self, number, value):
        self.told[number] = value
        if not self.waiting and len(self.told) == len(self.generation):
            order = sorted(self.generation)
            self.search.tell([self.generation[k] for k in order], [self.told[k] for k in order])
            self.generation, self.told = {}, {}
