"""The DB manager over real channels, on every database: what Katib's callers see, and RemoteObservationStore."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from db_manager_support import DATABASES, new_database, serving
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pykatib.api.errors import InvalidInput, Unavailable
from pykatib.api.shared import MetricLog
from pykatib.rpc import messages
from pykatib.rpc.db_manager_client import DBManagerClient, report_request
from pykatib.rpc.remote_observations import RemoteObservationStore
from pykatib.rpc.services import DB_MANAGER, caller, open_channel
from pykatib.store.contract import ObservationStore
from pykatib.store.observation_conformance import ObservationConformance, log


@pytest.fixture(params=DATABASES)
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def address(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with serving(new_database(kind, request, tmp_path)) as address:
        yield address


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    with open_channel(address) as channel:
        yield channel


class TestRemoteObservations(ObservationConformance):
    @pytest.fixture
    def observations(self, address: str) -> Iterator[ObservationStore]:
        store = RemoteObservationStore(address)
        yield store
        store.close()


def report(channel: grpc.Channel, trial: str, *entries: tuple[str, str, str]) -> None:
    """As Katib's callers do: no metadata, times as texts."""
    request = messages.ReportObservationLogRequest(trial_name=trial)
    request.observation_log.SetInParent()
    for stamp, name, value in entries:
        request.observation_log.metric_logs.add(time_stamp=stamp, metric=messages.Metric(name=name, value=value))
    caller(channel, DB_MANAGER, "ReportObservationLog")(request, timeout=30)


def get(channel: grpc.Channel, trial: str, **filters: str) -> list[tuple[str, str, str]]:
    request = messages.GetObservationLogRequest(trial_name=trial, **filters)
    reply = caller(channel, DB_MANAGER, "GetObservationLog")(request, timeout=30)
    assert reply.HasField("observation_log")
    return [(entry.time_stamp, entry.metric.name, entry.metric.value) for entry in reply.observation_log.metric_logs]


def test_katibs_callers_report_ask_and_delete(channel: grpc.Channel) -> None:
    report(
        channel,
        "t",
        ("2026-01-31T08:00:01Z", "loss", "0.5"),
        ("2026-01-31T08:00:00.123456789Z", "loss", "0.6"),
        ("2026-01-31T13:30:02+05:30", "accuracy", "0.1"),
        ("", "loss", "lost as in Katib"),
        ("0001-01-01T00:00:00Z", "f1", "unavailable"),
    )
    expected = [
        ("0001-01-01T00:00:00Z", "f1", "unavailable"),
        ("2026-01-31T08:00:00.123456Z", "loss", "0.6"),
        ("2026-01-31T08:00:01Z", "loss", "0.5"),
        ("2026-01-31T08:00:02Z", "accuracy", "0.1"),
    ]
    assert get(channel, "t") == expected
    assert get(channel, "t", metric_name="loss") == expected[1:3]
    assert get(channel, "t", start_time="2026-01-31T08:00:01Z", end_time="2026-01-31T08:00:02Z") == expected[2:]
    for _ in range(2):
        caller(channel, DB_MANAGER, "DeleteObservationLog")(
            messages.DeleteObservationLogRequest(trial_name="t"), timeout=30
        )
    assert get(channel, "t") == []


def test_a_report_of_nothing_is_no_error(channel: grpc.Channel) -> None:
    report(channel, "t")
    report(channel, "t", ("", "loss", "1"))
    assert get(channel, "t") == []


def test_a_time_that_is_none_is_refused_and_nothing_is_kept(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        report(channel, "t", ("2026-01-31T08:00:01Z", "loss", "1"), ("yesterday", "loss", "2"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined] # it is a grpc.Call
    assert "metric_logs[1].time_stamp" in refused.value.details()  # type: ignore[attr-defined]
    assert get(channel, "t") == []


def test_what_the_database_cannot_keep_is_refused_in_words(channel: grpc.Channel, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite does not limit lengths")
    with pytest.raises(grpc.RpcError) as refused:
        report(channel, "t", ("2026-01-31T08:00:01Z", "m" * 300, "1"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert "the database refuses it" in refused.value.details()  # type: ignore[attr-defined]


def test_a_log_of_many_megabytes_goes_in_and_out(address: str) -> None:
    client = DBManagerClient(address)
    logs = [MetricLog(1_750_000_000.0 + index, "loss", "0." + "1" * 400) for index in range(20_000)]
    client.report(report_request("t", logs))
    found = client.find("t")
    assert len(found) == 20_000
    assert {row.value for row in found} == {logs[0].value}
    client.close()


def test_rows_of_one_namespace_are_found_by_who_knows_none(channel: grpc.Channel, address: str) -> None:
    store = RemoteObservationStore(address)
    store.report("team", "t", [log(0, "0.5")])
    store.flush()
    report(channel, "t", ("2026-01-31T08:00:01Z", "loss", "0.4"))
    assert [value for _, _, value in get(channel, "t")] == ["0.5", "0.4"]
    assert [found.value for found in store.logs("team", "t")] == ["0.5", "0.4"]
    assert [found.value for found in store.logs("other", "t")] == ["0.4"]
    store.close()


def test_a_report_that_is_sent_again_is_kept_once(address: str) -> None:
    client = DBManagerClient(address)
    for _ in range(3):
        client.report(report_request("t", [MetricLog(1.0, "loss", "1")]), report_id="only")
    assert len(client.find("t")) == 1
    client.close()


def test_named_reports_that_wait_together_stay_reports_of_their_own(address: str) -> None:
    for _ in range(2):  # the second time, as a reporter that has started anew and sends all it has
        store = RemoteObservationStore(address)
        for number in range(20):
            store.report("n", "t", [log(number, str(number))], report_id=f"t-{number}")
        store.close()
    store = RemoteObservationStore(address)
    assert [found.value for found in store.logs("n", "t")] == [str(number) for number in range(20)]
    store.close()


def test_many_clients_report_at_once(address: str) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            store = RemoteObservationStore(address)
            for part in range(10):
                store.report("n", f"t{number % 4}", [log(part, f"{number}-{part}-{line}") for line in range(50)])
            store.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = RemoteObservationStore(address)
    for trial in range(4):
        found = [one.value for one in store.logs("n", f"t{trial}")]
        assert len(found) == len(set(found)) == 1_000
        for number in (trial, trial + 4):  # each reporter's own order is kept
            mine = [value for value in found if value.startswith(f"{number}-")]
            assert mine == [f"{number}-{part}-{line}" for part in range(10) for line in range(50)]
    store.close()


@pytest.mark.parametrize("service", ["", "grpc.health.v1.Health"])
def test_health_is_served_while_the_database_answers(channel: grpc.Channel, service: str) -> None:
    reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_another_name_is_unknown(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="grpc.health.v1.1.Health"), timeout=30
        )
    assert refused.value.code() is grpc.StatusCode.UNKNOWN  # type: ignore[attr-defined]


def test_what_cannot_be_said_on_the_wire_is_refused_to_the_reporter(address: str) -> None:
    store = RemoteObservationStore(address)
    with pytest.raises(InvalidInput):
        store.report("n", "t", [MetricLog(1.0, "loss", "\ud800")])
    with pytest.raises(InvalidInput, match="in no calendar"):
        store.report("n", "t", [MetricLog(1e300, "loss", "1")])
    store.close()


def test_a_buffer_that_is_full_makes_reporters_wait_and_then_says_so() -> None:
    store = RemoteObservationStore("127.0.0.1:1", timeout_seconds=0.2, buffer_bytes=1_000)
    while store.waiting_bytes < 950:
        store.report("n", "t", [log(0, "0.5")])
    with pytest.raises(Unavailable, match="have not reached the DB manager"):
        store.report("n", "t", [log(1, "0." + "5" * 50)])
    assert store.waiting_bytes <= 1_000
    with pytest.raises(Unavailable):
        store.logs("n", "t")
    with pytest.raises(Unavailable):
        store.close()
