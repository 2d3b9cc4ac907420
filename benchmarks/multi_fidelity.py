"""How soon a good result is there when Trials can be cut short: our halving, the pruners of Optuna, ASHA of Ray.

Four workers, time counted in full trainings, everything simulated: on the hundred-fidelity functions of PyPI's
`mf-prior-bench`, and on learning curves of real networks (`learning_curves.py` makes them). A method is done when a
Trial that was given all of the resource is at least as good as 90 % of the way from what half of all random points
reach to the best there is. A method whose Trials begin anew at each level pays for each from the start; one that stops
Trials pays for what they ran. Runs that are not done in time count with all the time they had.

    python -m venv /tmp/mf && /tmp/mf/bin/pip install mf-prior-bench optuna "ray[tune]" "pyarrow==17.0.0" -e .
    /tmp/mf/bin/python benchmarks/multi_fidelity.py --seeds 20
"""

import argparse
import heapq
import importlib.util
import itertools
import logging
import math
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from learning_curves import EPOCHS, KEPT, SPACE, combinations
from pykatib.algorithms import registry
from pykatib.algorithms.contract import Ask, FinishedTrial, ProposedTrial
from pykatib.algorithms.space import SearchSpace
from pykatib.api.experiment import Experiment, ExperimentSpec, FeasibleSpace, ParameterSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

WORKERS = 4
FULL_TRAININGS = 400.0
"""What all workers together may spend."""
GOOD = 0.9
RESOURCE = "epochs"


class Problem(NamedTuple):
    """A function of a point and of an amount of the resource, to be minimised."""

    name: str
    space: tuple[ParameterSpec, ...]
    most: int
    loss: Callable[[Mapping[str, str], int], float]


def synthetic(name: str) -> Problem:
    """One of the functions of mf-prior-bench."""
    import mfpbench

    benchmark = mfpbench.get(name)
    names = [str(key) for key in benchmark.space]
    space = tuple(ParameterSpec(key, "double", FeasibleSpace(min="0", max="1")) for key in names)

    def loss(point: Mapping[str, str], amount: int) -> float:
        return float(benchmark.mfh(z=amount, Xs=tuple(float(point[key]) for key in names)))

    return Problem(name, space, int(benchmark.fidelity_range[1]), loss)


def curves() -> Problem:
    """The table of learning curves; the loss is the share of errors."""
    accuracy = np.load(KEPT)["accuracy"]
    row_by_values = {tuple(map(str, values)): row for row, values in enumerate(combinations())}
    space = tuple(
        ParameterSpec(name, "discrete", FeasibleSpace(values=tuple(map(str, values)))) for name, values in SPACE.items()
    )

    def loss(point: Mapping[str, str], amount: int) -> float:
        return 1 - float(accuracy[row_by_values[tuple(point[name] for name in SPACE)], amount - 1])

    return Problem("curves", space, EPOCHS, loss)


def target(problem: Problem) -> float:
    """The loss of a good result, from two thousand random points."""
    space = SearchSpace.from_specs(problem.space)
    numbers = np.random.default_rng(0)
    losses = sorted(
        problem.loss({each.name: each.value for each in space.format(space.sample(numbers))}, problem.most)
        for _ in range(2000)
    )
    best = min(losses[0], _known_best(problem))
    return best + (1 - GOOD) * (statistics.median(losses) - best)


def _known_best(problem: Problem) -> float:
    return {"mfh3": -3.86278, "mfh6": -3.32237}.get(problem.name.split("_")[0], math.inf)


class Method(Protocol):
    """Gives out Trials: a point, and up to which amount it runs if nobody stops it."""

    watches: bool
    """Whether it is asked every epoch if a Trial is to go on."""

    def start(self) -> tuple[int, Mapping[str, str], int] | None: ...

    def goes_on(self, trial: int, amount: int, loss: float) -> bool: ...

    def ended(self, trial: int, amount: int, loss: float) -> None: ...


class Ours:
    """One of our algorithms."""

    watches = False

    def __init__(self, problem: Problem, seed: int, name: str, settings: Mapping[str, str]) -> None:
        stated = {"random_state": str(seed), **settings}
        halving = name in ("hyperband", "asha", "bohb")
        if halving:
            stated = {"resource_name": RESOURCE, "r_l": str(problem.most), **stated}
        resource = ParameterSpec(RESOURCE, "int", FeasibleSpace(min="1", max=str(problem.most)))
        self._most = problem.most
        experiment = Experiment(
            metadata=ObjectMeta(name="benchmark"),
            spec=ExperimentSpec(
                parameters=(*problem.space, resource) if halving else problem.space,
                objective=ObjectiveSpec(type="minimize", objective_metric_name="loss"),
                algorithm=AlgorithmSpec(name, tuple(itertools.starmap(Setting, stated.items()))),
            ),
        )
        self._space, self._algorithm = registry.create(experiment, seed=seed)
        self._active: dict[int, ProposedTrial] = {}
        self._issued = 0

    def start(self) -> tuple[int, Mapping[str, str], int] | None:
        found = self._algorithm.ask(Ask(1, self._issued, tuple(self._active.values())))
        if not found:
            return None
        index, self._issued = self._issued, self._issued + 1
        self._active[index] = ProposedTrial(index, str(index), found[0].values, found[0].labels)
        point = {each.name: each.value for each in self._space.format(found[0].values)}
        return index, point, int(point.pop(RESOURCE, self._most))

    def goes_on(self, trial: int, amount: int, loss: float) -> bool:
        return True

    def ended(self, trial: int, amount: int, loss: float) -> None:
        one = self._active.pop(trial)
        self._algorithm.tell([FinishedTrial(one.index, one.name, one.values, "succeeded", loss, {}, one.labels)])


class Optunas:
    """A sampler and a pruner of Optuna."""

    watches = True

    def __init__(self, problem: Problem, seed: int, sampler: str, pruner: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        pruners = {
            "hyperband": lambda: optuna.pruners.HyperbandPruner(1, problem.most, 3),
            "asha": lambda: optuna.pruners.SuccessiveHalvingPruner(1, 3),
        }
        self._study = optuna.create_study(sampler=samplers[sampler](), pruner=pruners[pruner]())
        self._problem = problem
        self._trials: dict[int, Any] = {}
        self._pruned = optuna.trial.TrialState.PRUNED

    def start(self) -> tuple[int, Mapping[str, str], int] | None:
        trial = self._study.ask()
        point = {}
        for spec in self._problem.space:
            feasible = spec.feasible_space
            if feasible.values:
                point[spec.name] = trial.suggest_categorical(spec.name, list(feasible.values))
            else:
                point[spec.name] = repr(trial.suggest_float(spec.name, float(feasible.min), float(feasible.max)))
        self._trials[trial.number] = trial
        return trial.number, point, self._problem.most

    def goes_on(self, trial: int, amount: int, loss: float) -> bool:
        self._trials[trial].report(loss, amount)
        return not self._trials[trial].should_prune()

    def ended(self, trial: int, amount: int, loss: float) -> None:
        if amount == self._problem.most:
            self._study.tell(self._trials[trial], loss)
        else:
            self._study.tell(self._trials[trial], state=self._pruned)


class Rays:
    """The logic of Ray's AsyncHyperBandScheduler over random points."""

    watches = True

    class _Trial(NamedTuple):
        trial_id: int

    def __init__(self, problem: Problem, seed: int) -> None:
        from ray.tune.schedulers.async_hyperband import _Bracket

        self._bracket = _Bracket(1, problem.most, 3, 0)
        self._random = Ours(problem, seed, "random", {})

    def start(self) -> tuple[int, Mapping[str, str], int] | None:
        return self._random.start()

    def goes_on(self, trial: int, amount: int, loss: float) -> bool:
        return bool(self._bracket.on_result(self._Trial(trial), amount, -loss) == "CONTINUE")

    def ended(self, trial: int, amount: int, loss: float) -> None:
        self._random.ended(trial, amount, loss)


def methods(with_peers: bool) -> dict[str, Callable[[Problem, int], Method]]:
    """All that are compared."""

    def ours(name: str, **settings: str) -> Callable[[Problem, int], Method]:
        return lambda problem, seed: Ours(problem, seed, name, settings)

    def optunas(sampler: str, pruner: str) -> Callable[[Problem, int], Method]:
        return lambda problem, seed: Optunas(problem, seed, sampler, pruner)

    found = {
        "random": ours("random"),
        "multivariate-tpe": ours("multivariate-tpe"),
        "hyperband": ours("hyperband"),
        "asha": ours("asha"),
        "asha, multivariate-tpe": ours("asha", proposer="multivariate-tpe"),
        "bohb": ours("bohb"),
        "bohb, GP": ours("bohb", proposer="bayesianoptimization"),
    }
    if with_peers:
        found |= {
            "Optuna TPE + Hyperband": optunas("tpe", "hyperband"),
            "Optuna TPE + ASHA": optunas("tpe", "asha"),
            "Optuna random + Hyperband": optunas("random", "hyperband"),
            "Ray ASHA": Rays,
        }
    return found


def time_to(problem: Problem, good: float, method: Method) -> float:
    """How many full trainings' time passes on each worker until a good result is there."""
    end = FULL_TRAININGS / WORKERS
    order = itertools.count()
    events: list[tuple[float, int, int, Mapping[str, str], int, int]] = []

    def begin(now: float) -> None:
        started = method.start()
        if started is not None:
            trial, point, upto = started
            first = 1 if method.watches else upto
            heapq.heappush(events, (now + first / problem.most, next(order), trial, point, first, upto))

    for _ in range(WORKERS):
        begin(0.0)
    while events:
        now, _, trial, point, amount, upto = heapq.heappop(events)
        if now > end:
            return end
        loss = problem.loss(point, amount)
        if amount == problem.most and loss <= good:
            return now
        if amount < upto and method.goes_on(trial, amount, loss):
            heapq.heappush(events, (now + 1 / problem.most, next(order), trial, point, amount + 1, upto))
            continue
        method.ended(trial, amount, loss)
        begin(now)
    return end


def compare(problems: Sequence[Problem], seeds: int, chosen: Mapping[str, Callable[[Problem, int], Method]]) -> None:
    """Prints a table: mean times, and how much sooner than random search."""
    print("| method | " + " | ".join(problem.name for problem in problems) + " | sooner than random (geometric mean) |")
    print("|---|" + "---|" * (len(problems) + 1))
    baseline: list[float] = []
    goods = [target(problem) for problem in problems]
    for name, make in chosen.items():
        means = [
            statistics.fmean(time_to(problem, good, make(problem, seed)) for seed in range(seeds))
            for problem, good in zip(problems, goods, strict=True)
        ]
        baseline = baseline or means
        gain = statistics.geometric_mean(before / after for before, after in zip(baseline, means, strict=True))
        print(f"| {name} | " + " | ".join(f"{mean:.1f}" for mean in means) + f" | {gain:.1f}x |", flush=True)


def main() -> None:
    """Reads the command line, and compares."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--only", help="methods whose names have this in them, beside random")
    arguments.add_argument("--problems", help="names, with commas between them")
    given = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    names = (
        given.problems.split(",") if given.problems else ["mfh3_good", "mfh3_bad", "mfh6_good", "mfh6_bad", "curves"]
    )
    problems = []
    for name in names:
        if name == "curves":
            problems.append(curves())
        elif importlib.util.find_spec("mfpbench") is None:
            print(f"{name} is left out: there is no mf-prior-bench here")
        else:
            problems.append(synthetic(name))
    chosen = methods(importlib.util.find_spec("optuna") is not None and importlib.util.find_spec("ray") is not None)
    if given.only:
        chosen = {name: make for name, make in chosen.items() if name == "random" or given.only in name}
    compare(problems, given.seeds, chosen)


if __name__ == "__main__":
    main()
