"""The sidecar's process: from the program's first line until everything has arrived.

It ends with 0 when all metrics are at the DB manager, however the program itself has ended: that is told by the
program's own container. It ends with 1 when something could not be delivered, and with 2 where its arguments are wrong.
SIGTERM comes when the Pod is to go: the program is ending too, and is read until it has.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pykatib.api import names
from pykatib.api.errors import InvalidInput, PykatibError, Unavailable
from pykatib.kube.logs import set_up_logging
from pykatib.sidecar.calls import Connection
from pykatib.sidecar.collecting import Collecting
from pykatib.sidecar.delivery import Delivery, announce_stop, report_sender
from pykatib.sidecar.main_process import Program, WrappedProgram
from pykatib.sidecar.options import HELP, Options, read_options
from pykatib.sidecar.shared_processes import KatibsProgram, UnwrappedProgram
from pykatib.sidecar.spool import Spool

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 20.0
"""How long the program is waited for after SIGTERM; Kubernetes kills after 30 s."""
LAST_SECONDS: Final = 5.0
"""How long the DB manager is then waited for."""
ANNOUNCING_SECONDS: Final = 60.0
TERMINATION_LOG: Final = Path("/dev/termination-log")


def main(arguments: Sequence[str]) -> int:
    """Runs the sidecar; answers its exit status."""
    if any(word in ("-h", "-help", "--help") for word in arguments):
        print(HELP, end="")
        return 0
    set_up_logging(as_json=True, level="info")
    try:
        options = read_options(arguments)
        return _Sidecar(options).run()
    except InvalidInput as error:
        for one in error.errors:
            logger.error("%s", one)
        return 2
    except PykatibError as error:
        logger.error("%s", error)
        return 1


class _Sidecar:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._woken = threading.Event()
        self._terminated_at: float | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def run(self) -> int:
        options = self._options
        program = program_of(options)
        spool = Spool(spool_folder(options), keeps_all=bool(options.rules))
        connection = Connection(options.db_manager_address)
        send = report_sender(connection, trial_name=options.trial_name, namespace=options.namespace)
        delivery = Delivery(spool, send)
        delivery.start()
        collecting = Collecting(options, spool, delivery, program, sleep=self._sleep)
        logger.info("collecting %s of Trial %s", options.collector.kind, options.trial_name)
        try:
            self._read_until_ended(program, collecting)
            collecting.finish()
            has_arrived = self._deliver(delivery)
            for problem in collecting.problems:
                logger.warning("%s", problem)
            _leave_word(collecting.problems)
            if program.was_stopped:
                self._announce()
            if not has_arrived:
                logger.error("%d bytes of metrics did not arrive: %s", spool.waiting_bytes, delivery.failure)
            return 0 if has_arrived and not self._is_katibs_failure(program) else 1
        finally:
            collecting.close()
            delivery.close()
            connection.close()

    def _read_until_ended(self, program: Program, collecting: Collecting) -> None:
        gives_up_at = time.monotonic() + (self._options.timeout_seconds or float("inf"))
        while True:
            has_ended = program.has_ended()
            if has_ended:
                return
            if self._terminated_at is not None and time.monotonic() > self._terminated_at + GRACE_SECONDS:
                logger.warning("the program has not ended within %g s of SIGTERM; it is left", GRACE_SECONDS)
                return
            if time.monotonic() > gives_up_at:
                raise PykatibError(f"the program has not ended within {self._options.timeout_seconds:g} s")
            if not collecting.step():
                self._sleep(self._options.poll_seconds)

    def _deliver(self, delivery: Delivery) -> bool:
        until = time.monotonic() + self._options.patience_seconds
        while not delivery.wait(0.5):
            if self._terminated_at is not None:
                until = min(until, time.monotonic() + LAST_SECONDS)
                self._terminated_at = None
            if time.monotonic() > until:
                return False
        return not delivery.refused_count

    def _announce(self) -> None:
        """A Trial whose stop cannot be announced has succeeded with what it reported, which is no lie."""
        connection = Connection(self._options.early_stopping_address)
        until = time.monotonic() + ANNOUNCING_SECONDS
        while True:
            try:
                announce_stop(connection, trial_name=self._options.trial_name, namespace=self._options.namespace)
                logger.info("Trial %s was stopped early, and is announced so", self._options.trial_name)
                break
            except Unavailable as error:
                if time.monotonic() > until:
                    logger.error("the early stopping of the Trial could not be announced: %s", error)
                    break
                self._sleep(1.0)
            except PykatibError as error:
                logger.error("the early stopping of the Trial is not taken: %s", error)
                break
        connection.close()

    def _is_katibs_failure(self, program: Program) -> bool:
        return not self._options.control_folder and program.has_failed

    def _sleep(self, seconds: float) -> None:
        self._woken.wait(seconds)

    def _on_signal(self, number: int, frame: object) -> None:
        if self._terminated_at is None:
            self._terminated_at = time.monotonic()


def program_of(options: Options) -> Program:
    """The program that the options say to wait for. Raises PykatibError where there is none."""
    control = options.control_folder
    if not control:
        return KatibsProgram(metrics_folder(options), waits_for_all=options.waits_for_all)
    if options.is_unwrapped:
        return UnwrappedProgram("kubernetes.io~empty-dir/katib-control", Path(options.path) if options.path else None)
    return WrappedProgram(Path(control), restarts=options.restarts)


def metrics_folder(options: Options) -> Path:
    """The folder of the metrics, which Katib shares between the containers."""
    path = Path(options.path)
    return path if options.collector.kind == names.TENSORFLOW_EVENT else path.parent


def spool_folder(options: Options) -> Path:
    """Where the spool is: within what outlives the sidecar's container."""
    if options.control_folder:
        return Path(options.control_folder) / "collector"
    return metrics_folder(options) / ".katib-collector"


def _leave_word(problems: Sequence[str]) -> None:
    """Puts what was wrong with the metrics where `kubectl describe pod` shows it."""
    if problems and os.access(TERMINATION_LOG, os.W_OK):
        TERMINATION_LOG.write_text("\n".join(problems)[:4000])
