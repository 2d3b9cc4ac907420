"""The language of conditions and constraints: arithmetic and comparisons over the parameters of a search space.

    batch_size * seq_len <= 65536        lr_min < lr_max          hidden % heads == 0
    optimizer in (sgd, momentum)         1 <= layers <= 3         not (a == b) or log(c) > 2

Operators, from the loosest to the tightest: `or`, `and`, `not`, comparisons (`<= < == != > >=`, `in`, `not in`; they
may be chained), `+ -`, `* / %`, the sign, `**`; functions are those of `FUNCTIONS`. Names of parameters stand for their
values. A list whose entries are all numbers is one of numbers, any other one of texts, which can be compared for
equality only; an entry is written as it is, or in quotes. Names with other letters than `a-z A-Z 0-9 _` are recognised
where they are those of a parameter or entry (`num-layers`; put spaces around a minus), or stand in backquotes.

Texts are parsed by hand and become nested functions: nothing that a manifest says is ever run. Where something cannot
be computed (a division by zero, the logarithm of a negative number, a number that is too large) the whole does not
hold, unless the other side of an `or` does.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, Literal, NamedTuple, TypeAlias

from pykatib.algorithms.contract import ParameterValue
from pykatib.algorithms.expression_words import ExpressionError, Token, tokens_of
from pykatib.algorithms.parameters import Choice, Parameter

Value: TypeAlias = int | float | str | bool
Compute: TypeAlias = Callable[[Sequence[ParameterValue]], Value]
Kind: TypeAlias = Literal["number", "text", "truth"]

MOST_CHARACTERS = 2000
_DEEPEST = 60
_LONGEST_WHOLE = 1 << 1024  # beyond it a whole number is not worth its digits


class Expression(NamedTuple):
    """A condition or constraint, ready to be asked of points. `places` are those of the parameters it names."""

    text: str
    places: frozenset[int]
    compute: Compute

    def holds(self, point: Sequence[ParameterValue]) -> bool:
        """Whether it holds at a point; not where it cannot be computed."""
        try:
            return self.compute(point) is True
        except (ArithmeticError, ValueError):
            return False


class _Term(NamedTuple):
    kind: Kind
    compute: Compute
    column: int
    word: str = ""  # of a bare text or literal, for messages and for comparison with lists
    entries: tuple[str, ...] = ()  # of a list of texts


def _log(value: float, base: float = math.e) -> float:
    return math.log(value) if base == math.e else math.log(value, base)


FUNCTIONS: Final[Mapping[str, tuple[int, int, Callable[..., float]]]] = {
    "min": (1, 100, min),
    "max": (1, 100, max),
    "abs": (1, 1, abs),
    "log": (1, 2, _log),
    "log2": (1, 1, math.log2),
    "log10": (1, 1, math.log10),
    "exp": (1, 1, math.exp),
    "sqrt": (1, 1, math.sqrt),
    "floor": (1, 1, math.floor),
    "ceil": (1, 1, math.ceil),
}
"""By name: the least and greatest number of arguments, and what computes them (`min` and `max` of one are that one)."""


def parse(text: str, parameters: Sequence[Parameter]) -> Expression:
    """The condition that a text states about points of these parameters, in their order. Raises ExpressionError."""
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(f"has {len(text)} characters, more than {MOST_CHARACTERS}", MOST_CHARACTERS)
    parser = _Parser(text, parameters)
    term = parser.whole()
    if term.kind != "truth":
        raise ExpressionError(f"is a {term.kind}, not a comparison such as a <= b", term.column)
    return Expression(text.strip(), frozenset(parser.places), term.compute)


class _Parser:
    """Recursive descent over one text."""

    def __init__(self, text: str, parameters: Sequence[Parameter]) -> None:
        self._parameters = parameters
        self._place_by_name = {parameter.name: place for place, parameter in enumerate(parameters)}
        entries = {entry for parameter in parameters if isinstance(parameter, Choice) for entry in parameter.values}
        self._tokens = tokens_of(text, (*self._place_by_name, *entries))
        self._entries = frozenset(entries)
        self._at = 0
        self._depth = 0
        self.places: set[int] = set()

    # The grammar

    def whole(self) -> _Term:
        if self._now.kind == "end":
            raise ExpressionError("says nothing", 1)
        term = self._either()
        last = self._take()
        if last.kind != "end":
            raise ExpressionError(f"found {last.text!r} where an operator or the end is expected", last.column)
        return term

    def _either(self) -> _Term:
        term = self._both()
        while self._takes("or"):
            left, right = _truth(term, "or"), _truth(self._both(), "or")
            first, second = left.compute, right.compute
            term = _Term("truth", _any_of(first, second), left.column)
        return term

    def _both(self) -> _Term:
        term = self._negated()
        while self._takes("and"):
            left, right = _truth(term, "and"), _truth(self._negated(), "and")
            first, second = left.compute, right.compute
            term = _Term("truth", _all_of(first, second), left.column)
        return term

    def _negated(self) -> _Term:
        column = self._now.column
        if not self._takes("not"):
            return self._comparison()
        self._deeper(column)
        inner = _truth(self._negated(), "not").compute
        self._depth -= 1
        return _Term("truth", lambda point: not inner(point), column)

    def _comparison(self) -> _Term:
        left = self._sum()
        checks: list[Compute] = []
        column = left.column
        while True:
            token = self._now
            if token.text in ("<", "<=", ">", ">=", "==", "!=") and token.kind == "sign":
                self._at += 1
                right = self._sum()
                checks.append(self._compared(left, token, right))
                left = right
            elif token.kind == "sign" and token.text in ("in", "not") and (token.text == "in" or self._next_is("in")):
                self._at += 1 if token.text == "in" else 2
                checks.append(self._member(left, negated=token.text == "not"))
                break
            else:
                break
        if not checks:
            return left
        if len(checks) == 1:
            return _Term("truth", checks[0], column)
        several = tuple(checks)
        return _Term("truth", lambda point: all(check(point) for check in several), column)

    def _member(self, left: _Term, *, negated: bool) -> Compute:
        opening = self._now
        closing = {"(": ")", "[": "]"}.get(opening.text)
        if closing is not None:
            self._at += 1
        equal = Token("sign", "==", opening.column)
        checks: tuple[Compute, ...] = (self._compared(left, equal, self._sum()),)
        while self._takes(","):
            checks = (*checks, self._compared(left, equal, self._sum()))
        if closing is not None:
            self._expect(closing)
        if negated:
            return lambda point: not any(check(point) for check in checks)
        return lambda point: any(check(point) for check in checks)

    def _sum(self) -> _Term:
        term = self._product()
        while self._now.kind == "sign" and self._now.text in ("+", "-"):
            sign = self._take()
            term = self._calculated(term, sign, self._product())
        return term

    def _product(self) -> _Term:
        term = self._signed()
        while self._now.kind == "sign" and self._now.text in ("*", "/", "%"):
            sign = self._take()
            term = self._calculated(term, sign, self._signed())
        return term

    def _signed(self) -> _Term:
        token = self._now
        if token.kind != "sign" or token.text not in ("+", "-"):
            return self._power()
        self._at += 1
        self._deeper(token.column)
        inner = self._number(self._signed(), token.text)
        self._depth -= 1
        if token.text == "+":
            return inner
        compute = inner.compute
        word = f"-{inner.word}" if inner.word else ""
        return _Term("number", lambda point: -_as_number(compute(point)), token.column, word)

    def _power(self) -> _Term:
        base = self._atom()
        if not (self._now.kind == "sign" and self._now.text == "**"):
            return base
        sign = self._take()
        self._deeper(sign.column)
        term = self._calculated(base, sign, self._signed())
        self._depth -= 1
        return term

    def _atom(self) -> _Term:
        token = self._take()
        if token.kind == "number":
            number = float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
            if isinstance(number, float) and math.isinf(number):
                raise ExpressionError(f"{token.text} is larger than a double can hold", token.column)
            return _Term("number", lambda point: number, token.column, token.text)
        if token.kind == "text":
            return self._text(token)
        if token.kind == "name":
            if self._now.text == "(" and token.text not in self._place_by_name:
                return self._call(token)
            return self._named(token)
        if token.text == "(":
            self._deeper(token.column)
            term = self._either()
            self._depth -= 1
            self._expect(")")
            return term._replace(column=token.column)
        what = "the end" if token.kind == "end" else repr(token.text)
        raise ExpressionError(f"found {what} where a parameter or a number is expected", token.column)

    # What words mean

    def _named(self, token: Token) -> _Term:
        place = self._place_by_name.get(token.text)
        if place is None:
            if token.text in self._entries:
                return self._text(token)
            close = get_close_matches(token.text, [*self._place_by_name, *sorted(self._entries)], n=2, cutoff=0.6)
            known = ", ".join(self._place_by_name)
            hint = f"did you mean {' or '.join(close)}?" if close else f"the parameters are {known}"
            raise ExpressionError(f"{token.text} is no parameter and no entry of a list; {hint}", token.column)
        self.places.add(place)
        parameter = self._parameters[place]
        if not isinstance(parameter, Choice):
            return _Term("number", lambda point: point[place], token.column)
        numbers = numbers_of(parameter)
        if numbers is None:
            return _Term("text", lambda point: point[place], token.column, "", parameter.values)
        number_by_entry = dict(zip(parameter.values, numbers, strict=True))
        return _Term("number", lambda point: number_by_entry[str(point[place])], token.column)

    def _text(self, token: Token) -> _Term:
        text = token.text
        return _Term("text", lambda point: text, token.column, text)

    def _call(self, token: Token) -> _Term:
        known = FUNCTIONS.get(token.text)
        if known is None:
            close = get_close_matches(token.text, FUNCTIONS, n=1, cutoff=0.6) or list(FUNCTIONS)
            raise ExpressionError(f"there is no function {token.text}; there are {', '.join(close)}", token.column)
        least, most, function = known
        self._expect("(")
        self._deeper(token.column)
        arguments = [self._number(self._sum(), token.text)]
        while self._takes(","):
            arguments.append(self._number(self._sum(), token.text))
        self._depth -= 1
        self._expect(")")
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise ExpressionError(f"{token.text} takes {wanted} values, found {len(arguments)}", token.column)
        computes = tuple(argument.compute for argument in arguments)
        if len(computes) == 1:
            one = computes[0]
            if function in (min, max):
                return _Term("number", one, token.column)
            return _Term("number", lambda point: function(one(point)), token.column)
        return _Term("number", lambda point: function(*[compute(point) for compute in computes]), token.column)

    def _calculated(self, left: _Term, sign: Token, right: _Term) -> _Term:
        first, second = self._number(left, sign.text).compute, self._number(right, sign.text).compute
        operate = _OPERATIONS[sign.text]
        return _Term("number", lambda point: operate(_as_number(first(point)), _as_number(second(point))), left.column)

    def _compared(self, left: _Term, sign: Token, right: _Term) -> Compute:
        if left.kind == "truth" or right.kind == "truth":
            wrong = left if left.kind == "truth" else right
            raise ExpressionError(f"a comparison cannot be compared by {sign.text}; use and, or, not", wrong.column)
        left, right = _alike(left, right), _alike(right, left)
        if left.kind != right.kind:
            wrong = left if left.kind == "text" else right
            what = f"{wrong.word!r} is a text" if wrong.word else "this list has entries that are no numbers"
            raise ExpressionError(f"{what}, and is compared with a number", wrong.column)
        if left.kind == "text":
            if sign.text not in ("==", "!="):
                raise ExpressionError(f"texts have no order; {sign.text} needs numbers", sign.column)
            self._check_entry(left, right)
            self._check_entry(right, left)
        first, second = left.compute, right.compute
        compare = _COMPARISONS[sign.text]
        return lambda point: compare(first(point), second(point))

    def _check_entry(self, literal: _Term, other: _Term) -> None:
        """A text that the list does not have is a mistake: the comparison would never hold, or always."""
        if literal.word and other.entries and literal.word not in other.entries:
            close = get_close_matches(literal.word, other.entries, n=2, cutoff=0.6)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(other.entries)}"
            raise ExpressionError(f"{literal.word!r} is not in that list; {hint}", literal.column)

    # Moving on

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _next_is(self, text: str) -> bool:
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        return following.kind == "sign" and following.text == text

    def _takes(self, sign: str) -> bool:
        if self._now.kind == "sign" and self._now.text == sign:
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            found = "the end" if self._now.kind == "end" else repr(self._now.text)
            raise ExpressionError(f"found {found} where {sign!r} is expected", self._now.column)

    def _deeper(self, column: int) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpressionError(f"is nested more than {_DEEPEST} deep", column)

    def _number(self, term: _Term, what: str) -> _Term:
        if term.kind == "number":
            return term
        found = f"{term.word!r} is a text" if term.word else f"this is a {term.kind}"
        raise ExpressionError(f"{what} needs numbers; {found}", term.column)


def numbers_of(parameter: Choice) -> tuple[int | float, ...] | None:
    """The entries of a list as numbers, or None where one of them is none."""
    found: list[int | float] = []
    for entry in parameter.values:
        number = _number_of(entry)
        if number is None:
            return None
        found.append(number)
    return tuple(found)


def _number_of(text: str) -> int | float | None:
    if re.fullmatch(r"\s*[+-]?\d{1,300}\s*", text, re.ASCII):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _truth(term: _Term, word: str) -> _Term:
    if term.kind != "truth":
        raise ExpressionError(f"{word} joins comparisons; this is a {term.kind}", term.column)
    return term


def _alike(term: _Term, other: _Term) -> _Term:
    """A literal as what it is compared with: `'64'` as a number beside a list of numbers, 64 as a text beside texts."""
    if term.kind == other.kind or not term.word:
        return term
    if term.kind == "text":
        number = _number_of(term.word)
        return term if number is None else _Term("number", lambda point: number, term.column)
    word = term.word
    return _Term("text", lambda point: word, term.column, word)


def _all_of(first: Compute, second: Compute) -> Compute:
    return lambda point: bool(first(point)) and bool(second(point))


def _any_of(first: Compute, second: Compute) -> Compute:
    def either(point: Sequence[ParameterValue]) -> bool:
        try:
            if first(point):
                return True
        except (ArithmeticError, ValueError):
            pass  # what cannot be computed is false, and the other side may still be true
        return bool(second(point))

    return either


def _as_number(value: Value) -> int | float:
    assert not isinstance(value, str), "checked when it was parsed"
    return value


def _power(base: float, exponent: float) -> float:
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent <= 1024 and abs(base) < 1 << 64:
        return _whole(base**exponent)
    return math.pow(base, exponent)


def _times(first: float, second: float) -> float:
    return _whole(first * second)


def _whole(value: float) -> float:
    if isinstance(value, int) and abs(value) > _LONGEST_WHOLE:
        raise OverflowError
    return value


_OPERATIONS: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": lambda first, second: first + second,
    "-": lambda first, second: first - second,
    "*": _times,
    "/": lambda first, second: first / second,
    "%": lambda first, second: first % second,
    "**": _power,
}
_COMPARISONS: Final[Mapping[str, Callable[..., bool]]] = {
    "<": lambda first, second: first < second,
    "<=": lambda first, second: first <= second,
    ">": lambda first, second: first > second,
    ">=": lambda first, second: first >= second,
    "==": lambda first, second: first == second,
    "!=": lambda first, second: first != second,
}
