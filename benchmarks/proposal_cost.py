"""What a proposal costs with 100, 1,000 and 10,000 Trials told: milliseconds of CPU, beside Optuna's samplers.

    python benchmarks/proposal_cost.py [--counts 100 1000 10000] [--peer-python PEERS/bin/python]

The space is that of the other benchmarks: three doubles, an int, a list. Each proposal is told before the next is asked
for, so what telling costs is part of it. The first proposal after the history, which an instance pays once when it is
told everything at a time, is not counted.
"""

import argparse
import statistics
import subprocess
import time

import numpy as np

from pykatib.algorithms import registry
from pykatib.algorithms.contract import Ask, FinishedTrial
from pykatib.algorithms.problem import Problem
from pykatib.algorithms.space import Point, SearchSpace
from pykatib.api.experiment import FeasibleSpace, ParameterSpec
from pykatib.api.shared import ObjectiveSpec

PROPOSALS = 20
SPACE = SearchSpace.from_specs(
    [
        ParameterSpec("x", "double", FeasibleSpace(min="-5", max="5")),
        ParameterSpec("y", "double", FeasibleSpace(min="-5", max="5")),
        ParameterSpec("lr", "double", FeasibleSpace(min="1e-5", max="0.1", distribution="logUniform")),
        ParameterSpec("layers", "int", FeasibleSpace(min="1", max="8")),
        ParameterSpec("optimizer", "categorical", FeasibleSpace(values=("sgd", "adam", "ftrl"))),
    ]
)

PEER = """
import sys, time, warnings
warnings.simplefilter("ignore")
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
d = optuna.distributions
space = {
    "x": d.FloatDistribution(-5, 5), "y": d.FloatDistribution(-5, 5), "lr": d.FloatDistribution(1e-5, 0.1, log=True),
    "layers": d.IntDistribution(1, 8), "optimizer": d.CategoricalDistribution(("sgd", "adam", "ftrl")),
}
def value(p):
    return p["x"] ** 2 + p["y"] ** 2 + abs(p["layers"] - 3)
count, proposals, multivariate = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
trials = []
for _ in range(count):
    trial = study.ask(space)
    trials.append(optuna.trial.create_trial(params=trial.params, distributions=space, value=value(trial.params)))
study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1, multivariate=multivariate))
study.add_trials(trials)
spent = []
for turn in range(proposals + 1):
    began = time.process_time()
    trial = study.ask(space)
    study.tell(trial, value(trial.params))
    spent.append(time.process_time() - began)
print(*spent[1:])
"""


def value(point: Point) -> float:
    """A bowl."""
    return float(point[0]) ** 2 + float(point[1]) ** 2 + abs(float(point[3]) - 3)


def ours(name: str, count: int) -> list[float]:
    """Seconds of CPU for some proposals, each with what telling it costs."""
    info = registry.info(name)
    problem = Problem(
        space=SPACE,
        objective=ObjectiveSpec(type="minimize", objective_metric_name="loss"),
        max_trial_count=count + PROPOSALS + 1,
        parallel_trial_count=1,
    )
    algorithm = info.create(problem, info.read_settings((), path="settings"), seed=1)
    generator = np.random.default_rng(1)
    points = [SPACE.sample(generator) for _ in range(count)]
    algorithm.tell([FinishedTrial(k, f"t{k}", point, "succeeded", value(point)) for k, point in enumerate(points)])
    spent: list[float] = []
    for index in range(count, count + PROPOSALS + 1):
        began = time.process_time()
        point = algorithm.ask(Ask(1, index))[0].values
        algorithm.tell([FinishedTrial(index, f"t{index}", point, "succeeded", value(point))])
        spent.append(time.process_time() - began)
    return spent[1:]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--algorithms", nargs="+", help="only these")
    parser.add_argument("--peer-python", help="an interpreter that has Optuna")
    options = parser.parse_args()
    print(f"{'milliseconds a proposal with':32}" + "".join(f"{count:>10,}" for count in options.counts) + "  Trials")
    infos = [registry.info(name) for name in options.algorithms or registry.names()]
    for info in infos:
        problem = Problem(space=SPACE, objective=ObjectiveSpec())
        settings = info.read_settings((), path="settings")
        if info.architecture or any(rule(problem, settings) for rule in info.rules):
            continue
        line = [statistics.median(ours(info.name, count)) for count in options.counts]
        print(f"  {info.name:30}" + "".join(f"{1000 * seconds:10.2f}" for seconds in line))
    if options.peer_python:
        for multivariate in (False, True):
            line = []
            for count in options.counts:
                command = [options.peer_python, "-c", PEER, str(count), str(PROPOSALS), str(multivariate)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                line.append(statistics.median(float(text) for text in output.split()))
            name = f"Optuna TPE{', multivariate' if multivariate else ''}"
            print(f"  {name:30}" + "".join(f"{1000 * seconds:10.2f}" for seconds in line))


if __name__ == "__main__":
    main()
