"""Optuna's samplers with their own defaults; lists, also of numbers, are categories, as it has no ordered ones."""

import optuna

SAMPLERS = {
    "optuna-tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=False, constant_liar=True),
    "optuna-multivariate-tpe": lambda seed: optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True
    ),
    "optuna-random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "optuna-cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
    "optuna-gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}


class Optimizer:
    """A study that is asked and told; running trials are in it."""

    def __init__(self, method, columns, *, seed, budget, parallel):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(sampler=SAMPLERS[method](seed))
        self.space = {c["name"]: self.distribution(c) for c in columns}

    def distribution(self, c):
        kinds = optuna.distributions
        if c["kind"] in ("categories", "numbers"):
            return kinds.CategoricalDistribution(c["values"])
        if c["kind"] == "int":
            return kinds.IntDistribution(c["low"], c["high"], log=c["log"], step=1 if c["log"] else c["step"])
        return kinds.FloatDistribution(c["low"], c["high"], log=c["log"], step=None if c["log"] else c["step"])

    def ask(self, count):
        trial = self.study.ask(self.space)
        return [trial.params[name] for name in self.space]

    def tell(self, number, value):
        self.study.tell(number, value)
