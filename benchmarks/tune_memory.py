"""What a finished Trial takes of memory while a search goes on, and of disk when it is kept.

    python benchmarks/tune_memory.py [--trials 10000] [--rounds 3]

Random search over five parameters, inline, a fresh process for every run. Resident memory is read after 1,000 Trials
(a tenth of `--trials`) and after 10,000 more, each after a garbage collection and `malloc_trim`, while the control
plane is at work: views, store, unwritten changes and all. `peak` is the most that the whole process ever took, after
`tune()` had made its result.
"""

import argparse

from measuring import machine, median, print_table, run_once


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000, help="between the two readings")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    first = max(1, options.trials // 10)
    last = first + options.trials
    print(machine(), flush=True)
    lines = []
    for store in ("memory", "sqlite"):
        samples = [
            run_once("tune_once.py", store, str(last), "--memory-from", str(first)) for _ in range(options.rounds)
        ]
        for sample in samples:
            sample["each"] = (sample["last"] - sample["first"]) / options.trials
        lines.append(
            [
                store,
                f"{median(samples, 'each'):,.0f}",
                f"{median(samples, 'first') / 2**20:.1f}",
                f"{median(samples, 'last') / 2**20:.1f}",
                f"{median(samples, 'peak') / 2**20:.1f}",
                f"{median(samples, 'disk') / last:,.0f}",
            ]
        )
    head = ("", "bytes a trial", f"MiB after {first:,}", f"MiB after {last:,}", "peak MiB", "disk bytes a trial")
    print_table(head, lines)


if __name__ == "__main__":
    main()
