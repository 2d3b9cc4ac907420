"""Bad days on a real node: Pods evicted, Jobs deleted, processes killed; and every refusal at once, by kubectl."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from katib_experiments import NAMESPACE, Manifest, condition, read, wait_for_success
from real_node import PROJECT, RealNode

sys.path.append(str(PROJECT / "tests" / "api"))

from experiment_samples import GOOD, edited, templates
from test_refused_experiments import REFUSED

PATIENCE_SECONDS = 180.0
LINES = 20
PROGRAM = f"for i in $(seq 1 {LINES}); do echo loss=0.$i; sleep 0.5; done; echo loss=${{trialParameters.lr}}"


def slow(name: str, *, trials: int = 2, retries: int = 3) -> Manifest:
    """An Experiment whose Trials print a line every half second for ten seconds."""
    container = {"name": "training", "image": "pykatib-mnist:test", "command": ["sh", "-c", PROGRAM]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": retries,
            "template": {
                "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
            },
        },
    }
    return {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "objective": {"type": "minimize", "objectiveMetricName": "loss"},
            "algorithm": {"algorithmName": "random"},
            "parallelTrialCount": min(2, trials),
            "maxTrialCount": trials,
            "maxFailedTrialCount": 0,
            "parameters": [{"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "0.01", "max": "0.09"}}],
            "trialTemplate": {
                "primaryContainerName": "training",
                "trialParameters": [{"name": "lr", "reference": "lr"}],
                "trialSpec": job,
            },
        },
    }


@pytest.fixture
def experiment(node: RealNode, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an Experiment whose Trials run."""
    name = str(request.param)
    node.run("apply", "-f", "-", stdin=yaml.safe_dump(slow(name)))
    eventually("both Pods run", lambda: len(running_pods(node, name)) == 2)
    yield name
    node.run("-n", NAMESPACE, "delete", "experiment", name, "--timeout=120s")


def eventually(what: str, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, f"not seen: {what}"
        time.sleep(0.3)


def listed(node: RealNode, kind: str, selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        node.run("-n", NAMESPACE, "get", kind, "-l", selector, "-o", "json").stdout
    )["items"]
    return found


def of(name: str) -> str:
    return f"katib.kubeflow.org/experiment={name}"


def trial_pods(node: RealNode, name: str) -> list[dict[str, Any]]:
    pods = listed(node, "pods", "katib.kubeflow.org/trial")
    return [each for each in pods if each["metadata"]["labels"]["katib.kubeflow.org/trial"].startswith(f"{name}-")]


def running_pods(node: RealNode, name: str) -> list[dict[str, Any]]:
    return [each for each in trial_pods(node, name) if each["status"].get("phase") == "Running"]


def check_whole(node: RealNode, name: str) -> None:
    """Asserts that it has succeeded with two Trials, each with its metrics, and no Job twice."""
    status = wait_for_success(node, name)["status"]
    assert (status["trials"], status["trialsSucceeded"]) == (2, 2), status
    trials = listed(node, "trials", of(name))
    assert len(trials) == 2
    for trial in trials:
        (metric,) = trial["status"]["observation"]["metrics"]
        assigned = trial["spec"]["parameterAssignments"][0]["value"]
        assert metric["latest"] == assigned, "the last line has arrived"
        # The largest of the lines, which is the ninth, and the last line, which is the least.
        assert float(metric["max"]) == 0.9
        assert float(metric["min"]) == float(assigned)
    assert len({trial["spec"]["parameterAssignments"][0]["value"] for trial in trials}) == 2


@pytest.mark.parametrize("experiment", ["evicted"], indirect=True)
def test_a_trial_whose_pod_is_evicted_goes_on_in_another_one(node: RealNode, experiment: str) -> None:
    pod = running_pods(node, experiment)[0]["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1beta1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": NAMESPACE},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    node.run("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    check_whole(node, experiment)


@pytest.mark.parametrize("experiment", ["job-deleted"], indirect=True)
def test_a_job_that_somebody_deletes_is_made_again_under_the_same_trial(node: RealNode, experiment: str) -> None:
    job = listed(node, "trials", of(experiment))[0]["metadata"]["name"]
    node.run("-n", NAMESPACE, "delete", "job", job, "--timeout=60s")
    check_whole(node, experiment)


@pytest.mark.parametrize("experiment", ["operator-killed"], indirect=True)
def test_an_operator_killed_while_trials_run_loses_and_doubles_nothing(node: RealNode, experiment: str) -> None:
    os.kill(process_of(node, "katib.kubeflow.org/component=controller"), signal.SIGKILL)
    check_whole(node, experiment)


@pytest.mark.parametrize("experiment", ["db-manager-killed"], indirect=True)
def test_metrics_are_complete_though_the_db_manager_is_killed_meanwhile(node: RealNode, experiment: str) -> None:
    selector = "katib.kubeflow.org/component=db-manager"
    pods = listed(node, "pods", selector)
    name = pods[0]["metadata"]["name"]
    node.run("-n", NAMESPACE, "delete", "pod", name, "--force", "--grace-period=0")
    check_whole(node, experiment)


def process_of(node: RealNode, selector: str) -> int:
    """The process of a Pod's container on this machine, by the cgroup that it is in."""
    (pod,) = listed(node, "pods", selector)
    identity = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if identity in (folder / "cgroup").read_text():
                    return int(folder.name)
            except OSError:
                continue  # it has ended meanwhile
    raise AssertionError(f"no process of {identity}")


def test_every_manifest_of_the_table_is_refused_by_kubectl_at_once(node: RealNode, tmp_path: Path) -> None:
    for index, (changes, path, _) in enumerate(REFUSED):
        named = {"metadata.name": f"refused-{index}"} if path.startswith("spec") else {}
        text = json.dumps(edited(GOOD, {**changes, **named})).replace('"team-a"', json.dumps(NAMESPACE))
        (tmp_path / f"refused-{index}.yaml").write_text(yaml.safe_dump(json.loads(text)))
    of_the_table = templates("team-a", "templates")
    assert of_the_table is not None
    metadata = {
        "name": "templates",
        "namespace": NAMESPACE,
        "labels": {"katib.kubeflow.org/component": "trial-templates"},
    }
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": of_the_table.data}
    node.run("apply", "-f", "-", stdin=json.dumps(config_map))
    try:
        done = node.run("apply", "-f", str(tmp_path), check=False)
    finally:
        node.run("-n", NAMESPACE, "delete", "configmap", "templates")
    assert done.returncode != 0
    assert done.stdout == "", "nothing was let in"
    ours = [(index, path) for index, (_, path, _) in enumerate(REFUSED) if path.startswith("spec")]
    assert [index for index, _ in ours if f"refused-{index}.yaml" not in done.stderr] == []
    leaves = {path.rpartition(".")[2].partition("[")[0] for _, path in ours}
    assert [leaf for leaf in leaves if leaf not in done.stderr] == []


def test_a_config_map_of_another_namespace_is_not_used(node: RealNode) -> None:
    node.run("create", "namespace", "others")
    try:
        node.run("-n", "others", "create", "configmap", "secret-template", "--from-literal=template=kind: Job")
        manifest = slow("reaches-over")
        template = manifest["spec"]["trialTemplate"]
        del template["trialSpec"]
        template["configMap"] = {
            "configMapName": "secret-template",
            "configMapNamespace": "others",
            "templatePath": "template",
        }
        refused = node.run("apply", "-f", "-", stdin=yaml.safe_dump(manifest), check=False)
        assert refused.returncode == 1
        assert "spec.trialTemplate.configMap" in refused.stderr
        assert read(node, "experiment", "reaches-over") is None
    finally:
        node.run("delete", "namespace", "others", "--wait=false")


def test_trials_of_another_namespace_report_and_are_theirs_alone(node: RealNode) -> None:
    node.run("create", "namespace", "team-b")
    try:
        manifest = slow("of-team-b", trials=1)
        manifest["metadata"]["namespace"] = "team-b"
        eventually(
            "the namespace's account",
            lambda: bool(
                node.run("-n", "team-b", "get", "serviceaccount", "default", "--ignore-not-found", "-o", "name").stdout
            ),
        )
        node.run("apply", "-f", "-", stdin=yaml.safe_dump(manifest))

        def is_done() -> bool:
            found = json.loads(node.run("-n", "team-b", "get", "experiment", "of-team-b", "-o", "json").stdout)
            assert condition(found, "Failed") is None, found["status"]
            return condition(found, "Succeeded") is not None

        eventually("its success", is_done)
        assert not listed(node, "trials", of("of-team-b"))
        node.run("-n", "team-b", "delete", "experiment", "of-team-b", "--timeout=120s")
    finally:
        node.run("delete", "namespace", "team-b", "--wait=false")
