"""`katib logs --context`: by way of a real API server, from a node whose kubelet is played."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_commands import ClusterKatib, read_until, token_of_user
from kubelet_stand_in import KubeletStandIn, kubelet, make_pod, set_pod
from local_control_plane import Cluster

from pykatib.api import names
from pykatib.api.meta import ObjectMeta
from pykatib.api.trial import Trial, TrialSpec
from pykatib.store.kubernetes import objects
from pykatib.store.kubernetes.api_server import ApiServer

TRIAL = "search-bbbbbbbb"
LABELS = {names.LABEL_TRIAL: TRIAL, "job-name": TRIAL}
RUNNING = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
ENDED = {"state": {"terminated": {"exitCode": 0}}}


@pytest.fixture
def katib(cluster: Cluster, namespace: str, server: ApiServer, tmp_path: Path) -> ClusterKatib:
    """The command line, on a namespace with a Trial that runs in no job."""
    metadata = ObjectMeta(name=TRIAL, namespace=namespace, labels={names.LABEL_EXPERIMENT: "search"})
    trial = Trial(metadata=metadata, spec=TrialSpec(primary_container_name="training"))
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/trials"
    server.request("POST", path, body=objects.body_of_new(trial))
    return ClusterKatib(tmp_path, cluster.kubeconfig, namespace)


@pytest.fixture
def node(namespace: str, server: ApiServer, tmp_path: Path) -> Iterator[KubeletStandIn]:
    """A node that answers for the output of its containers."""
    with kubelet(server, tmp_path, f"node-{namespace}") as stand_in:
        yield stand_in


def test_the_last_attempt_is_printed_and_earlier_ones_on_request(
    namespace: str, katib: ClusterKatib, server: ApiServer, node: KubeletStandIn
) -> None:
    assert "has no Pod yet; -f waits for one" in katib("logs", TRIAL).err
    make_pod(server, namespace, "first", node.name, labels=LABELS, containers=("sidecar", "training"))
    set_pod(server, namespace, "first", "Failed", **ENDED)
    time.sleep(1.1)  # moments of creation are whole seconds
    make_pod(server, namespace, "second", node.name, labels=LABELS)
    set_pod(server, namespace, "second", "Running", **RUNNING)
    node.lines = {
        "first/training": [("2026-01-01T00:00:00Z", "loss=9"), ("2026-01-01T00:00:01Z", "boom")],
        "second/training": [("2026-01-01T00:00:02Z", "loss=1"), ("2026-01-01T00:00:03Z", "")],
    }
    last = katib("logs", TRIAL)
    assert (last.status, last.out) == (0, "loss=1\n\n")
    assert last.err == "This is attempt 2, the last; --attempt shows others.\n"
    assert katib("logs", TRIAL, "--attempt", 1).out == "loss=9\nboom\n"
    assert katib("logs", TRIAL, "--attempt", 1, "--tail", 1).out == "boom\n"
    none = katib("logs", TRIAL, "--attempt", 3)
    assert (none.status, "has no attempt 3 that is still there; attempts: 1, 2" in none.err) == (1, True)
    alone = katib("logs", TRIAL, "--replica", "worker-0")
    assert (alone.status, "has no replicas" in alone.err) == (1, True)
    set_pod(server, namespace, "second", "Running", **RUNNING, restartCount=1)
    node.lines["second/training/previous"] = [("2026-01-01T00:00:01Z", "before the restart")]
    assert katib("logs", TRIAL, "--attempt", 2).out == "before the restart\n"


def test_what_is_printed_is_followed_to_its_end_though_the_connection_breaks_off(
    namespace: str, katib: ClusterKatib, server: ApiServer, node: KubeletStandIn
) -> None:
    moments = ["00:00:01.000000001", "00:00:01.000000002", "00:00:01.000000002", "00:00:02.5"]
    texts = ["one", "two", "two", "three"]
    node.lines = {"only/training": [(f"2026-01-01T{m}Z", text) for m, text in zip(moments, texts, strict=True)]}
    node.cuts = {"only/training": [2, 3, 4]}
    with katib.started("logs", TRIAL, "-f") as process:
        make_pod(server, namespace, "only", node.name, labels=LABELS)
        set_pod(server, namespace, "only", "Running", **RUNNING)
        seen = read_until(process, "three")
        set_pod(server, namespace, "only", "Succeeded", **ENDED)
        seen += process.communicate()[0]
        assert process.returncode == 0
    assert [line for line in seen.splitlines() if line in texts] == texts


def test_of_replicas_the_leading_one_is_printed_or_the_one_that_is_named(
    namespace: str, katib: ClusterKatib, server: ApiServer, node: KubeletStandIn
) -> None:
    for kind, role in (("worker", {}), ("master", {"training.kubeflow.org/job-role": "master"})):
        place = {"training.kubeflow.org/replica-type": kind, "training.kubeflow.org/replica-index": "0"}
        make_pod(server, namespace, f"{kind}-0", node.name, labels={**LABELS, **place, **role})
        set_pod(server, namespace, f"{kind}-0", "Running", **RUNNING)
        node.lines[f"{kind}-0/training"] = [("2026-01-01T00:00:00Z", f"from the {kind}")]
    assert katib("logs", TRIAL).out == "from the master\n"
    assert katib("logs", TRIAL, "--replica", "worker-0").out == "from the worker\n"
    wrong = katib("logs", TRIAL, "--replica", "worker-7")
    assert (wrong.status, "no replica 'worker-7' now; replicas: master-0, worker-0" in wrong.err) == (1, True)


def test_a_pod_that_does_not_start_says_why(
    namespace: str, katib: ClusterKatib, server: ApiServer, node: KubeletStandIn
) -> None:
    make_pod(server, namespace, "stuck", node.name, labels=LABELS)
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    set_pod(server, namespace, "stuck", "Pending", **waiting)
    done = katib("logs", TRIAL)
    assert done.status == 1
    assert "Pod stuck, container training has printed nothing yet: ImagePullBackOff: no such image" in done.err
    assert "Pod:          stuck (Pending: ImagePullBackOff: no such image)" in katib("describe", "trial", TRIAL).out


def test_who_may_not_read_pods_is_told_so(namespace: str, katib: ClusterKatib, server: ApiServer) -> None:
    rules = [{"apiGroups": ["kubeflow.org"], "resources": ["trials"], "verbs": ["get", "list"]}]
    katib.add_context("looker", token=token_of_user(server, namespace, "looker", rules))
    done = katib("logs", TRIAL, context="looker")
    assert done.status == 1
    assert 'cannot list resource "pods"' in done.err
    assert "one needs `get` and `list` of pods and `get` of pods/log in namespace" in done.err
