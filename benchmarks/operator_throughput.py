"""Trials a second and API writes a Trial of the operator, on a control plane alone; flat from the first to the last?

    python benchmarks/operator_throughput.py [--trials 1000] [--parallel 50]

Needs KUBE_ASSETS as the tests do. Goals: 25 Trials/s on two cores shared with the API server, 12 API writes a Trial.
"""

import argparse
import itertools
import time

from measuring import print_table
from operator_bench import EXPERIMENTS, NAMESPACE, bench, experiment, has_ended, load, print_cpu, read_experiment
from pykatib.api import wire


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=50)
    options = parser.parse_args()
    with bench() as found:
        found.start_operator()
        time.sleep(1.0)
        before, requests, sent = found.cpu_seconds(), found.requests(), found.bytes_written()
        started = time.monotonic()
        wanted = experiment(NAMESPACE, trials=options.trials, parallel=options.parallel)
        found.server.request("POST", EXPERIMENTS, body=wire.encode(wanted))
        tenth = options.trials // 10
        marks = [(0.0, 0, found.cpu_seconds()["operator"], sent)]
        while True:
            time.sleep(0.25)
            count = read_experiment(found.server, NAMESPACE).status.trials_succeeded
            if count >= marks[-1][1] + tenth or count == options.trials:
                now = time.monotonic() - started
                marks.append((now, count, found.cpu_seconds()["operator"], found.bytes_written()))
            if count == options.trials and has_ended(found.server, NAMESPACE):
                break
        seconds = time.monotonic() - started
        lines = [
            [
                str(count),
                f"{(count - count_before) / (moment - moment_before):.1f}",
                f"{(cpu - cpu_before) / (count - count_before) * 1000:.1f}",
                f"{(size - size_before) / (count - count_before) / 1024:.1f}",
            ]
            for (moment_before, count_before, cpu_before, size_before), (
                moment,
                count,
                cpu,
                size,
            ) in itertools.pairwise(marks)
            if count > count_before
        ]
        print_table(["up to Trial", "Trials/s", "operator's CPU ms a Trial", "KiB written a Trial"], lines)
        served = found.requests() - requests
        print(
            f"{options.trials} Trials, {options.parallel} parallel: {seconds:.1f} s, "
            f"{options.trials / seconds:.1f} Trials/s, {load()}\n"
            f"API writes a Trial: {found.object_writes() / options.trials:.1f} of objects by the operator; "
            f"{served / options.trials:.1f} in all, with events and the stand-in's one\n"
            f"operator's memory: {found.operator_peak_mb():.0f} MB at most"
        )
        print_cpu(found.cpu_seconds(), before, options.trials)


if __name__ == "__main__":
    main()
