"""What `kubectl apply -k manifests/…` and the Helm chart install: accepted by an API server, the same, and modest."""

import importlib.machinery
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import pytest
import yaml
from local_control_plane import Cluster

from pykatib.store.kubernetes.api_server import ApiServer

PROJECT = Path(__file__).resolve().parents[2]
INSTALLS = ("standalone", "standalone-postgres", "external-db", "with-kubeflow")
CHART = PROJECT / "charts" / "pykatib"
CHART_DATABASES = {
    "standalone": ("--set", "database.kind=mysql,database.password=test"),
    "standalone-postgres": ("--set", "database.kind=postgres,database.password=katib"),
}
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}

Object: TypeAlias = dict[str, Any]


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """What kubectl prints; what it says of a failure fails the test."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Helm."""
    program = shutil.which("helm") or shutil.which("helm", path=str(Path(sys.prefix, "bin")))
    if program is None:
        pytest.skip("helm is not installed; scripts/install-helm does it")
    return subprocess.run([program, *arguments], capture_output=True, text=True)


def chart(*options: str) -> list[Object]:
    """What the chart installs into the namespace kubeflow."""
    done = helm("template", "katib", str(CHART), "--namespace", "kubeflow", "--include-crds", *options)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def installed(name: str) -> list[Object]:
    """What kustomize makes of one of the installs."""
    return list(yaml.safe_load_all(kubectl("kustomize", str(PROJECT / "manifests" / name))))


def by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """Objects by kind and name; none may be there twice."""
    found = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    assert len(found) == len(objects)
    return found


@pytest.fixture(scope="module", params=INSTALLS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """The objects of an install."""
    return installed(request.param)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """scripts/generate-manifests as a module."""
    loader = importlib.machinery.SourceFileLoader("generate_manifests", str(PROJECT / "scripts" / "generate-manifests"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_committed_manifests_are_the_generated_ones(generator: ModuleType) -> None:
    for path, text in generator.files().items():
        assert (PROJECT / path).read_text(encoding="utf-8") == text, f"{path}: run scripts/generate-manifests"


def pod_templates(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """The templates of Pods, by their objects' names."""
    for each in objects:
        template = each.get("spec", {}).get("template") if each["kind"] == "Deployment" else None
        if template is not None:
            yield each["metadata"]["name"], template


def restrictions_missed(pod: Object) -> list[str]:
    """Why the Pod Security level `restricted` refuses a Pod, and what we ask of our own beyond it."""
    missed = [f"it uses the host's {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0:
        missed.append("it may run as root")
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        missed.append("it has no seccomp profile")
    missed += [
        f"volume {volume['name']} is of a kind that is not allowed"
        for volume in pod.get("volumes", ())
        if not set(volume) - {"name"} <= VOLUMES
    ]
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            missed.append(f"{container['name']} may gain privileges")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            missed.append(f"{container['name']} keeps capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            missed.append(f"{container['name']} may write to its root")
        if "memory" not in container.get("resources", {}).get("limits", {}):
            missed.append(f"{container['name']} has no limit of memory")
        if not {"livenessProbe", "readinessProbe"} <= set(container):
            missed.append(f"{container['name']} is not probed")
        if ":" not in container["image"] or container["image"].endswith(":latest"):
            missed.append(f"{container['name']} has an image of no definite release")
    return missed


def test_pods_need_no_privileges(objects: list[Object]) -> None:
    missed = {name: restrictions_missed(template["spec"]) for name, template in pod_templates(objects)}
    assert len(missed) >= 2
    assert not any(missed.values()), missed


def test_nobody_may_do_everything(objects: list[Object]) -> None:
    for role in objects:
        if role["kind"] in ("ClusterRole", "Role"):
            for rule in role["rules"]:
                assert "*" not in rule["apiGroups"], role
                assert "*" not in rule["resources"], role
                assert "pods/exec" not in rule["resources"], role
                if "secrets" in rule["resources"] and rule["verbs"] != ["create"]:
                    assert role["kind"] == "Role", role
                    assert rule["resourceNames"] == ["katib-webhook-cert"], role


def test_services_find_their_pods(objects: list[Object]) -> None:
    templates = dict(pod_templates(objects))
    services = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Service"}
    assert {port["port"] for port in services["katib-controller"]["ports"]} == {443, 8080, 18080}
    assert [port["port"] for port in services["katib-db-manager"]["ports"]] == [6789]
    for name, service in services.items():
        labels = templates[name]["metadata"]["labels"]
        assert service["selector"].items() <= labels.items()
        ports = {port["name"] for container in templates[name]["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["ports"]} <= ports


def test_all_is_in_katibs_namespace(objects: list[Object]) -> None:
    for each in objects:
        assert each["metadata"].get("namespace", "kubeflow") == "kubeflow"


@pytest.fixture(scope="module")
def core_namespace(cluster: Cluster) -> None:
    """Katib's namespace is there, for objects are checked against it."""
    server = ApiServer.connect(cluster.kubeconfig)
    body = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeflow"}}).encode()
    path = "/api/v1/namespaces/kubeflow?fieldManager=pykatib-tests&force=true"
    server.request("PATCH", path, body=body, content_type="application/apply-patch+yaml")
    server.close()


@pytest.mark.usefixtures("core_namespace")
def test_an_api_server_takes_all(cluster: Cluster, objects: list[Object]) -> None:
    text = yaml.safe_dump_all(objects)
    said = kubectl("--kubeconfig", cluster.kubeconfig, "apply", "--dry-run=server", "-f", "-", stdin=text)
    assert len(said.splitlines()) == len(objects)


@pytest.mark.parametrize("name", CHART_DATABASES)
def test_the_chart_installs_what_kustomize_does(name: str) -> None:
    ours = by_name(installed(name))
    del ours["Namespace", "kubeflow"]  # Helm makes it on its own
    charts = by_name(chart(*CHART_DATABASES[name]))
    assert charts.keys() == ours.keys()
    for key, each in charts.items():
        assert each == ours[key], key


def test_the_chart_takes_a_database_of_the_users() -> None:
    external = "database.kind=external,database.external.host=db.example.com,database.password=p"
    there = by_name(chart("--set", external))
    assert there["Secret", "katib-db-manager"]["stringData"]["KATIB_MYSQL_DB_HOST"] == "db.example.com"
    assert ("Deployment", "katib-mysql") not in there
    own = by_name(chart("--set", "database.kind=external,database.existingSecret=mine"))
    manager = own["Deployment", "katib-db-manager"]["spec"]["template"]["spec"]["containers"][0]
    assert manager["envFrom"] == [{"secretRef": {"name": "mine"}}]
    assert ("Secret", "katib-db-manager") not in own


def test_more_operators_are_protected_from_evictions() -> None:
    assert not [each for each in chart() if each["kind"] == "PodDisruptionBudget"]
    several = chart("--set", "operator.replicas=2", "--api-versions", "policy/v1")
    (budget,) = (each for each in several if each["kind"] == "PodDisruptionBudget")
    assert budget["apiVersion"] == "policy/v1"
    assert [each for each in chart() if each["kind"] == "Secret"] != [
        each for each in several if each["kind"] == "Secret"
    ], "passwords are made at random"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        pytest.param("database.kind=oracle", "database", id="a database of no kind"),
        pytest.param("database.kind=external,database.password=p", "database.external.host", id="no host"),
        pytest.param("database.kind=external,database.external.host=h", "database.password", id="no password"),
        pytest.param("operator.replica=2", "replica", id="a misspelt name"),
        pytest.param("operator.replicas=two", "replicas", id="a word for a number"),
        pytest.param("database.mysql.storage=much", "storage", id="no amount"),
    ],
)
def test_the_chart_refuses_wrong_values(option: str, said: str) -> None:
    done = helm("template", "katib", str(CHART), "--set", option)
    assert done.returncode != 0
    assert said in done.stderr
