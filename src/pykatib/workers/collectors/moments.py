"""The time that a line states for itself, as Katib's collectors read it: RFC 3339, up to nanoseconds.

Python's own reader takes more (`2024-01-01`, `20240101`, week dates), and a line's first word is often such a thing
without being a moment, so the form is checked first.
"""

import re
from datetime import datetime

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_ZERO_TIME = -62135596800.0
_YEAR_10000 = 253402300800.0
LONGEST = len("2006-01-02T15:04:05.999999999+07:00")


def rfc3339_seconds(text: str) -> float | None:
    """Seconds since the epoch of an RFC 3339 text; None where it is none, or is the zero time (0001-01-01)."""
    if len(text) > LONGEST or _RFC3339.fullmatch(text) is None:
        return None
    try:
        seconds = datetime.fromisoformat(text).timestamp()
    except ValueError:  # the 30th of February
        return None
    return None if seconds == _ZERO_TIME else seconds


def seconds_within_calendar(seconds: float) -> float | None:
    """The same number where it is a moment that can be written as a date of the years 1 to 9999; else None.

    Milliseconds taken for seconds and NaN end here, not in the database.
    """
    return seconds if _ZERO_TIME < seconds < _YEAR_10000 else None
