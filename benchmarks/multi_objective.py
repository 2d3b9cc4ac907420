"""Several objectives: the hypervolume that `motpe` and `nsga2` reach, beside Optuna's TPE and NSGA-II.

    python benchmarks/multi_objective.py run motpe nsga2 random --seeds 10 >> found.jsonl
    /path/to/peers/bin/python benchmarks/multi_objective.py run optuna-tpe optuna-nsga2 --seeds 10 >> found.jsonl
    python benchmarks/multi_objective.py table found.jsonl

The peers have an environment of their own (`pip install optuna==5.0.0`); one line of JSON a run, one thread, no
parallel Trials. A figure is the hypervolume between what was found and a fixed point, as a share of what the true front
has; of the mixed problem, of what all runs together have found. ZDT and DTLZ are the functions of Zitzler, Deb and
Thiele (2000) and of Deb, Thiele, Laumanns and Zitzler (2002), with 10 and 7 parameters; the mixed one is made here.
"""

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

BUDGETS = (50, 100, 200)


class Parameter(NamedTuple):
    """A double or an int of a range, or an entry of a list."""

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    entries: tuple[str, ...] = ()


class Problem(NamedTuple):
    """What is minimised; `reference` is the point that hypervolumes are measured from."""

    parameters: tuple[Parameter, ...]
    losses: Callable[[dict[str, Any]], Sequence[float]]
    reference: tuple[float, ...]
    best: float | None  # the hypervolume of the true front; None where nobody knows


def doubles(count: int) -> tuple[Parameter, ...]:
    return tuple(Parameter(f"x{index}") for index in range(count))


def zdt(shape: Callable[[float, float], float]) -> Callable[[dict[str, Any]], Sequence[float]]:
    def losses(values: dict[str, Any]) -> Sequence[float]:
        first, *rest = values.values()
        g = 1 + 9 * mean(rest)
        return first, g * shape(first, g)

    return losses


def dtlz2(values: dict[str, Any]) -> Sequence[float]:
    one, two, *rest = values.values()
    g = 1 + sum((x - 0.5) ** 2 for x in rest)
    a, b = one * math.pi / 2, two * math.pi / 2
    return g * math.cos(a) * math.cos(b), g * math.cos(a) * math.sin(b), g * math.sin(a)


def network(values: dict[str, Any]) -> Sequence[float]:
    """Made up: the error and the cost of a network; its best learning rate depends on the optimizer and the depth."""
    size = values["layers"] * values["units"]
    best_rate = {"sgd": -1.5, "momentum": -2.0, "adam": -3.0}[values["optimizer"]] - 0.08 * values["layers"]
    capacity = math.log2(size) / 12
    error = 0.05 + 0.6 * (1 - min(capacity, 1)) ** 2
    error += 0.08 * (math.log10(values["rate"]) - best_rate) ** 2
    error += {"relu": 0.0, "gelu": 0.01, "tanh": 0.05}[values["activation"]]
    error += 0.3 * (values["dropout"] - 0.4 * capacity) ** 2
    cost = math.log10(size * {"sgd": 1.0, "momentum": 1.5, "adam": 2.0}[values["optimizer"]])
    return min(error, 1.5), cost + {"relu": 0.0, "gelu": 0.1, "tanh": 0.05}[values["activation"]]


ZDT_REFERENCE = (1.1, 6.0)
_FRONT = [index / 5000 for index in range(5001)]


def zdt1(f: float, g: float) -> float:
    return 1 - math.sqrt(f / g)


def zdt2(f: float, g: float) -> float:
    return 1 - (f / g) ** 2


def zdt3(f: float, g: float) -> float:
    return 1 - math.sqrt(f / g) - f / g * math.sin(10 * math.pi * f)


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that two or three losses dominate, up to the reference."""
    inside = sorted(
        point for point in set(map(tuple, points)) if all(a < b for a, b in zip(point, reference, strict=True))
    )
    if len(reference) == 2:
        total, least = 0.0, reference[1]
        for first, second in inside:
            if second < least:
                total += (reference[0] - first) * (least - second)
                least = second
        return total
    levels = sorted(inside, key=lambda point: point[-1])
    total = 0.0
    for place, point in enumerate(levels):
        above = levels[place + 1][-1] if place + 1 < len(levels) else reference[-1]
        if above > point[-1]:
            total += (above - point[-1]) * hypervolume([each[:-1] for each in levels[: place + 1]], reference[:-1])
    return total


def zdt_problem(shape: Callable[[float, float], float]) -> Problem:
    best = hypervolume([(f, shape(f, 1.0)) for f in _FRONT], ZDT_REFERENCE)
    return Problem(doubles(10), zdt(shape), ZDT_REFERENCE, best)


PROBLEMS: dict[str, Problem] = {
    "ZDT1": zdt_problem(zdt1),
    "ZDT2": zdt_problem(zdt2),
    "ZDT3": zdt_problem(zdt3),
    "DTLZ2": Problem(doubles(7), dtlz2, (1.5, 1.5, 1.5), 1.5**3 - math.pi / 6),
    "mixed": Problem(
        (
            Parameter("layers", 1, 8, whole=True),
            Parameter("units", 8, 512, log=True, whole=True),
            Parameter("rate", 1e-5, 1.0, log=True),
            Parameter("optimizer", entries=("sgd", "momentum", "adam")),
            Parameter("activation", entries=("relu", "tanh", "gelu")),
            Parameter("dropout", 0.0, 0.9),
        ),
        network,
        (1.0, 4.5),
        None,
    ),
}


def ours(name: str, problem: Problem, seed: int, count: int) -> Iterator[Sequence[float]]:
    """Trials of one of pykatib's algorithms."""
    from pykatib.algorithms import registry
    from pykatib.algorithms.contract import Ask, FinishedTrial
    from pykatib.api.experiment import Experiment, ExperimentSpec, FeasibleSpace, ParameterSpec
    from pykatib.api.meta import ObjectMeta
    from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

    def spec(one: Parameter) -> ParameterSpec:
        if one.entries:
            return ParameterSpec(one.name, "categorical", FeasibleSpace(values=one.entries))
        space = FeasibleSpace(str(one.high), str(one.low), distribution="logUniform" if one.log else "uniform")
        return ParameterSpec(one.name, "int" if one.whole else "double", space)

    metrics = [f"loss{index}" for index in range(len(problem.reference))]
    settings = [Setting("random_state", str(seed))]
    if name != "random":
        settings.append(Setting("objectives", ", ".join(f"{metric}:minimize" for metric in metrics[1:])))
    experiment = Experiment(
        metadata=ObjectMeta(name="benchmark"),
        spec=ExperimentSpec(
            parameters=tuple(map(spec, problem.parameters)),
            objective=ObjectiveSpec("minimize", None, metrics[0], tuple(metrics[1:])),
            algorithm=AlgorithmSpec(name, tuple(settings)),
            max_trial_count=count,
        ),
    )
    space, algorithm = registry.create(experiment, seed=seed)
    for index in range(count):
        [proposal] = algorithm.ask(Ask(1, index))
        losses = problem.losses(dict(zip(space.names, proposal.values, strict=True)))
        values = dict(zip(metrics, losses, strict=True))
        algorithm.tell([FinishedTrial(index, f"t{index}", proposal.values, "succeeded", losses[0], values)])
        yield losses


def optunas(name: str, problem: Problem, seed: int, count: int) -> Iterator[Sequence[float]]:
    """Trials of one of Optuna's samplers, as its defaults are."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"optuna-tpe": optuna.samplers.TPESampler, "optuna-nsga2": optuna.samplers.NSGAIISampler}
    study = optuna.create_study(directions=["minimize"] * len(problem.reference), sampler=samplers[name](seed=seed))
    for _ in range(count):
        trial = study.ask()
        values: dict[str, Any] = {}
        for one in problem.parameters:
            if one.entries:
                values[one.name] = trial.suggest_categorical(one.name, one.entries)
            elif one.whole:
                values[one.name] = trial.suggest_int(one.name, int(one.low), int(one.high), log=one.log)
            else:
                values[one.name] = trial.suggest_float(one.name, one.low, one.high, log=one.log)
        losses = problem.losses(values)
        study.tell(trial, losses)
        yield losses


def run(names: Sequence[str], problems: Sequence[str], seeds: Sequence[int]) -> None:
    """Prints a line a run: the hypervolume at each budget, the front at the end, and the time of a proposal."""
    for seed in seeds:
        for title in problems:
            for name in names:
                problem = PROBLEMS[title]
                trials = (optunas if name.startswith("optuna") else ours)(name, problem, seed, BUDGETS[-1])
                found: list[Sequence[float]] = []
                volumes = {}
                start = time.process_time()
                for losses in trials:
                    found.append(losses)
                    if len(found) in BUDGETS:
                        volumes[len(found)] = hypervolume(found, problem.reference)
                seconds = (time.process_time() - start) / len(found)
                print(json.dumps([name, title, seed, volumes, seconds, [list(each) for each in found]]), flush=True)


def table(path: str) -> None:
    """Prints a table of shares: means, and beside them standard deviations over the seeds."""
    runs = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    points = [point for _, title, *_, found in runs if title == "mixed" for point in found]
    best = {title: problem.best or hypervolume(points, problem.reference) for title, problem in PROBLEMS.items()}
    shares: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    costs: dict[str, list[float]] = defaultdict(list)
    for name, title, _, volumes, seconds, _ in runs:
        costs[name].append(seconds * 1000)
        for budget, volume in volumes.items():
            shares[name, title][int(budget)].append(volume / best[title])
    names = list(costs)
    print("| problem | Trials | " + " | ".join(f"`{name}`" for name in names) + " |")
    print("|---" * (len(names) + 2) + "|")
    for title in PROBLEMS:
        for budget in BUDGETS:
            cells = []
            for name in names:
                found = shares[name, title][budget]
                spread = stdev(found) if len(found) > 1 else 0.0
                cells.append(f"{mean(found):.3f} ± {spread:.3f}" if found else "")
            print(f"| {title} | {budget} | " + " | ".join(cells) + " |")
    print("| ms a proposal | | " + " | ".join(f"{mean(costs[name]):.1f}" for name in names) + " |")


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("names", nargs="+")
    running.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    running.add_argument("--seeds", type=int, default=10)
    running.add_argument("--first-seed", type=int, default=0)
    commands.add_parser("table").add_argument("path")
    given = parser.parse_args()
    if given.command == "table":
        table(given.path)
    else:
        run(given.names, given.problems, range(given.first_seed, given.first_seed + given.seeds))


if __name__ == "__main__":
    main()
