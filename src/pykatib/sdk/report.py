"""`report_metrics`: how a program in Python tells its Trial's metrics, wherever it runs.

Where it goes is decided by where the program runs, not by the caller: to the runner that runs this function in its own
process (`workers.reporting`), else to the file that PYKATIB_METRICS_FILE names, one line of JSON appended by a single
write, which any number of processes and threads may do at once, else to the DB manager of a cluster: the one that the
caller or KATIB_DB_MANAGER_ADDR names, in a Pod Katib's own. A program in another language appends such a line itself:

    {"timestamp": 1700000000.25, "step": 3, "loss": 0.31}

`timestamp` and `step` may be left out.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pykatib.api import names
from pykatib.api.errors import NotSupported, StorageFailed
from pykatib.api.shared import MetricLog
from pykatib.workers.collectors.json_lines import TIMESTAMP
from pykatib.workers.objective import NotAMetric, number_text
from pykatib.workers.reporting import current_reporter

STEP = "step"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def report_metrics(
    metrics: Mapping[str, Any],
    db_manager_address: str | None = None,
    timeout: float = 120,
    *,
    step: int | None = None,
    timestamp: float | None = None,
) -> None:
    """Reports values of the Trial that this program runs for.

    Example:
        >>> report_metrics({"loss": 0.31, "accuracy": 0.9}, step=3)  # doctest: +SKIP

    Args:
        metrics: Values by metric name; numbers, texts of numbers, or anything that `float` takes.
        db_manager_address: Where the DB manager is, as HOST:PORT, for a Trial in a cluster. Without it, what
            KATIB_DB_MANAGER_ADDR says, and in a Pod `katib-db-manager.kubeflow:6789`.
        timeout: How many seconds the DB manager may take to be there and to answer.
        step: The training step or epoch, for readers of the file; Katib's metric logs carry none.
        timestamp: Seconds since the epoch; now, where it is left out.

    Raises:
        TrialStopped: the Trial has been stopped early, and its function, which `tune` called, need not go on. Let it
            pass. (A program of its own is ended by SIGTERM instead.)
        ValueError: a value is no number (the message names its metric), the name `timestamp` is used for a metric, or
            this program does not run for a Trial.
        NotSupported: nobody has said where metrics go.
        StorageFailed: the metrics could not be written.
        Unavailable: the DB manager did not answer in time.
    """
    texts = {str(name): _number(str(name), value) for name, value in metrics.items()}
    if TIMESTAMP in texts:
        raise ValueError(f"a metric cannot be called {TIMESTAMP!r}: the word is taken; pass timestamp=… for the time")
    if timestamp is not None and not math.isfinite(timestamp):
        raise ValueError(f"the timestamp is {timestamp}; seconds since the epoch are expected")
    reporter = current_reporter()
    if reporter is not None:
        reporter(texts, step=step, timestamp=timestamp)
        return
    if not os.environ.get(names.ENV_TRIAL_NAME):
        raise ValueError(
            f"The Trial name is not passed to environment variables: {names.ENV_TRIAL_NAME} is not set. "
            "report_metrics works in programs that run as a Trial"
        )
    moment = time.time() if timestamp is None else timestamp
    path = os.environ.get(names.ENV_METRICS_FILE)
    if not path:
        _send(_db_manager(db_manager_address), texts, moment, timeout)
        return
    stated: dict[str, float | int] = {TIMESTAMP: moment} if step is None else {TIMESTAMP: moment, STEP: step}
    _append(path, json.dumps({**stated, **texts}, ensure_ascii=False).encode() + b"\n")


def _db_manager(named: str | None) -> str:
    address = named or os.environ.get(names.ENV_DB_MANAGER_ADDRESS)
    if address:
        return address
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return names.DEFAULT_DB_MANAGER_ADDRESS
    raise NotSupported(
        f"neither {names.ENV_METRICS_FILE} nor {names.ENV_DB_MANAGER_ADDRESS} is set, so there is nowhere to report "
        "metrics to; let the Experiment's collector be of kind Push, or print them as NAME=VALUE"
    )


def _send(address: str, texts: Mapping[str, str], moment: float, timeout: float) -> None:
    try:
        from pykatib.rpc.db_manager_client import DBManagerClient, report_request
    except ModuleNotFoundError as error:
        raise NotSupported(f"{error.name} is not installed; run: pip install 'pykatib[grpc]'") from error
    logs = [MetricLog(moment, name, value) for name, value in texts.items()]
    client = DBManagerClient(address, timeout_seconds=timeout)
    try:
        client.report(report_request(os.environ[names.ENV_TRIAL_NAME], logs), namespace=_namespace())
    finally:
        client.close()


def _namespace() -> str:
    try:
        return _NAMESPACE_FILE.read_text().strip()
    except OSError:  # not in a Pod, or one that is given no account
        return ""


def _number(name: str, value: Any) -> str:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            raise ValueError(f"the metric {name!r} is {value!r}; a number is expected") from None
        return value.strip()
    try:
        return number_text(value, what=f"the metric {name!r}")
    except NotAMetric as error:
        raise ValueError(str(error)) from error


def _append(path: str, line: bytes) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(fd, line)
        finally:
            os.close(fd)
    except OSError as error:
        raise StorageFailed(f"metrics cannot be written to {path}: {error.strerror}") from error
    if written < len(line):
        raise StorageFailed(f"metrics could be written to {path} in part only: the disk is full")
