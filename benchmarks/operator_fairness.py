"""Many Experiments at once: are all their Jobs created, and does none of them starve?

    python benchmarks/operator_fairness.py [--experiments 120] [--parallel 30]

No Job completes before all have been created. Then all do, and each Experiment ends after as many Trials as ran at
once.
Goals: 120 Experiments of 30 Trials at once have 3,600 Jobs; the slowest takes no longer than twice the fastest.
"""

import argparse
import json
import time

from measuring import print_table
from operator_bench import EXPERIMENTS, JOBS, NAMESPACE, TRIALS, bench, experiment, load, print_cpu
from pykatib.api import names, wire


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=120)
    parser.add_argument("--parallel", type=int, default=30)
    options = parser.parse_args()
    total = options.experiments * options.parallel
    with bench() as found:
        found.start_operator()
        time.sleep(1.0)
        before = found.cpu_seconds()
        found.released.clear()
        started = time.monotonic()
        for number in range(options.experiments):
            wanted = experiment(NAMESPACE, f"e{number:03}", trials=options.parallel, parallel=options.parallel)
            found.server.request("POST", EXPERIMENTS, body=wire.encode(wanted))
        posted = time.monotonic() - started
        filled: dict[str, float] = {}
        params = {"resourceVersion": "0"}
        while len(filled) < options.experiments:
            time.sleep(1.0)
            counts: dict[str, int] = {}
            for job in json.loads(found.server.request("GET", JOBS, params=params))["items"]:
                name = job["metadata"]["name"].rpartition("-")[0]
                counts[name] = counts.get(name, 0) + 1
            now = time.monotonic() - started
            filled |= {name: now for name, count in counts.items() if count == options.parallel and name not in filled}
        jobs = len(json.loads(found.server.request("GET", JOBS, params=params))["items"])
        memory = found.operator_memory_mb()
        found.released.set()
        released = time.monotonic()
        ended: dict[str, float] = {}
        while len(ended) < options.experiments:
            time.sleep(1.0)
            now = time.monotonic() - released
            for each in json.loads(found.server.request("GET", EXPERIMENTS, params=params))["items"]:
                conditions = each.get("status", {}).get("conditions", [])
                if conditions and conditions[-1]["type"] in (names.SUCCEEDED, names.FAILED):
                    ended.setdefault(each["metadata"]["name"], now)
        trials = len(json.loads(found.server.request("GET", TRIALS, params=params))["items"])
        lines = [
            [
                what,
                f"{min(times.values()):.1f}",
                f"{max(times.values()):.1f}",
                f"{max(times.values()) / min(times.values()):.2f}",
            ]
            for what, times in (("all its Jobs created", filled), ("Succeeded, from the Jobs' release", ended))
        ]
        print_table(["", "fastest, s", "slowest, s", "ratio"], lines)
        print(
            f"{options.experiments} Experiments posted in {posted:.1f} s; {jobs} of {total} Jobs at once, "
            f"{trials} Trials in all; operator {memory:.0f} MB then; {load()}"
        )
        print_cpu(found.cpu_seconds(), before, total)


if __name__ == "__main__":
    main()
