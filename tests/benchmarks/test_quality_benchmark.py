"""The comparison of search algorithms runs, resumes and reports; the costs of proposals are printed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

PEER = '''
"""Two optimizers: one proposes the middle, counting what it was told; one fails at the third point."""


class Optimizer:
    def __init__(self, method, columns, *, seed, budget, parallel):
        self.method, self.columns, self.asked = method, columns, 0

    def ask(self, count):
        self.asked += 1
        if self.method == "smac-blackbox" and self.asked == 3:
            raise RuntimeError("no third point")
        return [c["values"][0] if "values" in c else (c["low"] + c["high"]) // 2 for c in self.columns]

    def tell(self, number, value):
        pass
'''


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quality") / "results.jsonl"
    arguments = ("--results", str(path), "--families", "synthetic", "--quick", "--budget", "25", "--seeds", "2")
    run("quality/run.py", *arguments, "--methods", "random")
    run("quality/run.py", *arguments, "--methods", "random", "multivariate-tpe")
    return path


def test_results_are_added_once(results: Path) -> None:
    rows = read(results)

    keys = [(row["problem"], row["method"], row["seed"]) for row in rows]
    assert len(set(keys)) == len(keys) == 40
    assert {row["method"] for row in rows} == {"random", "multivariate-tpe"}
    assert not any(row["held_out"] or row["ended"] for row in rows)
    for row in rows:
        if not str(row["problem"]).startswith("noisy"):
            assert row["optimum"] <= row["best"]["25"]  # type: ignore[index]


def test_the_report_compares_methods_and_shows_where_one_loses(results: Path) -> None:
    report = run("quality/report.py", str(results), "--split", "development", "--against", "random", "--losses")

    assert "development, batches of 1, 25 Trials, 10 problems, 20 runs each" in report
    lines = [line.split() for line in report.splitlines() if line.startswith(("  multivariate-tpe", "  random  "))]
    assert sorted(line[0] for line in lines) == ["multivariate-tpe", "random"]
    assert [float(line[1]) for line in lines] == sorted(float(line[1]) for line in lines)
    assert sum(float(line[1]) for line in lines) == pytest.approx(3.0, abs=0.011)
    assert "random loses by a factor of 2 on" in report


def test_single_problems_that_are_kept_aside_are_not_shown(results: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "quality/report.py"), str(results), "--by", "problem"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "kept aside" in done.stderr


def test_a_line_cut_off_by_a_crash_is_run_again_and_harms_no_other(results: Path, tmp_path: Path) -> None:
    lines = results.read_text().splitlines(keepends=True)
    cut = tmp_path / "results.jsonl"
    cut.write_text("".join(lines[:-1]) + lines[-1][:30])
    arguments = ("--results", str(cut), "--families", "synthetic", "--quick", "--budget", "25", "--seeds", "2")
    run("quality/run.py", *arguments, "--methods", "random", "multivariate-tpe")

    fresh = cut.read_text().splitlines()
    assert len(fresh) == len(lines) + 1
    again, before = json.loads(fresh[-1]), json.loads(lines[-1])
    assert {name: again[name] for name in ("problem", "method", "seed", "best")} == {
        name: before[name] for name in ("problem", "method", "seed", "best")
    }


def test_a_failing_peer_ends_its_own_runs_only(tmp_path: Path) -> None:
    benchmark = tmp_path / "quality"
    benchmark.mkdir()
    for source in (BENCHMARKS / "quality").glob("*.py"):
        (benchmark / source.name).write_text(source.read_text())
    (benchmark / "peers").mkdir()
    (benchmark / "peers" / "smac.py").write_text(PEER)
    interpreter = tmp_path / "environments" / "smac" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(sys.executable)
    path = tmp_path / "results.jsonl"
    command = [sys.executable, "-W", "error", str(benchmark / "run.py"), "--results", str(path), "--quick"]
    command += ["--families", "synthetic", "--budget", "25", "--seeds", "1", "--parallel", "4"]
    command += ["--methods", "smac-blackbox", "smac", "hebo", "--peers", str(tmp_path / "environments")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert "without hebo: it needs --peers FOLDER with hebo" in done.stderr
    rows = read(path)
    assert {row["ended"] for row in rows if row["method"] == "smac-blackbox"} == {"RuntimeError: no third point"}
    assert {row["ended"] for row in rows if row["method"] == "smac"} == {""}
    assert len(rows) == 20


def test_costs_of_proposals_are_printed() -> None:
    table = run("proposal_cost.py", "--counts", "15", "30", "--algorithms", "random", "tpe")

    assert [line.split()[0] for line in table.splitlines()[1:]] == ["random", "tpe"]
    assert all(float(cost) >= 0 for line in table.splitlines()[1:] for cost in line.split()[1:])
