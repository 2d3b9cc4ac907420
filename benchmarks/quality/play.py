"""One run: an optimizer searches a problem, and what it had found after so many Trials is written down."""

from dataclasses import dataclass, field

import numpy as np
from optimizers import Optimizer, OptimizerError
from problem import Problem

BUDGETS = (25, 50, 100, 200)


@dataclass
class Outcome:
    """What came out of a run: the true value of the best point, and the optimizer's CPU seconds, at each budget.

    `ended` says why it did not get to its budget, if it did not.
    """

    best: dict[int, float] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)
    ended: str = ""


def play(
    optimizer: Optimizer, problem: Problem, *, seed: int, budget: int, parallel: int, limit: float = np.inf
) -> Outcome:
    """One run in batches: so many points are asked for, then all are told. It stops after `limit` CPU seconds."""
    noise = np.random.default_rng((seed, 7)).normal(0.0, 1.0, budget) * problem.noise
    outcome = Outcome()
    best_seen, best_true = np.inf, np.inf
    told = 0
    while told < budget and not outcome.ended:
        batch: list[float] = []
        size = min(parallel, budget - told)
        try:
            while len(batch) < size:
                point = optimizer.ask(size - len(batch))
                if point is None:
                    outcome.ended = "no more points"
                    break
                batch.append(problem.function(point))
            for number, true in enumerate(batch, start=told):
                seen = true + float(noise[number])
                optimizer.tell(number, seen)
                if seen < best_seen:
                    best_seen, best_true = seen, true
                if number + 1 in BUDGETS:
                    outcome.best[number + 1] = best_true
                    outcome.cpu[number + 1] = round(optimizer.cpu_seconds, 3)
        except OptimizerError as failure:
            outcome.ended = str(failure)
            return outcome
        told += len(batch)
        if optimizer.cpu_seconds > limit and told < budget:
            outcome.ended = f"more than {limit:g} s of CPU"
    if outcome.ended == "no more points" and problem.space.size == told:  # nothing is left to be tried
        later = [number for number in BUDGETS if told < number <= budget]
        outcome.best.update(dict.fromkeys(later, best_true))
        outcome.cpu.update(dict.fromkeys(later, round(optimizer.cpu_seconds, 3)))
    return outcome
