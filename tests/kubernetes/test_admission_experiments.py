"""Experiments through real webhooks: refused as on one machine, defaulted, edited by the rules, never held up."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_control_plane import Cluster
from stand_in import wait_for
from webhook_bench import Bench, serving

sys.path.append(str(Path(__file__).resolve().parents[1] / "api"))

from experiment_samples import FROM_CONFIG_MAP, GOOD, edited, templates
from test_refused_experiments import REFUSED

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput, NotFound, PykatibError
from pykatib.api.experiment import Experiment
from pykatib.api.manifest import Document, examine_object
from pykatib.api.objects import ConfigMap
from pykatib.kube.admission.catalog import ClusterCatalog, Services
from pykatib.kube.template_walls import TRIAL_TEMPLATES
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer
from pykatib.workers.judging import judge

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SERVICES = Services(search=("their-search",), early_stopping=("medianstop",))


@pytest.fixture(scope="module")
def bench(cluster: Cluster) -> Iterator[Bench]:
    """Webhooks for a namespace that has the table's ConfigMap."""
    server = ApiServer.connect(cluster.kubeconfig)
    namespace = json.loads(
        server.request("POST", "/api/v1/namespaces", body=b'{"metadata": {"generateName": "admission-"}}')
    )["metadata"]["name"]
    config_map = templates("team-a", "templates")
    assert config_map is not None
    metadata = {"name": "templates", "labels": {names.LABEL_COMPONENT: TRIAL_TEMPLATES}}
    body = json.dumps({"metadata": metadata, "data": config_map.data}).encode()
    server.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body=body)
    with serving(cluster, server, namespace, services=lambda: SERVICES) as opened:
        yield opened
    server.request("DELETE", f"/api/v1/namespaces/{namespace}")
    server.close()


def manifest(bench: Bench, changes: dict[str, Any], *, as_kubectl: bool = False) -> bytes:
    """An edit of the good manifest, for the bench's namespace."""
    text = json.dumps(edited(GOOD, changes)).replace('"team-a"', json.dumps(bench.namespace))
    tree = json.loads(text)
    if as_kubectl and isinstance(tree.get("metadata"), dict):
        tree["metadata"].setdefault("annotations", {})[LAST_APPLIED] = text
    return json.dumps(tree).encode()


def post(bench: Bench, changes: dict[str, Any], *, name: str = "", as_kubectl: bool = False) -> dict[str, Any]:
    """Creates an edit of the good manifest."""
    body = manifest(bench, {**changes, "metadata.name": name} if name else changes, as_kubectl=as_kubectl)
    made: dict[str, Any] = json.loads(bench.server.request("POST", bench.experiments, body=body))
    return made


def is_refused_before_us(changes: dict[str, Any], path: str) -> bool:
    """What the API server has words of its own for: metadata, kinds, and what is no JSON."""
    return not path.startswith("spec") or any(
        value != value or abs(value) == float("inf") for value in numbers(changes)
    )


def locally_found(bench: Bench, changes: dict[str, Any]) -> tuple[FieldError, ...]:
    """What is said of the same manifest on one machine."""
    value, mistakes, unsound = examine_object(Document(json.loads(manifest(bench, changes))))
    assert isinstance(value, Experiment)

    def find(namespace: str, name: str) -> ConfigMap | None:
        return templates("team-a" if namespace == bench.namespace else namespace, name)

    return (*mistakes, *judge(value, catalog=ClusterCatalog(lambda: SERVICES), templates=find, unsound=unsound)[1])


def numbers(changes: dict[str, Any]) -> list[float]:
    """The floats of an edit."""
    return [value for value in changes.values() if isinstance(value, float)]


@pytest.mark.parametrize("as_kubectl", [True, False], ids=["applied", "posted"])
@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param(changes, path, id=f"{index}:{path}")
        for index, (changes, path, _) in enumerate(REFUSED)
        if path != "kind"  # in a request it is the URL that says the kind; kubectl makes that from it
    ],
)
def test_a_refused_manifest_of_the_local_table_is_refused_by_the_api_server_in_the_same_words(
    bench: Bench, changes: dict[str, Any], path: str, as_kubectl: bool
) -> None:
    with pytest.raises(PykatibError) as caught:
        post(bench, changes, as_kubectl=as_kubectl)

    if is_refused_before_us(changes, path):
        return
    assert isinstance(caught.value, InvalidInput)
    assert path in {error.path for error in caught.value.errors}
    if "there is no ConfigMap" not in str(caught.value):  # a cluster says less of that: strangers may ask
        assert {*caught.value.errors} == {*locally_found(bench, changes)}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kubectl_apply_tells_each_mistake_with_its_path(bench: Bench, tmp_path: Path) -> None:
    for index, (changes, path, _) in enumerate(REFUSED):
        named = {} if not path.startswith("spec") else {"metadata.name": f"refused-{index}"}
        text = json.dumps(edited(GOOD, {**changes, **named})).replace('"team-a"', json.dumps(bench.namespace))
        (tmp_path / f"refused-{index}.yaml").write_text(yaml.safe_dump(json.loads(text)))
    command = ["kubectl", "--kubeconfig", bench.cluster.kubeconfig, "apply", "-f", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode != 0
    assert done.stdout == "", "nothing was let in"
    leaves = {path.rpartition(".")[2].partition("[")[0] for _, path, _ in REFUSED if path.startswith("spec")}
    assert [leaf for leaf in leaves if leaf not in done.stderr] == []
    ours = [index for index, (_, path, _) in enumerate(REFUSED) if path.startswith("spec")]
    assert [index for index in ours if f"refused-{index}.yaml" not in done.stderr] == []


def test_all_mistakes_are_told_in_one_go(bench: Bench) -> None:
    changes = {
        "spec.parallelTrialCount": 0,
        "spec.maxTrialCount": "6",
        "spec.objective.type": "best",
        "spec.parameters[1].feasibleSpace.max": "0",
        "spec.trialTemplate.trialSpec.spec.template.spec.containers[0].comand": [],
    }
    with pytest.raises(InvalidInput) as caught:
        post(bench, changes)

    assert {error.path for error in caught.value.errors} >= {
        "spec.parallelTrialCount",
        "spec.maxTrialCount",
        "spec.objective.type",
        "spec.parameters[1].feasibleSpace.min",
        "spec.trialTemplate.trialSpec.spec.template.spec.containers[0].comand",
    }


def test_defaults_are_filled_in_and_nothing_else_is_changed(bench: Bench) -> None:
    changes = {"spec.parallelTrialCount": None, "spec.earlyStopping": None}
    given = json.loads(manifest(bench, changes))["spec"]

    spec = post(bench, changes, name="defaulted")["spec"]

    assert spec["parallelTrialCount"] == 3
    assert spec["resumePolicy"] == "Never"
    assert spec["objective"]["metricStrategies"] == [
        {"name": "accuracy", "value": "max"},
        {"name": "loss", "value": "max"},
    ]
    assert spec["metricsCollectorSpec"] == {"collector": {"kind": "StdOut"}}
    assert spec["trialTemplate"]["successCondition"].startswith("status.conditions")
    assert {each["feasibleSpace"]["distribution"] for each in spec["parameters"]} == {"uniform"}
    assert spec["trialTemplate"]["trialSpec"] == given["trialTemplate"]["trialSpec"]
    assert spec["algorithm"] == given["algorithm"]


def test_a_name_may_be_left_to_the_api_server(bench: Bench) -> None:
    made = post(bench, {"metadata": {"generateName": "tune-"}})
    assert made["metadata"]["name"].startswith("tune-")
    assert made["spec"]["resumePolicy"] == "Never"


def test_a_template_of_the_experiments_own_namespace_is_read(bench: Bench) -> None:
    assert post(bench, FROM_CONFIG_MAP, name="from-config-map")["spec"]["trialTemplate"]["configMap"]


def test_an_algorithm_that_a_service_answers_for_is_let_in(bench: Bench) -> None:
    assert post(bench, {"spec.algorithm": {"algorithmName": "their-search"}}, name="theirs")
    with pytest.raises(InvalidInput, match="did you mean `their-search`"):
        post(bench, {"spec.algorithm": {"algorithmName": "thier-search"}}, name="mistyped")


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ({"spec": {"maxTrialCount": 20, "parallelTrialCount": 4, "maxFailedTrialCount": 9}}, None),
        ({"metadata": {"labels": {"team": "b"}}}, None),
        ({"metadata": {"finalizers": ["example.org/mine"]}}, None),
        ({"spec": {"suspend": True}}, None),
        ({"spec": {"objective": {"goal": 0.5}}}, "spec.objective"),
        ({"spec": {"algorithm": {"algorithmName": "grid"}}}, "spec.algorithm"),
        ({"spec": {"parallelTrialCount": 0}}, "spec.parallelTrialCount"),
        ({"spec": {"parallelTrialCount": "4"}}, "spec.parallelTrialCount"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_an_edit_is_judged_by_what_it_changes(bench: Bench, patch: dict[str, Any], path: str | None) -> None:
    place = f"{bench.experiments}/edited"
    try:
        bench.server.request("GET", place)
    except NotFound:
        post(bench, {}, name="edited")
    body = json.dumps(patch).encode()
    if path is None:
        bench.server.request("PATCH", place, body=body, content_type=MERGE_PATCH)
        return
    with pytest.raises(InvalidInput) as caught:
        bench.server.request("PATCH", place, body=body, content_type=MERGE_PATCH)
    assert path in {error.path for error in caught.value.errors}


def test_what_was_stored_unjudged_can_still_be_labelled_and_deleted(bench: Bench) -> None:
    path = f"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{bench.name}"
    stored = json.loads(bench.server.request("GET", path))
    bench.server.request("DELETE", path)

    def is_stored() -> bool:
        try:
            changes = {"spec.objective.type": "best", "metadata.finalizers": ["example.org/mine"]}
            return bool(post(bench, changes, name="broken"))
        except InvalidInput:
            return False

    wait_for("the end of judgement", is_stored)
    stored["metadata"] = {"name": bench.name}
    bench.server.request("POST", path.rpartition("/")[0], body=json.dumps(stored).encode())

    def is_judged() -> bool:
        try:
            bench.server.request(
                "POST", f"{bench.experiments}?dryRun=All", body=manifest(bench, {"spec.zzz": 1}, as_kubectl=True)
            )
        except InvalidInput:
            return True
        return False

    wait_for("judgement", is_judged)
    place = f"{bench.experiments}/broken"
    bench.server.request("PATCH", place, body=b'{"metadata": {"labels": {"a": "b"}}}', content_type=MERGE_PATCH)
    bench.server.request("DELETE", place)
    bench.server.request("PATCH", place, body=b'{"metadata": {"finalizers": null}}', content_type=MERGE_PATCH)
    with pytest.raises(NotFound):
        bench.server.request("GET", place)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("job.yaml", "password: swordfish"),
        ("job.yaml", "- swordfish"),
        ("job.yaml", '{"apiVersion": "batch/v1", "kind": "Job", "spec": {"swordfish": 1}}'),
        ("swordfish", ""),
        (None, ""),
    ],
    ids=["a mapping", "a list", "a Job with a mistake", "another key", "no such ConfigMap"],
)
def test_of_a_config_map_that_is_no_template_nothing_is_told(bench: Bench, key: str | None, text: str) -> None:
    place = f"/api/v1/namespaces/{bench.namespace}/configmaps"
    if key is not None:
        body = json.dumps({"metadata": {"name": "private"}, "data": {key: text}}).encode()
        bench.server.request("POST", place, body=body)
    source = {"configMapName": "private", "configMapNamespace": bench.namespace, "templatePath": "job.yaml"}
    changes = {**FROM_CONFIG_MAP, "spec.trialTemplate.configMap": source, "spec.maxTrialCount": 0}
    try:
        with pytest.raises(InvalidInput) as caught:
            post(bench, changes)
    finally:
        if key is not None:
            bench.server.request("DELETE", f"{place}/private")

    assert {error.path for error in caught.value.errors} == {
        "spec.maxTrialCount",
        "spec.trialTemplate.configMap.configMapName",
    }
    assert "swordfish" not in str(caught.value)
    assert "found no sound template" in str(caught.value)


def test_of_a_sound_config_map_only_the_other_mistakes_are_told(bench: Bench) -> None:
    found = templates("team-a", "templates")
    assert found is not None
    body = json.dumps({"metadata": {"name": "sound"}, "data": found.data}).encode()
    place = f"/api/v1/namespaces/{bench.namespace}/configmaps"
    bench.server.request("POST", place, body=body)
    source = {"configMapName": "sound", "configMapNamespace": bench.namespace, "templatePath": "job.yaml"}
    changes = {**FROM_CONFIG_MAP, "spec.trialTemplate.configMap": source}
    with pytest.raises(InvalidInput) as caught:
        post(bench, {**changes, "spec.maxTrialCount": 0})
    assert {error.path for error in caught.value.errors} == {"spec.maxTrialCount"}
    assert post(bench, changes, name="from-unlabelled")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_a_manifest_may_be_applied_again_and_its_budget_raised(bench: Bench, tmp_path: Path) -> None:
    def apply(changes: dict[str, Any]) -> tuple[int, str]:
        file = tmp_path / "experiment.yaml"
        file.write_text(yaml.safe_dump(json.loads(manifest(bench, {"metadata.name": "applied", **changes}))))
        command = ["kubectl", "--kubeconfig", bench.cluster.kubeconfig, "apply", "-f", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    assert apply({}) == (0, "experiment.kubeflow.org/applied created\n")
    assert apply({})[0] == 0
    assert apply({"spec.maxTrialCount": 9}) == (0, "experiment.kubeflow.org/applied configured\n")
    status, words = apply({"spec.maxTrialCount": 9, "spec.parameters[0].name": "rate"})
    assert status != 0
    assert "spec.parameters: cannot be changed once the Experiment exists" in words
    stored = json.loads(bench.server.request("GET", f"{bench.experiments}/applied"))["spec"]
    assert (stored["maxTrialCount"], stored["parameters"][0]["name"]) == (9, "lr")
