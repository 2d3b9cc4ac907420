"""scikit-optimize's Gaussian process (acquisitions hedged, as is its default); running trials get the best value so
far as a lie, its own strategy for batches. Lists are categories to it.
"""

import skopt

from peers.places import at_place, place_count


class Optimizer:
    """skopt.Optimizer with its own defaults."""

    def __init__(self, method, columns, *, seed, budget, parallel):
        self.columns = columns
        self.search = skopt.Optimizer([self.dimension(c) for c in columns], random_state=seed)
        self.points = []
        self.running = {}

    def dimension(self, c):
        count = place_count(c)
        if "values" in c:
            return skopt.space.Categorical(list(range(count)))
        if count is not None:
            return skopt.space.Integer(0, count - 1)
        kind = skopt.space.Integer if c["kind"] == "int" else skopt.space.Real
        return kind(c["low"], c["high"], prior="log-uniform" if c["log"] else "uniform")

    def ask(self, count):
        search = self.search
        if self.running and search._n_initial_points <= 0:
            search = search.copy(random_state=self.search.rng.randint(2**31 - 1))
            lie = min(self.search.yi)
            search.tell(list(self.running.values()), [lie] * len(self.running))
        point = search.ask()
        self.running[len(self.points)] = point
        self.points.append(point)
        return [
            at_place(c, int(x)) if place_count(c) is not None else int(x) if c["kind"] == "int" else float(x)
            for c, x in zip(self.columns, point, strict=True)
        ]

    def tell(self, number, value):
        self.search.tell(self.running.pop(number), value)
