"""Google Vizier's default, a Gaussian process with UCB and pure exploration. Lists of numbers are discrete to it.

With JAX's 32 bits, which are JAX's default, the third proposal of five doubles has no values; hence 64.
"""

import jax
from vizier import algorithms, pyvizier
from vizier._src.algorithms.designers.gp_ucb_pe import VizierGPUCBPEBandit

from peers.places import at_place, place_count

jax.config.update("jax_enable_x64", True)


class Optimizer:
    """A designer that is told finished and running trials."""

    def __init__(self, method, columns, *, seed, budget, parallel):
        self.columns = columns
        statement = pyvizier.ProblemStatement()
        for c in columns:
            self.add(statement.search_space.root, c)
        statement.metric_information.append(
            pyvizier.MetricInformation(name="loss", goal=pyvizier.ObjectiveMetricGoal.MINIMIZE)
        )
        self.search = VizierGPUCBPEBandit(statement, rng=jax.random.PRNGKey(seed))
        self.trials = []
        self.fresh = []
        self.running = {}

    def add(self, root, c):
        count = place_count(c)
        if c["kind"] == "categories":
            root.add_categorical_param(c["name"], [str(k) for k in range(count)])
        elif count is not None:
            root.add_discrete_param(
                c["name"], c["numbers"] if "values" in c else [at_place(c, k) for k in range(count)]
            )
        elif c["kind"] == "int":
            scale = pyvizier.ScaleType.LOG if c["log"] else pyvizier.ScaleType.LINEAR
            root.add_int_param(c["name"], c["low"], c["high"], scale_type=scale)
        else:
            scale = pyvizier.ScaleType.LOG if c["log"] else pyvizier.ScaleType.LINEAR
            root.add_float_param(c["name"], c["low"], c["high"], scale_type=scale)

    def ask(self, count):
        self.search.update(
            algorithms.CompletedTrials(self.fresh), algorithms.ActiveTrials([self.trials[k] for k in self.running])
        )
        self.fresh = []
        trial = self.search.suggest(1)[0].to_trial(len(self.trials) + 1)
        self.running[len(self.trials)] = trial
        self.trials.append(trial)
        return [self.value(c, trial.parameters.get_value(c["name"])) for c in self.columns]

    def value(self, c, found):
        if c["kind"] == "categories":
            return c["values"][int(found)]
        if "values" in c:
            return min(zip(c["numbers"], c["values"], strict=True), key=lambda pair: abs(pair[0] - found))[1]
        return int(found) if c["kind"] == "int" else float(found)

    def tell(self, number, value):
        trial = self.running.pop(number)
        trial.complete(pyvizier.Measurement(metrics={"loss": value}))
        self.fresh.append(trial)
