"""Every benchmark runs, with tiny counts and without peers. What they measure is no business of a test."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

# Arguments with which each script is done soon, and a word that stands beside its figures.
TINY = {
    "big_output.py": (("--megabytes", "2"), "metrics 10 of 10"),
    "cli_startup.py": (("--rounds", "1"), "katib --help"),
    "early_stopping.py": (("--curves", "3", "--epochs", "2", "--trials", "3", "--rounds", "2"), "best one missed"),
    "enas_cost.py": (("--told", "4", "--layers", "2", "--rounds", "1"), "restarted: CPU"),
    "nas_darts.py": (("cost", "--rounds", "1"), "second order / first order"),
    "pbt.py": (("--trials", "20", "--seeds", "1"), "random, long"),
    "sidecar.py": (("--rounds", "1", "--lines", "20"), "PrometheusMetric  first value"),
    "spawn_rate.py": (("--count", "4"), "supervised"),
    "subprocess_trials.py": (("--count", "6", "--rounds", "1"), "CPU per Trial"),
    "store_writes.py": (("20",), "µs a trial"),
    "tune_memory.py": (("--trials", "20", "--rounds", "1"), "sqlite"),
    "tune_scaling.py": (("--trials", "10", "--times", "2", "--rounds", "1"), "sqlite, CPU time"),
    "tune_throughput.py": (("--trials", "20", "--rounds", "1"), "Optuna was left out"),
}


@pytest.mark.parametrize("script", TINY)
def test_a_benchmark_runs_and_prints_figures(script: str, tmp_path: Path) -> None:
    arguments, word = TINY[script]
    command = [sys.executable, "-W", "error", str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert word in done.stdout
