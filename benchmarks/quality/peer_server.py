"""Serves optimizers of other libraries over standard input and output, a JSON text a line. Runs in their interpreter.

    {"do": "start", "method": "optuna-tpe", "columns": […], "seed": 1}    {"do": "ask"}    {"do": "tell", …}

Knows nothing of pykatib, so that its interpreter needs the libraries only.
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")


class Optuna:
    """Optuna's samplers with their own defaults."""

    def __init__(self, method, columns, seed):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        samplers = optuna.samplers
        make = {
            "optuna-tpe": lambda: samplers.TPESampler(seed=seed, multivariate=False, constant_liar=True),
            "optuna-multivariate-tpe": lambda: samplers.TPESampler(
                seed=seed, multivariate=True, group=True, constant_liar=True
            ),
            "optuna-random": lambda: samplers.RandomSampler(seed=seed),
            "optuna-cmaes": lambda: samplers.CmaEsSampler(seed=seed),
            "optuna-gp": lambda: samplers.GPSampler(seed=seed),
        }
        self.study = optuna.create_study(sampler=make[method]())
        self.space = {c["name"]: self.distribution(c, optuna.distributions) for c in columns}

    def distribution(self, c, kinds):
        if c["kind"] == "list":
            return kinds.CategoricalDistribution(c["values"])
        if c["kind"] == "int":
            return kinds.IntDistribution(c["low"], c["high"], log=c["log"], step=1 if c["log"] else c["step"])
        return kinds.FloatDistribution(c["low"], c["high"], log=c["log"], step=None if c["log"] else c["step"])

    def ask(self):
        trial = self.study.ask(self.space)
        return [trial.params[name] for name in self.space]

    def tell(self, number, value):
        self.study.tell(number, value)


class Hyperopt:
    """hyperopt's TPE with its own defaults."""

    def __init__(self, method, columns, seed):
        import math

        import hyperopt
        import numpy

        self.hyperopt = hyperopt
        self.generator = numpy.random.default_rng(seed)
        self.columns = columns
        space = {}
        for c in columns:
            name = c["name"]
            if c["kind"] == "list":
                space[name] = hyperopt.hp.choice(name, list(range(len(c["values"]))))
            elif c["log"]:
                low, high = math.log(c["low"]), math.log(c["high"])
                whole = c["kind"] == "int"
                space[name] = (
                    hyperopt.hp.qloguniform(name, low, high, 1) if whole else hyperopt.hp.loguniform(name, low, high)
                )
            elif c["step"]:
                space[name] = hyperopt.hp.quniform(name, c["low"], c["high"], c["step"])
            else:
                space[name] = hyperopt.hp.uniform(name, c["low"], c["high"])
        self.trials = hyperopt.Trials()
        self.domain = hyperopt.Domain(lambda config: 0.0, space)
        self.documents = []

    def ask(self):
        identifier = self.trials.new_trial_ids(1)
        self.trials.refresh()
        seed = int(self.generator.integers(2**31 - 1))
        (document,) = self.hyperopt.tpe.suggest(identifier, self.domain, self.trials, seed)
        self.trials.insert_trial_docs([document])
        self.trials.refresh()
        self.documents.append(self.trials._dynamic_trials[-1])
        values = []
        for c in self.columns:
            value = document["misc"]["vals"][c["name"]][0]
            if c["kind"] == "list":
                values.append(c["values"][int(value)])
                continue
            value = min(max(float(value), c["low"]), c["high"])
            values.append(int(value) if c["kind"] == "int" else value)
        return values

    def tell(self, number, value):
        document = self.documents[number]
        document["state"] = self.hyperopt.JOB_STATE_DONE
        document["result"] = {"loss": value, "status": self.hyperopt.STATUS_OK}
        self.trials.refresh()


def serve():
    """Answers line by line until standard input ends."""
    out = sys.stdout
    sys.stdout = sys.stderr  # what libraries print
    current = None
    for line in sys.stdin:
        message = json.loads(line)
        answer = None
        if message["do"] == "start":
            kind = Optuna if message["method"].startswith("optuna") else Hyperopt
            current = kind(message["method"], message["columns"], message["seed"])
        elif message["do"] == "ask":
            answer = current.ask()
        else:
            current.tell(message["number"], message["value"])
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    serve()
