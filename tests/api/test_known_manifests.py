"""The manifests that Katib's users have are accepted as they are, but for the two that Katib refuses too."""

from pathlib import Path

import pytest
from experiment_samples import Catalog, katib_manifests

from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.manifest import load_documents
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import ConfigMap
from pykatib.api.validation import read_experiment

FOLDER = katib_manifests()
REFUSED = {
    "simple-pbt.yaml": {"spec.maxFailedTrialCount": "found 3, which is more than maxTrialCount, 2"},
    "trial-configmap-source.yaml": {
        "spec.trialTemplate.trialParameters[1].name": "${trialParameters.numberLayers} stands nowhere",
        "spec.trialTemplate.trialParameters[2].name": "${trialParameters.optimizer} stands nowhere",
        'spec.trialTemplate.configMap["defaultTrialTemplate.yaml"]': "${trialParameters.momentum} is not declared",
    },
}
# The template that Katib ships under this name, as far as its placeholders matter.
SHIPPED_TEMPLATE = """
apiVersion: batch/v1
kind: Job
spec:
  template:
    spec:
      containers:
        - name: training-container
          command: ["--lr=${trialParameters.learningRate}", "--momentum=${trialParameters.momentum}"]
"""

needs_folder = pytest.mark.skipif(
    FOLDER is None, reason="no manifests: set KATIB_MANIFESTS to a folder that holds Katib's examples"
)


def shipped(namespace: str, name: str) -> ConfigMap | None:
    if (namespace, name) != ("kubeflow", "trial-templates"):
        return None
    return ConfigMap(
        metadata=ObjectMeta(name=name, namespace=namespace), data={"defaultTrialTemplate.yaml": SHIPPED_TEMPLATE}
    )


def read_file(path: Path) -> list[Experiment]:
    return [
        read_experiment(document, catalog=Catalog(), templates=shipped)
        for document in load_documents(path.read_bytes(), source=path.name)
    ]


MANIFESTS = sorted(FOLDER.rglob("*.yaml")) if FOLDER is not None else []


@needs_folder
def test_the_folder_holds_manifests() -> None:
    assert MANIFESTS


@pytest.mark.parametrize(
    "path", [path for path in MANIFESTS if path.name not in REFUSED], ids=lambda path: str(path.stem)
)
def test_users_manifests_are_accepted_as_they_are(path: Path) -> None:
    assert [experiment.kind for experiment in read_file(path)] == ["Experiment"]


@pytest.mark.parametrize("path", [path for path in MANIFESTS if path.name in REFUSED], ids=lambda path: str(path.stem))
def test_manifests_that_katib_refuses_are_refused(path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_file(path)

    found = {error.path: error.message for error in caught.value.errors}
    assert found.keys() == REFUSED[path.name].keys()
    assert all(words in found[where] for where, words in REFUSED[path.name].items())
