"""The committed definitions are the generated ones, and the API server refuses by them what pykatib could not read."""

import json
from pathlib import Path
from typing import Any

import pytest

from pykatib.api import wire
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.kube.crds import definitions, yaml_of
from pykatib.store.kubernetes.api_server import ApiServer

FOLDER = Path(__file__).resolve().parents[2] / "manifests" / "crds"


@pytest.mark.parametrize("definition", definitions(), ids=lambda definition: str(definition["metadata"]["name"]))
def test_the_committed_definition_is_the_generated_one(definition: dict[str, Any]) -> None:
    committed = (FOLDER / f"{definition['spec']['names']['plural']}.yaml").read_text(encoding="utf-8")
    assert committed == yaml_of(definition), "run: python -m pykatib.kube.crds manifests/crds"


def experiment(spec: object, status: object = None) -> bytes:
    """An Experiment's JSON."""
    return json.dumps(
        {
            "apiVersion": "kubeflow.org/v1beta1",
            "kind": "Experiment",
            "metadata": {"name": "e"},
            "spec": spec,
            **({} if status is None else {"status": status}),
        }
    ).encode()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        pytest.param({"parallelTrialCount": "three"}, "spec.parallelTrialCount", id="text for a whole number"),
        pytest.param({"parallelTrialCount": 1.5}, "spec.parallelTrialCount", id="a fraction"),
        pytest.param({"objective": {"goal": "0.9"}}, "spec.objective.goal", id="text for a number"),
        pytest.param({"parameters": {"name": "lr"}}, "spec.parameters", id="a mapping for a list"),
        pytest.param(
            {"parameters": [{"name": "lr", "feasibleSpace": {"min": 0.1}}]},
            "spec.parameters.feasibleSpace.min",
            id="a number for a text",
        ),
        pytest.param({"trialTemplate": {"retain": "yes"}}, "spec.trialTemplate.retain", id="text for a boolean"),
        pytest.param(
            {"algorithm": {"algorithmSettings": [{"value": "1"}]}},
            "spec.algorithm.algorithmSettings.name",
            id="a setting without a name",
        ),
        pytest.param(None, "spec", id="no spec"),
    ],
)
def test_the_api_server_refuses_a_wrong_type_by_its_path(
    server: ApiServer, namespace: str, spec: object, path: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        server.request("POST", f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments", body=experiment(spec))
    assert path in str(refused.value).replace("[0]", "")


def test_nulls_that_katib_writes_are_taken_and_users_manifests_are_kept(server: ApiServer, namespace: str) -> None:
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments"
    template = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"anything": [1, {"deep": "x"}]}}
    spec = {
        "maxTrialCount": None,
        "parameters": None,
        "objective": {"goal": None},
        "trialTemplate": {"trialSpec": template},
    }
    made = json.loads(server.request("POST", path, body=experiment(spec)))
    assert made["spec"]["trialTemplate"]["trialSpec"] == template
    body = experiment(spec, {"startTime": "2026-01-01T00:00:00Z", "completionTime": None})
    patched = json.loads(
        server.request("PATCH", f"{path}/e/status", body=body, content_type="application/merge-patch+json")
    )
    assert patched["status"]["startTime"] == "2026-01-01T00:00:00Z"
    read = wire.decode(json.dumps(patched), Experiment)
    assert read.spec.parameters == ()


def test_unknown_fields_of_an_experiment_come_as_far_as_admission(server: ApiServer, namespace: str) -> None:
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments"
    body = json.loads(experiment({"maxTrials": 3, "parameters": [{"name": "lr", "feasibleSpace": {"minimum": "1"}}]}))
    body["spce"] = {}
    kept = json.loads(server.request("POST", path, body=json.dumps(body).encode()))
    assert kept["spce"] == {}
    assert kept["spec"]["maxTrials"] == 3
    assert kept["spec"]["parameters"][0]["feasibleSpace"] == {"minimum": "1"}


def test_kubectl_prints_katibs_columns(server: ApiServer) -> None:
    columns = {
        plural: [
            column["name"]
            for column in json.loads(
                server.request("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.kubeflow.org")
            )["spec"]["versions"][0]["additionalPrinterColumns"]
        ]
        for plural in ("experiments", "suggestions", "trials")
    }
    assert columns == {
        "experiments": ["Type", "Status", "Age"],
        "suggestions": ["Type", "Status", "Requested", "Assigned", "Age"],
        "trials": ["Type", "Status", "Age"],
    }
