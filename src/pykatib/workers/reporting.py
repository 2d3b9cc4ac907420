"""Where `report_metrics` goes when the objective runs inside a Python runner: a reporter of the running Trial."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class TrialStopped(BaseException):
    """Raised in an objective function by `report_metrics`: its Trial has been stopped, and need not go on.

    Let it pass: clean up with `finally` or `with`. It is no Exception, so that `except Exception` lets it pass too.
    """


class Reporter(Protocol):
    """Takes the metrics that a running Trial reports. Raises TrialStopped where the Trial need not go on."""

    def __call__(self, metrics: Mapping[str, str], *, step: int | None, timestamp: float | None) -> None:
        """Values are texts of numbers; `timestamp` in seconds since the epoch, now where it is None."""
        ...


_reporter: ContextVar[Reporter | None] = ContextVar("pykatib_reporter", default=None)
_process_reporter: Reporter | None = None


def current_reporter() -> Reporter | None:
    """The reporter of the Trial that runs in this context, or None."""
    return _reporter.get() or _process_reporter


@contextmanager
def reporting_to(reporter: Reporter, *, from_all_threads: bool = False) -> Iterator[None]:
    """Within the block, `report_metrics` of this thread goes to `reporter`.

    With `from_all_threads`, that of all threads: for a process that runs one Trial at a time. A thread that the
    objective starts does not inherit the context of the one that started it.
    """
    global _process_reporter
    token = _reporter.set(reporter)
    before = _process_reporter
    if from_all_threads:
        _process_reporter = reporter
    try:
        yield
    finally:
        _process_reporter = before
        _reporter.reset(token)
