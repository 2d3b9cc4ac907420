"""Variables are what the kubelet would make of a container's manifest."""

import base64
from typing import Any

import msgspec
import pytest

from pykatib.api.job import Container
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import ConfigMap, Object, Secret
from pykatib.workers.environment import (
    PodIdentity,
    Variables,
    container_variables,
    expand,
    search_path,
    thread_variables,
)
from pykatib.workers.findings import Findings
from pykatib.workers.slots import Machine

POD = PodIdentity(
    name="trial-0",
    namespace="ns",
    uid="u-1",
    labels={"app": "x", "with/slash": "y"},
    annotations={"note": "n"},
    node_name="box",
)
MACHINE = Machine(millicpus=4000, memory_bytes=8 << 30)
OBJECTS: dict[Reference, Object] = {
    one.reference: one
    for one in (
        ConfigMap(metadata=ObjectMeta(name="config", namespace="ns"), data={"A": "1", "bad=key": "2", "path": "/data"}),
        Secret(
            metadata=ObjectMeta(name="secret", namespace="ns"),
            data={"token": base64.b64encode(b"t0p").decode()},
            string_data={"plain": "p"},
        ),
        Secret(metadata=ObjectMeta(name="broken", namespace="ns"), data={"token": "no base64!"}),
    )
}


def read(container: dict[str, Any], **options: Any) -> tuple[Variables, Findings]:
    findings = Findings()
    variables = container_variables(
        msgspec.convert({"name": "main", **container}, Container),
        path="c",
        pod=POD,
        machine=MACHINE,
        lookup=OBJECTS.get,
        findings=findings,
        **options,
    )
    return variables, findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("$(A)", "1", id="reference"),
        pytest.param("x$(A)y$(B)", "x1y2", id="within a text"),
        pytest.param("$(UNKNOWN)", "$(UNKNOWN)", id="unknown stays"),
        pytest.param("$$(A)", "$(A)", id="escaped"),
        pytest.param("$$$(A)", "$1", id="escaped dollar, then a reference"),
        pytest.param("$$$$", "$$", id="two escaped dollars"),
        pytest.param("$A ${A} $", "$A ${A} $", id="the shell's are not ours"),
        pytest.param("$(A", "$(A", id="not closed"),
        pytest.param("$($$A", "$($A", id="not closed, then escaped"),
        pytest.param("$()", "$()", id="empty name"),
        pytest.param("$(head -n 1 x)", "$(head -n 1 x)", id="command substitution"),
        pytest.param("$(A$(B))", "$(A$(B))", id="no nesting"),
        pytest.param("$(C)", "$(A)", id="a value is not expanded again"),
    ],
)
def test_references_expand_as_in_kubernetes(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "C": "$(A)"}) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param({"fieldRef": {"fieldPath": "metadata.name"}}, "trial-0", id="name"),
        pytest.param({"fieldRef": {"fieldPath": "metadata.namespace"}}, "ns", id="namespace"),
        pytest.param({"fieldRef": {"fieldPath": "metadata.uid"}}, "u-1", id="uid"),
        pytest.param({"fieldRef": {"fieldPath": "metadata.labels['with/slash']"}}, "y", id="label"),
        pytest.param({"fieldRef": {"fieldPath": "metadata.labels['none']"}}, "", id="label that is not there"),
        pytest.param({"fieldRef": {"fieldPath": "metadata.annotations['note']"}}, "n", id="annotation"),
        pytest.param({"fieldRef": {"fieldPath": "spec.nodeName"}}, "box", id="node"),
        pytest.param({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}, "default", id="service account"),
        pytest.param({"fieldRef": {"fieldPath": "status.podIP"}}, "127.0.0.1", id="pod address"),
        pytest.param({"fieldRef": {"fieldPath": "status.hostIP"}}, "127.0.0.1", id="host address"),
        pytest.param({"resourceFieldRef": {"resource": "requests.cpu"}}, "1", id="request rounded up"),
        pytest.param({"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}, "250", id="divisor"),
        pytest.param({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}, "1024", id="limit"),
        pytest.param({"resourceFieldRef": {"resource": "requests.memory"}}, str(1 << 30), id="limit for a request"),
        pytest.param({"resourceFieldRef": {"resource": "limits.cpu"}}, "4", id="no limit is the machine's"),
        pytest.param({"configMapKeyRef": {"name": "config", "key": "A"}}, "1", id="config map"),
        pytest.param({"secretKeyRef": {"name": "secret", "key": "token"}}, "t0p", id="secret decoded"),
        pytest.param({"secretKeyRef": {"name": "secret", "key": "plain"}}, "p", id="secret in plain"),
        pytest.param({"secretKeyRef": {"name": "none", "key": "x", "optional": True}}, None, id="optional secret"),
        pytest.param({"configMapKeyRef": {"name": "config", "key": "z", "optional": True}}, None, id="optional key"),
    ],
)
def test_a_variable_takes_its_value_from(source: dict[str, Any], expected: str | None) -> None:
    resources = {"requests": {"cpu": "250m"}, "limits": {"memory": "1Gi"}}
    variables, findings = read({"env": [{"name": "X", "valueFrom": source}], "resources": resources})
    assert findings.refusals == ()
    assert variables.values.get("X") == expected


@pytest.mark.parametrize(
    ("entry", "path", "word"),
    [
        pytest.param({"fieldRef": {"fieldPath": "status.phase"}}, ".fieldRef.fieldPath", "status.phase", id="field"),
        pytest.param({"resourceFieldRef": {"resource": "cpu"}}, ".resourceFieldRef", "limits.cpu", id="resource"),
        pytest.param(
            {"resourceFieldRef": {"resource": "limits.cpu", "containerName": "other"}},
            ".resourceFieldRef.containerName",
            "another container",
            id="other container",
        ),
        pytest.param(
            {"configMapKeyRef": {"name": "none", "key": "x"}}, ".configMapKeyRef.name", "no ConfigMap 'none'", id="map"
        ),
        pytest.param(
            {"secretKeyRef": {"name": "secret", "key": "x"}}, ".secretKeyRef.key", "it has plain, token", id="key"
        ),
        pytest.param({"secretKeyRef": {"name": "broken", "key": "token"}}, ".secretKeyRef", "not base64", id="base64"),
        pytest.param({"fileKeyRef": {"path": "x"}}, "", "is not known here", id="unknown source"),
    ],
)
def test_a_source_that_cannot_be_had_is_refused_at_its_path(entry: dict[str, Any], path: str, word: str) -> None:
    _, findings = read({"env": [{"name": "X", "valueFrom": entry}]})
    assert [error.path for error in findings.refusals] == [f"c.env[0].valueFrom{path}"]
    assert word in findings.refusals[0].message


def test_later_variables_see_earlier_ones_and_those_of_env_from() -> None:
    container = {
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "config"}}],
        "env": [
            {"name": "FIRST", "value": "$(SECOND)"},
            {"name": "SECOND", "value": "$(P_A)2"},
            {"name": "THIRD", "value": "$(SECOND)3"},
        ],
    }
    values = read(container)[0].values
    assert (values["FIRST"], values["SECOND"], values["THIRD"]) == ("$(SECOND)", "12", "123")


def test_env_goes_over_env_from() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "config"}}, {"secretRef": {"name": "secret"}}],
        "env": [{"name": "A", "value": "own"}],
    }
    values = read(container)[0].values
    assert (values["A"], values["token"]) == ("own", "t0p")


def test_keys_that_name_no_variable_are_left_out_with_a_word() -> None:
    variables, findings = read({"envFrom": [{"configMapRef": {"name": "config"}}]})
    assert "bad=key" not in variables.values
    assert ["'bad=key'" in warning.message for warning in findings.warnings] == [True]


def test_env_from_of_nothing_is_refused_unless_optional() -> None:
    container = {"envFrom": [{"configMapRef": {"name": "x"}}, {"secretRef": {"name": "y", "optional": True}}]}
    assert [error.path for error in read(container)[1].refusals] == ["c.envFrom[0].configMapRef.name"]


def test_what_controllers_add_goes_last_and_is_verbatim() -> None:
    variables, _ = read({"env": [{"name": "KATIB_TRIAL_NAME", "value": "mine"}]}, added={"KATIB_TRIAL_NAME": "trial"})
    assert variables.values["KATIB_TRIAL_NAME"] == "trial"
    assert "KATIB_TRIAL_NAME" in variables.verbatim


def test_secrets_and_the_downward_api_are_verbatim_and_config_maps_are_not() -> None:
    container = {
        "envFrom": [{"secretRef": {"name": "secret"}}, {"configMapRef": {"name": "config"}}],
        "env": [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "PLACE", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "path"}}},
            {"name": "plain", "value": "now a literal"},
        ],
    }
    assert read(container)[0].verbatim == {"token", "NAME"}


@pytest.mark.parametrize("name", ["", "a=b", "a\nb"])
def test_a_name_that_no_variable_can_have_is_refused(name: str) -> None:
    assert [error.path for error in read({"env": [{"name": name, "value": "x"}]})[1].refusals] == ["c.env[0].name"]


def test_a_value_beside_value_from_is_refused() -> None:
    both = {"name": "X", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert [error.path for error in read({"env": [both]})[1].refusals] == ["c.env[0].valueFrom"]


def test_a_nul_character_is_refused() -> None:
    assert [error.path for error in read({"env": [{"name": "X", "value": "a\0b"}]})[1].refusals] == ["c.env"]


@pytest.mark.parametrize(
    ("millicpus", "threads"), [(0, "1"), (100, "1"), (1000, "1"), (1001, "2"), (4000, "4")], ids=str
)
def test_threads_follow_the_cpu_request(millicpus: int, threads: str) -> None:
    variables = thread_variables(millicpus)
    assert set(variables.values()) == {threads}
    assert {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTEROP_THREADS"} <= set(variables)


@pytest.mark.parametrize(
    ("own", "inherited", "expected"),
    [
        pytest.param(None, "/usr/bin:/bin", "/py:/usr/bin:/bin", id="inherited"),
        pytest.param("/own", "/usr/bin", "/py:/own:/usr/bin", id="the container's between"),
        pytest.param("/usr/bin:/py", "/usr/bin::/x", "/py:/usr/bin:/x", id="none twice, none empty"),
    ],
)
def test_the_interpreters_folder_is_searched_first(own: str | None, inherited: str, expected: str) -> None:
    assert search_path(("/py",), own, inherited) == expected
