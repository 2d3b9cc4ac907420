"""`katib run`, `get`, `stop` and the rest with `--context`, on a real API server with an operator."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster_commands import ClusterKatib, manifest, read_until, token_of_user
from cuttable_proxy import CuttableProxy
from local_control_plane import Cluster
from stand_in import FolderObservations, StandIn, read_all, read_experiment, wait_for
from webhook_bench import serving

from pykatib.kube.admission.catalog import Services
from pykatib.store.kubernetes.api_server import ApiServer

OPERATOR = Path(__file__).parent / "operator_process.py"


@contextmanager
def operating(cluster: Cluster, namespace: str, folder: Path) -> Iterator[None]:
    """An operator for one namespace, as a process."""
    log = (folder / f"operator-{namespace}.log").open("ab")
    command = [sys.executable, str(OPERATOR), cluster.kubeconfig, namespace, str(folder)]
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def completing(cluster: Cluster, namespace: str, folder: Path) -> Iterator[None]:
    """Jobs of a namespace complete."""
    stand_in = StandIn(ApiServer.connect(cluster.kubeconfig), namespace, FolderObservations(folder))
    stand_in.start()
    try:
        yield
    finally:
        stand_in.stop()


@pytest.fixture
def katib(cluster: Cluster, namespace: str, tmp_path: Path) -> ClusterKatib:
    """The command line, on a namespace of its own."""
    return ClusterKatib(tmp_path, cluster.kubeconfig, namespace)


def test_an_experiment_is_run_to_its_end_and_read(
    cluster: Cluster, namespace: str, katib: ClusterKatib, server: ApiServer, tmp_path: Path
) -> None:
    file = katib.write(manifest())
    with operating(cluster, namespace, tmp_path), completing(cluster, namespace, tmp_path):
        done = katib("run", file)
        assert (done.status, done.err) == (0, "")
        assert "search: started: random search, minimize loss, 4 Trials, 2 at a time" in done.out
        assert done.out.count(": succeeded after ") == 4
        assert "* best so far" in done.out
        assert "Experiment search succeeded: max trial count has reached\n  4 Trials: 4 succeeded" in done.out
        again = katib("run", file, "-o", "json")
        assert again.status == 0
        assert "search: followed: " in again.err
        assert json.loads(again.out)["status"]["trialsSucceeded"] == 4
        best = json.loads(katib("best", "search", "-o", "json").out)
        assert (best["trial"] in done.out, best["type"], {*best["parameters"]}) == (True, "minimize", {"lr"})
        assert len(katib("get", "trials", "-e", "search", "-o", "name").out.split()) == 4
        listed = katib("get", "experiments").out.split("\n")
        assert listed[0].split() == ["NAMESPACE", "NAME", "TYPE", "STATUS", "AGE"]
        assert listed[1].split()[:4] == [namespace, "search", "Succeeded", "True"]
        described = katib("describe", "experiment", "search").out
        assert f"Best Trial:   {best['trial']}" in described
        rows = katib("export", "search").out.splitlines()
        assert rows[0].endswith("parameters.lr,metrics.loss")
        assert len(rows) == 5
        logs = katib("logs", best["trial"])
        assert (logs.status, "its Pod is gone, with what it printed" in logs.err) == (1, True)
        more = katib("resume", "search", "--max-trials", "6")
        assert (more.status, "6 Trials: 6 succeeded" in more.out) == (0, True)
        ended = katib("stop", "search")
        assert (ended.status, "has ended already" in ended.err) == (1, True)
        gone = katib("delete", "search")
        assert (gone.status, gone.out) == (0, "Experiment search is deleted.\n")
    assert not read_all(server, namespace, "trials")


def test_ctrl_c_leaves_it_running_and_it_is_followed_again_stopped_and_taken_up(
    cluster: Cluster, namespace: str, katib: ClusterKatib, server: ApiServer, tmp_path: Path
) -> None:
    file = katib.write(manifest())
    with operating(cluster, namespace, tmp_path):
        with katib.started("run", file) as process:
            read_until(process, "search: started")
            wait_for("two Trials", lambda: len(read_all(server, namespace, "trials")) == 2)
            process.send_signal(signal.SIGINT)
            told = process.communicate()[0]
        assert process.returncode == 130
        assert "Experiment search goes on in the cluster." in told
        assert "katib delete search --context lab" in told
        assert not read_experiment(server, namespace).spec.suspend
        with katib.started("run", file) as process:
            read_until(process, "search: followed")
            stopped = katib("stop", "search")
            assert stopped.out == "Experiment search is stopped. To go on: katib resume search --context lab\n"
            told = process.communicate()[0]
        assert process.returncode == 130
        assert "Stopped. To go on: katib resume search --context lab" in told
        with completing(cluster, namespace, tmp_path):
            done = katib("resume", "search")
        assert (done.status, "4 Trials: 4 succeeded" in done.out) == (0, True)


def test_a_cluster_that_is_away_for_a_while_is_waited_for(
    cluster: Cluster, namespace: str, katib: ClusterKatib, server: ApiServer, tmp_path: Path
) -> None:
    port = int(json.loads(Path(cluster.kubeconfig).read_text())["clusters"][0]["cluster"]["server"].rpartition(":")[2])
    proxy = CuttableProxy(port)
    try:
        katib.add_context("far", port=proxy.port)
        with (
            operating(cluster, namespace, tmp_path),
            katib.started("run", katib.write(manifest()), context="far") as process,
        ):
            read_until(process, "search: started")
            wait_for("two Trials", lambda: len(read_all(server, namespace, "trials")) == 2)
            proxy.cut()
            read_until(process, "the API server does not answer")
            with completing(cluster, namespace, tmp_path):
                wait_for("the end", lambda: read_experiment(server, namespace).status.completion_time is not None)
                proxy.mend()
                told = process.communicate()[0]
            assert process.returncode == 0
            assert "the API server answers again" in told
            assert told.count(": succeeded after ") == 4
    finally:
        proxy.close()


def test_two_namespaces_of_one_file_are_followed_side_by_side(
    cluster: Cluster, namespace: str, katib: ClusterKatib, server: ApiServer, tmp_path: Path
) -> None:
    other = f"{namespace}-b"
    server.request("POST", "/api/v1/namespaces", body=json.dumps({"metadata": {"name": other}}).encode())
    file = katib.write(f"{manifest(trials=1)}---\n{manifest('aside', trials=1, namespace=other)}")
    with (
        operating(cluster, namespace, tmp_path),
        operating(cluster, other, tmp_path),
        completing(cluster, namespace, tmp_path),
        completing(cluster, other, tmp_path),
    ):
        done = katib("run", file)
    assert done.status == 0
    assert ("Experiment search succeeded" in done.out, "Experiment aside succeeded" in done.out) == (True, True)
    assert "aside" not in katib("get", "experiments").out
    assert "aside" in katib("get", "experiments", "-n", other).out
    everywhere = katib("get", "experiments", "-A", "-o", "csv").out
    assert {f"{namespace},search", f"{other},aside"} <= {",".join(row.split(",")[:2]) for row in everywhere.split()}
    assert katib("delete", "aside").status == 1
    server.request("DELETE", f"/api/v1/namespaces/{other}")


def test_changes_are_watched(cluster: Cluster, namespace: str, katib: ClusterKatib, tmp_path: Path) -> None:
    with katib.started("get", "experiments", "-w") as process:
        with operating(cluster, namespace, tmp_path), completing(cluster, namespace, tmp_path):
            assert katib("run", katib.write(manifest(trials=1)), "-q").status == 0
            seen = read_until(process, "Succeeded")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert "Traceback" not in seen
    assert seen.split("\n")[0].split() == ["NAMESPACE", "NAME", "TYPE", "STATUS", "AGE"]


def test_where_no_operator_is_it_is_said(namespace: str, katib: ClusterKatib, server: ApiServer) -> None:
    with katib.started("run", katib.write(manifest())) as process:
        read_until(process, "no operator has taken it up for 10 s; is one running, and for namespace")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130
    assert katib("delete", "search").status == 0
    assert not read_all(server, namespace, "experiments")


def test_what_one_machine_refuses_is_refused_in_the_same_words_before_anything_is_there(
    namespace: str, katib: ClusterKatib, server: ApiServer
) -> None:
    config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: beside}\ndata: {a: b}\n"
    wrong = manifest(algorithm="rendom").replace('max: "1.0"', 'max: "0.001"')
    file = katib.write(f"{config_map}---\n{manifest('sound')}---\n{wrong}")
    there, here = katib("run", file), katib("validate", file, context="")
    assert (there.status, here.status) == (2, 2)
    assert there.err == here.err
    assert "did you mean `random`?" in there.err
    assert not read_all(server, namespace, "experiments")
    kept = json.loads(server.request("GET", f"/api/v1/namespaces/{namespace}/configmaps"))["items"]
    assert "beside" not in {one["metadata"]["name"] for one in kept}


def test_another_experiment_of_the_name_is_refused_and_another_budget_is_said(
    namespace: str, katib: ClusterKatib, server: ApiServer
) -> None:
    config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: beside}\ndata: {a: b}\n---\n"
    with katib.started("run", katib.write(config_map + manifest())) as process:
        read_until(process, "search: started")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    beside = json.loads(server.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/beside"))
    assert beside["data"] == {"a": "b"}
    refused = katib("run", katib.write(manifest(algorithm="sobol")))
    assert refused.status == 2
    assert "is another one: spec.algorithm differs; delete it with `katib delete search` or --replace" in refused.err
    with katib.started("run", katib.write(manifest(trials=9))) as process:
        read_until(process, "the budget that it has in the cluster: maxTrialCount 4 (here 9)")
        read_until(process, "search: followed")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    before = read_experiment(server, namespace).metadata.uid
    with katib.started("run", katib.write(manifest(algorithm="sobol")), "--replace") as process:
        read_until(process, "search: started: sobol search")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert read_experiment(server, namespace).metadata.uid != before


def test_who_may_only_look_is_told_which_right_is_lacking(
    namespace: str, katib: ClusterKatib, server: ApiServer
) -> None:
    rules = [{"apiGroups": ["kubeflow.org"], "resources": ["experiments", "trials"], "verbs": ["get", "list", "watch"]}]
    katib.add_context("looker", token=token_of_user(server, namespace, "looker", rules))
    katib.add_context("stranger", token="nobody")
    assert katib("get", "experiments", context="looker").status == 0
    refused = katib("run", katib.write(manifest()), context="looker")
    assert refused.status == 1
    assert 'cannot create resource "experiments" in API group "kubeflow.org" in the namespace' in refused.err
    assert "the roles katib-view and katib-edit allow it" in refused.err
    elsewhere = katib("get", "trials", "-A", context="looker")
    assert (elsewhere.status, 'cannot list resource "trials"' in elsewhere.err) == (1, True)
    unknown = katib("get", "trials", context="stranger")
    assert (unknown.status, "does not know you (401 Unauthorized)" in unknown.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "context", "status", "words"),
    [
        (["get", "trials"], "labb", 2, "there is no context 'labb'; did you mean `lab`?"),
        (["get", "trials", "--kubeconfig", "nowhere"], "", 2, "nowhere: there is no such file"),
        (["get", "trials", "--home", "x"], "lab", 2, "--home means a folder, --context and --kubeconfig a cluster"),
        (["best", "serach"], "lab", 1, "there is no Experiment 'serach' in namespace"),
        (["stop", "x", "-n", "nowhere"], "lab", 1, "there is no Experiment 'x' in namespace nowhere, nor any other"),
        (["run", "x.yaml", "--image", "a=b"], "lab", 2, "--image is for Trials on this machine"),
        (["get", "trials"], "shut", 1, "the cluster of context 'shut' (https://127.0.0.1:1): the API server does not"),
    ],
    ids=["context", "kubeconfig", "both places", "name", "namespace", "image", "unreachable"],
)
def test_what_is_wrong_is_told_in_a_sentence(
    katib: ClusterKatib, arguments: list[str], context: str, status: int, words: str
) -> None:
    katib.add_context("shut", port=1)
    done = katib(*arguments, context=context)
    assert done.status == status
    assert words in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_a_cluster_with_admission_has_the_last_word_on_its_algorithms(
    cluster: Cluster, namespace: str, katib: ClusterKatib, server: ApiServer
) -> None:
    their_services = Services(search=("their-search",), early_stopping=())
    with serving(cluster, server, namespace, services=lambda: their_services):
        with katib.started("run", katib.write(manifest(algorithm="their-search"))) as process:
            read_until(process, "search: started: their-search search")
            process.send_signal(signal.SIGINT)
            assert process.wait() == 130
        refused = katib("run", katib.write(manifest("other", algorithm="their-serch")))
        assert (refused.status, "did you mean `their-search`?" in refused.err) == (2, True)
        broken = manifest("other", algorithm="their-search").replace('max: "1.0"', 'max: "0.001"')
        refused = katib("run", katib.write(broken))
        assert refused.status == 2
        assert "spec.parameters[0].feasibleSpace.min: found 0.01, which is greater than max, 0.001" in refused.err
        assert "algorithmName" not in refused.err
        assert katib("delete", "search").status == 0
    assert not read_all(server, namespace, "experiments")
