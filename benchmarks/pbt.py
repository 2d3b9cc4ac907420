"""What population based training gains on `programs/simple-pbt`, whose best learning rate changes as it learns.

Everybody has the same number of epochs: as many Trials of 20 epochs as `--trials` says. Random search and TPE begin
each Trial anew; or, as `long`, they have as many Trials as there are members, each as long as all of a member's steps.
Five Trials run at a time and end in random order. The program's own formula is called, without processes, so the
machine makes no difference. Figures are the best accuracy seen, in per cent, over `--seeds` seeds.

    python benchmarks/pbt.py
"""

import argparse
import importlib.util
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import cast

from measuring import print_table
from pykatib.algorithms import registry
from pykatib.algorithms.contract import Ask, FinishedTrial, ProposedTrial
from pykatib.algorithms.lineage import lineage_of
from pykatib.api.experiment import Experiment, ExperimentSpec, FeasibleSpace, ParameterSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

PROGRAM = Path(__file__).parents[1] / "programs" / "simple-pbt" / "opt" / "pbt" / "pbt_test.py"
EPOCHS = 20
PARALLEL = 5
POPULATION = 10
RATE = ParameterSpec("lr", "double", FeasibleSpace(min="0.0001", max="0.02", distribution="logUniform"))
PBT: dict[str, object] = {
    "suggestion_trial_dir": "/checkpoints",
    "n_population": POPULATION,
    "truncation_threshold": 0.2,
}
SEARCHES: dict[str, tuple[str, dict[str, object], bool]] = {
    "pbt": ("pbt", PBT, False),
    "pbt, resample_probability 0.25": ("pbt", {**PBT, "resample_probability": 0.25}, False),
    "random": ("random", {}, False),
    "random, long": ("random", {}, True),
    "tpe": ("tpe", {}, False),
    "tpe, long": ("tpe", {}, True),
}
Advance = Callable[[int, float, float], float]


def program() -> Advance:
    """The formula of the program: step, accuracy and learning rate to the accuracy after an epoch."""
    spec = importlib.util.spec_from_file_location("simple_pbt", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast(Advance, module.advance)


def best_of(advance: Advance, name: str, settings: dict[str, object], *, trials: int, epochs: int, seed: int) -> float:
    """The best accuracy that a search has seen."""
    stated = tuple(Setting(key, str(value)) for key, value in {"random_state": seed, **settings}.items())
    objective = ObjectiveSpec(type="maximize", objective_metric_name="accuracy")
    spec = ExperimentSpec(parameters=(RATE,), objective=objective, algorithm=AlgorithmSpec(name, stated))
    _, algorithm = registry.create(Experiment(metadata=ObjectMeta(name="x"), spec=spec), seed=seed)
    order = random.Random(seed)
    active: list[ProposedTrial] = []
    checkpoints: dict[str, tuple[int, float]] = {}
    issued = 0
    while issued < trials or active:
        for proposal in algorithm.ask(Ask(min(PARALLEL - len(active), trials - issued), issued, tuple(active))):
            active.append(ProposedTrial(issued, f"trial-{issued}", proposal.values, proposal.labels))
            issued += 1
        trial = active.pop(order.randrange(len(active)))
        lineage = lineage_of(trial.labels)
        step, accuracy = checkpoints.get(lineage.parent if lineage is not None else "", (0, 0.0))
        for _ in range(epochs):
            step, accuracy = step + 1, advance(step, accuracy, float(trial.values[0]))
        checkpoints[trial.name] = step, accuracy
        algorithm.tell([FinishedTrial(trial.index, trial.name, trial.values, "succeeded", accuracy, {}, trial.labels)])
    return max(accuracy for _, accuracy in checkpoints.values())


def main() -> None:
    """Prints a row for each search."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=100, help="Trials of 20 epochs")
    parser.add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()
    advance = program()
    rows = []
    for label, (name, settings, is_long) in SEARCHES.items():
        trials = POPULATION if is_long else args.trials
        epochs = EPOCHS * args.trials // trials
        found = sorted(
            best_of(advance, name, settings, trials=trials, epochs=epochs, seed=seed) for seed in range(args.seeds)
        )
        figures = [f"{one:.1f}" for one in (statistics.median(found), statistics.mean(found), found[0], found[-1])]
        rows.append([label, f"{trials} of {epochs} epochs", *figures])
    print_table(["search", "Trials", "median", "mean", "worst", "best"], rows)


if __name__ == "__main__":
    main()
