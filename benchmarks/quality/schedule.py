"""Which runs a comparison consists of, the most telling first, so that it can be stopped at any time.

The problems are mixed so that every start of the list has all families and both halves in it. Searches that think for
a good part of a second over each proposal (`SLOW`) begin with 50 Trials on a part of the problems.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from optimizers import PEERS
from problem import Problem

OWN = ("random", "tpe", "multivariate-tpe", "cmaes", "bayesianoptimization")
SLOW = ("optuna-gp", "smac", "skopt-gp", "ax", "hebo")
LEFT_OUT = ("optuna-random", "smac-blackbox", "vizier")
"""Not in the schedule: our `random` stands for the first; the second and the third take 1 s and 8 s a proposal."""

QUICK = (*OWN, *(name for name in PEERS if name not in SLOW and name not in LEFT_OUT))


@dataclass(frozen=True)
class Cell:
    """One run: who searches what, from which seed, for how long."""

    problem: Problem
    method: str
    parallel: int
    seed: int
    budget: int

    @property
    def key(self) -> tuple[str, str, int, int, int]:
        """What identifies it in a file of results."""
        return (self.problem.name, self.method, self.parallel, self.seed, self.budget)


@dataclass(frozen=True)
class Stage:
    """A block of the schedule; `first` is how many problems of the mixed list take part, None all."""

    methods: Sequence[str]
    budget: int
    seeds: range
    parallel: int = 1
    first: int | None = None


STAGES = (
    Stage(QUICK, 100, range(1)),
    Stage(SLOW, 50, range(1), first=16),
    Stage(QUICK, 100, range(1, 3)),
    Stage(SLOW, 50, range(1)),
    Stage(QUICK, 100, range(1), parallel=4),
    Stage(SLOW, 100, range(1), first=16),
    Stage(QUICK, 200, range(1)),
    Stage(QUICK, 100, range(3, 10)),
    Stage(QUICK, 100, range(1, 10), parallel=4),
    Stage(QUICK, 200, range(1, 10)),
    Stage(QUICK, 200, range(10), parallel=4),
    Stage(SLOW, 100, range(10)),
    Stage(SLOW, 100, range(10), parallel=4),
    Stage(SLOW, 200, range(10)),
)


def mixed(problems: Sequence[Problem]) -> list[Problem]:
    """The problems in turn from each family and half."""
    groups: dict[tuple[str, bool], list[Problem]] = defaultdict(list)
    for problem in problems:
        groups[problem.family, problem.held_out].append(problem)
    # Large groups come more often, and so evenly that each start of the list is a sample of the whole.
    placed = [
        ((number + 0.5) / len(group), order, problem)
        for order, group in enumerate(groups.values())
        for number, problem in enumerate(group)
    ]
    return [problem for _, _, problem in sorted(placed, key=lambda entry: entry[:2])]


def cells(problems: Sequence[Problem], stages: Sequence[Stage] = STAGES) -> Iterator[Cell]:
    """All runs in order, each once; problem by problem within a seed."""
    ordered = mixed(problems)
    seen = set()
    for stage in stages:
        for seed in stage.seeds:
            for problem in ordered[: stage.first]:
                for method in stage.methods:
                    cell = Cell(problem, method, stage.parallel, seed, stage.budget)
                    if cell.key not in seen:
                        seen.add(cell.key)
                        yield cell
