"""Prints what result files of run.py say: mean normalised regret, mean rank, and paired tests against one method.

    python benchmarks/quality/report.py results.jsonl … [--against tpe] [--by family] [--losses]

Regret is measured on each problem from 0, the optimum, to 1, the median of random search after 25 Trials. A table has
the runs, that is the problems and seeds, that every method in it has; a method that is there for few of the problems
is left out, and named below the table. Ranks are among the runs from one seed. The tests are Wilcoxon's, over the
problems' mean logarithms of the regret, with Holm's correction. CPU is that of a Trial's proposal, in milliseconds.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optimizers import NUMERIC_ONLY
from results import Row, rows
from scipy import stats

SMALLEST = 1e-4
FACTOR = 2.0
"""A loss is worth a line where the other's regret is smaller by this factor."""


def regret(row: Row, budget: str) -> float:
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


@dataclass
class Table:
    """Regrets after a number of Trials: `regrets[problem]` has a row for each seed and a column for each method."""

    methods: list[str]
    regrets: dict[str, np.ndarray]
    cpu: list[float]
    left_out: dict[str, int]

    @property
    def run_count(self) -> int:
        """How many runs a method has."""
        return sum(len(found) for found in self.regrets.values())

    def means(self) -> np.ndarray:
        """The mean regrets, problems by methods."""
        return np.array([found.mean(axis=0) for found in self.regrets.values()])

    def logs(self) -> np.ndarray:
        """The mean logarithms of the regrets, problems by methods."""
        return np.array([np.log10(np.maximum(found, SMALLEST)).mean(axis=0) for found in self.regrets.values()])

    def ranks(self) -> np.ndarray:
        """The mean rank of each method; each problem counts alike. Regrets below the smallest are ties."""
        cut = [np.maximum(found, SMALLEST) for found in self.regrets.values()]
        return np.array([stats.rankdata(found, axis=1).mean(axis=0) for found in cut]).mean(axis=0)


def table(found: list[Row], budget: str, share: float) -> Table | None:
    """The table of some rows, with the methods that have at least this share of the problems."""
    # Of runs to 100 and to 200 Trials, the shorter tells about 50: some searches plan with their budget.
    runs: dict[tuple[str, int], dict[str, Row]] = defaultdict(dict)
    for row in sorted(found, key=lambda row: -row["budget"]):
        if budget in row["best"]:
            runs[row["problem"], row["seed"]][row["method"]] = row
    problems_of: dict[str, set[str]] = defaultdict(set)
    for (problem, _), by_method in runs.items():
        for method in by_method:
            problems_of[method].add(problem)
    all_methods = {row["method"] for row in found}
    most = max((len(problems) for problems in problems_of.values()), default=0)
    methods = sorted(m for m in all_methods if most and len(problems_of[m]) >= share * most)
    regrets: dict[str, list[list[float]]] = defaultdict(list)
    costs = []
    for (problem, _), by_method in sorted(runs.items()):
        if all(method in by_method for method in methods):
            regrets[problem].append([regret(by_method[method], budget) for method in methods])
            costs.append([by_method[m].get("cpu", {}).get(budget, np.nan) / int(budget) * 1000 for m in methods])
    if not regrets or len(methods) < 2:
        return None
    left_out = {m: len(problems_of[m]) for m in sorted(all_methods - set(methods))}
    arrays = {problem: np.array(values) for problem, values in regrets.items()}
    return Table(methods, arrays, [float(cost) for cost in np.mean(costs, axis=0)], left_out)


def tests(found: Table, against: str) -> dict[str, str]:
    """For each other method, on how many problems the one is better, and how likely that is by chance."""
    logs = found.logs()
    base = logs[:, found.methods.index(against)]
    others = [method for method in found.methods if method != against]
    gaps = {other: logs[:, found.methods.index(other)] - base for other in others}
    values = [float(stats.wilcoxon(gaps[other]).pvalue) if np.any(gaps[other]) else 1.0 for other in others]
    return {
        other: f"{int(np.sum(gaps[other] > 0))}+ {int(np.sum(gaps[other] < 0))}-  p={value:.2g}"
        for other, value in zip(others, holm(values), strict=True)
    }


def show(title: str, found: Table, against: str | None) -> None:
    """Prints a table, best rank first."""
    compared = tests(found, against) if against in found.methods else {}
    print(f"\n{title}, {len(found.regrets)} problems, {found.run_count} runs each")
    heading = f"{against}: better on, worse on" if compared else ""
    print(f"  {'method':24} {'rank':>6} {'regret':>7} {'log10':>7} {'CPU ms':>8}  {heading}")
    columns = zip(found.methods, found.ranks(), found.means().mean(0), found.logs().mean(0), found.cpu, strict=True)
    for method, rank, mean, log, cost in sorted(columns, key=lambda column: column[1]):
        print(f"  {method:24} {rank:6.2f} {mean:7.3f} {log:7.2f} {cost:8.1f}  {compared.get(method, '')}".rstrip())
    if found.left_out:
        print("  left out:", ", ".join(f"{method} ({count} problems)" for method, count in found.left_out.items()))


def show_losses(found: Table, against: str) -> None:
    """Prints where another is better by a factor, worst first."""
    place = found.methods.index(against)
    lines = []
    for problem, logs in zip(found.regrets, found.logs(), strict=True):
        best = int(np.argmin(logs))
        gap = float(logs[place] - logs[best])
        if gap > np.log10(FACTOR):
            lines.append(
                (gap, f"  {problem:32} {10 ** logs[place]:8.4f} {10 ** logs[best]:8.4f}  {found.methods[best]}")
            )
    print(f"  {against} loses by a factor of {FACTOR:g} on {len(lines)} of {len(found.regrets)} problems; regrets:")
    for _, line in sorted(lines, reverse=True):
        print(line)


def main() -> None:
    """Reads the command line and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="files; a run that is in two counts as in the later")
    parser.add_argument("--against", help="the method that the others are tested against")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--budgets", nargs="+", default=["25", "50", "100", "200"])
    parser.add_argument("--split", choices=("development", "held-out", "all"), default="all")
    parser.add_argument("--by", choices=("family", "problem"), help="a table for each")
    parser.add_argument(
        "--numeric", action="store_true", help="only spaces without categories; cma is in these tables only"
    )
    parser.add_argument("--seeds", type=int, help="only the first so many")
    parser.add_argument("--share", type=float, default=0.25, help="of the problems, for a method to be in a table")
    parser.add_argument("--losses", action="store_true", help="where another is better than --against by a factor")
    options = parser.parse_args()
    if (options.by == "problem" or options.losses) and options.split != "development":
        parser.error("single problems are shown of --split development only: the others are kept aside")
    if options.losses and not options.against:
        parser.error("--losses needs --against")
    unique = {}
    for path in options.results:
        for row in rows(path):
            unique[row["problem"], row["method"], row["parallel"], row["seed"], row["budget"]] = row
    chosen = [r for r in unique.values() if options.split == "all" or r["held_out"] == (options.split == "held-out")]
    chosen = [r for r in chosen if not options.methods or r["method"] in options.methods]
    chosen = [r for r in chosen if options.seeds is None or r["seed"] < options.seeds]
    # What knows no categories would otherwise keep all problems that have some out of every table.
    chosen = [r for r in chosen if (r["numeric"] if options.numeric else r["method"] not in NUMERIC_ONLY)]
    groups: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in chosen:
        groups[row["parallel"], row[options.by] if options.by else options.split].append(row)
    for (parallel, group), members in sorted(groups.items()):
        for budget in options.budgets:
            found = table(members, budget, options.share)
            if found is None:
                continue
            show(f"{group}, batches of {parallel}, {budget} Trials", found, options.against)
            if options.losses and options.against in found.methods:
                show_losses(found, options.against)
    failed = [row for row in chosen if row["ended"]]
    reasons: dict[tuple[str, str], int] = defaultdict(int)
    for row in failed:
        reasons[row["method"], row["ended"]] += 1
    for (method, reason), count in sorted(reasons.items()):
        print(f"\n{method}: {count} runs ended early: {reason}")


if __name__ == "__main__":
    main()
