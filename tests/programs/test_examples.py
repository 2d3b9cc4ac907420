"""The example manifests: read as a user's would be, and each command run once with the smallest assignment."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pykatib.algorithms import registry
from pykatib.api.defaults import default_experiment
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.manifest import Document, decode_object, load_documents
from pykatib.api.objects import ConfigMap
from pykatib.workers.collectors.text import TextParser
from pykatib.workers.images import Images, programs_folder

EXAMPLES = Path(__file__).parents[2] / "examples"
MANIFESTS = sorted(EXAMPLES.glob("*.yaml"))
# One is unlucky on purpose, the other needs a running Experiment to report to.
RUN_ALONE = [file for file in MANIFESTS if file.stem not in ("retries-and-deadlines", "push-metrics")]


def experiment_and_job(file: Path) -> tuple[Experiment, str]:
    """The Experiment of a file and the text of its worker job's template."""
    objects = [decode_object(document) for document in load_documents(file.read_bytes(), source=file.name)]
    (experiment,) = [item for item in objects if isinstance(item, Experiment)]
    template = experiment.spec.trial_template
    assert template is not None
    if template.config_map is None:
        return experiment, yaml.safe_dump(msgspec.json.decode(template.trial_spec))
    (holder,) = [item for item in objects if isinstance(item, ConfigMap)]
    assert holder.metadata.name == template.config_map.config_map_name
    assert holder.metadata.namespace == template.config_map.config_map_namespace
    return experiment, holder.data[template.config_map.template_path]


def container_of(job: str) -> dict[str, Any]:
    (container,) = yaml.safe_load(job)["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def smallest(experiment: Experiment) -> dict[str, str]:
    """The lowest value of each parameter, or its first."""
    spaces = {parameter.name: parameter.feasible_space for parameter in experiment.spec.parameters}
    return {name: space.values[0] if space.values else space.min for name, space in spaces.items()}


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_is_read_without_a_complaint_and_named_like_its_file(file: Path) -> None:
    experiment, job = experiment_and_job(file)
    assert experiment.metadata.name == file.stem
    template = experiment.spec.trial_template
    assert template is not None
    declared = {parameter.name for parameter in template.trial_parameters or ()}
    assert set(re.findall(r"\$\{trialParameters\.(\w+)\}", job)) == declared
    references = [parameter.reference for parameter in template.trial_parameters or ()]
    assert sorted(references) == sorted(parameter.name for parameter in experiment.spec.parameters)
    assert container_of(job)["name"] == template.primary_container_name


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_opens_with_what_it_shows_and_the_command_to_run_it(file: Path) -> None:
    head = file.read_text().partition("apiVersion")[0].splitlines()
    assert len(head) >= 3
    assert all(line.startswith("#") for line in head)
    assert f"#   katib run examples/{file.name}" in head


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_its_algorithm_has_the_settings_and_the_space_it_needs(file: Path) -> None:
    experiment, _ = experiment_and_job(file)
    assert registry.check(default_experiment(experiment)) == ()


@pytest.mark.parametrize("file", RUN_ALONE, ids=lambda file: file.stem)
def test_its_command_prints_the_metrics_that_it_asks_for(file: Path, tmp_path: Path) -> None:
    experiment, job = experiment_and_job(file)
    objective = experiment.spec.objective
    template = experiment.spec.trial_template
    assert objective is not None
    assert template is not None
    assignment = smallest(experiment)
    for parameter in template.trial_parameters or ():
        job = job.replace(f"${{trialParameters.{parameter.name}}}", assignment[parameter.reference])
    container = container_of(job.replace("$(SEED)", "3").replace("=/katib/", f"={tmp_path}/"))
    folder = Images(programs=programs_folder()).find(container["image"])
    command = [*container["command"], *container.get("args", [])]
    if folder is not None:
        command = [sys.executable, str(folder.folder / command[1].lstrip("/")), *command[2:]]
        assert Path(command[1]).is_file()
    result = subprocess.run(
        command, capture_output=True, check=False, cwd=EXAMPLES, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert (result.returncode, result.stderr) == (0, b"")

    collector = experiment.spec.metrics_collector_spec
    source = collector.source if collector is not None else None
    found: set[str] = set()
    if source is not None and source.file_system_path is not None:
        assert source.file_system_path.format == "JSON"
        for line in tmp_path.joinpath(Path(source.file_system_path.path).name).read_bytes().splitlines():
            found.update(name for name, value in msgspec.json.decode(line).items() if isinstance(value, str))
        assert set(objective.metric_names) <= found
    else:
        filters = source.filter.metrics_format if source is not None and source.filter is not None else ()
        parser = TextParser(objective.metric_names, filters=filters)
        logs = [*parser.feed(result.stdout, 0.0), *parser.finish(0.0)]
        assert {log.name for log in logs} == set(objective.metric_names)
        assert all(math.isfinite(float(log.value)) for log in logs)


def test_the_image_of_mnist_katib_random_finds_its_program() -> None:
    folder = Images(programs=programs_folder()).find("seokii/mnist-katib-random:0.0.4")
    assert folder is not None
    assert (folder.folder / "mnist-katib-random.py").is_file()


def test_an_unknown_field_in_an_example_would_be_seen() -> None:
    tree = yaml.safe_load((EXAMPLES / "quickstart.yaml").read_text())
    tree["spec"]["trialTemplate"]["retires"] = {"crash": 1}
    with pytest.raises(InvalidInput, match="retires"):
        decode_object(Document(tree))
