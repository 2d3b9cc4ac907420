"""The texts in a program's arguments, read into values; what is wrong with them is named by its path."""

from typing import Any, Final

from pykatib.algorithms.nas.operations import whole_from_one
from pykatib.algorithms.nas.strings import from_text
from pykatib.api.errors import FieldError, InvalidInput

MOST_SHOWN: Final = 60


def read_text(text: str, path: str) -> Any:
    """The value of a text as architecture search writes it."""
    try:
        return from_text(text)
    except ValueError as error:
        raise refused(path, f"found {short(text)}, which is no JSON: {error}") from None


def refused(path: str, message: str) -> InvalidInput:
    """A mistake at a place."""
    return InvalidInput([FieldError(path, message)])


def whole(value: object, path: str, *, at_least: int = 1) -> int:
    """A whole number, written as one or as a text."""
    if at_least == 0 and (value == 0 or value == "0"):
        return 0
    number = None if isinstance(value, bool) else whole_from_one(value)
    if number is None or number < at_least:
        raise refused(path, f"found {short(value)}, wanted a whole number from {at_least}")
    return number


def short(value: object) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"
