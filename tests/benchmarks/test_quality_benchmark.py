"""The comparison of search algorithms runs, resumes and reports; the costs of proposals are printed."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_results_are_added_once_and_reported(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    arguments = ("--results", str(results), "--families", "synthetic", "--quick", "--budget", "25", "--seeds", "2")
    run("quality/run.py", *arguments, "--methods", "random")
    run("quality/run.py", *arguments, "--methods", "random", "multivariate-tpe")

    rows = [json.loads(line) for line in results.read_text().splitlines()]
    keys = [(row["problem"], row["method"], row["seed"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {row["method"] for row in rows} == {"random", "multivariate-tpe"}
    assert not any(row["held_out"] for row in rows)
    assert all(row["optimum"] <= row["best"]["25"] for row in rows if not row["problem"].startswith("noisy"))

    report = run("quality/report.py", str(results), "--against", "random")
    assert "all, 1 at a time, 25 Trials, 10 problems" in report
    assert "multivariate-tpe" in report


def test_costs_of_proposals_are_printed() -> None:
    table = run("proposal_cost.py", "--counts", "15", "30", "--algorithms", "random", "tpe")

    assert [line.split()[0] for line in table.splitlines()[1:]] == ["random", "tpe"]
    assert all(float(cost) >= 0 for line in table.splitlines()[1:] for cost in line.split()[1:])
