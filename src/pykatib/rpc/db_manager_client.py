"""Calls of a DB manager, ours or Katib's, repeated while it cannot be reached, up to a time limit.

A report that is sent again is kept once by our DB manager, which is told its name; Katib's would keep it twice if
only the answer was lost.
"""

import time
import uuid
from typing import Any

import grpc

from pykatib.api.errors import PykatibError
from pykatib.rpc import messages
from pykatib.rpc.log_messages import report_request as report_request
from pykatib.rpc.log_messages import rows_from, text_of
from pykatib.rpc.services import DB_MANAGER, NAMESPACE_KEY, REPORT_ID_KEY, caller, open_channel
from pykatib.rpc.statuses import TRANSIENT, error_from, status_of
from pykatib.store.log_row import LogRow, bound_of

TIMEOUT_SECONDS = 120.0
ATTEMPT_SECONDS = 30.0
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
_UNKNOWN_ATTEMPTS = 5  # Katib's DB manager answers UNKNOWN both to a mistake and while its database is away


class DBManagerClient:
    """A DB manager at an address. Any thread may call."""

    def __init__(self, address: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._channel = open_channel(address)
        self._report = caller(self._channel, DB_MANAGER, "ReportObservationLog")
        self._get = caller(self._channel, DB_MANAGER, "GetObservationLog")
        self._delete = caller(self._channel, DB_MANAGER, "DeleteObservationLog")

    def report(
        self,
        request: messages.ReportObservationLogRequest,
        *,
        namespace: str = "",
        report_id: str = "",
        timeout_seconds: float | None = None,
    ) -> None:
        """Delivers a report. The same `report_id` is kept once, however often it is sent.

        Raises:
            InvalidInput: the DB manager refuses it.
            Unavailable: it could not be reached in time; the report may have arrived.
        """
        metadata = (*_namespace(namespace), (REPORT_ID_KEY, report_id or uuid.uuid4().hex))
        self._call(self._report, request, metadata, timeout_seconds)

    def find(
        self,
        trial_name: str,
        *,
        namespace: str = "",
        metric_name: str | None = None,
        start: float | None = None,
        end: float | None = None,
        timeout_seconds: float | None = None,
    ) -> list[LogRow]:
        """The logs of a Trial by time. Raises Unavailable."""
        request = messages.GetObservationLogRequest(
            trial_name=trial_name,
            metric_name=metric_name or "",
            start_time="" if start is None else text_of(bound_of(start)),
            end_time="" if end is None else text_of(bound_of(end)),
        )
        reply = self._call(self._get, request, _namespace(namespace), timeout_seconds)
        return rows_from(reply.observation_log)

    def remove(self, trial_name: str, *, namespace: str = "", timeout_seconds: float | None = None) -> None:
        """Deletes the logs of a Trial; there may be none. Raises Unavailable."""
        request = messages.DeleteObservationLogRequest(trial_name=trial_name)
        self._call(self._delete, request, _namespace(namespace), timeout_seconds)

    def close(self) -> None:
        """Closes the channel; calls that are under way end as Unavailable."""
        self._channel.close()

    def _call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Any, Any]",
        request: Any,
        metadata: tuple[tuple[str, str], ...],
        timeout_seconds: float | None,
    ) -> Any:
        until = time.monotonic() + (self._timeout_seconds if timeout_seconds is None else timeout_seconds)
        attempt = 0
        while True:
            left = until - time.monotonic()
            try:
                return method(request, timeout=max(0.001, min(left, ATTEMPT_SECONDS)), metadata=metadata)
            except grpc.RpcError as error:
                code, _ = status_of(error)
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                attempt += 1
                again = code in TRANSIENT or (code is grpc.StatusCode.UNKNOWN and attempt < _UNKNOWN_ATTEMPTS)
                if not again or time.monotonic() + pause > until:
                    raise self._error(error) from error
            except ValueError as error:  # the channel was closed
                raise PykatibError(f"the DB manager at {self.address} is not asked any more: {error}") from error
            time.sleep(pause)

    def _error(self, error: grpc.RpcError) -> PykatibError:
        return error_from(error, f"the DB manager at {self.address}")


def _namespace(namespace: str) -> tuple[tuple[str, str], ...]:
    return ((NAMESPACE_KEY, namespace),) if namespace else ()
