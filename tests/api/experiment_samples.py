"""A good manifest as a tree, ways to edit it by path, and a catalog of algorithms, for the tests of this folder."""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pykatib.api.errors import FieldError
from pykatib.api.experiment import Experiment
from pykatib.api.manifest import Document
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import ConfigMap
from pykatib.api.validation import read_experiment

GOOD_TEXT = """
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata:
  name: tune-me
  namespace: team-a
spec:
  objective:
    type: maximize
    goal: 0.99
    objectiveMetricName: accuracy
    additionalMetricNames: [loss]
  algorithm:
    algorithmName: random
    algorithmSettings:
      - {name: random_state, value: "1"}
  earlyStopping:
    algorithmName: medianstop
  parallelTrialCount: 2
  maxTrialCount: 6
  maxFailedTrialCount: 3
  parameters:
    - {name: lr, parameterType: double, feasibleSpace: {min: "0.01", max: "0.1", step: "0.01"}}
    - {name: layers, parameterType: int, feasibleSpace: {min: "1", max: "4"}}
    - {name: momentum, parameterType: discrete, feasibleSpace: {list: ["0.5", "0.9"]}}
    - {name: optimizer, parameterType: categorical, feasibleSpace: {list: [sgd, adam]}}
  trialTemplate:
    primaryContainerName: training
    trialParameters:
      - {name: learningRate, reference: lr}
      - {name: layers, reference: layers}
      - {name: momentum, reference: momentum}
      - {name: optimizer, reference: optimizer}
      - {name: trial, reference: "${trialSpec.Name}"}
      - {name: team, reference: "${trialSpec.Labels[team]}"}
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      metadata:
        labels: {team: a}
      spec:
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            containers:
              - name: training
                image: example.org/train:1
                command: [python3, train.py, "--lr=${trialParameters.learningRate}", "${trialParameters.momentum}"]
                args: ["--layers=${trialParameters.layers}", "--optimizer=${trialParameters.optimizer}"]
                env:
                  - {name: RUN, value: "${trialParameters.trial} of ${trialParameters.team}"}
                resources:
                  limits: {cpu: "0.5", memory: 1Gi, example.com/device: 1}
"""
GOOD: dict[str, Any] = yaml.safe_load(GOOD_TEXT)

TEMPLATE_TEXT = """
apiVersion: batch/v1
kind: Job
metadata:
  labels: {team: a}
spec:
  parallelism: ${trialParameters.layers}
  template:
    spec:
      containers:
        - name: training
          command: [python3, "${trialParameters.learningRate}"]
          args: ["${trialParameters.optimizer}", "${trialParameters.trial}", "${trialParameters.team}"]
          resources: {limits: {memory: "${trialParameters.layers}Gi", cpu: ${trialParameters.momentum}}}
"""
FROM_CONFIG_MAP: dict[str, Any] = {
    "spec.trialTemplate.trialSpec": None,
    "spec.trialTemplate.configMap": {
        "configMapName": "templates",
        "configMapNamespace": "team-a",
        "templatePath": "job.yaml",
    },
    "spec.trialTemplate.successCondition": 'status.conditions.#(type=="Complete")#|#(status=="True")#',
    "spec.trialTemplate.failureCondition": 'status.conditions.#(type=="Failed")#|#(status=="True")#',
}

DELETE: Any = object()
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def edited(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the tree with values set (or, by DELETE, taken out) at paths such as `spec.parameters[0].name`."""
    tree = copy.deepcopy(base)
    for path, value in changes.items():
        steps = [name or int(index) for name, index in _STEP.findall(path)]
        node: Any = tree
        for step in steps[:-1]:
            node = node[step]
        if value is DELETE:
            del node[steps[-1]]
        else:
            node[steps[-1]] = value
    return tree


class Catalog:
    """Knows names, and finds fault with one setting."""

    def names(self) -> Sequence[str]:
        return ("random", "grid", "tpe", "cmaes", "hyperband", "pbt", "darts", "enas")

    def early_stopping_names(self) -> Sequence[str]:
        return ("medianstop",)

    def check(self, experiment: Experiment) -> Sequence[FieldError]:
        assert experiment.spec.algorithm is not None
        return [
            FieldError(f"spec.algorithm.algorithmSettings[{index}].value", "must be a whole number")
            for index, setting in enumerate(experiment.spec.algorithm.algorithm_settings)
            if setting.name == "random_state" and not setting.value.isdigit()
        ]


def templates(namespace: str, name: str) -> ConfigMap | None:
    """The one ConfigMap that there is."""
    if (namespace, name) != ("team-a", "templates"):
        return None
    data = {"job.yaml": TEMPLATE_TEXT, "broken.yaml": "a: [1\nb", "two.yaml": "a: 1\n---\nb: 2\n", "list.yaml": "- 1"}
    data["unquoted.yaml"] = TEMPLATE_TEXT.replace(
        '"${trialParameters.learningRate}"', "${trialParameters.learningRate}"
    )
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data=data)


def read(tree: dict[str, Any]) -> Experiment:
    """The defaulted Experiment of a tree."""
    return read_experiment(Document(tree, source="test.yaml"), catalog=Catalog(), templates=templates)


def katib_manifests() -> Path | None:
    """The folder of manifests that Katib's users have; None where there is none."""
    stated = os.environ.get("KATIB_MANIFESTS")
    folder = Path(stated) if stated else Path(__file__).parents[2].parent / "shared" / "manifests"
    return folder if folder.is_dir() else None
