"""What the webhooks answer, without an API server: reviews, patches, connections, configurations."""

import base64
import copy
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.client import HTTPSConnection
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.algorithms import registry
from pykatib.api.errors import FieldError, InvalidInput, Unavailable
from pykatib.kube.admission.configurations import Service, webhook_configurations
from pykatib.kube.admission.experiments import ExperimentAdmission
from pykatib.kube.admission.patches import additions, differences
from pykatib.kube.admission.reviews import ALLOWED, Request, Verdict, answered, refusing
from pykatib.kube.admission.server import WebhookServer
from pykatib.kube.certificates import made
from pykatib.kube.entry import known_config
from pykatib.kube.live_config import LiveConfig
from pykatib.store.kubernetes.api_server import ApiServer

TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab/~", max_size=3),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text("ab/~", max_size=2), children, max_size=4)
    ),
    max_leaves=12,
)


def applied(tree: Any, patch: list[dict[str, Any]]) -> Any:
    """The tree after a JSON patch, by RFC 6902."""
    root = {"": copy.deepcopy(tree)}
    for operation in patch:
        *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")]
        node: Any = root
        for step in steps:
            node = node[int(step)] if isinstance(node, list) else node[step]
        if isinstance(node, list):
            if last == "-":
                node.append(operation["value"])
            else:
                assert operation["op"] == "replace"
                node[int(last)] = operation["value"]
        elif operation["op"] == "remove":
            del node[last]
        else:
            node[last] = operation["value"]
    return root[""]


@given(TREES, TREES)
def test_a_patch_makes_one_tree_of_another(before: Any, after: Any) -> None:
    result = applied(before, differences(before, after))
    assert json.dumps(result, sort_keys=True) == json.dumps(after, sort_keys=True)


@given(TREES)
def test_there_is_no_patch_where_nothing_differs(tree: Any) -> None:
    assert differences(tree, copy.deepcopy(tree)) == []


@given(st.dictionaries(st.text("ab/~", max_size=2), TREES, max_size=4), st.dictionaries(st.text("ab/~"), TREES))
def test_additions_take_no_field_away(before: dict[str, Any], wanted: dict[str, Any]) -> None:
    result = applied(before, additions(before, wanted))
    assert set(result) == set(before) | {name for name, value in wanted.items() if value is not None}
    assert additions(result, wanted) == []


# Reviews


def review(**changes: Any) -> bytes:
    """An AdmissionReview."""
    request = {"uid": "1", "operation": "CREATE", "object": {}, "kind": {"kind": "Experiment"}, **changes}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def test_a_refusal_names_each_field_as_kubectl_prints_it() -> None:
    errors = [FieldError("spec.a", "is wrong"), FieldError("spec.b", "too")]
    response = json.loads(answered(review(name="e"), lambda request: Verdict(errors=errors)))["response"]
    assert (response["uid"], response["allowed"]) == ("1", False)
    status = response["status"]
    assert (status["code"], status["reason"]) == (400, "Invalid")
    assert status["message"] == "spec.a: is wrong; spec.b: too"
    assert [(cause["field"], cause["message"]) for cause in status["details"]["causes"]] == [
        ("spec.a", "is wrong"),
        ("spec.b", "too"),
    ]


def test_changes_and_warnings_are_handed_on_and_long_warnings_cut() -> None:
    verdict = Verdict(patch=[{"op": "add", "path": "/a", "value": 1}], warnings=["w" * 1000])
    response = json.loads(answered(review(), lambda request: verdict))["response"]
    assert response["allowed"] is True
    assert json.loads(base64.b64decode(response["patch"])) == verdict.patch
    assert len(response["warnings"][0]) == 250


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        review().replace(b"/v1", b"/v1beta1"),
        review(uid=3),
        b'{"apiVersion": "admission.k8s.io/v1", "request": null}',
    ],
)
def test_what_is_no_review_of_this_version_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        answered(body, lambda request: ALLOWED)


def test_where_the_failure_policy_would_refuse_the_reason_is_told() -> None:
    def handler(request: Request) -> Verdict:
        raise Unavailable("the API server does not answer")

    response = json.loads(answered(review(), refusing(handler)))["response"]
    assert response["allowed"] is False
    assert "does not answer" in response["status"]["message"]


EXPERIMENT: dict[str, Any] = {
    "apiVersion": "kubeflow.org/v1beta1",
    "kind": "Experiment",
    "metadata": {"name": "e"},
    "spec": {
        "objective": {"type": "minimize", "objectiveMetricName": "loss"},
        "algorithm": {"algorithmName": "random"},
        "parameters": [{"name": "x", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "2"}}],
        "trialTemplate": {
            "primaryContainerName": "c",
            "successCondition": "status.done",
            "failureCondition": "status.failed",
            "trialParameters": [{"name": "x", "reference": "x"}],
            "trialSpec": {"apiVersion": "example.org/v1", "kind": "Thing", "spec": {"x": "${trialParameters.x}"}},
        },
    },
}


def admission(**options: Any) -> ExperimentAdmission:
    """A judge of Experiments."""
    return ExperimentAdmission(catalog=registry, templates=lambda namespace: lambda of, name: None, **options)


def test_a_kind_that_the_cluster_does_not_have_is_warned_of() -> None:
    request = Request(uid="1", operation="CREATE", namespace="n", object=EXPERIMENT)
    assert admission().validate(request) == Verdict(warnings=[])
    (warning,) = admission(has_kind=lambda kind, api_version: False).validate(request).warnings
    assert "no kind Thing of example.org/v1" in warning


def test_a_collector_without_an_image_is_refused_with_the_place_where_images_are_named() -> None:
    request = Request(uid="1", operation="CREATE", namespace="n", object=EXPERIMENT)
    (error,) = admission(collector_kinds=lambda: ["Push", "Custom"]).validate(request).errors
    assert error.path == "spec.metricsCollectorSpec.collector.kind"
    assert "katib-config" in error.message


BROKEN = {**EXPERIMENT, "spec": {"maxTrialCount": "x"}}
GOING = {**BROKEN, "metadata": {"name": "e", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
LABELLED = {**BROKEN, "metadata": {"name": "e", "labels": {"a": "b"}}, "status": {"trials": 3}}


@pytest.mark.parametrize(
    "request_of",
    [
        Request(uid="1", operation="UPDATE", object=GOING, old_object=EXPERIMENT),
        Request(uid="1", operation="UPDATE", object=LABELLED, old_object=BROKEN),
        Request(uid="1", operation="CREATE", object=GOING),
        Request(uid="1", operation="DELETE", old_object=BROKEN),
    ],
    ids=["an update of what is going", "metadata and status alone", "restored while it goes", "a deletion"],
)
def test_nothing_is_said_of_what_goes_or_keeps_its_spec(request_of: Request) -> None:
    assert admission().mutate(request_of) == ALLOWED
    assert admission().validate(request_of) == ALLOWED


def test_a_stored_object_that_cannot_be_read_may_be_mended() -> None:
    request = Request(uid="1", operation="UPDATE", namespace="n", object=EXPERIMENT, old_object=BROKEN)
    assert admission().validate(request).errors == ()


# Connections


@contextmanager
def served(handler: Any) -> Iterator[tuple[WebhookServer, ssl.SSLContext]]:
    """A server with one webhook, and a client's trust in it."""
    certificates = made(["127.0.0.1"], now=datetime.now(UTC))
    server = WebhookServer("127.0.0.1:0", {"/hook": handler})
    server.serve(certificates)
    try:
        yield server, ssl.create_default_context(cadata=certificates.authorities.decode())
    finally:
        server.close()


def fail(request: Request) -> Verdict:
    """A handler with a flaw."""
    raise RuntimeError("a flaw")


def test_questions_on_one_connection_are_answered_one_after_the_other() -> None:
    with served(lambda request: ALLOWED) as (server, trust):
        connection = HTTPSConnection("127.0.0.1", server.port, context=trust, timeout=10)
        for path, body, status in (
            ("/hook?timeout=10s", review(), 200),
            ("/other", review(), 404),
            ("/hook", b"{}", 400),
            ("/hook", review(), 200),
        ):
            connection.request("POST", path, body)
            answer = connection.getresponse()
            assert answer.status == status
            answer.read()
        connection.close()


def test_a_flaw_is_answered_as_one_and_the_server_goes_on() -> None:
    with served(fail) as (server, trust):
        for _ in range(2):
            connection = HTTPSConnection("127.0.0.1", server.port, context=trust, timeout=10)
            connection.request("POST", "/hook", review())
            answer = connection.getresponse()
            assert answer.status == 500
            assert b"a flaw" not in answer.read()
            connection.close()


def test_who_does_not_speak_tls_or_sends_too_much_disturbs_nobody() -> None:
    with served(lambda request: ALLOWED) as (server, trust):
        with socket.create_connection(("127.0.0.1", server.port), 10) as plain, suppress(ConnectionResetError):
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while plain.recv(1000):
                pass
        silent = socket.create_connection(("127.0.0.1", server.port), 10)
        large = HTTPSConnection("127.0.0.1", server.port, context=trust, timeout=10)
        large.putrequest("POST", "/hook")
        large.putheader("Content-Length", str(10**9))
        large.endheaders()
        assert large.getresponse().status == 413
        large.close()
        fine = HTTPSConnection("127.0.0.1", server.port, context=trust, timeout=10)
        fine.request("POST", "/hook", review())
        assert fine.getresponse().status == 200
        fine.close()
        silent.close()


def test_without_a_certificate_nobody_is_answered() -> None:
    server = WebhookServer("127.0.0.1:0", {})
    try:
        assert not server.is_serving
        with (
            socket.create_connection(("127.0.0.1", server.port), 10) as plain,
            pytest.raises(OSError, match=r"EOF|reset|closed"),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")
    finally:
        server.close()


# Configurations


def test_no_rule_speaks_of_deletions_and_pods_of_others_never_wait_for_long() -> None:
    mutating, validating = webhook_configurations(Service("kubeflow"), ca_bundle=b"PEM")
    webhooks = [*mutating["webhooks"], *validating["webhooks"]]
    for webhook in webhooks:
        for rule in webhook["rules"]:
            assert set(rule["operations"]) <= {"CREATE", "UPDATE"}
            assert all("/" not in resource and "*" not in resource for resource in rule["resources"])
        if webhook["rules"][0]["resources"] == ["pods"] and webhook["failurePolicy"] == "Fail":
            keys = webhook["objectSelector"]["matchExpressions"]
            assert keys == [{"key": "katib.kubeflow.org/trial", "operator": "Exists"}]
        assert webhook["clientConfig"]["service"]["name"] == "katib-controller"
        assert base64.b64decode(webhook["clientConfig"]["caBundle"]) == b"PEM"
    assert [webhook["timeoutSeconds"] for webhook in webhooks if webhook["failurePolicy"] == "Ignore"] == [3]


def test_before_katib_config_is_known_nothing_is_decided_by_it() -> None:
    unreachable = ApiServer(httpx.Client(base_url="http://127.0.0.1:1"))
    config = LiveConfig(unreachable, "kubeflow")
    assert known_config(config).collectors == {}
    config.read()
    with pytest.raises(Unavailable, match="katib-config is not known"):
        known_config(config)
    unreachable.close()
