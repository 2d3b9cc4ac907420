"""A line that says how far a tuning is, for people who watch."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pykatib.api import names
from pykatib.sdk.result import TrialResult


class ProgressLine:
    """A progress bar on stderr: Trials done, the best value so far, time left. `total` is None where unbounded."""

    def __init__(self, total: int | None) -> None:
        self._progress = Progress(
            TextColumn("Trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[news]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=False,
        )
        self._task = self._progress.add_task("Trials", total=total, news="")
        self._failed = 0
        self._progress.start()

    def trial_ended(self, trial: TrialResult) -> None:
        """One more Trial has ended."""
        if trial.state in (names.FAILED, names.METRICS_UNAVAILABLE):
            self._failed += 1
        failed = f"{self._failed} failed  " if self._failed else ""
        value = "" if trial.value is None else f"last {trial.value:.5g}"
        self._progress.update(self._task, advance=1, news=failed + value)

    def close(self) -> None:
        """Leaves the line as it is."""
        self._progress.stop()
