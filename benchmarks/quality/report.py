"""Prints what result files of run.py say: mean normalised regret, mean rank, and paired tests against one method.

    python benchmarks/quality/report.py results.jsonl … [--against tpe] [--by family]

Regret is measured on each problem from 0, the optimum, to 1, the median of random search after 25 Trials. Ranks are
those of the medians over seeds. The tests are Wilcoxon's, over the problems' mean regrets, with Holm's correction.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import stats


def regret(row: dict[str, object], budget: str) -> float:
    """0 at the optimum, 1 where random search is after 25 Trials; what is worse counts as twice that at most."""
    scale = row["reference"] - row["optimum"]
    return float(min(max((row["best"][budget] - row["optimum"]) / scale, 0.0), 2.0)) if scale > 0 else 0.0


def holm(values: list[float]) -> list[float]:
    """Holm's correction of some p values."""
    order = np.argsort(values)
    found = [0.0] * len(values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, values[index] * (len(values) - place)))
        found[index] = highest
    return found


def table(rows: list[dict[str, object]], budget: str, against: str | None) -> list[tuple[object, ...]]:
    """One line for each method, best first."""
    by_problem: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if budget in row["best"]:
            by_problem[row["problem"]][row["method"]].append(regret(row, budget))
    methods = sorted({method for found in by_problem.values() for method in found})
    complete = {name: found for name, found in by_problem.items() if len(found) == len(methods)}
    if not complete:
        return []
    means = np.array([[np.mean(found[m]) for m in methods] for found in complete.values()])
    logs = np.array([[np.mean(np.log10(np.maximum(found[m], 1e-4))) for m in methods] for found in complete.values()])
    medians = np.array([[np.median(found[m]) for m in methods] for found in complete.values()])
    ranks = stats.rankdata(medians, axis=1).mean(axis=0)
    tests = {}
    if against in methods:
        base = logs[:, methods.index(against)]
        others = [m for m in methods if m != against]
        values = []
        for other in others:
            gaps = logs[:, methods.index(other)] - base
            values.append(float(stats.wilcoxon(gaps).pvalue) if np.any(gaps) else 1.0)
        for other, value in zip(others, holm(values), strict=True):
            wins = int(np.sum(base < logs[:, methods.index(other)]))
            tests[other] = f"{wins}/{len(complete)} p={value:.2g}"
    lines = [
        (m, means[:, k].mean(), logs[:, k].mean(), ranks[k], tests.get(m, ""), len(complete))
        for k, m in enumerate(methods)
    ]
    return sorted(lines, key=lambda line: line[2])


def main() -> None:
    """Reads the command line and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--against", help="the method that the others are tested against")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--budgets", nargs="+", default=["25", "50", "100", "200"])
    parser.add_argument("--split", choices=("development", "held-out", "all"), default="all")
    parser.add_argument("--by", choices=("family", "problem"), help="a table for each")
    options = parser.parse_args()
    rows = [json.loads(line) for path in options.results for line in path.read_text().splitlines()]
    rows = [r for r in rows if options.split == "all" or r["held_out"] == (options.split == "held-out")]
    rows = [r for r in rows if not options.methods or r["method"] in options.methods]
    unique = {(r["problem"], r["method"], r["parallel"], r["seed"]): r for r in rows}
    for parallel in sorted({r["parallel"] for r in unique.values()}):
        groups: dict[str, list[dict[str, object]]] = defaultdict(list)
        for row in unique.values():
            if row["parallel"] == parallel:
                groups[row[options.by] if options.by else "all"].append(row)
        for group, found in groups.items():
            for budget in options.budgets:
                lines = table(found, budget, options.against)
                if not lines:
                    continue
                print(f"\n{group}, {parallel} at a time, {budget} Trials, {lines[0][5]} problems")
                print(f"  {'method':28} {'regret':>7} {'log10':>7} {'rank':>6}  {options.against or ''} better")
                for name, mean, log, rank, test, _ in lines:
                    print(f"  {name:28} {mean:7.3f} {log:7.2f} {rank:6.2f}  {test}")


if __name__ == "__main__":
    main()
