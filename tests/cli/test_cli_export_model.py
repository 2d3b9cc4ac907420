"""`katib export-model` of searches that were really run: the module runs alone, and the manifest trains."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from cli_support import Katib, manifest

torch = pytest.importorskip("torch", reason="the Trials need the extra nas")

from pykatib.nas import enas_program, retrain_program  # noqa: E402

pytestmark = pytest.mark.slow

TEMPLATE = """\
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {{name: {name}}}
spec:
  parallelTrialCount: 1
  maxTrialCount: 1
  objective: {{type: maximize, objectiveMetricName: {metric}}}
  metricsCollectorSpec:
    collector: {{kind: StdOut}}
    source: {{filter: {{metricsFormat: ["([\\\\w-]+)=(Genotype.*)", "([\\\\w-]+)=([0-9.]+)"]}}}}
  algorithm: {{algorithmName: {algorithm}, algorithmSettings: {settings}}}
  nasConfig:
    graphConfig: {{numLayers: 2, inputSizes: [8, 8, 1], outputSizes: [10]}}
    operations:
      - operationType: convolution
        parameters:
          - {{name: filter_size, parameterType: categorical, feasibleSpace: {{list: ["3"]}}}}
  trialTemplate:
    primaryContainerName: main
    trialParameters: {references}
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
              - name: main
                image: ghcr.io/kubeflow/katib/{image}-cnn-cifar10-cpu:latest
                command: {command}
"""
CHAIN = TEMPLATE.format(
    name="chain",
    metric="Validation-Accuracy",
    algorithm="regularized-evolution",
    settings='[{name: random_state, value: "1"}]',
    references="[{name: rows, reference: architecture}, {name: config, reference: nn_config}]",
    image="enas",
    command='[python3, RunTrial.py, --num_epochs=1, --limit=60, --architecture="${trialParameters.rows}", '
    '--nn_config="${trialParameters.config}"]',
)
CELLS = TEMPLATE.format(
    name="cells",
    metric="Best-Genotype",
    algorithm="darts",
    settings='[{name: num_epochs, value: "1"}, {name: num_nodes, value: "1"}, {name: init_channels, value: "2"}]',
    references="[{name: settings, reference: algorithm-settings}, {name: space, reference: search-space}, "
    "{name: layers, reference: num-layers}]",
    image="darts",
    command='[python3, run_trial.py, --limit=60, --image_size=8, --algorithm-settings="${trialParameters.settings}", '
    '--search-space="${trialParameters.space}", --num-layers="${trialParameters.layers}"]',
)
# In YAML's flow style a quote within a word is a letter, but not at its beginning: the words are quoted as a whole.
CHAIN, CELLS = (re.sub(r'(--[\w-]+="\$\{trialParameters\.\w+\}")', r"'\1'", text) for text in (CHAIN, CELLS))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Katib:
    """A home in which both searches have run."""
    katib = Katib(tmp_path_factory.mktemp("searched"))
    manifests = [str(katib.write(CHAIN, "chain.yaml")), str(katib.write(CELLS, "cells.yaml"))]
    done = subprocess.run(
        [sys.executable, "-m", "pykatib.cli.main", "run", *manifests],
        capture_output=True,
        text=True,
        cwd=katib.folder,
        env=katib.environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return katib


@pytest.mark.parametrize("name", ["chain", "cells"])
def test_what_was_found_runs_and_trains_again(searched: Katib, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = searched("export-model", name, "--epochs", 1, "--seeds", 2)
    assert done.status == 0, done.err
    folder = searched.folder / f"{name}-model"

    source = (folder / "model.py").read_text()
    assert "pykatib" not in source
    runpy.run_path(str(folder / "model.py"), run_name="__main__")
    assert capsys.readouterr().out.startswith("images       1x8x8\n")
    ElementTree.parse(folder / "architecture.svg")

    assert searched("validate", folder / "retrain.yaml").status == 0
    written = yaml.safe_load((folder / "retrain.yaml").read_text())
    (container,) = written["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    program = container["command"][2] if container["command"][1] == "-u" else container["command"][1]
    flags = [str(word).replace("${trialParameters.seed}", "2") for word in container["command"]]
    main = {"RunTrial.py": enas_program.main, "retrain.py": retrain_program.main}[program]
    main([*flags[flags.index(program) + 1 :], "--limit=60", "--data=digits"])
    metrics = re.findall(r"^([\w-]+)=[0-9.]+$", capsys.readouterr().out, re.MULTILINE)
    assert metrics[-4:] == ["Validation-Accuracy", "Validation-Loss", "Test-Accuracy", "Test-Loss"]


def test_the_module_needs_nothing_but_torch(searched: Katib) -> None:
    searched("export-model", "chain", "-d", "alone")
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import sys; sys.path.append(sys.argv[1]); exec(open(sys.argv[2]).read())",
    ]
    site = str(Path(torch.__file__).parents[1])
    done = subprocess.run(
        [*command, site, str(searched.folder / "alone" / "model.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("weights")


def test_the_genotype_is_printed_as_the_trial_printed_it(searched: Katib) -> None:
    best = searched("best", "cells", "-o", "json").out
    done = searched("export-model", "cells", "--folder", "other")
    (line,) = done.out.splitlines()
    assert line.startswith("Best-Genotype=Genotype(normal=[[(")
    assert line.removeprefix("Best-Genotype=") in best


def test_files_that_are_there_are_left_alone(searched: Katib) -> None:
    folder = searched.folder / "kept"
    folder.mkdir()
    (folder / "model.py").write_text("mine")
    done = searched("export-model", "chain", "-d", folder)
    assert done.status == 2
    assert "has model.py already" in done.err
    assert [path.name for path in folder.iterdir()] == ["model.py"]
    assert searched("export-model", "chain", "-d", folder, "--force").status == 0
    assert (folder / "model.py").read_text() != "mine"


def test_a_search_for_parameters_has_no_model(katib: Katib) -> None:
    katib("run", katib.write(manifest("plain", max_trials=1)))
    done = katib("export-model", "plain")
    assert done.status == 2
    assert "Experiment plain searched for parameters, not for an architecture" in done.err
    assert not Path(katib.folder / "plain-model").exists()
