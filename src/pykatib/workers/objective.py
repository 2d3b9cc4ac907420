"""Running one objective function once: parameters in, metrics or a failure out.

This is the part that inline runs, threads and worker processes share.
"""

import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from pykatib.workers.reporting import TrialStopped

Objective: TypeAlias = Callable[[dict[str, Any]], Any]
Metrics: TypeAlias = dict[str, str]

MAX_TRACEBACK_CHARACTERS = 16_000


class Done(msgspec.Struct, frozen=True):
    """The function returned; the metrics that it returned (there may be none)."""

    metrics: Metrics


class Raised(msgspec.Struct, frozen=True):
    """The function raised, or returned what is no metric; the end of its traceback."""

    error: str
    traceback: str


class Stopped(msgspec.Struct, frozen=True):
    """The function was told by `report_metrics` to stop, and did."""


Outcome: TypeAlias = Done | Raised | Stopped


class NotAMetric(TypeError):  # noqa: N818 - states the fault
    """What an objective returned or reported is no metric."""


def metric_texts(result: Any, *, objective_metric_name: str) -> Metrics:
    """The metrics in what an objective returned: a number, a mapping of names to numbers, or None for none.

    Raises:
        NotAMetric: it is something else.
    """
    if type(result) is float:
        return {objective_metric_name: repr(result)}
    if result is None:
        return {}
    if isinstance(result, Mapping):
        return {str(name): number_text(value, what=f"the metric {name!r}") for name, value in result.items()}
    return {objective_metric_name: number_text(result, what="the objective's return value")}


def number_text(value: Any, *, what: str) -> str:
    """The text of a number, also of numpy's and of one-element arrays and tensors.

    Raises:
        NotAMetric: it is no number.
    """
    if isinstance(value, float):  # numpy's doubles are floats with a repr of their own
        return float.__repr__(value)
    if isinstance(value, int):
        return int.__repr__(int(value))
    if not isinstance(value, (str, bytes)):
        try:
            # numpy wants `item` for arrays of one element, and warns of `float`.
            return repr(float(value.item() if hasattr(value, "item") else value))
        except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: torch, of more than one element
            pass
    raise NotAMetric(f"{what} is {value!r} of type {type(value).__name__}; a number is expected")


def run_objective(objective: Objective, parameters: dict[str, Any], *, objective_metric_name: str) -> Outcome:
    """Calls the function once. Whatever it raises is an outcome, but for KeyboardInterrupt."""
    try:
        return Done(metric_texts(objective(parameters), objective_metric_name=objective_metric_name))
    except KeyboardInterrupt:
        raise
    except TrialStopped:
        return Stopped()
    except BaseException as error:  # SystemExit too: a program that leaves has failed its Trial, not its runner
        text = "".join(traceback.format_exception(error))
        last = traceback.format_exception_only(error)[-1].strip()  # survives errors that cannot be printed
        return Raised(last, text[-MAX_TRACEBACK_CHARACTERS:])
