"""Figures of an operator in Prometheus' text format: Katib's names, and a few of our own.

Counters count what happens while this process follows the cluster; what was there before is not counted anew.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from pykatib.api import names
from pykatib.api.conditions import Conditions, is_true
from pykatib.api.experiment import Experiment
from pykatib.api.trial import Trial
from pykatib.store.contract import Change

_COUNTED_ENDS: dict[type, tuple[tuple[str, str], ...]] = {
    Experiment: ((names.SUCCEEDED, "succeeded"), (names.FAILED, "failed")),
    Trial: (
        (names.SUCCEEDED, "succeeded"),
        (names.FAILED, "failed"),
        (names.METRICS_UNAVAILABLE, "metrics_unavailable"),
        (names.EARLY_STOPPED, "early_stopped"),  # Katib has none
    ),
}
_TOLD = {
    "created": "created",
    "deleted": "deleted",
    "succeeded": "that have succeeded",
    "failed": "that have failed",
    "metrics_unavailable": "whose metrics were not available",
    "early_stopped": "that were stopped early",
}


class ControlPlaneMetrics:
    """Counts Experiments and Trials by what a store tells. One thread tells; any may ask for the text."""

    def __init__(self, own: Iterable[tuple[str, str, str, Callable[[], float]]] = ()) -> None:
        self._counters: Counter[tuple[str, str, str]] = Counter()  # kind, what, namespace
        self._current: Counter[tuple[str, str, str]] = Counter()  # kind, status, namespace
        self._own = tuple(own)
        self.counts = False
        """Whether what comes is new: to be set once the store has told what was there."""

    def hear(self, change: Change) -> None:
        """A handler for the store."""
        obj = change.new if change.new is not None else change.old
        if not isinstance(obj, Experiment | Trial):
            return
        kind, namespace = obj.kind.lower(), obj.metadata.namespace
        before = change.old.status.conditions if isinstance(change.old, Experiment | Trial) else None
        after = change.new.status.conditions if isinstance(change.new, Experiment | Trial) else None
        if before is not None:
            self._current[kind, _status(before), namespace] -= 1
        if after is not None:
            self._current[kind, _status(after), namespace] += 1
        if not self.counts:
            return
        if before is None:
            self._counters[kind, "created", namespace] += 1
        if after is None:
            self._counters[kind, "deleted", namespace] += 1
            return
        for condition, word in _COUNTED_ENDS[type(obj)]:
            if is_true(after, condition) and not is_true(before or (), condition):
                self._counters[kind, word, namespace] += 1

    def text(self) -> str:
        """All figures."""
        lines: list[str] = []
        counters, current = self._counters.copy(), self._current.copy()
        for kind, ends in ((Experiment, _COUNTED_ENDS[Experiment]), (Trial, _COUNTED_ENDS[Trial])):
            word = kind.__name__.lower()
            for what in ("created", "deleted", *(end for _, end in ends)):
                name = f"katib_{word}_{what}_total"
                lines += [f"# HELP {name} {kind.__name__}s {_TOLD[what]}", f"# TYPE {name} counter"]
                lines += [
                    f'{name}{{namespace="{namespace}"}} {count}'
                    for (of_kind, of_what, namespace), count in sorted(counters.items())
                    if (of_kind, of_what) == (word, what)
                ]
            name = f"katib_{word}s_current"
            lines += [f"# HELP {name} {kind.__name__}s in the cluster", f"# TYPE {name} gauge"]
            lines += [
                f'{name}{{namespace="{namespace}",status="{status}"}} {count}'
                for (of_kind, status, namespace), count in sorted(current.items())
                if of_kind == word
            ]
        for name, form, told, value in self._own:
            lines += [f"# HELP {name} {told}", f"# TYPE {name} {form}", f"{name} {value()}"]
        return "\n".join(lines) + "\n"


def _status(conditions: Conditions) -> str:
    return conditions[-1].type if conditions else names.UNKNOWN
