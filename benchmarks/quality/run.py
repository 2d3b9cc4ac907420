"""Runs search algorithms and peers on problems, and appends one JSON line for each run that the file does not have yet.

python benchmarks/quality/run.py --results results.jsonl --quick --methods tpe random
python benchmarks/quality/run.py --results results.jsonl --peers PEERS --schedule
python benchmarks/quality/report.py results.jsonl
"""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from optimizers import NUMERIC_ONLY, PEERS, Optimizer, Peers, own
from play import BUDGETS, Outcome, play
from problem import Problem
from results import Results
from schedule import Cell, Stage, cells

FAMILIES = ("synthetic", "coco", "tables", "models")
SETS = ("quick", "standard", "full")
Maker = Callable[..., Optimizer]


def problems(families: Sequence[str], split: str, chosen: str) -> Iterator[Problem]:
    """The problems that are asked for; a family whose package is missing is told and left out."""

    def wanted(*, held_out: bool, quick: bool, standard: bool) -> bool:
        inside = {"quick": quick, "standard": standard, "full": True}[chosen]
        return inside and (split == "all" or held_out == (split == "held-out"))

    for family in families:
        try:
            module = importlib.import_module(family)
        except ModuleNotFoundError as missing:
            print(f"without {family}: {missing}", file=sys.stderr)
            continue
        for problem in module.problems(wanted):
            if wanted(held_out=problem.held_out, quick=problem.quick, standard=problem.standard):
                yield problem


def outcome_of(cell: Cell, makers: dict[str, Maker], peers: Peers | None, limit: float) -> Outcome:
    """One run."""
    settings = {"seed": cell.seed, "budget": cell.budget, "parallel": cell.parallel}
    try:
        if cell.method in makers:
            optimizer = makers[cell.method](cell.problem, **settings)
        elif cell.method in PEERS:
            assert peers is not None
            optimizer = peers.start(cell.method, cell.problem, **settings)
        else:
            optimizer = own(cell.method, cell.problem, **settings)
        return play(optimizer, cell.problem, **settings, limit=limit)
    except Exception as error:  # a night's runs do not end because one optimizer cannot do one problem
        return Outcome(ended=f"{type(error).__name__}: {error}"[:300])


def row_of(cell: Cell, outcome: Outcome, seconds: float) -> dict[str, object]:
    """A run as it is written down."""
    problem = cell.problem
    return {
        "problem": problem.name,
        "family": problem.family,
        "held_out": problem.held_out,
        "numeric": problem.numeric,
        "method": cell.method,
        "parallel": cell.parallel,
        "seed": cell.seed,
        "budget": cell.budget,
        "best": outcome.best,
        "cpu": outcome.cpu,
        "ended": outcome.ended,
        "optimum": problem.optimum,
        "reference": problem.reference,
        "seconds": round(seconds, 3),
    }


def possible(methods: Sequence[str], makers: dict[str, Maker], peers: Peers | None) -> list[str]:
    """The methods whose environments are there; the others are told."""
    found = []
    for method in dict.fromkeys(methods):
        if method in PEERS and method not in makers and (peers is None or not peers.has(method)):
            print(f"without {method}: it needs --peers FOLDER with {PEERS[method]} (make_peers.py)", file=sys.stderr)
        else:
            found.append(method)
    return found


def wait_for_quiet(load: float) -> None:
    """Waits until the machine has less to do; this process's own work of the last minute counts as well."""
    while os.getloadavg()[0] > load:
        time.sleep(15)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="the file of JSON lines to add to")
    parser.add_argument("--methods", nargs="+", help=f"names of algorithms, or of {', '.join(PEERS)}")
    parser.add_argument("--schedule", action="store_true", help="all of schedule.py, or what --methods has of it")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--split", choices=("development", "held-out", "all"), help="development; with --schedule all")
    parser.add_argument("--set", choices=SETS, help="which problems: full; with --schedule standard")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=200, choices=BUDGETS)
    parser.add_argument("--parallel", type=int, nargs="+", help="batches of how many: 1 and 4; with --quick 1")
    parser.add_argument("--quick", action="store_true", help="the quick set, budget 100")
    parser.add_argument("--peers", type=Path, help="the folder that make_peers.py made")
    parser.add_argument("--plugin", type=Path, help="a Python file with METHODS, makers by name")
    parser.add_argument("--limit", type=float, default=600.0, help="CPU seconds of an optimizer after which a run ends")
    parser.add_argument("--wait-above", type=float, help="start no run while the machine's load is above this")
    options = parser.parse_args()
    if not options.methods and not options.schedule:
        parser.error("say --methods, or --schedule for all")
    if options.quick:
        options.budget = min(options.budget, 100)
    options.set = options.set or ("quick" if options.quick else "standard" if options.schedule else "full")
    options.split = options.split or ("all" if options.schedule else "development")
    options.parallel = options.parallel or ([1] if options.quick else [1, 4])
    return options


def main() -> None:
    """Reads the command line and runs."""
    options = read_options()
    makers: dict[str, Maker] = {}
    if options.plugin:
        scope: dict[str, object] = {"__name__": "plugin"}
        exec(compile(options.plugin.read_text(), str(options.plugin), "exec"), scope)
        makers = scope["METHODS"]  # type: ignore[assignment]
    found = list(problems(options.families, options.split, options.set))
    if options.schedule:
        plan = list(cells(found))
        asked = options.methods or [cell.method for cell in plan]
    else:
        asked = options.methods
        stages = [Stage(asked, options.budget, range(options.seeds), parallel) for parallel in options.parallel]
        plan = list(cells(found, stages))
    peers = Peers(options.peers) if options.peers else None
    methods = set(possible(asked, makers, peers))
    plan = [cell for cell in plan if cell.method in methods]
    plan = [cell for cell in plan if cell.method not in NUMERIC_ONLY or cell.problem.numeric]
    results = Results(options.results)
    began = time.perf_counter()
    try:
        for number, cell in enumerate(plan, start=1):
            if results.done(cell.key):
                continue
            if options.wait_above is not None:
                wait_for_quiet(options.wait_above)
            with results.claimed(cell.key) as mine:
                if not mine:
                    continue
                start = time.perf_counter()
                outcome = outcome_of(cell, makers, peers, options.limit)
                results.add(row_of(cell, outcome, time.perf_counter() - start))
            what = f"{cell.problem.name} {cell.method} seed {cell.seed}, {cell.budget} Trials by {cell.parallel}"
            late = time.perf_counter() - began
            print(f"{late:7.0f} s  {number}/{len(plan)}  {what}  {outcome.ended}", file=sys.stderr, flush=True)
    finally:
        results.close()
        if peers is not None:
            peers.close()


if __name__ == "__main__":
    main()
