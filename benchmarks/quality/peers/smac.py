"""SMAC3's two facades with their own defaults: `smac` is the one for hyperparameters (random forest), `smac-blackbox`
the one with a Gaussian process. Lists of numbers are ordinal to it.
"""

import logging
import tempfile

import ConfigSpace
import smac
from smac.runhistory.dataclasses import TrialValue

from peers.places import at_place, place_count

FACADES = {"smac": smac.HyperparameterOptimizationFacade, "smac-blackbox": smac.BlackBoxFacade}


class Optimizer:
    """SMAC's ask and tell; configurations that are out are in its run history as running."""

    def __init__(self, method, columns, *, seed, budget, parallel):
        logging.disable(logging.WARNING)
        self.columns = columns
        self.folder = tempfile.TemporaryDirectory()
        space = ConfigSpace.ConfigurationSpace(seed=seed)
        space.add([self.dimension(c) for c in columns])
        scenario = smac.Scenario(
            space, output_directory=self.folder.name, deterministic=True, n_trials=budget, seed=seed
        )
        self.search = FACADES[method](scenario, lambda config, seed: 0.0, logging_level=False, overwrite=True)
        self.trials = []

    def dimension(self, c):
        count = place_count(c)
        if c["kind"] == "categories":
            return ConfigSpace.CategoricalHyperparameter(c["name"], list(range(count)))
        if c["kind"] == "numbers":
            return ConfigSpace.OrdinalHyperparameter(c["name"], list(range(count)))
        if count is not None:
            return ConfigSpace.UniformIntegerHyperparameter(c["name"], 0, count - 1)
        whole = c["kind"] == "int"
        kind = ConfigSpace.UniformIntegerHyperparameter if whole else ConfigSpace.UniformFloatHyperparameter
        return kind(c["name"], c["low"], c["high"], log=c["log"])

    def ask(self, count):
        try:
            trial = self.search.ask()
        except StopIteration:
            return None
        self.trials.append(trial)
        found = [(c, trial.config[c["name"]]) for c in self.columns]
        return [
            at_place(c, int(x)) if place_count(c) is not None else int(x) if c["kind"] == "int" else float(x)
            for c, x in found
        ]

    def tell(self, number, value):
        self.search.tell(self.trials[number], TrialValue(cost=value))
