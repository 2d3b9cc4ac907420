"""News as lines of text: what `katib run` prints into a pipe or a file."""

from collections.abc import Callable, Iterator

import click

from pykatib.api import names
from pykatib.api.conditions import find_condition
from pykatib.api.times import seconds_of
from pykatib.api.trial import Trial
from pykatib.cli import words
from pykatib.cli.endings import end_words, plan_words
from pykatib.cli.news import ExperimentNews, News, TrialNews
from pykatib.cli.results import objective_text
from pykatib.control.view import trial_state


def lines_of(news: News) -> Iterator[str]:
    """The lines that tell a piece of news; the second and later ones are indented."""
    if isinstance(news, TrialNews):
        yield from _trial_lines(news)
    elif isinstance(news, ExperimentNews):
        yield _experiment_line(news)
    else:
        label = f"{click.style('warning', fg='yellow')}: " if news.is_warning else ""
        yield f"{label}{news.about.name}: {news.text}"


def _trial_lines(news: TrialNews) -> Iterator[str]:
    trial = news.trial
    name = trial.metadata.name
    if news.what == "started":
        yield f"{name}: started with {words.assignments(trial.spec.parameter_assignments)}"
    elif news.what == "held":
        yield f"{name}: stopped; it will be run again"
    elif news.what == "retried":
        counts = ", ".join(f"{kind} {count}" for kind, count in (trial.status.retry_counts or {}).items())
        yield f"{name}: {click.style('failed', fg='yellow')}, is run again ({counts})"
    else:
        yield from _end_lines(news)


def _end_lines(news: TrialNews) -> Iterator[str]:
    trial, state = news.trial, trial_state(news.trial)
    name, took = trial.metadata.name, f" after {words.duration(news.seconds)}"
    if state in (names.SUCCEEDED, names.EARLY_STOPPED):
        word = click.style("succeeded" if state == names.SUCCEEDED else "stopped early", fg="green")
        mark = click.style("  * best so far", fg="green", bold=True) if news.is_best else ""
        yield f"{name}: {word}{took}: {_objective_words(trial) or 'no value'}{mark}"
        if state == names.EARLY_STOPPED and (why := why_stopped(trial)):
            yield f"    {why}"
        return
    if state == names.METRICS_UNAVAILABLE:
        metric = trial.spec.objective.objective_metric_name if trial.spec.objective else ""
        first = f"ended without the metric {metric}"
        more = news.output.splitlines()
        first += "; its last lines were:" if more else " and printed nothing"
    else:
        condition = find_condition(trial.status.conditions, state)
        message = condition.message if condition is not None else ""
        first, *more = message.removeprefix("Trial has failed. Job message: ").splitlines() or [""]
    word = click.style("killed" if state == names.KILLED else "failed", fg="red")
    yield f"{name}: {word}{took}: {first}"
    yield from (f"    {line}" for line in more)


def why_stopped(trial: Trial) -> str:
    """Why a Trial was stopped early, where whoever stopped it said so."""
    condition = find_condition(trial.status.conditions, names.EARLY_STOPPED)
    return condition.message.removeprefix("Trial is early stopped").removeprefix(": ") if condition is not None else ""


def _objective_words(trial: Trial) -> str:
    text = objective_text(trial)
    return f"{trial.spec.objective.objective_metric_name}={words.number(text)}" if text and trial.spec.objective else ""


def seconds_taken(trial: Trial, now: float) -> float:
    """How long a Trial has run so far, or ran; 0 where it has not started."""
    status = trial.status
    if not status.start_time:
        return 0.0
    return max(
        0.0, (seconds_of(status.completion_time) if status.completion_time else now) - seconds_of(status.start_time)
    )


def _experiment_line(news: ExperimentNews) -> str:
    name = click.style(news.experiment.metadata.name, bold=True)
    if news.what in ("started", "resumed", "followed"):
        return f"{name}: {news.what}: {plan_words(news.experiment)}"
    if news.what == "stopped":
        return f"{name}: stopped; Trials that run are being ended"
    if news.what == "deleted":
        return f"{name}: deleted"
    rest = f"; waiting for {words.count(news.active_count, 'Trial')} that still run" if news.active_count else ""
    return f"{name}: {end_words(news.experiment)}{rest}"


class Lines:
    """Shows news as lines."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo

    def show(self, news: list[News], now: float) -> None:
        """Prints each."""
        for one in news:
            for line in lines_of(one):
                self._echo(line)

    def draw(self, now: float) -> None:
        """Lines stay as they are."""

    def next_draw(self) -> float | None:
        """Never."""
        return None

    def close(self) -> None:
        """Nothing is open."""
