"""Manifests as their authors wrote them, run here to their end: Katib's own examples, and ours."""

import os
from pathlib import Path

import msgspec
import pytest
import yaml
from job_bench import JobBench, condition_of

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.experiment import Experiment

ROOT = Path(__file__).parents[2]
KATIB = Path(os.environ.get("KATIB_MANIFESTS", ROOT.parent / "shared" / "manifests" / "katib"))
EXAMPLES = ROOT / "examples"
ALGORITHMS = ("random", "grid", "sobol")
UNLUCKY = ("retries-and-deadlines",)  # it fails on purpose


def manifests(folder: Path) -> list[Path]:
    """Those whose Trials are Jobs, and whose algorithm needs nothing but itself."""
    return [file for file in sorted(folder.glob("*.yaml")) if _is_suitable(file)]


def _is_suitable(file: Path) -> bool:
    for document in yaml.safe_load_all(file.read_text()):
        if document and document["kind"] == "Experiment":
            spec = document["spec"]
            job = spec["trialTemplate"].get("trialSpec", {"kind": "Job"})
            return spec["algorithm"]["algorithmName"] in ALGORITHMS and job["kind"] == "Job"
    return False


def smaller(experiment: Experiment) -> Experiment:
    """The same with two Trials."""
    spec = experiment.spec
    stopping = spec.early_stopping
    if stopping is not None and stopping.algorithm_name not in registry.early_stopping_names():
        stopping = None
    spec = msgspec.structs.replace(
        spec, max_trial_count=2, parallel_trial_count=2, max_failed_trial_count=0, early_stopping=stopping
    )
    return msgspec.structs.replace(experiment, spec=spec)


def run(bench: JobBench, file: Path) -> None:
    text = file.read_text().replace("--epochs=10", "--epochs=1")
    experiment = bench.create_from(text, folder=file.parent, change=smaller)
    trials = bench.finish(experiment)
    assert [condition_of(trial) for trial in trials] == [names.SUCCEEDED] * 2
    found = bench.status_of(experiment).status
    assert is_true(found.conditions, names.SUCCEEDED)
    assert found.current_optimal_trial is not None
    assert found.current_optimal_trial.observation is not None


@pytest.mark.slow
@pytest.mark.parametrize("file", manifests(KATIB), ids=lambda file: file.stem)
def test_katibs_own_example_runs_unchanged(bench: JobBench, file: Path) -> None:
    pytest.importorskip("sklearn", reason="the example programs train with scikit-learn's images")
    run(bench, file)


def test_katibs_examples_are_at_hand() -> None:
    if not KATIB.is_dir():
        pytest.skip("KATIB_MANIFESTS names no folder with Katib's example manifests")
    assert len(manifests(KATIB)) >= 4


@pytest.mark.parametrize(
    "file", [file for file in manifests(EXAMPLES) if file.stem not in UNLUCKY], ids=lambda file: file.stem
)
def test_our_own_example_runs(bench: JobBench, file: Path) -> None:
    run(bench, file)


def test_the_algorithms_here_are_there() -> None:
    assert set(ALGORITHMS) <= set(registry.names())
