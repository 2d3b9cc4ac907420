"""The words and signs that an expression is made of, with their columns."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
NAME = re.compile(r"[^\W\d]\w*")
_SIGNS = ("**", "<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",")
_WORDS = frozenset({"and", "or", "not", "in"})
_INSIDE_NAME = re.compile(r"\w")


class ExpressionError(ValueError):
    """What is wrong with a text, and at which of its columns, counted from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"{message} (column {column})")
        self.column = column


class Token(NamedTuple):
    """One of them."""

    kind: Literal["number", "name", "text", "sign", "end"]
    text: str
    column: int


def tokens_of(text: str, known: Sequence[str]) -> list[Token]:
    """The words of a text, and an end; `known` names may hold signs where they begin with a letter or digit."""
    odd_names = {name for name in known if not NAME.fullmatch(name) and not NUMBER.fullmatch(name)}
    odd_names = {name for name in odd_names if _INSIDE_NAME.match(name) and _INSIDE_NAME.match(name[-1])}
    longest_first = sorted(odd_names, key=lambda name: (-len(name), name))
    found: list[Token] = []
    place = 0
    while place < len(text):
        letter, column = text[place], place + 1
        if letter.isspace():
            place += 1
            continue
        odd = next(
            (name for name in longest_first if text.startswith(name, place) and _ends_at(text, place + len(name))), None
        )
        if letter in "'\"`":
            end = text.find(letter, place + 1)
            if end < 0:
                raise ExpressionError(f"the {letter} has no end", column)
            found.append(Token("name" if letter == "`" else "text", text[place + 1 : end], column))
            place = end + 1
        elif odd is not None:
            found.append(Token("name", odd, column))
            place += len(odd)
        elif number := NUMBER.match(text, place):
            found.append(Token("number", number[0], column))
            place = number.end()
            if place < len(text) and _INSIDE_NAME.match(text[place]):
                raise ExpressionError(f"{number[0]}{text[place]}… is neither a number nor a name", column)
        elif name := NAME.match(text, place):
            found.append(Token("sign" if name[0] in _WORDS else "name", name[0], column))
            place = name.end()
        else:
            sign = next((sign for sign in _SIGNS if text.startswith(sign, place)), None)
            if sign is None:
                hint = {"=": "; write == for equality", "&": "; write and", "|": "; write or", "^": "; write **"}
                raise ExpressionError(f"found {letter!r}{hint.get(letter, ', which is no operator')}", column)
            found.append(Token("sign", sign, column))
            place += len(sign)
    found.append(Token("end", "", len(text.rstrip()) + 1))
    return found


def _ends_at(text: str, place: int) -> bool:
    return place >= len(text) or not _INSIDE_NAME.match(text[place])
