"""Types of command-line options, so that a value that cannot train is refused at once, by its option's name."""

import math
from argparse import ArgumentTypeError


def positive(text: str) -> float:
    """A finite number above zero."""
    number = finite(text)
    if number <= 0:
        raise ArgumentTypeError(f"{text} is not above 0")
    return number


def not_negative(text: str) -> float:
    """A finite number, zero included."""
    number = finite(text)
    if number < 0:
        raise ArgumentTypeError(f"{text} is below 0")
    return number


def share(text: str) -> float:
    """A number from 0 up to, but not including, 1."""
    number = not_negative(text)
    if number >= 1:
        raise ArgumentTypeError(f"{text} is not below 1")
    return number


def finite(text: str) -> float:
    """A number that is neither infinite nor `nan`."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ArgumentTypeError(f"{text!r} is not a finite number")
    return number


def count(text: str) -> int:
    """A whole number from 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return number
