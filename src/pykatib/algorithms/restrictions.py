"""Conditions and constraints of a search space, as they are written and as what they mean.

Conditions, a line each (or several on one, with `;` between), say when parameters are active:

    momentum, nesterov: optimizer == sgd
    units_2: layers >= 2 else 16

A parameter without a line is always active; one whose condition names an inactive parameter is inactive as well, so
conditions make trees of any depth. An inactive parameter has a value all the same, since Trial templates refer to it:
what `else` says, else its least value, or the first of its list. Constraints, a line each, must hold of every Trial;
one that names an inactive parameter does not apply. `#` begins a comment.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import product
from typing import NamedTuple

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.expression_words import ExpressionError
from pykatib.algorithms.expressions import Expression, parse
from pykatib.algorithms.parameters import Choice, Parameter
from pykatib.algorithms.randomness import words

_MOST_POINTS = 10_000  # that are looked at to find out whether a condition ever holds


class Condition(NamedTuple):
    """When the parameter at a place is active, and what it is set to when it is not."""

    place: int
    expression: Expression
    inactive_value: ParameterValue


class Restrictions(NamedTuple):
    """All of them; conditions in an order in which each comes after those that it depends on."""

    conditions: tuple[Condition, ...] = ()
    constraints: tuple[Expression, ...] = ()


class Statement(NamedTuple):
    """One line of a text, at its number from 1."""

    line: int
    text: str


class RestrictionError(ValueError):
    """All that is wrong with a text of conditions or constraints."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def statements_of(text: str) -> list[Statement]:
    """The lines of a text that say something."""
    lines = enumerate(text.splitlines(), 1)
    return [Statement(number, part) for number, line in lines for part in _split(line) if part.strip()]


def _split(line: str) -> Iterator[str]:
    """The parts between `;`, without a comment; neither counts within quotes."""
    part = ""
    quote = ""
    for letter in line:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"`":
            quote = letter
        elif letter == "#":
            break
        elif letter == ";":
            yield part
            part = ""
            continue
        part += letter
    yield part


def read_constraints(text: str, parameters: Sequence[Parameter]) -> tuple[Expression, ...]:
    """The constraints of a text. Raises RestrictionError."""
    found: list[Expression] = []
    problems: list[str] = []
    for line, statement in statements_of(text):
        try:
            expression = parse(statement, parameters)
        except ExpressionError as error:
            problems.append(f"line {line}: {statement.strip()!r}: {error}")
            continue
        if not expression.places:
            problems.append(f"line {line}: {statement.strip()!r} names no parameter")
        found.append(expression)
    if problems:
        raise RestrictionError(problems)
    return tuple(found)


def read_conditions(text: str, parameters: Sequence[Parameter]) -> tuple[Condition, ...]:
    """The conditions of a text, those first on which others depend. Raises RestrictionError."""
    place_by_name = {parameter.name: place for place, parameter in enumerate(parameters)}
    found: dict[int, Condition] = {}
    problems: list[str] = []
    for line, statement in statements_of(text):
        head, colon, rest = statement.partition(":")
        if not colon:
            problems.append(f"line {line}: {statement.strip()!r} has no colon; write PARAMETER: CONDITION")
            continue
        rest, _, otherwise = _without_else(rest)
        for name in (part.strip().strip("`") for part in head.split(",")):
            place = place_by_name.get(name)
            if place is None:
                problems.append(f"line {line}: {name or 'nothing'} is no parameter; {_nearest(name, place_by_name)}")
                continue
            if place in found:
                problems.append(f"line {line}: {name} has a condition already; join the two with and, or or")
                continue
            try:
                inactive = _inactive_value(parameters[place], otherwise)
                expression = parse(rest, parameters)
            except ExpressionError as error:
                problems.append(f"line {line}: {name}: {rest.strip()!r}: {error}")
                continue
            except ValueError as error:
                problems.append(f"line {line}: {name}: else {error}")
                continue
            if not expression.places:
                problems.append(f"line {line}: {name}: {rest.strip()!r} names no parameter")
                continue
            found[place] = Condition(place, expression, inactive)
    if problems:
        raise RestrictionError(problems)
    ordered = _ordered(found, parameters)
    problems = [
        f"{parameters[condition.place].name} is never active: {condition.expression.text!r} holds at no point"
        for condition in ordered
        if not _may_hold(condition, found, ordered, parameters)
    ]
    if problems:
        raise RestrictionError(problems)
    return ordered


def _without_else(text: str) -> tuple[str, str, str | None]:
    match = re.search(r"\belse\b(?=[^'\"]*(?:(['\"])[^'\"]*\1)?\s*$)", text)
    if match is None:
        return text, "", None
    return text[: match.start()], "else", text[match.end() :].strip().strip("'\"")


def _inactive_value(parameter: Parameter, text: str | None) -> ParameterValue:
    if text is not None:
        return parameter.parse(text)
    return parameter.values[0] if isinstance(parameter, Choice) else parameter.min


def _nearest(name: str, known: dict[str, int]) -> str:
    close = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"


def _ordered(conditions: dict[int, Condition], parameters: Sequence[Parameter]) -> tuple[Condition, ...]:
    """The conditions, each after those of the parameters that it names."""
    ordered: dict[int, Condition] = {}

    def visit(place: int, path: tuple[int, ...]) -> None:
        if place in path:
            circle = " → ".join(parameters[each].name for each in (*path[path.index(place) :], place))
            raise RestrictionError([f"conditions go round in a circle: {circle}"])
        condition = conditions.get(place)
        if condition is None or place in ordered:
            return
        for parent in sorted(condition.expression.places):
            visit(parent, (*path, place))
        ordered[place] = condition

    for place in sorted(conditions):
        visit(place, ())
    return tuple(ordered.values())


def settle(values: list[ParameterValue], conditions: Sequence[Condition]) -> set[int]:
    """Sets inactive parameters to their values; gives their places."""
    inactive: set[int] = set()
    for place, expression, value in conditions:
        if not inactive.isdisjoint(expression.places) or not expression.holds(values):
            values[place] = value
            inactive.add(place)
    return inactive


def _may_hold(
    condition: Condition,
    conditions: dict[int, Condition],
    ordered: Sequence[Condition],
    parameters: Sequence[Parameter],
) -> bool:
    """Whether some point makes a parameter active: of all that matter where they are few, else of random ones."""
    matter: set[int] = set()
    waiting = list(condition.expression.places)
    while waiting:
        place = waiting.pop()
        if place not in matter:
            matter.add(place)
            waiting.extend(conditions[place].expression.places if place in conditions else ())
    relevant = [each for each in ordered if each.place in matter or each.place == condition.place]
    start = [parameter.from_unit(0.5) for parameter in parameters]
    for choice in _choices([parameters[place] for place in sorted(matter)]):
        values = start.copy()
        for place, value in zip(sorted(matter), choice, strict=True):
            values[place] = value
        if condition.place not in settle(values, relevant):
            return True
    return False


def _choices(parameters: Sequence[Parameter]) -> Iterator[Sequence[ParameterValue]]:
    count = 1
    for parameter in parameters:
        count *= parameter.count or _MOST_POINTS + 1
    if count <= _MOST_POINTS:
        yield from product(*([p.value_at(index) for index in range(p.count or 0)] for p in parameters))
        return
    for index in range(_MOST_POINTS):
        drawn = words(0, index, len(parameters))
        yield [parameter.from_word(word) for parameter, word in zip(parameters, drawn, strict=True)]
