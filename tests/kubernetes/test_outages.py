"""Bad days: servers that go away, things that people delete, leaders that die. Nothing is lost and nothing is doubled.

Outages mostly wait. So all scenes of this file begin together, each with a namespace of its own, and each test takes
note of how one of them ended. Those that stop servers have a control plane of their own, and take turns on it.
"""

import json
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import yaml
from bad_days import (
    DBManagerProcess,
    HeldStandIn,
    OperatorProcess,
    PodRunner,
    ReportingPods,
    apply,
    at_work,
    check_no_value_came_twice,
    completing,
    jobs_in,
    namespace_in,
    trials_in,
)
from cuttable_proxy import CuttableProxy
from local_control_plane import Cluster, LocalControlPlane, Unstartable, find_assets
from msgspec.structs import replace
from stand_in import (
    JOB_TEMPLATE,
    FolderObservations,
    StandIn,
    check_invariants,
    experiment,
    has_ended,
    read_all,
    read_experiment,
    wait_for,
)

from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.control.view import trial_state
from pykatib.kube.crds import definitions
from pykatib.kube.operator import LEASE_LOST, Operator
from pykatib.rpc.remote_observations import RemoteObservationStore
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.observations import MemoryObservationStore

API_SERVER_AWAY_SECONDS = 30.0
DB_MANAGER_AWAY_SECONDS = 60.0

pytestmark = pytest.mark.slow


@contextmanager
def connected(cluster: Cluster) -> Iterator[ApiServer]:
    """A connection."""
    server = ApiServer.connect(cluster.kubeconfig)
    try:
        yield server
    finally:
        server.close()


def proxied(cluster: Cluster, folder: Path) -> tuple[CuttableProxy, ApiServer]:
    """A connection that can be cut."""
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    port = int(config["clusters"][0]["cluster"]["server"].rpartition(":")[2])
    proxy = CuttableProxy(port)
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    return proxy, ApiServer.connect(str(kubeconfig))


def trial_count(server: ApiServer, namespace: str) -> int:
    """How many Trials the Experiment counts."""
    return read_experiment(server, namespace).status.trials


# One control plane that fails again and again, with real Job controller


def with_pods(wanted: Experiment) -> Experiment:
    """The Experiment with Pods that the API server lets in though nobody makes tokens here."""
    template = json.loads(json.dumps(JOB_TEMPLATE))
    template["spec"]["template"]["spec"]["automountServiceAccountToken"] = False
    trial_template = wanted.spec.trial_template
    assert trial_template is not None
    trial_template = replace(trial_template, trial_spec=msgspec.Raw(json.dumps(template).encode()))
    return replace(wanted, spec=replace(wanted.spec, trial_template=trial_template))


@contextmanager
def searching(
    plane: LocalControlPlane,
    purpose: str,
    folder: Path,
    *,
    trials: int,
    evictions: int = 0,
    through: ApiServer | None = None,
) -> Iterator[tuple[ApiServer, str, PodRunner, Operator]]:
    """An Experiment under way on a frail control plane, which is to end once the caller has done its worst."""
    cluster = Cluster(str(plane.kubeconfig))
    observations = MemoryObservationStore()
    with (
        connected(cluster) as server,
        namespace_in(server, purpose) as namespace,
        PodRunner(ApiServer.connect(cluster.kubeconfig), namespace, observations, evictions=evictions) as pods,
        at_work(Operator(through or ApiServer.connect(cluster.kubeconfig), observations)) as operator,
    ):
        apply(server, with_pods(experiment(namespace, trials=trials, parallel=4)))
        wait_for("progress", lambda: trial_count(server, namespace) > 4)
        yield server, namespace, pods, operator
        wait_for("the end", lambda: has_ended(server, namespace))
        check_invariants(server, namespace, pods)
        check_no_value_came_twice(server, namespace)
        assert trial_count(server, namespace) == trials


def evict_pods(plane: LocalControlPlane, folder: Path) -> None:
    """Pods are evicted; their Jobs make new ones, and Trials know nothing of it."""
    with searching(plane, "evicted", folder, trials=12, evictions=3) as (_, _, pods, _):
        wait_for("evictions", lambda: pods.evicted_count == 3)
    assert sum(len(uids) - 1 for uids in pods.pods_by_job.values()) == 3, "each Pod that went has one in its place"


def stop_api_server(plane: LocalControlPlane, folder: Path) -> None:
    """The API server is killed and stays away for half a minute."""
    with searching(plane, "api-server", folder, trials=24):
        plane.end("kube-apiserver", signal.SIGKILL)
        time.sleep(API_SERVER_AWAY_SECONDS)
        plane.start_api_server()


def restart_etcd(plane: LocalControlPlane, folder: Path) -> None:
    """etcd is killed and comes back with what it had on disk."""
    with searching(plane, "etcd", folder, trials=24):
        plane.end("etcd", signal.SIGKILL)
        time.sleep(5.0)
        plane.start_etcd()


def compact(plane: LocalControlPlane, folder: Path) -> None:
    """The operator misses what happens, and the versions that it would go on from are compacted away: 410 Gone."""
    proxy, through = proxied(Cluster(str(plane.kubeconfig)), folder)
    try:
        with searching(plane, "compacted", folder, trials=24, through=through) as (_, _, _, operator):
            proxy.cut()
            time.sleep(2.0)  # Jobs end unheard
            plane.end("kube-apiserver", signal.SIGKILL)  # a new one remembers no events of before
            plane.start_api_server()
            plane.compact()
            assert operator._store is not None
            caches = operator._store._caches.values()
            before = sum(cache.reflector.relist_count for cache in caches if cache.reflector is not None)
            proxy.mend()
        after = sum(cache.reflector.relist_count for cache in caches if cache.reflector is not None)
        assert after > before, "nothing had to be listed anew: the test was none"
    finally:
        proxy.close()


def fail_again_and_again(assets: Path, outcomes: dict[str, "Future[None]"], folder: Path) -> None:
    """All that is done to a frail control plane, one after the other."""
    plane = LocalControlPlane(assets, folder / "frail", controllers=("job",))
    asked = [name for name in FRAIL_SCENES if name in outcomes]
    try:
        plane.start([json.dumps(each) for each in definitions()])
        for name in asked:
            own = folder / name.replace(" ", "-")
            own.mkdir()
            outcomes[name].set_running_or_notify_cancel()
            try:
                FRAIL_SCENES[name](plane, own)
            except Exception as error:
                outcomes[name].set_exception(error)
            else:
                outcomes[name].set_result(None)
    except Exception as error:
        for name in asked:
            if not outcomes[name].done():
                outcomes[name].set_exception(error)
    finally:
        plane.stop()


# Scenes on a control plane that works


def drop_watch_events(cluster: Cluster, folder: Path) -> None:
    """Connections are cut at any instant, and what was on its way is lost."""
    proxy, through = proxied(cluster, folder)
    observations = MemoryObservationStore()
    moments = random.Random(3)
    with (
        connected(cluster) as server,
        namespace_in(server, "cut") as namespace,
        completing(StandIn(ApiServer.connect(cluster.kubeconfig), namespace, observations)) as stand_in,
    ):
        cuts = 0
        with at_work(Operator(through, observations, namespace=namespace)):
            apply(server, experiment(namespace, trials=100, parallel=5))
            while not has_begun_and_ended(server, namespace):
                time.sleep(moments.uniform(0.1, 0.9))
                if cuts < 25:
                    proxy.cut()
                    time.sleep(moments.uniform(0.0, 0.2))
                    proxy.mend()
                    cuts += 1
        proxy.close()
        assert cuts > 3, "the test was over before it began"
        check_invariants(server, namespace, stand_in)
        check_no_value_came_twice(server, namespace)


def has_begun_and_ended(server: ApiServer, namespace: str) -> bool:
    """Whether the Experiment has ended; its Suggestion may not be there yet."""
    return bool(read_all(server, namespace, "suggestions")) and has_ended(server, namespace)


def lose_leaders(cluster: Cluster, folder: Path) -> None:
    """Leaders are killed, and frozen until another leads: that one must not go on when it wakes."""
    logs = folder / "logs"
    logs.mkdir()
    observations = FolderObservations(logs)
    started: list[OperatorProcess] = []

    def candidate(identity: str, namespace: str) -> OperatorProcess:
        started.append(OperatorProcess(cluster.kubeconfig, namespace, folder, identity))
        return started[-1]

    with (
        connected(cluster) as server,
        namespace_in(server, "leaders") as namespace,
        completing(HeldStandIn(ApiServer.connect(cluster.kubeconfig), namespace, observations)) as stand_in,
    ):
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

        def leader() -> str:
            leases = json.loads(server.request("GET", path))["items"]
            return str(leases[0]["spec"].get("holderIdentity") or "") if leases else ""

        try:
            first = candidate("first", namespace)
            wait_for("the first", lambda: leader() == "first")
            second = candidate("second", namespace)
            apply(server, experiment(namespace, trials=30, parallel=3))
            wait_for("Jobs", lambda: len(jobs_in(server, namespace)) == 3)
            first.process.send_signal(signal.SIGKILL)
            stand_in.released.set()  # what has come to its end in the meantime, nobody has heard
            wait_for("the second", lambda: leader() == "second")
            wait_for("progress", lambda: trial_count(server, namespace) > 6)
            stand_in.released.clear()
            candidate("third", namespace)
            second.process.send_signal(signal.SIGSTOP)
            wait_for("the third", lambda: leader() == "third")
            stand_in.released.set()
            wait_for("progress", lambda: trial_count(server, namespace) > 12)
            second.process.send_signal(signal.SIGCONT)
            assert second.process.wait(60) == LEASE_LOST
            wait_for("the end", lambda: has_ended(server, namespace))
        finally:
            for each in started:
                each.end()
        check_invariants(server, namespace, stand_in)
        check_no_value_came_twice(server, namespace)
        assert "Traceback" not in "".join(each.log.read_text() for each in started)


def stop_db_manager(cluster: Cluster, folder: Path) -> None:
    """The DB manager is killed while programs push and sidecars read, and stays away for a minute."""
    db_manager = DBManagerProcess(folder)
    db_manager.start()
    observations = RemoteObservationStore(db_manager.address, timeout_seconds=5.0)
    values = [f"{number + 0.5}" for number in range(12)]
    try:
        with (
            connected(cluster) as server,
            namespace_in(server, "db-manager") as namespace,
            ReportingPods(server, namespace, folder, db_manager.address, values=len(values), seconds=0.5) as pods,
            at_work(Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)),
        ):
            apply(server, experiment(namespace, trials=6, parallel=4))

            def arrived() -> list[int]:
                return [
                    len(db_manager.values(namespace, trial.metadata.name)) for trial in trials_in(server, namespace)
                ]

            wait_for("first values of all", lambda: len(arrived()) >= 4 and min(arrived()) >= 2)
            db_manager.kill()
            time.sleep(DB_MANAGER_AWAY_SECONDS)
            db_manager.start()
            wait_for("the end", lambda: has_ended(server, namespace))
            trials = trials_in(server, namespace)
            assert [trial_state(trial) for trial in trials] == [names.SUCCEEDED] * 6
            kept = {trial.metadata.name: db_manager.values(namespace, trial.metadata.name) for trial in trials}
            assert kept == dict.fromkeys(kept, values)
            for trial in trials:
                observation = trial.status.observation
                assert observation is not None
                metric = observation.metric("loss")
                assert metric is not None
                assert (metric.min, metric.max, metric.latest) == (values[0], values[-1], values[-1])
            assert {status for each in pods.statuses.values() for status in each} == {0}
            assert {len(uids) for uids in pods.uids_by_job.values()} == {1}
            check_no_value_came_twice(server, namespace)
    finally:
        db_manager.kill()
        observations.close()


def delete_by_hand(cluster: Cluster, folder: Path) -> None:
    """Somebody deletes a Job and a Trial that are at work: the Job is made again, the Trial's place is filled."""
    observations = MemoryObservationStore()
    with (
        connected(cluster) as server,
        namespace_in(server, "by-hand") as namespace,
        completing(HeldStandIn(ApiServer.connect(cluster.kubeconfig), namespace, observations)) as stand_in,
        at_work(Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)),
    ):
        apply(server, experiment(namespace, trials=12, parallel=3))
        wait_for("Jobs", lambda: len(jobs_in(server, namespace)) == 3)
        without_job, without_trial = sorted(job["metadata"]["name"] for job in jobs_in(server, namespace))[:2]
        kubeflow = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}"
        server.request("DELETE", f"/apis/batch/v1/namespaces/{namespace}/jobs/{without_job}")
        server.request("DELETE", f"{kubeflow}/trials/{without_trial}")
        wait_for("the Job again", lambda: len(stand_in.uids_by_job[without_job]) == 2)
        wait_for("the Trial and its Job again", lambda: len(stand_in.uids_by_job[without_trial]) == 2)
        wait_for("what takes the Trial's place", lambda: len(jobs_in(server, namespace)) == 3)
        stand_in.released.set()
        wait_for("the end", lambda: has_ended(server, namespace))
        trials = trials_in(server, namespace)
        assert [trial_state(trial) for trial in trials] == [names.SUCCEEDED] * 12
        status = read_experiment(server, namespace).status
        assert (status.trials, status.trials_succeeded) == (12, 12)
        check_no_value_came_twice(server, namespace)
        twice = {name for name, uids in stand_in.uids_by_job.items() if len(uids) > 1}
        assert twice <= {without_job, without_trial}
        reported = {
            trial.metadata.name: len(list(observations.logs(namespace, trial.metadata.name))) for trial in trials
        }
        assert reported == dict.fromkeys(reported, 1)


def delete_experiment(cluster: Cluster, folder: Path) -> None:
    """An Experiment is deleted at work, and made again at once under its name: no orphan, and a fresh start."""
    observations = MemoryObservationStore()
    with (
        connected(cluster) as server,
        namespace_in(server, "deleted") as namespace,
        completing(StandIn(ApiServer.connect(cluster.kubeconfig), namespace, observations)) as stand_in,
        at_work(Operator(ApiServer.connect(cluster.kubeconfig), observations, namespace=namespace)),
    ):
        apply(server, experiment(namespace, trials=500, parallel=6))
        wait_for("progress", lambda: trial_count(server, namespace) > 20)
        earlier = {trial.metadata.name for trial in trials_in(server, namespace)}
        path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments/search"
        server.request("DELETE", path)
        wait_for("its end", lambda: not read_all(server, namespace, "experiments"))
        apply(server, experiment(namespace, trials=8, parallel=4))
        wait_for("the second's end", lambda: has_begun_and_ended(server, namespace))
        wait_for("the first's Trials", lambda: len(read_all(server, namespace, "trials")) == 8)
        wait_for("the Jobs", lambda: not jobs_in(server, namespace))
        later = {trial.metadata.name for trial in trials_in(server, namespace)}
        assert not later & earlier
        assert len(read_all(server, namespace, "suggestions")) == 1
        assert read_experiment(server, namespace).status.trials == 8
        made = {*stand_in.uids_by_job}
        with_logs = {name for name in made if list(observations.logs(namespace, name))}
        assert with_logs == later, "the metrics of the first have gone with it"


FRAIL_SCENES: dict[str, Callable[[LocalControlPlane, Path], None]] = {
    "a Pod evicted": evict_pods,
    "the API server stopped": stop_api_server,
    "etcd restarted": restart_etcd,
    "versions compacted": compact,
}
SCENES: dict[str, Callable[[Cluster, Path], None]] = {
    "the DB manager stopped": stop_db_manager,
    "leaders killed and frozen": lose_leaders,
    "watch events dropped": drop_watch_events,
    "a Job and a Trial deleted by hand": delete_by_hand,
    "an Experiment deleted while running": delete_experiment,
}


@pytest.fixture(scope="module")
def outcomes(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, "Future[None]"]]:
    """How each scene that was asked for ends; they are all under way."""
    if not yaml.safe_load(Path(cluster.kubeconfig).read_text())["clusters"][0]["cluster"]["server"].startswith(
        "https://127.0.0.1:"
    ):
        pytest.skip("the cluster is not on this machine, so its connections cannot be cut")
    try:
        assets = find_assets(Path(tempfile.gettempdir(), "pykatib-kube-assets"))
    except Unstartable as reason:
        pytest.skip(str(reason))
    asked = {item.callspec.params["scene"] for item in request.session.items if item.path == request.path}  # type: ignore[attr-defined]
    folder = tmp_path_factory.mktemp("scenes")
    found: dict[str, Future[None]] = {}
    pool = ThreadPoolExecutor(len(SCENES) + 1, thread_name_prefix="scene")
    for name, scene in SCENES.items():
        if name in asked:
            own = folder / name.replace(" ", "-")
            own.mkdir()
            found[name] = pool.submit(scene, cluster, own)
    if asked & {*FRAIL_SCENES}:
        found |= {name: Future() for name in FRAIL_SCENES if name in asked}
        pool.submit(fail_again_and_again, assets, found, folder)
    yield found
    pool.shutdown()


@pytest.mark.parametrize("scene", [*SCENES, *FRAIL_SCENES])
def test_nothing_is_lost_and_nothing_is_doubled(outcomes: dict[str, "Future[None]"], scene: str) -> None:
    outcomes[scene].result()
