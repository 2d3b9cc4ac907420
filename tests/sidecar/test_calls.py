"""The sidecar's own gRPC calls, against servers of the gRPC library."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from db_manager_support import free_port

from pykatib.api.errors import FieldError, InvalidInput, NotFound, PykatibError, Unavailable
from pykatib.api.shared import MetricLog
from pykatib.rpc import messages
from pykatib.rpc.log_messages import report_request
from pykatib.rpc.services import DB_MANAGER, REPORT_ID_KEY, handler, metadata_value
from pykatib.rpc.serving import Serving
from pykatib.sidecar.calls import Connection
from pykatib.sidecar.delivery import Delivery, report_sender
from pykatib.sidecar.spool import Spool

REPORT = "/api.v1.beta1.DBManager/ReportObservationLog"
GET = "/api.v1.beta1.DBManager/GetObservationLog"


class Keeping:
    """A DB manager that keeps reports in a dict, and refuses those that hold the value `bad`."""

    def __init__(self) -> None:
        self.reports: dict[str, list[str]] = {}
        self.failure: PykatibError | None = None

    def report(
        self, request: messages.ReportObservationLogRequest, context: grpc.ServicerContext
    ) -> messages.ReportObservationLogReply:
        if self.failure is not None:
            raise self.failure
        values = [entry.metric.value for entry in request.observation_log.metric_logs]
        if "bad" in values:
            raise InvalidInput([FieldError("value", "is bad: 100 % ünfit")])
        self.reports[metadata_value(context, REPORT_ID_KEY) or ""] = values
        return messages.ReportObservationLogReply()

    def get(
        self, request: messages.GetObservationLogRequest, context: grpc.ServicerContext
    ) -> messages.GetObservationLogReply:
        reply = messages.GetObservationLogReply()
        for values in self.reports.values():
            for value in values:
                reply.observation_log.metric_logs.add().metric.value = value
        return reply

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[str]:
        methods = {"ReportObservationLog": self.report, "GetObservationLog": self.get}
        server = Serving(f"127.0.0.1:{port}", [handler(DB_MANAGER, methods)])
        server.start()
        try:
            yield f"127.0.0.1:{server.port}"
        finally:
            server.stop(grace_seconds=0.5)


def request_of(values: list[str]) -> bytes:
    return report_request("t", [MetricLog(1.0, "loss", value) for value in values]).SerializeToString()


def test_messages_larger_than_every_window_go_both_ways() -> None:
    keeping = Keeping()
    values = [str(number) * 20 for number in range(40_000)]
    with keeping.serving() as address:
        connection = Connection(address)
        for name in ("a", "b"):
            metadata = [(REPORT_ID_KEY, name)]
            connection.call(REPORT, request_of(values), metadata=metadata, timeout_seconds=30)
        reply = connection.call(GET, b"", timeout_seconds=30)
        connection.close()
    assert keeping.reports == {"a": values, "b": values}
    log = messages.GetObservationLogReply.FromString(reply).observation_log
    assert [entry.metric.value for entry in log.metric_logs] == [*values, *values]


def test_a_server_that_was_started_again_is_called_again() -> None:
    keeping, port = Keeping(), free_port()
    connection = Connection(f"127.0.0.1:{port}")
    with pytest.raises(Unavailable):
        connection.call(REPORT, request_of(["0"]), timeout_seconds=5)
    for _ in range(2):
        with keeping.serving(port):
            connection.call(REPORT, request_of(["1"]), timeout_seconds=5)
        with pytest.raises(Unavailable):
            connection.call(REPORT, request_of(["2"]), timeout_seconds=5)
    connection.close()
    assert list(keeping.reports.values()) == [["1"]]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (InvalidInput([FieldError("x", "no")]), InvalidInput),
        (NotFound("gone"), NotFound),
        (Unavailable("later"), Unavailable),
        (PykatibError("broken"), PykatibError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_statuses_are_errors_of_ours(failure: PykatibError, kind: type[PykatibError]) -> None:
    keeping = Keeping()
    keeping.failure = failure
    with keeping.serving() as address:
        connection = Connection(address)
        with pytest.raises(kind, match=str(failure).split(": ")[-1]) as caught:
            connection.call(REPORT, request_of(["1"]), timeout_seconds=5)
        assert type(caught.value) is kind
        keeping.failure = None
        connection.call(REPORT, request_of(["1"]), timeout_seconds=5)  # the connection is still good
        connection.close()


def test_a_method_that_is_not_there_is_told() -> None:
    with Keeping().serving() as address:
        connection = Connection(address)
        with pytest.raises(PykatibError, match="Method not found"):
            connection.call("/api.v1.beta1.DBManager/Nothing", b"", timeout_seconds=5)
        connection.close()


@pytest.mark.parametrize("address", ["nowhere", "host:port", ""])
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(InvalidInput, match="wanted HOST:PORT"):
        Connection(address).call(REPORT, b"", timeout_seconds=5)


def test_of_a_refused_report_only_what_is_wrong_is_lost(tmp_path: Path) -> None:
    keeping = Keeping()
    values = [str(number) for number in range(20_000)]
    values[12_345] = "bad"
    spool = Spool(tmp_path, keeps_all=False)
    with keeping.serving() as address:
        connection = Connection(address)
        delivery = Delivery(spool, report_sender(connection, trial_name="t", namespace=""))
        delivery.start()
        spool.add([MetricLog(1.0, "loss", value) for value in values], (), is_objective_seen=True)
        delivery.notice()
        assert delivery.wait(30)
        delivery.close()
        connection.close()
    spool.close()
    assert delivery.refused_count == 1
    kept = [value for report in keeping.reports.values() for value in report]
    assert kept == [value for value in values if value != "bad"]
    assert max(map(len, keeping.reports)) <= 64  # what the DB manager's table has room for
    assert max(len(report) for report in keeping.reports.values()) <= 8_000
