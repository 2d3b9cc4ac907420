"""Trials per second of `tune()` with an objective of no cost, beside Optuna: what a Trial costs apart from its work.

    python benchmarks/tune_throughput.py [--trials 3000] [--rounds 5] [--peer-python PATH]

Random search over five parameters (README.md has the space), inline, in memory and kept in SQLite; Optuna's in-memory,
SQLite and journal file storages in the same rounds. Every run is a fresh process; a round runs each once, so that a
busy moment of the machine falls on all; the table shows medians. Optuna's storages on disk are given fewer trials
(`--peer-trials`), for they would take minutes; a trial costs them no less when there are more.

What is promised when a search returns: pykatib's SQLite run has committed everything (a kill loses at most the last
50 ms of it while it runs; a power cut about the last second); Optuna's commit each step of each trial on its own.
"""

import argparse

from measuring import machine, median, print_table, run_once


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-python", help="an interpreter that has Optuna; without it, peers are left out")
    parser.add_argument("--peer-trials", type=int, default=200, help="for Optuna's storages on disk")
    options = parser.parse_args()
    runs = {
        "pykatib, memory": ("tune_once.py", "memory", options.trials),
        "pykatib, SQLite": ("tune_once.py", "sqlite", options.trials),
    }
    if options.peer_python:
        peer_trials = min(options.peer_trials, options.trials)
        runs |= {
            "Optuna, memory": ("optuna_once.py", "memory", options.trials),
            "Optuna, journal file": ("optuna_once.py", "journal", peer_trials),
            "Optuna, SQLite": ("optuna_once.py", "sqlite", peer_trials),
        }
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    version = ""
    print(machine(), flush=True)
    for _ in range(options.rounds):
        for name, (script, store, count) in runs.items():
            python = {"python": options.peer_python} if script == "optuna_once.py" else {}
            said = run_once(script, store, str(count), **python)
            version = said.pop("version", version)
            said |= {
                "rate": count / said["wall"],
                "cpu_rate": count / said["cpu"],
                "wall_each": said["wall"] / count * 1e6,
                "cpu_each": said["cpu"] / count * 1e6,
            }
            samples[name].append(said)
    lines = [
        [
            name,
            str(count),
            f"{median(samples[name], 'rate'):,.0f}",
            f"{median(samples[name], 'cpu_rate'):,.0f}",
            f"{median(samples[name], 'wall_each'):,.0f}",
            f"{median(samples[name], 'cpu_each'):,.0f}",
        ]
        for name, (_, _, count) in runs.items()
    ]
    print_table(("", "trials", "trials/s", "by CPU time", "wall µs each", "CPU µs each"), lines)
    if options.peer_python:
        for store, peers in (("memory", ("memory",)), ("SQLite", ("journal file", "SQLite"))):
            for peer in peers:
                pairs = zip(samples[f"pykatib, {store}"], samples[f"Optuna, {peer}"], strict=True)
                ratios = [
                    {"wall": ours["rate"] / theirs["rate"], "cpu": ours["cpu_rate"] / theirs["cpu_rate"]}
                    for ours, theirs in pairs
                ]
                print(
                    f"pykatib, {store} against Optuna {version}, {peer}, within a round: "
                    f"{median(ratios, 'wall'):.1f}× by wall, {median(ratios, 'cpu'):.1f}× by CPU time"
                )
    else:
        print("Optuna was left out: --peer-python names an interpreter that has it (README.md says how to get one)")


if __name__ == "__main__":
    main()
