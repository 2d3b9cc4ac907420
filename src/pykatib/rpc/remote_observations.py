"""`RemoteObservationStore`: an ObservationStore that a DB manager keeps.

Reports are put into a buffer and sent by a thread of its own, in their order, so that whoever reports neither waits
for the wire nor notices that the DB manager is away for a while. The buffer is bounded: once it is full, reporting
waits, and then fails as Unavailable. Questions about a Trial are asked after its reports have arrived, so a caller
always reads what it has written. What is in the buffer when the process dies is lost; `flush` says when nothing is.
"""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pykatib.api.errors import PykatibError, Unavailable
from pykatib.api.shared import MetricLog
from pykatib.rpc import messages
from pykatib.rpc.db_manager_client import DBManagerClient, report_request
from pykatib.store.log_row import log_of
from pykatib.store.observations import LatestLogs, TrialKey

logger = logging.getLogger(__name__)

BUFFER_BYTES = 32 * 1024 * 1024
_SENDING_SECONDS = 20.0
_JOINED_BYTES = 1024 * 1024  # reports of one Trial that wait together are sent as one, up to this size


class _Report(NamedTuple):
    trial: TrialKey
    request: messages.ReportObservationLogRequest
    size: int
    report_id: str
    is_named: bool  # by its reporter, who may send it again: it must stay a report of its own


class RemoteObservationStore:
    """Metric logs at a DB manager. Any thread may call; `close` when done."""

    def __init__(self, address: str, *, timeout_seconds: float = 30.0, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._client = DBManagerClient(address, timeout_seconds=timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._buffer_bytes = buffer_bytes
        self._changed = threading.Condition()
        self._buffer: deque[_Report] = deque()
        self._waiting_bytes = 0
        self._waiting: dict[TrialKey, int] = {}  # reports, by Trial; the one that is being sent counts
        self._away: Unavailable | None = None
        self._closing = False
        self._sender: threading.Thread | None = None
        self.refused_count = 0
        """Reports that the DB manager would not keep; each was logged."""

    @property
    def waiting_bytes(self) -> int:
        """How much is reported and has not arrived."""
        return self._waiting_bytes

    def report(self, namespace: str, trial_name: str, logs: Sequence[MetricLog], *, report_id: str = "") -> None:
        """Adds logs in their order. Reporting twice adds twice, but for reports of one `report_id`.

        Raises:
            InvalidInput: something cannot be said on the wire.
            Unavailable: the buffer is full and the DB manager does not answer.
        """
        if not logs:
            return
        request = report_request(trial_name, logs)
        size = request.ByteSize()
        with self._changed:
            self._wait(lambda: not self._waiting_bytes or self._waiting_bytes + size <= self._buffer_bytes)
            trial = (namespace, trial_name)
            self._buffer.append(_Report(trial, request, size, report_id or uuid.uuid4().hex, bool(report_id)))
            self._waiting_bytes += size
            self._waiting[trial] = self._waiting.get(trial, 0) + 1
            if self._sender is None:
                self._sender = threading.Thread(target=self._send, name="observations", daemon=True)
                self._sender.start()
            self._changed.notify_all()

    def logs(
        self,
        namespace: str,
        trial_name: str,
        *,
        metric_name: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> Iterator[MetricLog]:
        """The logs of a Trial by time, equal times in order of arrival; `start` and `end` are inclusive seconds.

        Raises:
            Unavailable: the DB manager does not answer.
        """
        self._settle((namespace, trial_name))
        rows = self._client.find(trial_name, namespace=namespace, metric_name=metric_name, start=start, end=end)
        return (log_of(row) for row in rows)

    def latest(self, namespace: str, trial_name: str) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial, by metric name. The wire has no call for it: all logs come."""
        return LatestLogs().learn((namespace, trial_name), self.logs(namespace, trial_name))

    def delete(self, namespace: str, trial_name: str) -> None:
        """Forgets the logs of a Trial; there may be none. Raises Unavailable."""
        self._settle((namespace, trial_name))
        self._client.remove(trial_name, namespace=namespace)

    def flush(self, *, timeout_seconds: float | None = None) -> None:
        """Returns when all that was reported has arrived. Raises Unavailable when it has not in time."""
        with self._changed:
            self._wait(lambda: not self._waiting, timeout_seconds)

    def close(self, *, timeout_seconds: float | None = None) -> None:
        """Flushes and lets go. Raises Unavailable, after letting go, when something could not be delivered in time."""
        try:
            self.flush(timeout_seconds=timeout_seconds)
        finally:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            self._client.close()
            if self._sender is not None:
                self._sender.join()

    def _settle(self, trial: TrialKey) -> None:
        with self._changed:
            self._wait(lambda: trial not in self._waiting)

    def _wait(self, done: Callable[[], bool], timeout_seconds: float | None = None) -> None:
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        if not self._changed.wait_for(done, seconds):
            reason = f": {self._away}" if self._away is not None else f" within {seconds:g} s"
            raise Unavailable(f"{self._waiting_bytes} bytes of metrics have not reached the DB manager{reason}")

    def _send(self) -> None:
        while (batch := self._next()) is not None:
            error = self._deliver(batch)
            if error is not None and len(batch) > 1:  # which one was it?
                for report in batch:
                    self._tell_refusal(report, self._deliver([report]))
            elif error is not None:
                self._tell_refusal(batch[0], error)
            with self._changed:
                for report in batch:
                    self._forget(report)
                self._changed.notify_all()

    def _next(self) -> list[_Report] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._buffer or self._closing)
            if self._closing:
                return None
            batch = [self._buffer.popleft()]
            size = batch[0].size
            while self._buffer and _can_join(batch[0], self._buffer[0]) and size < _JOINED_BYTES:
                batch.append(self._buffer.popleft())
                size += batch[-1].size
            return batch

    def _deliver(self, batch: list[_Report]) -> PykatibError | None:
        """Sends until it has arrived or is refused; answers the refusal."""
        first, *more = batch
        request = first.request
        if more:
            request = messages.ReportObservationLogRequest()
            for report in batch:
                request.MergeFrom(report.request)
        while not self._closing:
            try:
                self._client.report(
                    request, namespace=first.trial[0], report_id=first.report_id, timeout_seconds=_SENDING_SECONDS
                )
            except Unavailable as error:
                self._away = error
                logger.warning("reports wait: %s", error)
            except PykatibError as error:
                return error
            else:
                self._away = None
                return None
            time.sleep(0.2)
        return None

    def _tell_refusal(self, report: _Report, error: PykatibError | None) -> None:
        if error is not None and not self._closing:
            self.refused_count += 1
            logger.error("a report of Trial %s is lost: %s", report.request.trial_name, error)

    def _forget(self, report: _Report) -> None:
        self._waiting_bytes -= report.size
        self._waiting[report.trial] -= 1
        if not self._waiting[report.trial]:
            del self._waiting[report.trial]


def _can_join(first: _Report, second: _Report) -> bool:
    return first.trial == second.trial and not first.is_named and not second.is_named
