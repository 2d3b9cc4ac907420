"""Katib's DB manager: keeps the metric logs of Trials in a database for whoever reports and asks over gRPC.

It answers Katib's callers as Katib's does, and holds on to a report where Katib's loses it: while the database is
away, a call waits for it as long as its caller does, so that a Trial which reports in that moment keeps its metrics.
A report is kept once, even if its answer was lost and it is sent again: callers of ours name it (`REPORT_ID_KEY`),
and a report without a name is given one here, which covers our own repeats.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pykatib.api.errors import PykatibError, Unavailable
from pykatib.rpc import messages
from pykatib.rpc.log_messages import fill, moment_from, rows_from
from pykatib.rpc.services import DB_MANAGER, NAMESPACE_KEY, REPORT_ID_KEY, handler, metadata_value
from pykatib.store.sql_logs import SqlLogs

logger = logging.getLogger(__name__)

T = TypeVar("T")

HEALTH_NAMES = ("", "grpc.health.v1.Health")
PATIENCE_SECONDS = 60.0  # how long a call waits for the database, if its caller waits so long
WAITING_CALLS = 32  # so many calls may wait; the others, health checks among them, need threads to be answered
_PAUSES = (0.1, 0.2, 0.5, 1.0)


class DBManager:
    """The service `DBManager` over a table of logs."""

    def __init__(self, logs: SqlLogs, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._logs = logs
        self._patience_seconds = patience_seconds
        self._waiting = threading.BoundedSemaphore(WAITING_CALLS)

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server needs to serve it."""
        return handler(
            DB_MANAGER,
            {
                "ReportObservationLog": self.report,
                "GetObservationLog": self.get,
                "DeleteObservationLog": self.delete,
            },
        )

    def report(
        self, request: messages.ReportObservationLogRequest, context: grpc.ServicerContext
    ) -> messages.ReportObservationLogReply:
        """Keeps all logs of a report, or none of them where one cannot be kept."""
        rows = rows_from(request.observation_log)
        namespace = metadata_value(context, NAMESPACE_KEY)
        report_id = metadata_value(context, REPORT_ID_KEY) or uuid.uuid4().hex
        unstamped = len(request.observation_log.metric_logs) - len(rows)
        if unstamped:
            logger.warning("%d logs of Trial %s have no time and are not kept", unstamped, request.trial_name)
        self._patiently(
            context, lambda: self._logs.add(request.trial_name, rows, namespace=namespace, report_id=report_id)
        )
        return messages.ReportObservationLogReply()

    def get(
        self, request: messages.GetObservationLogRequest, context: grpc.ServicerContext
    ) -> messages.GetObservationLogReply:
        """The logs of a Trial by time, those of one time in the order in which they were reported."""
        start = moment_from(request.start_time, path="start_time") if request.start_time else None
        end = moment_from(request.end_time, path="end_time") if request.end_time else None
        rows = self._patiently(
            context,
            lambda: self._logs.find(
                request.trial_name,
                namespace=metadata_value(context, NAMESPACE_KEY),
                metric_name=request.metric_name or None,
                start=start,
                end=end,
            ),
        )
        reply = messages.GetObservationLogReply()
        reply.observation_log.SetInParent()  # Katib's callers read it without asking whether it is there
        fill(reply.observation_log, rows)
        return reply

    def delete(
        self, request: messages.DeleteObservationLogRequest, context: grpc.ServicerContext
    ) -> messages.DeleteObservationLogReply:
        """Forgets the logs of a Trial; there may be none."""
        namespace = metadata_value(context, NAMESPACE_KEY)
        self._patiently(context, lambda: self._logs.remove(request.trial_name, namespace=namespace))
        return messages.DeleteObservationLogReply()

    def _patiently(self, context: grpc.ServicerContext, action: Callable[[], T]) -> T:
        """Does it, again and again while the database is away and the caller waits."""
        try:
            return action()
        except Unavailable as error:
            if not self._waiting.acquire(blocking=False):
                raise
            logger.warning("waiting: %s", error)
        try:
            until = time.monotonic() + min(self._patience_seconds, (context.time_remaining() or 1e9) - 1.0)
            attempt = 0
            while True:
                time.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
                attempt += 1
                try:
                    return action()
                except Unavailable:
                    if time.monotonic() > until or not context.is_active():
                        raise
        finally:
            self._waiting.release()


class DatabaseHealth(health_pb2_grpc.HealthServicer):
    """`grpc.health.v1.Health/Check` as Katib's DB manager answers it: serving while the database answers."""

    def __init__(self, logs: SqlLogs) -> None:
        self._logs = logs

    def Check(  # noqa: N802 - gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """Asks the database."""
        if request.service not in HEALTH_NAMES:
            context.abort(
                grpc.StatusCode.UNKNOWN, f"grpc.health.v1.Health can only be accepted, found {request.service!r}"
            )
        try:
            self._logs.ping()
        except PykatibError as error:
            context.abort(grpc.StatusCode.UNKNOWN, f"NOT_SERVING: {error}")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
