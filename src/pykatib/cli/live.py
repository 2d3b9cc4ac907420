"""The live view of `katib run` in a terminal: how far each Experiment is, the best so far, what runs now.

Above it, failures are told as they come, and stay. The picture is made of what the control plane's views hold anyway
and of the last metrics of the few Trials that are shown, so it costs the same however many Trials there were.
"""

from typing import NamedTuple, TextIO

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.api.lifecycle import is_completed
from pykatib.api.meta import Reference
from pykatib.api.shared import MetricLog, ObjectiveSpec
from pykatib.api.trial import Trial
from pykatib.cli import words
from pykatib.cli.endings import plan_words
from pykatib.cli.lines import lines_of, seconds_taken
from pykatib.cli.news import ExperimentNews, News, TrialNews
from pykatib.cli.presenting import Work
from pykatib.cli.results import metrics_of
from pykatib.control.view import PENDING, ExperimentView, trial_state

DRAW_SECONDS = 0.25
_MOST_TRIALS_SHOWN = 12
_LONGEST_FAILURE = 6  # lines of a failure that are shown while others may follow


class RunningTrial(NamedTuple):
    """A Trial that runs, and the last value of its objective metric."""

    trial: Trial
    latest: str


class Picture(NamedTuple):
    """What there is to be seen of one Experiment."""

    experiment: Experiment
    total: int
    finished: int
    tallies: dict[str, int]
    best: Trial | None
    running: list[RunningTrial]
    more_running: int
    elapsed: float
    per_second: float

    @property
    def seconds_left(self) -> float | None:
        """How long it will take at this rate, where there is an end to count to."""
        limit = self.experiment.spec.max_trial_count
        if limit is None or not self.per_second or is_completed(self.experiment):
            return None
        return max(0, limit - self.finished) / self.per_second


_TALLIES = (
    (names.RUNNING, "running", "cyan"),
    (PENDING, "waiting", "dim"),
    (names.SUCCEEDED, "succeeded", "green"),
    (names.EARLY_STOPPED, "stopped early", "green"),
    (names.FAILED, "failed", "red"),
    (names.METRICS_UNAVAILABLE, "without metrics", "red"),
    (names.KILLED, "killed", "yellow"),
)


def render(picture: Picture, *, width: int, now: float) -> RenderableType:
    """One Experiment as lines that fit the width."""
    spec = picture.experiment.spec
    name = Text(picture.experiment.metadata.name, style="bold", no_wrap=True, overflow="ellipsis")
    name.append(f"  {plan_words(picture.experiment)}", style="dim")
    lines: list[RenderableType] = [name, _bar(picture, width)]
    counts = Text("  ", no_wrap=True, overflow="ellipsis")
    for state, word, style in _TALLIES:
        if picture.tallies.get(state):
            counts.append(f"{picture.tallies[state]} {word}  ", style=style)
    lines.append(counts)
    lines.extend(_best(picture))
    if picture.running:
        lines.append(_running(picture, spec.objective, now))
    if picture.more_running:
        lines.append(Text(f"  and {picture.more_running} more that run", style="dim"))
    return Group(*lines)


def _bar(picture: Picture, width: int) -> RenderableType:
    limit = picture.experiment.spec.max_trial_count
    count = f"{picture.finished}/{limit}" if limit is not None else words.count(picture.finished, "Trial")
    parts = [count, words.age(picture.elapsed)]
    if picture.per_second:
        parts.append(_rate(picture.per_second))
    left = picture.seconds_left
    if left is not None:
        parts.append(f"about {words.age(left)} left")
    text = "  ".join(parts)
    if limit is None:
        return Text(f"  {text}")
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_row(
        Text(" "),
        ProgressBar(total=max(limit, 1), completed=picture.finished, width=max(10, min(40, width - len(text) - 8))),
        Text(text, no_wrap=True),
    )
    return row


def _rate(per_second: float) -> str:
    if per_second >= 1:
        return f"{per_second:.1f} Trials/s"
    return f"{per_second * 60:.1f} Trials/min" if per_second * 60 >= 1 else f"{per_second * 3600:.1f} Trials/h"


def _best(picture: Picture) -> list[RenderableType]:
    best = picture.best
    if best is None:
        return []
    metrics = metrics_of(best.status.observation, best.spec.objective)
    values = "  ".join(f"{name}={words.number(text)}" for name, text in metrics.items())
    head = Text("  best  ", style="bold green", no_wrap=True, overflow="ellipsis")
    head.append(values, style="bold")
    head.append(f"  {best.metadata.name}", style="dim")
    with_what = Text(f"        {words.assignments(best.spec.parameter_assignments)}", no_wrap=True, overflow="ellipsis")
    return [head, with_what]


def _running(picture: Picture, objective: ObjectiveSpec | None, now: float) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    table.add_column("  running", no_wrap=True)
    table.add_column("for", justify="right", no_wrap=True)
    table.add_column(objective.objective_metric_name if objective is not None else "", no_wrap=True, min_width=6)
    table.add_column("with", no_wrap=True, overflow="ellipsis", style="dim")
    for trial, latest in picture.running:
        table.add_row(
            f"  {trial.metadata.name}",
            words.age(seconds_taken(trial, now)),
            words.number(latest) if latest else Text("-", style="dim"),
            words.assignments(trial.spec.parameter_assignments),
        )
    return table


class LiveView:
    """Draws into a terminal."""

    def __init__(self, work: Work, stream: TextIO) -> None:
        self._work = work
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._live.start()
        self._next = 0.0
        self._began = work.now()
        self._finished_before: dict[Reference, int] = {}

    def show(self, news: list[News], now: float) -> None:
        """Failures, warnings and ends are told above the picture; the rest is in it."""
        for one in news:
            if isinstance(one, TrialNews):
                is_failure = one.what == "ended" and trial_state(one.trial) in (names.FAILED, names.METRICS_UNAVAILABLE)
                is_told = is_failure or one.what == "retried"
            else:
                is_told = one.what != "started" if isinstance(one, ExperimentNews) else True
            if is_told:
                self._print(list(lines_of(one)))
            self._next = min(self._next, now)

    def _print(self, lines: list[str]) -> None:
        shown = lines
        if len(lines) > _LONGEST_FAILURE:
            shown = [lines[0], click.style("    …", dim=True), *lines[-(_LONGEST_FAILURE - 2) :]]
        for line in shown:
            self._console.print(Text.from_ansi(line))

    def draw(self, now: float) -> None:
        """Brings the picture up to date."""
        self._next = now + DRAW_SECONDS
        pictures = [picture for reference in self._work.desk.followed if (picture := self._picture(reference, now))]
        width = self._console.width
        blocks = [render(picture, width=width, now=now) for picture in pictures]
        self._live.update(Group(*blocks), refresh=True)

    def _picture(self, reference: Reference, now: float) -> Picture | None:
        found = self._work.find(reference)
        if not isinstance(found, Experiment):
            return None
        view = self._work.view(reference.namespace, reference.name)
        before = self._finished_before.setdefault(reference, view.finished_count)
        elapsed = max(now - self._began, 1e-3)
        running, more = self._running(reference, view, found)
        return Picture(
            experiment=found,
            total=view.trial_count,
            finished=view.finished_count,
            tallies={state: view.count(state) for state, _, _ in _TALLIES},
            best=view.best,
            running=running,
            more_running=more,
            elapsed=elapsed,
            per_second=(view.finished_count - before) / elapsed,
        )

    def _running(
        self, reference: Reference, view: ExperimentView, experiment: Experiment
    ) -> tuple[list[RunningTrial], int]:
        share = (self._console.height - 2) // max(1, len(self._work.desk.followed)) - 7
        room = max(1, min(_MOST_TRIALS_SHOWN, share))
        found = view.active_names(names.RUNNING)
        shown = []
        for name in found[:room]:
            trial = self._work.find(Reference(names.TRIAL, reference.namespace, name))
            if isinstance(trial, Trial):
                latest = self._work.latest(reference.namespace, name)
                shown.append(RunningTrial(trial, _value_of(latest.get(_metric_of(experiment)))))
        return shown, len(found) - len(shown)

    def next_draw(self) -> float | None:
        """When the picture is out of date."""
        return self._next

    def close(self) -> None:
        """Takes the picture away; what was told above it stays."""
        self._live.stop()


def _metric_of(experiment: Experiment) -> str:
    return experiment.spec.objective.objective_metric_name if experiment.spec.objective is not None else ""


def _value_of(log: MetricLog | None) -> str:
    return log.value if log is not None else ""
