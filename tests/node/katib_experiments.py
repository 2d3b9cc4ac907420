"""Experiments on the node: Katib's own manifests made to fit it, and what must hold of one that has succeeded."""

import json
import time
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from real_node import PROJECT, RealNode

Manifest: TypeAlias = dict[str, Any]

KATIBS = PROJECT.parent / "shared" / "manifests" / "katib"
NAMESPACE = "kubeflow"
KATIBS_IMAGES = {
    "ghcr.io/kubeflow/katib/pytorch-mnist-cpu:latest": "pykatib-mnist:test",
    "ghcr.io/kubeflow/katib/simple-pbt:latest": "pykatib-simple-pbt:test",
}
CLEAN_UP_SECONDS = 30.0


def with_our_images(text: str) -> str:
    """A manifest whose images of Katib's are replaced by those that the node has."""
    for theirs, ours in KATIBS_IMAGES.items():
        text = text.replace(theirs, ours)
    return text


def katibs_manifest(file: Path, *, name: str, max_trials: int = 2, parallel: int = 2) -> Manifest:
    """A manifest of Katib's as its own end-to-end tests run it: two Trials of two epochs at most, and none may fail."""
    manifest: Manifest = yaml.safe_load(with_our_images(file.read_text()))
    manifest["metadata"] = {"name": name, "namespace": NAMESPACE}
    budget = {"maxTrialCount": max_trials, "parallelTrialCount": parallel, "maxFailedTrialCount": 0}
    manifest["spec"] |= budget
    return manifest


def read(node: RealNode, kind: str, name: str) -> Manifest | None:
    """An object of the namespace, or None."""
    done = node.run("-n", NAMESPACE, "get", kind, name, "-o", "json", "--ignore-not-found")
    found: Manifest | None = json.loads(done.stdout) if done.stdout else None
    return found


def condition(found: Manifest | None, type_: str) -> Manifest | None:
    """The condition of a type that is true, or None."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == type_ and each["status"] == "True"), None)


def wait_for_success(node: RealNode, name: str, *, seconds: float = 300.0) -> Manifest:
    """The Experiment once it has succeeded; one that fails is told with its reason."""
    until = time.monotonic() + seconds
    while True:
        found = read(node, "experiment", name)
        failed = condition(found, "Failed")
        assert failed is None, failed
        if found is not None and condition(found, "Succeeded"):
            return found
        assert time.monotonic() < until, f"{name} has not succeeded within {seconds:.0f} s: {found}"
        time.sleep(0.5)


def check_success(node: RealNode, name: str) -> None:
    """Asserts what Katib's end-to-end tests assert of an Experiment that has succeeded."""
    experiment = read(node, "experiment", name)
    assert experiment is not None
    spec, status = experiment["spec"], experiment["status"]
    assert condition(experiment, "Failed") is None
    succeeded = condition(experiment, "Succeeded")
    assert succeeded is not None

    objective = spec["objective"]
    metrics = {each["name"]: each for each in status["currentOptimalTrial"]["observation"]["metrics"]}
    assert objective["objectiveMetricName"] in metrics, status
    best = metrics[objective["objectiveMetricName"]]
    if succeeded["reason"] == "ExperimentMaxTrialsReached":
        done = status.get("trialsSucceeded", 0) + status.get("trialsEarlyStopped", 0)
        assert done == spec["maxTrialCount"], status
    if succeeded["reason"] == "ExperimentGoalReached":
        if objective["type"] == "minimize":
            assert float(best["min"]) <= objective["goal"]
        else:
            assert float(best["max"]) >= objective["goal"]

    policy = spec["resumePolicy"]
    suggestion = read(node, "suggestion", name)
    assert suggestion is not None
    if policy == "LongRunning":
        assert condition(suggestion, "Succeeded") is None, suggestion["status"]
    else:
        service = f"{name}-{spec['algorithm']['algorithmName']}"
        until = time.monotonic() + CLEAN_UP_SECONDS
        while left := _left(node, name, service):
            assert time.monotonic() < until, f"of {name} is left: {left}"
            time.sleep(0.2)

    trials = json.loads(
        node.run("-n", NAMESPACE, "get", "trials", "-l", f"katib.kubeflow.org/experiment={name}", "-o", "json").stdout
    )["items"]
    assert len(trials) == status["trials"]
    for trial in trials:
        assert condition(trial, "Succeeded") or condition(trial, "EarlyStopped"), trial["status"]
        observed = {each["name"] for each in trial["status"]["observation"]["metrics"]}
        assert objective["objectiveMetricName"] in observed, trial["status"]


def _left(node: RealNode, name: str, service: str) -> list[str]:
    """What should go when an Experiment that is not LongRunning has ended."""
    left = [kind for kind in ("deployment", "service") if read(node, kind, service) is not None]
    if condition(read(node, "suggestion", name), "Running"):
        left.append("a Suggestion that runs")
    return left
