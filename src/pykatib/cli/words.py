"""Durations, ages, numbers and assignments as people read them. Pure functions."""

import math
from collections.abc import Iterable, Sequence

from pykatib.api.shared import ParameterAssignment
from pykatib.api.times import seconds_of
from pykatib.control.observation import number_of


def age(seconds: float) -> str:
    """A duration as `kubectl get` prints ages: two units at most, coarser as it grows."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if days < 2:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y"


def age_since(moment: str | None, now: float) -> str:
    """The age of what happened at an RFC 3339 moment."""
    return age(now - seconds_of(moment)) if moment else "<unknown>"


def duration(seconds: float) -> str:
    """How long something took: tenths where they matter."""
    return f"{seconds:.1f}s" if 0 <= seconds < 10 else age(seconds)


def span(start: str | None, end: str | None) -> float | None:
    """Seconds between two RFC 3339 moments, None where one is missing."""
    return max(0.0, seconds_of(end) - seconds_of(start)) if start and end else None


def number(text: str) -> str:
    """A metric's or parameter's text, shortened to six digits where it is a long number."""
    value = number_of(text)
    if value is None or not math.isfinite(value) or len(text) <= 8:
        return text
    if value.is_integer() and abs(value) < 1e15 and "." not in text and "e" not in text.lower():
        return text
    return f"{value:.6g}"


def assignments(found: Iterable[ParameterAssignment]) -> str:
    """`lr=0.01 layers=3`."""
    return " ".join(f"{one.name}={number(one.value)}" for one in found)


def count(number_of_things: int, thing: str) -> str:
    """`1 Trial`, `2 Trials`."""
    return f"{number_of_things} {thing}" if number_of_things == 1 else f"{number_of_things} {thing}s"


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table as `kubectl` prints it: left-aligned, three spaces between columns, none at the end."""
    table = [tuple(header), *(tuple(cell.replace("\n", " ") for cell in row) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
