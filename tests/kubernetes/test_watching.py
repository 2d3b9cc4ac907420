"""Following a kind through everything that may happen to a watch."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx2
import pytest
import yaml
from cuttable_proxy import CuttableProxy
from local_control_plane import Cluster
from msgspec.structs import replace
from stand_in import wait_for
from test_kubernetes_store import settle

from pykatib.api.errors import Conflict, Unavailable
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import WorkerJob
from pykatib.api.trial import Trial, TrialSpec
from pykatib.store.contract import Change
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.cache import KindCache
from pykatib.store.kubernetes.reflector import Delta, Gone, Reflector, Replaced, Seen
from pykatib.store.kubernetes.resources import OURS
from pykatib.store.kubernetes.store import KubernetesStore

TRIALS = OURS[2]


def trial(name: str, namespace: str, *, uid: str = "", version: int | str = "") -> Trial:
    """A Trial."""
    meta = ObjectMeta(name=name, namespace=namespace, uid=uid, resource_version=str(version))
    return Trial(metadata=meta, spec=TrialSpec(success_condition="x"))


@pytest.fixture
def store(cluster: Cluster, namespace: str) -> Iterator[KubernetesStore]:
    """A store on the namespace."""
    opened = KubernetesStore(ApiServer.connect(cluster.kubeconfig), namespace=namespace)
    yield opened
    opened.close()


@pytest.fixture
def other(cluster: Cluster, namespace: str) -> Iterator[KubernetesStore]:
    """Somebody else's store on the same namespace."""
    opened = KubernetesStore(ApiServer.connect(cluster.kubeconfig), namespace=namespace)
    yield opened
    opened.close()


def names_in(store: KubernetesStore, namespace: str) -> set[str]:
    """The Trials that a store knows."""
    return {obj.metadata.name for obj in store.list("Trial", namespace=namespace)}


def test_a_version_that_is_too_old_is_answered_by_listing_anew(
    server: ApiServer, store: KubernetesStore, namespace: str
) -> None:
    store.create(trial("a", namespace))
    taken: list[Delta] = []
    reflector = Reflector(
        server,
        TRIALS,
        namespace,
        take=taken.append,
        is_wanted=lambda obj: True,
        is_known=lambda reference, version: False,
    )
    first = reflector.read_all()
    reflector.version = "1"
    store.create(trial("b", namespace))
    reflector.start()
    wait_for("a list", lambda: any(isinstance(delta, Replaced) for delta in taken))
    store.create(trial("c", namespace))
    wait_for("what comes after it", lambda: isinstance(taken[-1], Seen) and taken[-1].object.metadata.name == "c")
    reflector.stop()
    assert reflector.relist_count == 1
    assert [obj.metadata.name for obj in first.objects] == ["a"]
    (again,) = [delta for delta in taken if isinstance(delta, Replaced)]
    assert {obj.metadata.name for obj in again.objects} == {"a", "b"}


def test_a_watch_that_broke_off_goes_on_where_it_was(
    cluster: Cluster, namespace: str, other: KubernetesStore, tmp_path: Path
) -> None:
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    host, port = config["clusters"][0]["cluster"]["server"].removeprefix("https://").rsplit(":", 1)
    if host != "127.0.0.1":
        pytest.skip("the cluster is not on this machine, so its connections cannot be cut")
    proxy = CuttableProxy(int(port))
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    store = KubernetesStore(ApiServer.connect(str(kubeconfig)), namespace=namespace)
    heard: list[Change] = []
    store.subscribe(["Trial"], heard.append)
    gone, kept = other.create(trial("gone", namespace)), other.create(trial("kept", namespace))
    settle(store, lambda: names_in(store, namespace) == {"gone", "kept"})
    proxy.cut()
    with pytest.raises(Unavailable):
        store.create(trial("never", namespace))
    other.delete(gone.reference)
    changed = other.update(replace(kept, spec=replace(kept.spec, success_condition="y")))
    other.create(trial("new", namespace))
    proxy.mend()
    settle(store, lambda: names_in(store, namespace) == {"kept", "new"} and store.get(kept.reference) == changed)
    reflectors = [cache.reflector for cache in store._caches.values() if cache.resource == TRIALS]
    assert [reflector.relist_count for reflector in reflectors if reflector is not None] == [0]
    assert [(change.old is None, change.new is None) for change in heard] == [
        (True, False),
        (True, False),
        (False, True),
        (False, False),
        (True, False),
    ]
    store.close()
    proxy.close()


def test_kinds_are_listed_in_pages(cluster: Cluster, namespace: str, other: KubernetesStore) -> None:
    for number in range(5):
        other.create(trial(f"t-{number}", namespace))
    store = KubernetesStore(ApiServer.connect(cluster.kubeconfig), namespace=namespace, page_size=2)
    assert len(store.list("Trial", namespace=namespace)) == 5
    store.close()


def test_of_two_writers_one_meets_a_conflict_and_then_knows_better(
    store: KubernetesStore, other: KubernetesStore, namespace: str
) -> None:
    theirs = other.create(trial("t", namespace))
    ours = store.get(theirs.reference)
    assert isinstance(ours, Trial)
    changed = other.update(replace(theirs, spec=replace(theirs.spec, success_condition="theirs")))
    with pytest.raises(Conflict):
        store.update(replace(ours, spec=replace(ours.spec, success_condition="ours")))
    settle(store, lambda: store.get(ours.reference) == changed)
    store.update(replace(changed, spec=replace(changed.spec, success_condition="ours")))


def test_a_kind_that_is_not_installed_is_followed_once_it_is(
    store: KubernetesStore, server: ApiServer, namespace: str
) -> None:
    plural = f"widgets{namespace.replace('-', '')}"
    kind, group = plural.capitalize(), "example.com"
    job = WorkerJob(api_version=f"{group}/v1", kind=kind, metadata=ObjectMeta(name="w", namespace=namespace))
    assert store.find(job.reference) is None
    with pytest.raises(Unavailable, match=kind):
        store.create(job)
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    names = {"kind": kind, "plural": plural, "singular": plural[:-1], "listKind": f"{kind}List"}
    definition = {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    server.request("POST", path, body=json.dumps(definition).encode())

    def is_made() -> bool:
        try:
            store.create(job)
        except Unavailable:
            return False
        return True

    wait_for("the kind", is_made)
    assert store.find(job.reference) is not None
    server.request("DELETE", f"{path}/{plural}.{group}")


def test_an_api_version_cannot_lead_to_another_path(store: KubernetesStore, namespace: str) -> None:
    reference = Reference("Secret", namespace, "s", "../api/v1")
    assert store.find(reference) is None


# Without a server: what a cache makes of what a reflector says


@pytest.fixture
def noted() -> list[tuple[str | None, str | None]]:
    """Versions of the changes that were noted."""
    return []


@pytest.fixture
def cache(noted: list[tuple[str | None, str | None]]) -> KindCache:
    """A cache of Trials that knows `a` (uid 1) in version 5 and `b` (uid 2) in version 6."""
    made = KindCache(
        TRIALS,
        lambda old, new: noted.append(
            (old.metadata.resource_version if old else None, new.metadata.resource_version if new else None)
        ),
    )
    made.take(trial("a", "n", uid="1", version=5))
    made.take(trial("b", "n", uid="2", version=6))
    noted.clear()
    return made


def test_what_a_new_list_lacks_has_gone(cache: KindCache, noted: list[tuple[str | None, str | None]]) -> None:
    cache.take_all(Replaced(TRIALS, [trial("a", "n", uid="1", version=5), trial("c", "n", uid="3", version=8)], 9))
    assert noted == [("6", None), (None, "8")]


def test_what_was_written_after_a_list_was_made_stays(
    cache: KindCache, noted: list[tuple[str | None, str | None]]
) -> None:
    cache.take(trial("d", "n", uid="4", version=12))
    noted.clear()
    cache.take_all(Replaced(TRIALS, [trial("a", "n", uid="1", version=5), trial("b", "n", uid="2", version=6)], 10))
    assert noted == []


def test_old_news_change_nothing(cache: KindCache, noted: list[tuple[str | None, str | None]]) -> None:
    cache.take(trial("a", "n", uid="1", version=4))
    cache.take_gone(Gone(TRIALS, Reference("Trial", "n", "a"), "another uid"))
    assert noted == []


def test_an_object_made_anew_unheard_goes_and_comes(
    cache: KindCache, noted: list[tuple[str | None, str | None]]
) -> None:
    cache.take(trial("a", "n", uid="7", version=9))
    assert noted == [("5", None), (None, "9")]


def test_late_news_of_what_we_have_ended_do_not_bring_it_back(
    cache: KindCache, noted: list[tuple[str | None, str | None]]
) -> None:
    known = cache.objects[Reference("Trial", "n", "a")]
    cache.end(known)
    cache.take(trial("a", "n", uid="1", version=8))
    cache.take_gone(Gone(TRIALS, known.reference, "1"))
    cache.take(trial("a", "n", uid="9", version=10))
    assert noted == [("5", None), (None, "10")]


# A server that is too busy


@pytest.fixture
def busy() -> Iterator[tuple[ApiServer, list[str]]]:
    """A server that turns the first two requests away, and what it was asked."""
    asked: list[str] = []

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(429 if len(asked) <= 2 else 200)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
            pass

    listener = HTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    server = ApiServer(httpx2.Client(base_url=f"http://127.0.0.1:{listener.server_address[1]}"))
    yield server, asked
    server.close()
    listener.shutdown()
    thread.join()
    listener.server_close()


def test_a_request_that_is_turned_away_is_made_again_when_the_server_says(
    busy: tuple[ApiServer, list[str]],
) -> None:
    server, asked = busy
    assert server.request("GET", "/version") == b"{}"
    assert asked == ["/version"] * 3
