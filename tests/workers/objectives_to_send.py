"""Objective functions that the tests of executors send to worker processes, and one that cannot be sent."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pykatib.sdk.report import report_metrics


def square(parameters: dict[str, Any]) -> float:
    return float(parameters["x"]) ** 2


def fails(parameters: dict[str, Any]) -> float:
    raise ValueError(f"no luck with {parameters['x']}")


def leaves(parameters: dict[str, Any]) -> float:
    sys.exit(3)


def leaves_hard(parameters: dict[str, Any]) -> float:
    os._exit(7)


def segfaults(parameters: dict[str, Any]) -> float:
    ctypes.string_at(0)
    return 0.0


def kills_itself(parameters: dict[str, Any]) -> float:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0.0


def interrupts(parameters: dict[str, Any]) -> float:
    raise KeyboardInterrupt


def reports(parameters: dict[str, Any]) -> None:
    for step in range(3):
        report_metrics({"loss": 3 - step, "acc": step}, step=step, timestamp=100.0 + step)


def reports_from_a_thread(parameters: dict[str, Any]) -> None:
    thread = threading.Thread(target=report_metrics, args=({"loss": 0.25},))
    thread.start()
    thread.join()


def says_nothing(parameters: dict[str, Any]) -> None:
    return None


def is_huge(parameters: dict[str, Any]) -> dict[str, float]:
    return {"loss": 1.0, **{f"metric-{number}": float(number) for number in range(20_000)}}


def hangs_with_a_child(parameters: dict[str, Any]) -> float:
    """Starts a child, writes both process ids to the file it is given, and hangs."""
    child = subprocess.Popen(["sleep", "600"])
    path = Path(parameters["path"])
    path.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
    path.with_suffix(".new").rename(path)
    while True:
        time.sleep(600)


def says_who(parameters: dict[str, Any]) -> dict[str, float]:
    return {"loss": 0.0, "pid": float(os.getpid())}
