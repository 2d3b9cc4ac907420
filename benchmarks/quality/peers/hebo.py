"""HEBO with its own defaults. It knows no running trials, so a batch is suggested at once. Lists are categories."""

import numpy
import pandas
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers.hebo import HEBO

from peers.places import at_place, place_count


class Optimizer:
    """HEBO's suggest and observe."""

    def __init__(self, method, columns, *, seed, budget, parallel):
        self.columns = columns
        self.search = HEBO(DesignSpace().parse([self.dimension(c) for c in columns]), scramble_seed=seed)
        numpy.random.seed(seed)
        __import__("torch").manual_seed(seed)
        self.waiting = []
        self.running = []

    def dimension(self, c):
        count = place_count(c)
        if "values" in c:
            return {"name": c["name"], "type": "cat", "categories": [str(k) for k in range(count)]}
        if count is not None:
            return {"name": c["name"], "type": "int", "lb": 0, "ub": count - 1}
        kinds = {("int", False): "int", ("int", True): "pow_int", ("double", False): "num", ("double", True): "pow"}
        return {"name": c["name"], "type": kinds[c["kind"], c["log"]], "lb": c["low"], "ub": c["high"]}

    def ask(self, count):
        if not self.waiting:
            found = self.search.suggest(n_suggestions=count)
            self.waiting = [found.iloc[[k]] for k in range(len(found))]
        row = self.waiting.pop(0)
        self.running.append(row)
        values = [(c, row[c["name"]].iloc[0]) for c in self.columns]
        return [
            at_place(c, int(x)) if place_count(c) is not None else int(x) if c["kind"] == "int" else float(x)
            for c, x in values
        ]

    def tell(self, number, value):
        self.search.observe(pandas.DataFrame(self.running[number]), numpy.array([[value]]))
