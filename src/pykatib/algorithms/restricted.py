"""A search space some of whose points may not be proposed, with all that algorithms ask of a space.

Everything that gives a point gives an allowed one: `from_words`, `from_unit`, `sample` and `at`. So random, grid and
Sobol search respect conditions and constraints without knowing of them, and those that make points in other ways ask
`settled` (inactive parameters set to their values, so that points which differ in those alone are one) and `allows`.

*By words.* A point that breaks a constraint is replaced by the next of a series of random points that is a function of
the same words. What is left has the stated distributions, as far as they are allowed; a proposal stays a function of
its seed and number. After `_ATTEMPTS` it is `repaired` instead: moved straight towards an allowed point, just as far as
it must be.

*By number.* Parameters that no condition or constraint ties together are counted by multiplying; those that are tied
are counted out, in the order of counting. `size` is exact, unless one such group has more than `MOST_COUNTED` points:
then it is None, as of a continuous space, and `uncounted` names the group.
"""

from collections.abc import Iterator, Sequence

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.expressions import Expression
from pykatib.algorithms.parameters import Choice, Parameter
from pykatib.algorithms.randomness import key_of, mix, words
from pykatib.algorithms.restrictions import Condition, Restrictions, settle
from pykatib.algorithms.space import Point, SearchSpace

MOST_COUNTED = 100_000
"""Of a group of parameters that are tied together, no more points are counted out."""

MOST_SAMPLED = 100_000
"""So many random points are looked at before a space is said to have no allowed one."""

_ATTEMPTS = 2_000
_ANCHORS = 16
_HALVINGS = 40
_SAMPLE_KEY = key_of(0, "restricted space")  # not of any seed: where allowed points lie is the space's own


class RestrictedSpace(SearchSpace):
    """The points of a space at which all constraints hold, those alike but for inactive parameters as one."""

    __slots__ = ("_anchors", "_groups", "restrictions", "uncounted")

    def __init__(self, parameters: Sequence[Parameter], restrictions: Restrictions) -> None:
        super().__init__(parameters)
        self.restrictions = restrictions
        self.restricted = True
        self.uniform = self.uniform and not restrictions.conditions
        self.uncounted: tuple[str, ...] = ()
        self._anchors: tuple[Point, ...] = ()
        self._groups: list[_Group] = []
        size: int | None = 1
        for places in _tied(len(self.parameters), restrictions):
            group = _Group(places, self.parameters, restrictions)
            self._groups.append(group)
            size = None if size is None or group.size is None else size * group.size
            if group.is_too_large and not self.uncounted:
                self.uncounted = tuple(self.names[place] for place in places)
        self.size = 0 if any(group.size == 0 for group in self._groups) else size

    # What may be proposed

    def settled(self, values: Sequence[ParameterValue]) -> Point:
        """The point with its inactive parameters set to their values."""
        if not self.restrictions.conditions:
            return tuple(values)
        found = list(values)
        settle(found, self.restrictions.conditions)
        return tuple(found)

    def inactive(self, values: Sequence[ParameterValue]) -> set[int]:
        """The places of the parameters that are not active at a point."""
        return settle(list(values), self.restrictions.conditions)

    def allows(self, values: Sequence[ParameterValue]) -> bool:
        """Whether all constraints that apply hold at a point."""
        return not self.broken(values)

    def broken(self, values: Sequence[ParameterValue]) -> tuple[str, ...]:
        """The first constraint that does not hold at a point, if one does not."""
        if not self.restrictions.constraints:
            return ()
        found = list(values)
        inactive = settle(found, self.restrictions.conditions)
        for expression in self.restrictions.constraints:
            if inactive.isdisjoint(expression.places) and not expression.holds(found):
                return (expression.text,)
        return ()

    def contains(self, values: Sequence[ParameterValue]) -> bool:
        """Whether the point may be proposed."""
        return super().contains(values) and self.settled(values) == tuple(values) and self.allows(values)

    # Points by words, by places in the cube, and by numbers

    def from_words(self, words: Sequence[int]) -> Point:
        """An allowed point: that at the words, else the next of a series that they begin."""
        return self._allowed(words) or self.repaired(super().from_words(words))

    def _allowed(self, given: Sequence[int], attempts: int = _ATTEMPTS) -> Point | None:
        point = self.settled(super().from_words(given))
        if self.allows(point):
            return point
        key = 0
        for word in given:
            key = mix(key ^ word)
        for attempt in range(attempts):
            point = self.settled(super().from_words(words(key, attempt, len(given))))
            if self.allows(point):
                return point
        return None

    def from_unit(self, units: Sequence[float]) -> Point:
        """The point at a place of the unit cube, repaired where it is not allowed."""
        return self.repaired(super().from_unit(units))

    def at(self, index: int) -> Point:
        """The point number `index`; of groups of tied parameters the last changes fastest."""
        values: list[ParameterValue] = [""] * len(self.parameters)
        for group in reversed(self._groups):
            if group.size is None:
                raise IndexError(f"the values of {', '.join(self.uncounted or self.names)} cannot be counted")
            index, place = divmod(index, group.size)
            for where, value in zip(group.places, group.at(place), strict=True):
                values[where] = value
        if index != 0:
            raise IndexError("the space has fewer points")
        return tuple(values)

    def index_of(self, values: Sequence[ParameterValue]) -> int:
        """The number of a point; the inverse of `at`."""
        index = 0
        for group in self._groups:
            index = index * (group.size or 1) + group.index_of(tuple([values[place] for place in group.places]))
        return index

    # Mending

    def repaired(self, values: Sequence[ParameterValue]) -> Point:
        """The point itself where it is allowed, else one on the way to an allowed point near it."""
        point = self.settled(values)
        if self.allows(point):
            return point
        here = self.to_unit(point)
        anchor = min(self._allowed_points(), key=lambda other: self._distance(point, here, other))
        there = self.to_unit(anchor)
        good, low, high = anchor, 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            found = self._between(point, here, anchor, there, middle)
            if self.allows(found):
                good, high = found, middle
            else:
                low = middle
        return good

    def _distance(self, point: Point, here: Sequence[float], other: Point) -> float:
        distance = 0.0
        for parameter, mine, unit, its in zip(self.parameters, point, here, other, strict=True):
            is_list = isinstance(parameter, Choice) and not parameter.ordinal
            distance += float(mine != its) if is_list else (unit - parameter.to_unit(its)) ** 2
        return distance

    def _between(
        self, point: Point, here: Sequence[float], anchor: Point, there: Sequence[float], share: float
    ) -> Point:
        values: list[ParameterValue] = []
        for place, parameter in enumerate(self.parameters):
            if point[place] == anchor[place] or (isinstance(parameter, Choice) and not parameter.ordinal):
                values.append(anchor[place])
            else:
                values.append(parameter.from_unit(here[place] * (1 - share) + there[place] * share))
        return self.settled(values)

    def _allowed_points(self) -> tuple[Point, ...]:
        """Some allowed points, found once; there is one, or the user was told."""
        if not self._anchors:
            if self.size:
                step = max(self.size // _ANCHORS, 1)
                self._anchors = tuple(self.at(index * step) for index in range(min(_ANCHORS, self.size)))
            else:
                self._anchors = self.sampled(_ANCHORS)[0]
        if not self._anchors:
            raise ValueError("the constraints leave no point of the space")
        return self._anchors

    @property
    def has_points(self) -> bool:
        """Whether any point is allowed, as far as can be seen."""
        return self.size > 0 if self.size is not None else bool(self.sampled(1)[0])

    def sampled(self, wanted: int) -> tuple[tuple[Point, ...], int]:
        """Up to so many allowed ones of a fixed series of random points, and how many were looked at."""
        found: list[Point] = []
        looked_at = 0
        draw = super().from_words
        while len(found) < wanted and looked_at < MOST_SAMPLED:
            point = self.settled(draw(words(_SAMPLE_KEY, looked_at, len(self.parameters))))
            looked_at += 1
            if self.allows(point):
                found.append(point)
        return tuple(found), looked_at

    # Spaces made of this one

    def replaced(self, parameter: Parameter) -> SearchSpace:
        """The space with a parameter of the same name in the place of its own."""
        return RestrictedSpace(
            [parameter if p.name == parameter.name else p for p in self.parameters], self.restrictions
        )

    def without(self, place: int, values: Sequence[ParameterValue]) -> SearchSpace:
        """The space of what is allowed whichever of these values the parameter at that place has."""
        kept = [parameter for each, parameter in enumerate(self.parameters) if each != place]
        conditions = tuple(
            Condition(each.place - (each.place > place), _bound(each.expression, place, values[0]), each.inactive_value)
            for each in self.restrictions.conditions
            if each.place != place
        )
        constraints = tuple(
            _bound(each, place, value)
            for each in self.restrictions.constraints
            for value in (values if place in each.places else values[:1])
        )
        if not conditions and not constraints:
            return SearchSpace(kept)
        return RestrictedSpace(kept, Restrictions(conditions, constraints))


def _bound(expression: Expression, place: int, value: ParameterValue) -> Expression:
    """The expression about points that lack the parameter at a place, which has a fixed value."""
    compute = expression.compute
    places = frozenset(each - (each > place) for each in expression.places if each != place)
    return Expression(expression.text, places, lambda point: compute((*point[:place], value, *point[place:])))


def _tied(count: int, restrictions: Restrictions) -> list[tuple[int, ...]]:
    """The places, in groups of those that depend on each other; each group where its first place is."""
    group_of = {place: {place} for place in range(count)}
    links = [{condition.place, *condition.expression.places} for condition in restrictions.conditions]
    links.extend(set(expression.places) for expression in restrictions.constraints)
    for link in links:
        joined = set().union(*(group_of[place] for place in link))
        for place in joined:
            group_of[place] = joined
    return sorted({tuple(sorted(group)) for group in group_of.values()})


class _Group:
    """Parameters that are tied together, or one that is not: its points by their numbers."""

    def __init__(self, places: tuple[int, ...], parameters: Sequence[Parameter], restrictions: Restrictions) -> None:
        self.places = places
        self.is_too_large = False
        self._points: list[Point] = []
        self._parameter: Parameter | None = None
        inside = set(places)
        conditions = {each.place: each for each in restrictions.conditions if each.place in inside}
        constraints = [each for each in restrictions.constraints if not inside.isdisjoint(each.places)]
        if not conditions and not constraints:
            self._parameter = parameters[places[0]]
            self.size: int | None = self._parameter.count
            return
        self.size = None
        order = [*(place for place in places if place not in conditions), *conditions]
        try:
            points = list(_counted_out(order, parameters, conditions, constraints))
        except _TooManyError:
            self.is_too_large = True
            return
        except _EndlessError:
            return
        rank = [parameters[place] for place in places]
        found = [tuple([values[place] for place in places]) for values in points]
        found.sort(key=lambda point: [_number(p, value) for p, value in zip(rank, point, strict=True)])
        self._points = found
        self._index_by_point = {point: index for index, point in enumerate(found)}
        self.size = len(found)

    def at(self, index: int) -> Point:
        """The values number `index`."""
        return (self._parameter.value_at(index),) if self._parameter is not None else self._points[index]

    def index_of(self, values: Point) -> int:
        """The number of these values."""
        if self._parameter is not None:
            return 0 if self._parameter.count is None else self._parameter.index_of(values[0])
        if self.size is None:
            return 0
        return self._index_by_point[values]


class _TooManyError(Exception):
    pass


class _EndlessError(Exception):
    pass


def _number(parameter: Parameter, value: ParameterValue) -> int:
    return 0 if parameter.count is None else parameter.index_of(value)


def _counted_out(
    order: Sequence[int],
    parameters: Sequence[Parameter],
    conditions: dict[int, Condition],
    constraints: Sequence[Expression],
) -> Iterator[dict[int, ParameterValue]]:
    """All allowed values of some places, which come after those that their conditions name."""
    known_by: dict[int, list[Expression]] = {}
    place_in_order = {place: number for number, place in enumerate(order)}
    for expression in constraints:
        known_by.setdefault(max(place_in_order[place] for place in expression.places), []).append(expression)
    values: list[ParameterValue] = [parameter.from_unit(0.5) for parameter in parameters]
    inactive: set[int] = set()
    budget = [MOST_COUNTED * 4]
    found = [0]

    def fits(depth: int) -> bool:
        return all(
            not inactive.isdisjoint(expression.places) or expression.holds(values)
            for expression in known_by.get(depth, ())
        )

    def walk(depth: int) -> Iterator[dict[int, ParameterValue]]:
        if depth == len(order):
            found[0] += 1
            if found[0] > MOST_COUNTED:
                raise _TooManyError
            yield {place: values[place] for place in order}
            return
        place = order[depth]
        condition = conditions.get(place)
        if condition is not None and (
            not inactive.isdisjoint(condition.expression.places) or not condition.expression.holds(values)
        ):
            values[place] = condition.inactive_value
            inactive.add(place)
            if fits(depth):
                yield from walk(depth + 1)
            inactive.discard(place)
            return
        parameter = parameters[place]
        if parameter.count is None:
            raise _EndlessError
        for index in range(parameter.count):
            budget[0] -= 1
            if budget[0] < 0:
                raise _TooManyError
            values[place] = parameter.value_at(index)
            if fits(depth):
                yield from walk(depth + 1)

    yield from walk(0)
