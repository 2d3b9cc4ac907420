"""What happens to Experiments while somebody watches, as values: fed by the store's changes, at constant cost."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from pykatib.api import names
from pykatib.api.conditions import is_true
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.meta import Reference
from pykatib.api.objects import Event
from pykatib.api.times import seconds_of
from pykatib.api.trial import Trial
from pykatib.control.view import ExperimentView, is_finished, trial_state
from pykatib.runtime.clock import Clock
from pykatib.store.contract import Change, Handler, Subscription

_POLL_SECONDS = 1.0


class TrialNews(NamedTuple):
    """A Trial has started, has been tried again, was held back, or has ended; `is_best` when it is the best so far."""

    what: Literal["started", "retried", "held", "ended"]
    trial: Trial
    is_best: bool = False
    seconds: float = 0.0  # since it was seen to start, or by its status
    output: str = ""  # its last lines, where it ended without metrics; a failure's message has them


class ExperimentNews(NamedTuple):
    """An Experiment has come, was taken up, is watched on, has ended, was stopped or deleted.

    `active_count` of its Trials still run.
    """

    what: Literal["started", "resumed", "followed", "ended", "stopped", "deleted"]
    experiment: Experiment
    active_count: int = 0


class WarningNews(NamedTuple):
    """Something to be known that keeps nothing from going on."""

    about: Reference
    text: str
    is_warning: bool = True  # else simply worth telling


News: TypeAlias = TrialNews | ExperimentNews | WarningNews


class Source(Protocol):
    """Where things happen: a store, or a part of one."""

    def subscribe(self, kinds: Iterable[str] | None, handler: Handler) -> Subscription:
        """Tells `handler` of all objects of these kinds that are there, then of each change."""
        ...

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an object, oldest first."""
        ...


class NewsDesk:
    """Collects the news of the Experiments that are followed.

    Args:
        store: where things happen.
        view: what is known of an Experiment's Trials; its keeper must have subscribed before this is made.
        clock: tells the time.
        output_of: the last lines that a Trial has printed.
    """

    def __init__(
        self,
        store: Source,
        view: Callable[[str, str], ExperimentView],
        clock: Clock,
        output_of: Callable[[Trial], str],
    ) -> None:
        self._store = store
        self._output_of = output_of
        self._clock = clock
        self._view = view
        self.followed: dict[Reference, float] = {}
        """The Experiments in the order in which they came, and when that was."""
        self._news: list[News] = []
        self._said: set[tuple[Reference, str]] = set()
        self._next_poll = 0.0
        self._started_at: dict[Reference, float] = {}
        self._subscription = store.subscribe((names.EXPERIMENT, names.TRIAL), self._on_change)

    def follow(self, experiment: Experiment, what: Literal["started", "resumed", "followed"]) -> None:
        """Tells of this Experiment from now on, and first what has happened to it."""
        reference = experiment.reference
        if reference not in self.followed:
            self.followed[reference] = self._clock.now()
        self._news.append(ExperimentNews(what, experiment))

    def take(self, now: float) -> list[News]:
        """The news since the last call."""
        if now >= self._next_poll:
            self._next_poll = now + _POLL_SECONDS
            self.poll_warnings()
        news, self._news = self._news, []
        return news

    @property
    def has_news(self) -> bool:
        """True when `take` has something to tell."""
        return bool(self._news)

    def poll_warnings(self) -> None:
        """Looks for warnings about the Experiments and their Suggestions; each text is told once."""
        for reference, since in self.followed.items():
            for event in self._store.events(namespace=reference.namespace, name=reference.name):
                key = (reference, event.message)
                if (
                    (event.type == names.WARNING or event.reason == names.ALGORITHM_PICKED)
                    and event.time >= since
                    and key not in self._said
                ):
                    self._said.add(key)
                    self._news.append(WarningNews(reference, event.message, event.type == names.WARNING))

    def warn(self, about: Reference, text: str) -> None:
        """Tells something that is known from elsewhere."""
        self._news.append(WarningNews(about, text))

    def close(self) -> None:
        """Hears no more."""
        self._subscription.close()

    def _on_change(self, change: Change) -> None:
        old, new = change.old, change.new
        if isinstance(new, Trial) and isinstance(old, Trial):
            self._on_trial(old, new)
        elif isinstance(old, Experiment) and old.reference in self.followed:
            if new is None:
                self._news.append(ExperimentNews("deleted", old))
            elif isinstance(new, Experiment):
                self._on_experiment(old, new)

    def _on_trial(self, old: Trial, new: Trial) -> None:
        if old.status is new.status:
            return
        experiment = new.metadata.labels.get(names.LABEL_EXPERIMENT, "")
        namespace = new.metadata.namespace
        if Reference(names.EXPERIMENT, namespace, experiment) not in self.followed:
            return
        before, after = trial_state(old), trial_state(new)
        if is_finished(new):
            if not is_finished(old):
                best = self._view(namespace, experiment).best
                is_best = best is not None and best.metadata.name == new.metadata.name
                now = self._clock.now()
                started_at = self._started_at.pop(new.reference, None)
                seconds = _seconds_in(new) if started_at is None else now - started_at
                output = self._output_of(new) if after == names.METRICS_UNAVAILABLE else ""
                self._news.append(TrialNews("ended", new, is_best, max(0.0, seconds), output))
        elif old.status.retry_counts != new.status.retry_counts:
            self._news.append(TrialNews("retried", new))
        elif after == names.RUNNING and before != names.RUNNING:
            self._started_at[new.reference] = self._clock.now()
            self._news.append(TrialNews("started", new))
        elif before == names.RUNNING != after:
            self._news.append(TrialNews("held", new))

    def _on_experiment(self, old: Experiment, new: Experiment) -> None:
        active_count = self._view(new.metadata.namespace, new.metadata.name).active_count
        if is_completed(new) and not is_completed(old):
            self._news.append(ExperimentNews("ended", new, active_count))
        elif is_true(new.status.conditions, names.SUSPENDED) and not is_true(old.status.conditions, names.SUSPENDED):
            self._news.append(ExperimentNews("stopped", new))


def _seconds_in(trial: Trial) -> float:
    start, end = trial.status.start_time, trial.status.completion_time
    return seconds_of(end) - seconds_of(start) if start and end else 0.0
