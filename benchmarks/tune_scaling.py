"""What a Trial costs in a search of ten thousand, against one of a thousand: the cost should not grow.

    python benchmarks/tune_scaling.py [--trials 1000] [--times 10] [--rounds 3]

Random search, inline, both stores, a fresh process for every run; medians over the rounds of the cost per Trial and of
the ratio within each round. What a search costs once (imports are not in it, opening and closing are) is the same for
both, so it makes the ratio smaller: `fixed` shows it, measured with a single Trial.
"""

import argparse

from measuring import machine, median, print_table, run_once

CLOCKS = {"wall": "wall", "cpu": "CPU"}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    few, many = options.trials, options.trials * options.times
    print(machine(), flush=True)
    lines: list[list[str]] = []
    for store in ("memory", "sqlite"):
        samples = []
        for _ in range(options.rounds):
            fixed = run_once("tune_once.py", store, "1")
            short = run_once("tune_once.py", store, str(few))
            long = run_once("tune_once.py", store, str(many))
            sample = {"fixed": fixed["cpu"] * 1e3}
            for clock in CLOCKS:
                sample |= {
                    f"{clock}_few": short[clock] / few * 1e6,
                    f"{clock}_many": long[clock] / many * 1e6,
                    f"{clock}_ratio": long[clock] / many / (short[clock] / few),
                }
            samples.append(sample)
        lines += [
            [
                f"{store}, {CLOCKS[clock]} time",
                f"{median(samples, f'{clock}_few'):,.0f}",
                f"{median(samples, f'{clock}_many'):,.0f}",
                f"{median(samples, f'{clock}_ratio'):.2f}",
                f"{median(samples, 'fixed'):,.0f}",
            ]
            for clock in CLOCKS
        ]
    print_table(("", f"µs each of {few:,}", f"µs each of {many:,}", "ratio", "fixed, CPU ms"), lines)


if __name__ == "__main__":
    main()
