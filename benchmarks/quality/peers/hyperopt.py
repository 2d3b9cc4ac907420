"""hyperopt's TPE with its own defaults; it does not look at running trials, and lists are categories to it."""

import math

import hyperopt
import numpy


class Optimizer:
    """hyperopt's `suggest`, one document after the other."""

    def __init__(self, method, columns, *, seed, budget, parallel):
        self.generator = numpy.random.default_rng(seed)
        self.columns = columns
        self.trials = hyperopt.Trials()
        self.domain = hyperopt.Domain(lambda config: 0.0, {c["name"]: self.dimension(c) for c in columns})
        self.documents = []

    def dimension(self, c):
        hp, name = hyperopt.hp, c["name"]
        if c["kind"] in ("categories", "numbers"):
            return hp.choice(name, list(range(len(c["values"]))))
        if c["log"]:
            low, high = math.log(c["low"]), math.log(c["high"])
            return hp.qloguniform(name, low, high, 1) if c["kind"] == "int" else hp.loguniform(name, low, high)
        if c["step"]:
            return hp.quniform(name, c["low"], c["high"], c["step"])
        return hp.uniform(name, c["low"], c["high"])

    def ask(self, count):
        identifier = self.trials.new_trial_ids(1)
        self.trials.refresh()
        seed = int(self.generator.integers(2**31 - 1))
        (document,) = hyperopt.tpe.suggest(identifier, self.domain, self.trials, seed)
        self.trials.insert_trial_docs([document])
        self.trials.refresh()
        self.documents.append(self.trials._dynamic_trials[-1])
        values = []
        for c in self.columns:
            value = document["misc"]["vals"][c["name"]][0]
            if "values" in c:
                values.append(c["values"][int(value)])
                continue
            value = min(max(float(value), c["low"]), c["high"])
            values.append(int(value) if c["kind"] == "int" else value)
        return values

    def tell(self, number, value):
        document = self.documents[number]
        document["state"] = hyperopt.JOB_STATE_DONE
        document["result"] = {"loss": value, "status": hyperopt.STATUS_OK}
        self.trials.refresh()
