"""A template is judged before anything starts, with the Experiment's paths."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pykatib.api.experiment import Experiment
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import ConfigMap
from pykatib.workers.images import Images, programs_folder
from pykatib.workers.pod import Place, PodPlan
from pykatib.workers.slots import Machine
from pykatib.workers.template_check import check_job, sample_plan

# The blog series' first Experiment, as its readers apply it.
COMMAND = [
    "python",
    "/mnist-katib-random.py",
    "--learning_rate=${trialParameters.learning_rate}",
    "--opt=${trialParameters.opt}",
]


def experiment(
    *, pod: dict[str, Any] | None = None, template: dict[str, Any] | None = None, **container: Any
) -> Experiment:
    main = {"name": "main", "image": "seokii/mnist-katib-random:0.0.4", "command": COMMAND, **container}
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [main], **(pod or {})}}}
    trial_spec = {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}
    text = {
        "metadata": {"name": "e", "namespace": "ns"},
        "spec": {
            "parameters": [
                {"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "0.01", "max": "0.2"}},
                {"name": "opt", "parameterType": "categorical", "feasibleSpace": {"list": ["sgd", "adam"]}},
            ],
            "trialTemplate": {
                "primaryContainerName": "main",
                "trialParameters": [
                    {"name": "learning_rate", "reference": "lr"},
                    {"name": "opt", "reference": "opt"},
                ],
                "trialSpec": trial_spec,
                **(template or {}),
            },
        },
    }
    return msgspec.json.decode(msgspec.json.encode(text), type=Experiment)


def place(folder: Path) -> Place:
    return Place(
        machine=Machine(millicpus=1000, memory_bytes=1 << 30),
        manifest_folder=folder,
        images=Images(programs=programs_folder()),
        lookup=dict[Any, Any]().get,
        inherited={"PATH": os.defpath},
    )


def test_the_sample_takes_the_first_value_of_each_parameter(tmp_path: Path) -> None:
    plan = sample_plan(experiment(), place=place(tmp_path))
    assert isinstance(plan, PodPlan)
    assert plan.main.argv[2:] == ("--learning_rate=0.01", "--opt=sgd")
    assert Path(plan.main.argv[1]).is_file()


def test_a_template_that_runs_has_no_faults_and_makes_nothing(tmp_path: Path) -> None:
    assert check_job(experiment(), place=place(tmp_path)) == ()
    assert list(tmp_path.iterdir()) == []


def test_faults_have_the_experiments_paths(tmp_path: Path) -> None:
    faults = check_job(experiment(pod={"volumes": [{"name": "v", "nfs": {}}]}), place=place(tmp_path))
    assert [fault.path for fault in faults] == ["spec.trialTemplate.trialSpec.spec.template.spec.volumes[0].nfs"]


def test_a_kind_that_does_not_run_here_is_told(tmp_path: Path) -> None:
    trial_spec = {"kind": "Workflow", "apiVersion": "argoproj.io/v1alpha1", "c": COMMAND}
    faults = check_job(experiment(template={"trialSpec": trial_spec}), place=place(tmp_path))
    assert [fault.path for fault in faults] == ["spec.trialTemplate.trialSpec.kind"]


def test_a_template_in_a_config_map_is_judged_too(tmp_path: Path) -> None:
    source = {"configMapName": "templates", "configMapNamespace": "ns", "templatePath": "t"}
    text = """\
apiVersion: batch/v1
kind: Job
spec:
  parallelism: 2
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: main, command: [echo, "${trialParameters.learning_rate}", "${trialParameters.opt}"]}
"""
    config_map = ConfigMap(metadata=ObjectMeta(name="templates", namespace="ns"), data={"t": text})
    given = experiment(template={"configMap": source, "trialSpec": None})
    faults = check_job(given, place=place(tmp_path), config_map=config_map)
    assert [fault.path for fault in faults] == ["spec.trialTemplate.configMap.spec.parallelism"]


def test_a_config_map_that_is_not_there_is_told(tmp_path: Path) -> None:
    source = {"configMapName": "templates", "configMapNamespace": "ns", "templatePath": "t"}
    given = experiment(template={"configMap": source, "trialSpec": None})
    assert [fault.path for fault in check_job(given, place=place(tmp_path))] == ["spec.trialTemplate.configMap"]


@pytest.mark.parametrize("image", ["unknown/image", ""], ids=["unknown image", "no image"])
def test_a_script_of_an_unknown_image_is_missed_before_anything_starts(image: str, tmp_path: Path) -> None:
    faults = check_job(experiment(image=image), place=place(tmp_path))
    assert [fault.path for fault in faults] == ["spec.trialTemplate.trialSpec.spec.template.spec.containers[0].command"]
    assert "/mnist-katib-random.py" in faults[0].message


def test_what_architecture_search_assigns_is_sampled_too(tmp_path: Path) -> None:
    given = experiment(
        template={
            "trialParameters": [
                {"name": "learning_rate", "reference": "architecture"},
                {"name": "opt", "reference": "nn_config"},
            ]
        }
    )
    assert check_job(given, place=place(tmp_path)) == ()
