"""Ten thousands of Trials: no object outgrows etcd, and nothing is lost."""

import json
from collections.abc import Callable, Iterator

import pytest
from local_control_plane import Cluster
from msgspec.structs import replace
from stand_in import wait_for

from pykatib.api.experiment import Experiment, ExperimentSpec, ExperimentStatus
from pykatib.api.meta import ObjectMeta
from pykatib.api.sequences import AppendLog
from pykatib.api.shared import ParameterAssignment
from pykatib.api.suggestion import Suggestion, SuggestionSpec, TrialAssignment
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.long_lists import CHUNK_BYTES, NAMES_SHOWN
from pykatib.store.kubernetes.store import KubernetesStore

BATCH = 100
PATH = "/apis/kubeflow.org/v1beta1/namespaces"


@pytest.fixture
def open_store(cluster: Cluster, namespace: str) -> Iterator[Callable[[], KubernetesStore]]:
    """Opens stores on the namespace."""
    opened: list[KubernetesStore] = []

    def open_one() -> KubernetesStore:
        opened.append(KubernetesStore(ApiServer.connect(cluster.kubeconfig), namespace=namespace))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def assignments(first: int) -> list[TrialAssignment]:
    """A batch of assignments of some 200 bytes each."""
    return [
        TrialAssignment(f"search-{number:08}", tuple(ParameterAssignment(f"p{i}", str(number)) for i in range(4)))
        for number in range(first, first + BATCH)
    ]


def grown(store: KubernetesStore, namespace: str, count: int) -> Suggestion:
    """A Suggestion with so many assignments, appended a batch at a time."""
    meta = ObjectMeta(name="search", namespace=namespace)
    suggestion = store.create(Suggestion(metadata=meta, spec=SuggestionSpec(requests=count)))
    for first in range(0, count, BATCH):
        log = suggestion.status.suggestions.extend(assignments(first))
        status = replace(suggestion.status, suggestions=log, suggestion_count=len(log))
        suggestion = store.update_status(replace(suggestion, status=status))
    return suggestion


def test_a_long_suggestion_stays_small_and_is_read_whole(
    open_store: Callable[[], KubernetesStore], namespace: str, server: ApiServer
) -> None:
    store = open_store()
    grown_one = grown(store, namespace, 1200)
    raw = server.request("GET", f"{PATH}/{namespace}/suggestions/search")
    assert len(raw) < CHUNK_BYTES + 4096
    shown = json.loads(raw)["status"]
    assert shown["suggestionCount"] == 1200
    assert shown["omittedSuggestions"] + len(shown["suggestions"]) == 1200
    assert shown["suggestions"][-1]["name"] == "search-00001199"
    again = open_store().get(grown_one.reference)
    assert again == grown_one
    assert isinstance(again, Suggestion)
    assert len(again.status.suggestions) == 1200


def test_another_who_changes_a_long_suggestion_does_not_shorten_it(
    open_store: Callable[[], KubernetesStore], namespace: str
) -> None:
    store, other = open_store(), open_store()
    suggestion = grown(store, namespace, 600)
    theirs = other.get(suggestion.reference)
    assert isinstance(theirs, Suggestion)
    changed = other.update(replace(theirs, spec=replace(theirs.spec, requests=700)))

    def has_heard() -> bool:
        store.wait(0.1)
        store.pump()
        return store.get(suggestion.reference) == changed

    wait_for("their change", has_heard)
    log = suggestion.status.suggestions.extend(assignments(600))
    wanted = replace(changed, status=replace(changed.status, suggestions=log, suggestion_count=700))
    store.update_status(wanted)
    read = open_store().get(suggestion.reference)
    assert isinstance(read, Suggestion)
    assert [entry.name for entry in read.status.suggestions] == [f"search-{number:08}" for number in range(700)]


def test_the_parts_of_a_long_suggestion_go_with_it(
    open_store: Callable[[], KubernetesStore], namespace: str, server: ApiServer
) -> None:
    store = open_store()
    suggestion = grown(store, namespace, 600)

    def parts() -> list[str]:
        items = json.loads(server.request("GET", f"/api/v1/namespaces/{namespace}/configmaps"))["items"]
        return [item["metadata"]["name"] for item in items if item["metadata"]["name"].startswith("search-")]

    assert parts()
    store.delete(suggestion.reference)
    wait_for("their going", lambda: not parts())


def test_a_long_experiment_shows_its_latest_trials_and_says_how_many_it_omits(
    open_store: Callable[[], KubernetesStore], namespace: str, server: ApiServer
) -> None:
    names = AppendLog(f"search-{number:08}" for number in range(20_000))
    status = ExperimentStatus(succeeded_trial_list=names, trials=20_000, trials_succeeded=20_000)
    meta = ObjectMeta(name="search", namespace=namespace)
    open_store().create(Experiment(metadata=meta, spec=ExperimentSpec(), status=status))
    raw = server.request("GET", f"{PATH}/{namespace}/experiments/search")
    shown = json.loads(raw)["status"]
    assert len(raw) < 64 * 1024
    assert shown["trialsSucceeded"] == 20_000
    assert shown["succeededTrialList"] == names.since(20_000 - NAMES_SHOWN)
    assert shown["omittedTrialNames"] == {"succeededTrialList": 20_000 - NAMES_SHOWN}
