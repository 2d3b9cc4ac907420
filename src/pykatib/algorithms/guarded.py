"""What stands around an algorithm, so that its proposals keep to what the Experiment says of its space.

Both keep the law that cold equals warm: what they do to a proposal is a function of the proposal and its number.
"""

from collections.abc import Sequence

from pykatib.algorithms.contract import Algorithm, Ask, FinishedTrial, Proposal, ProposedTrial
from pykatib.algorithms.space import Point, SearchSpace


class Guarded:
    """An algorithm whose proposals are mended where they break a constraint, or vary a parameter that is not active.

    pykatib's own algorithms look after that themselves, and see to it better; this is for those of others.
    """

    def __init__(self, inner: Algorithm, space: SearchSpace) -> None:
        self._inner = inner
        self._space = space

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The algorithm's proposals, the labels unchanged."""
        return [Proposal(self._space.repaired(each.values), each.labels) for each in self._inner.ask(request)]

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Passes on what has ended."""
        self._inner.tell(finished)


class FirstPoints:
    """An algorithm whose first proposals are given points.

    An algorithm that goes by results sees them as Trials of its own. One that counts proposals alone (`one_by_one`)
    begins its series after them, without the points that were given, so that none comes twice.
    """

    def __init__(self, inner: Algorithm, points: Sequence[Point], *, one_by_one: bool) -> None:
        self._inner = inner
        self._points = tuple(points)
        self._series: list[Proposal] | None = [] if one_by_one else None
        self._asked = 0  # of the series, those left out included

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """The points that have not been proposed, then the algorithm's own."""
        end = request.issued + request.count
        given = range(request.issued, min(end, len(self._points)))
        proposals = [Proposal(self._points[index]) for index in given]
        first = max(request.issued, len(self._points))
        if end <= first:
            return proposals
        if self._series is not None:
            start = first - len(self._points)
            return [*proposals, *self._of_series(self._series, start, end - first)]
        beside = tuple(ProposedTrial(index, "", self._points[index]) for index in given)
        return [*proposals, *self._inner.ask(Ask(end - first, first, (*request.active, *beside)))]

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Passes on what has ended."""
        self._inner.tell(finished)

    def _of_series(self, series: list[Proposal], start: int, count: int) -> list[Proposal]:
        while len(series) < start + count:
            found = self._inner.ask(Ask(start + count - len(series), self._asked))
            if not found:
                break
            self._asked += len(found)
            series.extend(proposal for proposal in found if proposal.values not in self._points)
        return series[start : start + count]
