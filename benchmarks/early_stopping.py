"""What early stopping saves and what it costs, on real learning curves: the same Trials with and without it.

First the curves: `programs/mnist/mnist-katib-random.py` is run once, all epochs, for configurations drawn from the
space of Katib's random example, widened to learning rates that diverge. Then the replay: `--trials` of them in random
order, four at a time, an epoch of each in turn; the methods see each report as it comes. Time is counted in epochs, so
the machine makes no difference. Regret is what the best of all these Trials reached and was not seen, in points of
accuracy.

    python benchmarks/early_stopping.py --kept /tmp/curves.json

With `--npz` the curves of `learning_curves.py` are taken instead (an array `accuracy`, a row a Trial).
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from measuring import print_table
from pykatib.algorithms.stopping import registry
from pykatib.algorithms.stopping.monitor import StopMonitor
from pykatib.api.shared import EarlyStoppingSpec, ObjectiveSpec, Setting

PROGRAM = Path(__file__).parents[1] / "programs" / "mnist" / "mnist-katib-random.py"
PARALLEL = 4
OBJECTIVE = ObjectiveSpec(type="maximize", objective_metric_name="val-acc")
METHODS: dict[str, tuple[str, dict[str, object]]] = {
    "none": ("", {}),
    "medianstop (Katib's defaults)": ("medianstop", {}),
    "asha, factor 3": ("asha", {"reduction_factor": 3}),
    "asha, factor 2, from 2": ("asha", {"reduction_factor": 2, "min_resource": 2}),
    "hyperband": ("hyperband", {"max_resource": 0}),
    "patience 3": ("patience", {"patience": 3}),
    "threshold 0.5 from 3": ("threshold", {"value": 0.5, "start_step": 3}),
}

Curve = Sequence[float]


class Outcome(NamedTuple):
    """One replay."""

    ticks: int
    epochs: int
    stopped: int
    regret: float


def configurations(count: int) -> Iterator[list[str]]:
    """Flags of the program, the same ones each time."""
    draw = random.Random(1)
    for _ in range(count):
        yield [
            f"--learning_rate={10 ** draw.uniform(-2.5, 0.3):.5f}",
            f"--dropout={draw.uniform(0.1, 0.8):.3f}",
            f"--opt={draw.randrange(2)}",
        ]


def train(flags: list[str], epochs: int) -> list[float]:
    """The validation accuracy after each epoch."""
    command = [sys.executable, "-W", "ignore", str(PROGRAM), *flags, f"--epochs={epochs}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return [float(value) for value in re.findall(r"val-acc=(\S+)", done.stdout)]


def curves_of(kept: Path | None, count: int, epochs: int, jobs: int) -> list[list[float]]:
    """The curves, trained unless they are kept."""
    if kept is not None and kept.exists():
        found: list[list[float]] = json.loads(kept.read_text())
        return found
    with ThreadPoolExecutor(jobs) as pool:
        curves = list(pool.map(lambda flags: train(flags, epochs), configurations(count)))
    if kept is not None:
        kept.write_text(json.dumps(curves))
    return curves


def monitor_of(method: str, settings: dict[str, object], epochs: int) -> StopMonitor | None:
    """A fresh monitor; None without early stopping."""
    if not method:
        return None
    stated = {name: epochs if name == "max_resource" else value for name, value in settings.items()}
    spec = EarlyStoppingSpec(method, tuple(Setting(name, str(value)) for name, value in stated.items()))
    return StopMonitor(registry.create(spec, OBJECTIVE))


def replay(trials: Sequence[Curve], monitor: StopMonitor | None) -> Outcome:
    """Runs Trials four at a time, a report of each in turn."""
    waiting = list(range(len(trials)))[::-1]
    running: dict[int, int] = {}
    seen, ticks, epochs, stopped = 0.0, 0, 0, 0
    while waiting or running:
        while waiting and len(running) < PARALLEL:
            running[waiting.pop()] = 0
        ticks += 1
        for trial in list(running):
            value = trials[trial][running[trial]]
            running[trial] += 1
            epochs += 1
            seen = max(seen, value)
            reason = monitor.hear(str(trial), [(float(ticks), value)]) if monitor is not None else None
            is_over = running[trial] == len(trials[trial])
            if is_over or reason is not None:
                stopped += not is_over
                del running[trial]
                if monitor is not None:
                    monitor.ended(str(trial))
    return Outcome(ticks, epochs, stopped, max(map(max, trials)) - seen)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kept", type=Path, help="a file in which the curves are kept")
    parser.add_argument("--curves", type=int, default=100, help="configurations to train")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--trials", type=int, default=40, help="Trials of a replay")
    parser.add_argument("--rounds", type=int, default=200, help="replays, each of other Trials in another order")
    parser.add_argument("--jobs", type=int, default=1, help="processes that train")
    parser.add_argument("--npz", type=Path, help="take the first epochs of these curves instead")
    options = parser.parse_args()
    if options.npz is not None:
        curves = np.load(options.npz)["accuracy"][:, : options.epochs].astype(float).tolist()
    else:
        curves = curves_of(options.kept, options.curves, options.epochs, options.jobs)
    rows = []
    base = 0.0
    for label, (method, settings) in METHODS.items():
        outcomes = []
        for seed in range(options.rounds):
            trials = random.Random(seed).sample(curves, min(options.trials, len(curves)))
            outcomes.append(replay(trials, monitor_of(method, settings, len(curves[0]))))
        ticks = statistics.mean(outcome.ticks for outcome in outcomes)
        base = base or ticks
        regrets = [100 * outcome.regret for outcome in outcomes]
        rows.append(
            [
                label,
                f"{ticks:.0f}",
                f"{100 * (1 - ticks / base):.0f} %",
                f"{statistics.mean(outcome.stopped for outcome in outcomes):.1f}",
                f"{statistics.mean(regrets):.2f}",
                f"{max(regrets):.2f}",
                f"{100 * sum(regret > 0 for regret in regrets) / len(regrets):.0f} %",
            ]
        )
    best = [max(curve) for curve in curves]
    print(
        f"{len(curves)} curves of {len(curves[0])} epochs, best {max(best):.4f}, median {statistics.median(best):.4f}"
    )
    print(f"{options.rounds} replays of {options.trials} Trials, {PARALLEL} at a time")
    head = ["early stopping", "time in epochs", "saved", "stopped", "regret", "worst", "best one missed"]
    print_table(head, rows)


if __name__ == "__main__":
    main()
