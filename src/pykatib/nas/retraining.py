"""The manifest that trains a found network from scratch: the Trial's own job, with more epochs, over some seeds."""

import json
from collections.abc import Iterator
from typing import Any, Final

from pykatib.api.experiment import Experiment
from pykatib.api.trial import Trial
from pykatib.nas.found import FoundCells, FoundChain

SEED: Final = "${trialParameters.seed}"
CHAIN_PROGRAM: Final = "RunTrial.py"
CELL_PROGRAM: Final = "retrain.py"


def retraining(
    found: FoundChain | FoundCells, experiment: Experiment, trial: Trial, *, epochs: int, seeds: int
) -> dict[str, Any]:
    """The Experiment as plain JSON: a Trial a seed, each with the job of the best Trial but for its program's flags."""
    template = experiment.spec.trial_template
    job: dict[str, Any] = json.loads(bytes(trial.spec.run_spec))
    job = {field: job[field] for field in ("apiVersion", "kind", "spec") if field in job}
    for container in _containers(job, trial.spec.primary_container_name):
        if isinstance(found, FoundCells):
            container.pop("args", None)
            container["command"] = ["python3", "-u", CELL_PROGRAM, *_cell_flags(found, epochs)]
        else:
            _retrain_chain(container, epochs)
    conditions = {}
    if template is not None:
        stated = {"successCondition": template.success_condition, "failureCondition": template.failure_condition}
        conditions = {name: text for name, text in stated.items() if text}
    spec = {
        "objective": {
            "type": "maximize",
            "objectiveMetricName": "Validation-Accuracy",
            "additionalMetricNames": ["Test-Accuracy"],
        },
        "algorithm": {"algorithmName": "grid"},
        "parallelTrialCount": 1,
        "maxTrialCount": seeds,
        "maxFailedTrialCount": 0,
        "parameters": [
            {
                "name": "seed",
                "parameterType": "categorical",
                "feasibleSpace": {"list": [str(seed) for seed in range(1, seeds + 1)]},
            }
        ],
        "trialTemplate": {
            "primaryContainerName": trial.spec.primary_container_name,
            **conditions,
            "trialParameters": [{"name": "seed", "reference": "seed"}],
            "trialSpec": job,
        },
    }
    metadata = {"name": f"{experiment.metadata.name}-retrain"[:40].rstrip("-.")}
    if experiment.metadata.namespace:
        metadata["namespace"] = experiment.metadata.namespace
    return {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": metadata, "spec": spec}


def _retrain_chain(container: dict[str, Any], epochs: int) -> None:
    """Flags for the program that we know; any other is told the seed in a variable, and keeps its own flags."""
    for field in ("command", "args"):
        words = container.get(field)
        if not isinstance(words, list) or not any(str(word).endswith(CHAIN_PROGRAM) for word in words):
            continue
        where = container["args"] if container.get("args") else words
        for each in (words, where):
            each[:] = [
                word for word in each if not str(word).startswith(("--num_epochs=", "--seed=")) and word != "--test"
            ]
        where += [f"--num_epochs={epochs}", f"--seed={SEED}", "--test"]
        return
    container.setdefault("env", []).append({"name": "SEED", "value": SEED})


def _cell_flags(found: FoundCells, epochs: int) -> list[str]:
    # In quotes as Katib's manifests have them, for Pods in which a shell runs the words; the program does without one.
    return [
        f'--genotype="{found.genotype}"',
        f"--num_layers={found.layers}",
        f"--init_channels={found.init_channels}",
        f"--stem_multiplier={found.stem_multiplier}",
        f"--num_epochs={epochs}",
        f"--seed={SEED}",
        "--test",
    ]


def _containers(tree: Any, name: str) -> Iterator[dict[str, Any]]:
    """The containers of a job that are called so, of all its replicas."""
    if isinstance(tree, dict):
        for container in tree.get("containers", ()) if isinstance(tree.get("containers"), list) else ():
            if isinstance(container, dict) and (not name or container.get("name") == name):
                yield container
        for value in tree.values():
            yield from _containers(value, name)
    elif isinstance(tree, list):
        for value in tree:
            yield from _containers(value, name)
