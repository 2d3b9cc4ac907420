"""Objective functions for the tests of `tune`."""

import os
import time
from typing import Any

import pykatib


def squared(parameters: dict[str, Any]) -> float:
    return float(parameters["x"]) ** 2


def reporting(parameters: dict[str, Any]) -> None:
    for step in range(3):
        pykatib.report_metrics({"loss": parameters["x"] ** 2 * (3 - step)}, step=step)


def sleeping(parameters: dict[str, Any]) -> float:
    time.sleep(600)
    return 1.0


def crashing(parameters: dict[str, Any]) -> float:
    os._exit(9)
