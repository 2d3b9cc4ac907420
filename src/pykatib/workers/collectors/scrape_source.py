"""An HTTP endpoint of the program as a source. Apart from the other sources, for HTTP and TLS cost 6 MB of memory."""

from collections.abc import Sequence

from pykatib.api.shared import HTTPGet, MetricLog
from pykatib.workers.collectors.position import Position
from pykatib.workers.collectors.prometheus import INTERVAL_SECONDS, Scraper


class ScrapeSource:
    """An HTTP endpoint of the program."""

    caught_up = True  # there is never more to read than what was taken

    def __init__(
        self,
        source: HTTPGet,
        metric_names: Sequence[str],
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        start: Position | None = None,
    ) -> None:
        series = start.series if start is not None else ()
        self._scraper = Scraper(source, metric_names, interval_seconds=interval_seconds, start=series)
        self._scraper.start()

    def position(self) -> Position:
        return Position(series=self._scraper.taken)

    def read(self, now: float, max_bytes: int) -> list[MetricLog]:
        return self._scraper.take()

    def finish(self, now: float) -> list[MetricLog]:
        self._scraper.stop()
        return self._scraper.take()

    def problems(self) -> tuple[str, ...]:
        return self._scraper.tracker.problems.lines()

    def hint(self) -> str:
        scraper = self._scraper
        if not scraper.answer_count:
            return f"{scraper.url} never answered: {scraper.last_failure or 'it was not asked yet'}"
        names = ", ".join(scraper.tracker.other_names) or "none"
        return f"{scraper.url} answered {scraper.answer_count} times; other metrics there: {names}"

    def close(self) -> None:
        self._scraper.stop()  # without waiting: the thread ends with the answer that is on its way
