"""Runs one `tune()` of the shared search in this process and says on its last line, as JSON, what it took.

    python benchmarks/tune_once.py memory 3000
    python benchmarks/tune_once.py sqlite 3000 [--memory-from 1000]

Random search, inline, one Trial after the other; `sqlite` keeps everything in a home folder that is thrown away. The
times go from the call of `tune()` to its return. With `--memory-from N` the resident memory is read after N Trials and
after the last one, while the control plane is at work, each time after a collection and after free memory has been
given back; its times mean nothing then.
"""

import argparse
import ctypes
import gc
import json
import resource
import tempfile
import time
from pathlib import Path

import psutil

import mixed_problem
from pykatib.sdk import search
from pykatib.sdk.result import TrialResult
from pykatib.sdk.tune import tune

PARAMETERS = {
    "x": search.double(*mixed_problem.X),
    "y": search.double(*mixed_problem.Y),
    "lr": search.double(*mixed_problem.LEARNING_RATE, log=True),
    "layers": search.int(*mixed_problem.LAYERS),
    "optimizer": search.categorical(mixed_problem.OPTIMIZERS),
}


def settled_memory() -> int:
    """Resident bytes, after a collection and without what the allocator keeps of freed memory."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        pass  # not glibc
    return int(psutil.Process().memory_info().rss)


class MemoryReader:
    """Hears of each Trial's end, and reads the memory at two of them."""

    def __init__(self, first: int, last: int) -> None:
        self._moments = {first, last}
        self._count = 0
        self.readings: list[int] = []

    def __call__(self, trial: TrialResult) -> None:
        """One more Trial has ended."""
        self._count += 1
        if self._count in self._moments:
            self.readings.append(settled_memory())


def run(store: str, trial_count: int, reader: MemoryReader | None) -> dict[str, float]:
    """The figures of one search."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home" if store == "sqlite" else None
        wall, cpu = time.perf_counter(), time.process_time()
        result = tune(
            "benchmark",
            objective=mixed_problem.objective,
            parameters=PARAMETERS,
            algorithm_name="random",
            algorithm_settings={"random_state": 7},
            objective_type="minimize",
            max_trial_count=trial_count,
            run_in="inline",
            home=home,
            on_trial=reader,
            progress=False,
        )
        figures = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        assert len(result.trials) == trial_count, len(result.trials)
        assert all(trial.state == "Succeeded" for trial in result.trials)
        figures["disk"] = sum(file.stat().st_size for file in home.rglob("*") if file.is_file()) if home else 0
    figures["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if reader is not None:
        first, last = reader.readings
        figures["first"], figures["last"] = first, last
    return figures


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", choices=("memory", "sqlite"))
    parser.add_argument("trials", type=int)
    parser.add_argument("--memory-from", type=int)
    options = parser.parse_args()
    first = options.memory_from
    print(json.dumps(run(options.store, options.trials, MemoryReader(first, options.trials) if first else None)))


if __name__ == "__main__":
    main()
