"""Takes reports from the spool to the DB manager, on a thread of its own, in their order, until they have arrived.

A report that is refused is cut in halves until what is wrong in it stands alone: one log that no table takes must not
cost the others. What was refused is logged and counted.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from pykatib.api.errors import PykatibError, Unavailable
from pykatib.api.shared import MetricLog
from pykatib.rpc import messages
from pykatib.rpc.log_messages import report_request
from pykatib.rpc.service_names import DB_MANAGER, EARLY_STOPPING, NAMESPACE_KEY, REPORT_ID_KEY, full_name
from pykatib.sidecar.calls import Connection
from pykatib.sidecar.spool import Spool

logger = logging.getLogger(__name__)

CALL_SECONDS: Final = 20.0
LARGEST_REPORT: Final = 8_000  # Katib's DB manager takes no more than 16,383 logs at once
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)

Send = Callable[[Sequence[MetricLog], str], None]


def report_sender(connection: Connection, *, trial_name: str, namespace: str) -> Send:
    """What delivers logs under a report's name."""
    method = f"/{full_name(DB_MANAGER)}/ReportObservationLog"
    of_namespace = ((NAMESPACE_KEY, namespace),) if namespace else ()

    def send(logs: Sequence[MetricLog], report_id: str) -> None:
        request = report_request(trial_name, logs)
        metadata = (*of_namespace, (REPORT_ID_KEY, report_id))
        connection.call(method, request.SerializeToString(), metadata=metadata, timeout_seconds=CALL_SECONDS)

    return send


def announce_stop(connection: Connection, *, trial_name: str, namespace: str) -> None:
    """Tells the early stopping service that a Trial was stopped. Raises Unavailable, or what it answers."""
    method = f"/{full_name(EARLY_STOPPING)}/SetTrialStatus"
    request = messages.SetTrialStatusRequest(trial_name=trial_name)
    metadata = ((NAMESPACE_KEY, namespace),) if namespace else ()
    connection.call(method, request.SerializeToString(), metadata=metadata, timeout_seconds=CALL_SECONDS)


class Delivery:
    """Delivers what the spool holds, from `start` to `close`."""

    def __init__(self, spool: Spool, send: Send) -> None:
        self._spool, self._send = spool, send
        self._changed = threading.Condition()
        self.is_closing = False
        """Whether nothing more is to be delivered."""
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)
        self.refused_count = 0
        """Logs that the DB manager would not take."""
        self.failure = ""
        """Why nothing arrives at the moment."""

    def start(self) -> None:
        """Begins to deliver."""
        self._thread.start()

    def notice(self) -> None:
        """Says that there is something new."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, timeout_seconds: float) -> bool:
        """Waits until everything has arrived; False where it has not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._spool.waiting_bytes, timeout_seconds)

    def close(self) -> None:
        """Delivers no more; does not wait for a call that is under way."""
        with self._changed:
            self.is_closing = True
            self._changed.notify_all()
        self._thread.join(1.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.is_closing or self._spool.waiting_bytes)
                if self.is_closing:
                    return
            report = self._spool.next()
            if report is None or not self._deliver(report.logs, report.report_id):
                return
            with self._changed:
                self._spool.arrived()
                self._changed.notify_all()

    def _deliver(self, logs: Sequence[MetricLog], report_id: str, begin: int = 0) -> bool:
        """Sends until they have arrived or are refused; False where it is to end before. `begin` counts from the
        first log of the report: a part of it is named by where it lies."""
        if not logs:
            return True
        if len(logs) > LARGEST_REPORT:
            return self._deliver_halves(logs, report_id, begin)
        part_id = f"{report_id}.{begin}.{len(logs)}"
        attempt = 0
        while True:
            try:
                self._send(logs, part_id)
            except Unavailable as error:
                if attempt == 1 or self.failure != str(error):
                    logger.warning("reports wait: %s", error)
                self.failure = str(error)
            except PykatibError as error:
                if len(logs) > 1:
                    return self._deliver_halves(logs, report_id, begin)
                self.refused_count += 1
                logger.error("a value of %r is refused: %s", logs[0].name, error)
                return True
            else:
                self.failure = ""
                return True
            with self._changed:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                if self._changed.wait_for(lambda: self.is_closing, pause):
                    return False
            attempt += 1

    def _deliver_halves(self, logs: Sequence[MetricLog], report_id: str, begin: int) -> bool:
        middle = len(logs) // 2
        first, second = logs[:middle], logs[middle:]
        return self._deliver(first, report_id, begin) and self._deliver(second, report_id, begin + middle)
