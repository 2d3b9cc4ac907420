"""The webhooks' certificate on a real API server: shared, renewed, replaced and taken away while it serves."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from local_control_plane import Cluster
from stand_in import wait_for
from webhook_bench import Bench, experiment_of, serving

from pykatib.api.errors import InvalidInput, NotFound, PykatibError, Unavailable
from pykatib.kube.certificate_keeper import CONFIGURATION_PATHS, CertificateKeeper
from pykatib.kube.certificates import LIFETIME, Certificates, made, problem_with
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer

HOSTS = ("katib-controller.{}.svc", "127.0.0.1")


@pytest.fixture
def bench(cluster: Cluster, server: ApiServer, namespace: str) -> Iterator[Bench]:
    """Webhooks at work."""
    with serving(cluster, server, namespace) as opened:
        yield opened


def hosts(namespace: str) -> tuple[str, ...]:
    """The names that the certificate must have."""
    return tuple(host.format(namespace) for host in HOSTS)


def secret_of(bench: Bench) -> dict[str, bytes]:
    """The Secret's content."""
    data = json.loads(bench.server.request("GET", bench.secret)).get("data") or {}
    return {key: base64.b64decode(value) for key, value in data.items()}


def bundles_of(bench: Bench) -> set[bytes]:
    """Whom the API server trusts, in all webhooks of both configurations."""
    found = [json.loads(bench.server.request("GET", f"{path}/{bench.name}")) for path in CONFIGURATION_PATHS]
    clients = [webhook["clientConfig"] for each in found for webhook in each["webhooks"]]
    return {base64.b64decode(client.get("caBundle", "")) for client in clients}


def put(bench: Bench, values: Certificates) -> None:
    """Puts something else into the Secret."""
    data = dict(
        zip(("ca.crt", "tls.crt", "tls.key"), (base64.b64encode(each).decode() for each in values), strict=True)
    )
    bench.server.request("PATCH", bench.secret, body=json.dumps({"data": data}).encode(), content_type=MERGE_PATCH)


def is_answered(bench: Bench) -> bool:
    """Whether the webhooks' word is heard; anything but that word is a failure to ask them."""
    with pytest.raises(PykatibError) as caught:
        bench.server.request("POST", f"{bench.experiments}?dryRun=All", body=experiment_of({}, name="asks"))
    return isinstance(caught.value, InvalidInput) and "spec.objective: is required" in str(caught.value)


@contextmanager
def asked_all_the_time(bench: Bench) -> Iterator[None]:
    """Asks again and again meanwhile, on new connections too; whoever is not answered has failed the test."""
    over, failures, count = threading.Event(), [], 0

    def ask() -> None:
        nonlocal count
        while not over.is_set():
            try:
                bench.server.request("POST", f"{bench.experiments}?dryRun=All", body=experiment_of({}, name="asks"))
            except InvalidInput as error:
                if "spec.objective" not in str(error):
                    failures.append(str(error))
            except PykatibError as error:
                failures.append(str(error))
            count += 1
            over.wait(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
        before = count
        wait_for("more answers", lambda: count > before + 5)
    finally:
        over.set()
        thread.join()
    assert failures == []


def now_served(bench: Bench, before: dict[str, bytes]) -> Callable[[], bool]:
    """A condition: another certificate is there, usable, trusted and served."""

    def is_so() -> bool:
        try:
            after = secret_of(bench)
        except NotFound:
            return False
        if after == before or set(after) != {"ca.crt", "tls.crt", "tls.key"} or bundles_of(bench) != {after["ca.crt"]}:
            return False
        found = Certificates(after["ca.crt"], after["tls.crt"], after["tls.key"])
        is_sound = problem_with(found, hosts(bench.namespace), now=datetime.now(UTC)) is None
        return is_sound and bench.served() == found.certificate

    return is_so


def old_ones(bench: Bench, age: timedelta, *, trusted: bytes) -> Certificates:
    """Certificates that were made so long ago."""
    return made(hosts(bench.namespace), now=datetime.now(UTC) - age, trusted=trusted)


REPLACEMENTS: dict[str, Callable[[Bench, bytes], Certificates]] = {
    "near its expiry": lambda bench, trusted: old_ones(bench, LIFETIME * 0.8, trusted=trusted),
    "expired": lambda bench, trusted: old_ones(bench, LIFETIME * 1.1, trusted=b""),
    "noise": lambda bench, trusted: Certificates(b"noise", b"\x00", b""),
    "for another host": lambda bench, trusted: made(["elsewhere"], now=datetime.now(UTC)),
}


@pytest.mark.parametrize("replacement", REPLACEMENTS.values(), ids=REPLACEMENTS.keys())
def test_an_unusable_certificate_is_replaced_without_a_question_unanswered(
    bench: Bench, replacement: Callable[[Bench, bytes], Certificates]
) -> None:
    before = secret_of(bench)
    found = replacement(bench, before["ca.crt"])
    with asked_all_the_time(bench):
        put(bench, found)
        given = dict(zip(("ca.crt", "tls.crt", "tls.key"), found, strict=True))
        wait_for("a new certificate", now_served(bench, given))
    assert secret_of(bench)["tls.crt"] not in (before["tls.crt"], found.certificate)


def test_a_sound_certificate_of_somebody_else_is_taken_without_a_question_unanswered(bench: Bench) -> None:
    before = secret_of(bench)
    theirs = made(hosts(bench.namespace), now=datetime.now(UTC))
    with asked_all_the_time(bench):
        put(bench, theirs)
        wait_for("trust in both", lambda: bundles_of(bench) == {theirs.authorities + before["ca.crt"]})
        wait_for("their certificate", lambda: bench.served() == theirs.certificate)
    assert secret_of(bench)["tls.crt"] == theirs.certificate
    assert is_answered(bench)


def test_a_deleted_secret_is_made_anew_without_a_question_unanswered(bench: Bench) -> None:
    before = secret_of(bench)
    with asked_all_the_time(bench):
        bench.server.request("DELETE", bench.secret)
        wait_for("a new certificate", now_served(bench, before))
    assert secret_of(bench)["tls.crt"] != before["tls.crt"]


def test_the_authorities_come_back_where_somebody_takes_them_out(bench: Bench) -> None:
    for path in CONFIGURATION_PATHS:
        configuration = json.loads(bench.server.request("GET", f"{path}/{bench.name}"))
        for webhook in configuration["webhooks"]:
            del webhook["clientConfig"]["caBundle"]
        bench.server.request("PUT", f"{path}/{bench.name}", body=json.dumps(configuration).encode())
    wait_for("trust", lambda: bundles_of(bench) == {secret_of(bench)["ca.crt"]})
    wait_for("an answer", lambda: is_answered(bench))


def keeper_of(cluster: Cluster, bench: Bench, served: list[Certificates], **options: Any) -> CertificateKeeper:
    """A keeper of the bench's Secret that does not look by itself."""
    return CertificateKeeper(
        ApiServer.connect(cluster.kubeconfig),
        namespace=bench.namespace,
        secret_name="webhook-cert",
        configuration_name=bench.name,
        hosts=hosts(bench.namespace),
        serve=served.append,
        **options,
    )


def test_replicas_that_begin_at_once_agree(cluster: Cluster, server: ApiServer, namespace: str) -> None:
    bench = Bench(cluster, server, namespace, "kubeflow")
    bench.configure("https://127.0.0.1:1")
    served: list[list[Certificates]] = [[] for _ in range(4)]
    keepers = [keeper_of(cluster, bench, each) for each in served]
    threads = [threading.Thread(target=keeper.look) for keeper in keepers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {each.certificate for (each,) in served} == {secret_of(bench)["tls.crt"]}
        assert bundles_of(bench) == {secret_of(bench)["ca.crt"]}
    finally:
        for keeper in keepers:
            keeper.close()
        bench.close()


def test_an_empty_secret_of_the_manifests_is_filled_and_its_labels_are_kept(
    cluster: Cluster, server: ApiServer, namespace: str
) -> None:
    bench = Bench(cluster, server, namespace, "kubeflow")
    body = {"metadata": {"name": "webhook-cert", "labels": {"a": "b"}}}
    server.request("POST", bench.secret.rpartition("/")[0], body=json.dumps(body).encode())
    served: list[Certificates] = []
    keeper = keeper_of(cluster, bench, served)
    try:
        keeper.look()
    finally:
        keeper.close()
    found = json.loads(server.request("GET", bench.secret))
    assert base64.b64decode(found["data"]["tls.crt"]) == served[0].certificate
    assert found["metadata"]["labels"] == {"a": "b"}


def test_a_restart_goes_on_with_the_certificate_that_there_is(
    cluster: Cluster, server: ApiServer, namespace: str
) -> None:
    bench = Bench(cluster, server, namespace, "kubeflow")
    served: list[Certificates] = []
    for _ in range(2):
        keeper = keeper_of(cluster, bench, served)
        keeper.look()
        keeper.close()
    assert served[0] == served[1]


def test_a_secret_that_others_keep_is_served_and_never_written(
    cluster: Cluster, server: ApiServer, namespace: str
) -> None:
    bench = Bench(cluster, server, namespace, "kubeflow")
    served: list[Certificates] = []
    keeper = keeper_of(cluster, bench, served, makes_them=False)
    try:
        keeper.look()
        with pytest.raises(NotFound):
            secret_of(bench)
        theirs = made(hosts(namespace), now=datetime.now(UTC) - LIFETIME * 0.9)
        body = {"metadata": {"name": "webhook-cert"}}
        server.request("POST", bench.secret.rpartition("/")[0], body=json.dumps(body).encode())
        put(bench, theirs)
        keeper.look()
    finally:
        keeper.close()
    assert served == [theirs]


class CutOff(ApiServer):
    """A connection of a process that is ended after so many requests."""

    left = 0

    def request(self, *given: Any, **named: Any) -> bytes:
        """As long as the process lives."""
        if self.left == 0:
            raise Unavailable("this process has ended")
        self.left -= 1
        return super().request(*given, **named)


@pytest.mark.parametrize("cut_after", range(6))
def test_whoever_is_ended_between_two_requests_is_taken_over_from(
    cluster: Cluster, server: ApiServer, namespace: str, cut_after: int
) -> None:
    bench = Bench(cluster, server, namespace, "kubeflow")
    bench.configure("https://127.0.0.1:1")
    served: list[Certificates] = []
    connection = CutOff.connect(cluster.kubeconfig)
    assert isinstance(connection, CutOff)
    connection.left = cut_after
    options = {"namespace": namespace, "secret_name": "webhook-cert", "configuration_name": bench.name}
    ended = CertificateKeeper(connection, hosts=hosts(namespace), serve=served.append, **options)
    successor = keeper_of(cluster, bench, served)
    try:
        with pytest.raises(Unavailable):
            ended.look()
        assert served == [], "it is served only when it is trusted"
        successor.look()
        found = secret_of(bench)
        assert [each.certificate for each in served] == [found["tls.crt"]]
        assert bundles_of(bench) == {found["ca.crt"]}
        assert found["ca.crt"].count(b"BEGIN") == 1, "made once"
    finally:
        ended.close()
        successor.close()
        bench.close()


def test_what_is_missing_is_said_once_while_it_lasts(
    cluster: Cluster, server: ApiServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(cluster, server, namespace, "kubeflow")
    served: list[Certificates] = []
    keeper = keeper_of(cluster, bench, served, seconds_between_looks=0.02)

    def missing() -> list[str]:
        return [
            record.message
            for record in caplog.records
            if "there is no" in record.message and record.levelname == "WARNING"
        ]

    with caplog.at_level("WARNING"):
        keeper.start()
        wait_for("a certificate", lambda: bool(served))
        written = json.loads(server.request("GET", bench.secret))["metadata"]["resourceVersion"]
        threading.Event().wait(0.5)
        keeper.close()
    assert sorted(missing()) == [
        f"there is no mutatingwebhookconfiguration {bench.name}",
        f"there is no validatingwebhookconfiguration {bench.name}",
    ]
    assert json.loads(server.request("GET", bench.secret))["metadata"]["resourceVersion"] == written
    assert len(served) == 1
