"""Runs search algorithms and peers on problems, and appends one JSON line for each run that the file does not have yet.

python benchmarks/quality/run.py --results results.jsonl --quick --methods tpe random
python benchmarks/quality/run.py --results results.jsonl --peer-python PEERS/bin/python --methods optuna-tpe
python benchmarks/quality/report.py results.jsonl
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from optimizers import PEERS, Optimizer, Peer, PeerProcess, own
from problem import Problem

FAMILIES = ("synthetic", "coco", "tables", "models")
BUDGETS = (25, 50, 100, 200)


def problems(families: list[str], split: str, *, only_quick: bool) -> Iterator[Problem]:
    """The problems that are asked for; a family whose package is missing is told and left out."""

    def wanted(*, held_out: bool, quick: bool) -> bool:
        return (quick or not only_quick) and (split == "all" or held_out == (split == "held-out"))

    for family in families:
        try:
            module = importlib.import_module(family)
        except ModuleNotFoundError as missing:
            print(f"without {family}: {missing}", file=sys.stderr)
            continue
        for problem in module.problems(wanted):
            if wanted(held_out=problem.held_out, quick=problem.quick):
                yield problem


def play(optimizer: Optimizer, problem: Problem, *, seed: int, budget: int, parallel: int) -> dict[int, float]:
    """One run with so many points out at a time; answers the true value of the best point so far at each budget."""
    noise = np.random.default_rng((seed, 7)).normal(0.0, 1.0, budget) * problem.noise
    waiting: list[tuple[int, float, float]] = []
    best_seen, best_true = np.inf, np.inf
    curve: dict[int, float] = {}
    asked = told = 0
    while told < budget:
        while len(waiting) < parallel and asked < budget:
            point = optimizer.ask()
            if point is None:
                budget = asked
                break
            true = problem.function(point)
            waiting.append((asked, true + float(noise[asked]), true))
            asked += 1
        if not waiting:
            break
        number, seen, true = waiting.pop(0)
        optimizer.tell(number, seen)
        told += 1
        if seen < best_seen:
            best_seen, best_true = seen, true
        if told in BUDGETS:
            curve[told] = best_true
    if problem.space.size == told:  # nothing is left to be tried
        curve.update({late: best_true for late in BUDGETS if late > told})
    return curve


def main() -> None:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="the file of JSON lines to add to")
    parser.add_argument("--methods", nargs="+", required=True, help=f"names of algorithms, or of {', '.join(PEERS)}")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--split", choices=("development", "held-out", "all"), default="development")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=200, choices=BUDGETS)
    parser.add_argument("--parallel", type=int, nargs="+", help="how many at a time: 1 and 4; with --quick 1")
    parser.add_argument("--quick", action="store_true", help="a subset of the problems, budget 100")
    parser.add_argument("--peer-python", help="the interpreter that has the peers")
    parser.add_argument("--plugin", type=Path, help="a Python file with METHODS, makers by name")
    options = parser.parse_args()
    if options.quick:
        options.budget = min(options.budget, 100)
    options.parallel = options.parallel or ([1] if options.quick else [1, 4])
    makers = {}
    if options.plugin:
        scope: dict[str, object] = {"__name__": "plugin"}
        exec(compile(options.plugin.read_text(), str(options.plugin), "exec"), scope)
        makers = scope["METHODS"]
    done = set()
    if options.results.exists():
        rows = [json.loads(line) for line in options.results.read_text().splitlines()]
        done = {(r["problem"], r["method"], r["parallel"], r["seed"]) for r in rows if r["budget"] >= options.budget}
    peers = PeerProcess(options.peer_python) if options.peer_python else None
    began = time.perf_counter()
    with options.results.open("a") as file:
        for problem in problems(options.families, options.split, only_quick=options.quick):
            for method in options.methods:
                for parallel in options.parallel:
                    for seed in range(options.seeds):
                        if (problem.name, method, parallel, seed) in done:
                            continue
                        start = time.perf_counter()
                        if method in makers:
                            optimizer = makers[method](problem, seed=seed, budget=options.budget, parallel=parallel)
                        elif method in PEERS:
                            if peers is None:
                                raise SystemExit(f"{method} needs --peer-python")
                            optimizer = Peer(peers, method, problem, seed=seed)
                        else:
                            optimizer = own(method, problem, seed=seed, budget=options.budget, parallel=parallel)
                        curve = play(optimizer, problem, seed=seed, budget=options.budget, parallel=parallel)
                        row = {
                            "problem": problem.name,
                            "family": problem.family,
                            "held_out": problem.held_out,
                            "method": method,
                            "parallel": parallel,
                            "seed": seed,
                            "budget": options.budget,
                            "best": curve,
                            "optimum": problem.optimum,
                            "reference": problem.reference,
                            "seconds": round(time.perf_counter() - start, 3),
                        }
                        file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"{time.perf_counter() - began:7.0f} s  {problem.name}", file=sys.stderr)
    if peers is not None:
        peers.close()


if __name__ == "__main__":
    main()
