"""Kubernetes' quantities (`500m`, `1Gi`, `2e3`), read exactly and never through a float."""

import re
from decimal import Decimal
from fractions import Fraction

_SUFFIXES: dict[str, Fraction] = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([numkMGTPE]i?|Ki)|[eE]([+-]?[0-9]{1,4}))?")


def parse_quantity(written: str | int | float) -> Fraction:
    """The exact number that a quantity stands for. Raises ValueError with what would do."""
    text = str(written)
    match = _QUANTITY.fullmatch(text)
    if match is None or (suffix := match[2] or "") not in _SUFFIXES:
        raise ValueError(f"found {text!r}; a quantity is a number with an optional suffix, such as 0.5, 500m or 1Gi")
    number = Fraction(Decimal(match[1]))
    if match[3] is not None:
        return number * Fraction(10) ** int(match[3])
    return number * _SUFFIXES[suffix]
