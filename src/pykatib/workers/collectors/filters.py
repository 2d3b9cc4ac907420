"""The expressions that find `name=value` in a line: Katib's default, derived from the wanted names, and users' own.

Katib's default filter is `KATIB_DEFAULT` below. Ours finds what it finds for the wanted names, and differs where
Katib's disappoints: `loss=` records nothing instead of an empty value, `loss=nan` and `loss=-inf` record what they
say, and a wanted name may hold any character (`val/acc`, `top 1`). Spelling the wanted names out also keeps it linear:
a general name class is tried at every letter of a line. One difference is a loss: in `a=1loss=2`, Katib goes on right
behind the `1`; here `1loss` is another word.

Users' filters are Go's RE2 (`re2.py`); group 1 is the name, group 2 the value.
"""

import re
from collections.abc import Iterable

from pykatib.workers.collectors.re2 import Unsupported, translate

KATIB_DEFAULT = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"

_NUMBER = r"[+-]?(?:(?:\d+(?:\.\d+)?|\.\d+)(?:[Ee][+-]?\d+)?|(?i:nan|inf(?:inity)?)(?!\w))"
_PLAIN_NAME = re.compile(r"[\w|-]+", re.ASCII)


def default_filter(metric_names: Iterable[str]) -> re.Pattern[str]:
    """The filter that is used where the manifest gives none.

    A name is matched as a whole word in the sense of Katib's class `[\\w|-]`: `val-loss=1` is not `loss`. A name with
    other characters is not matched behind `/` or `.` either: `train/val/acc=1` is not `val/acc`.
    """
    longest_first = sorted(set(metric_names), key=len, reverse=True)
    alternatives = (
        re.escape(name) if _PLAIN_NAME.fullmatch(name) else rf"(?<![/.]){re.escape(name)}" for name in longest_first
    )
    return re.compile(rf"(?<![\w|-])({'|'.join(alternatives)})\s*=\s*({_NUMBER})", re.ASCII)


def compile_filter(pattern: str, metric_names: Iterable[str]) -> re.Pattern[str]:
    """The compiled filter; Katib's default, spelt out, means the default.

    Raises:
        ValueError: see `check_filter`.
    """
    if pattern.strip() == KATIB_DEFAULT:
        return default_filter(metric_names)
    try:
        compiled = re.compile(translate(pattern), re.ASCII)
    except Unsupported as error:
        raise ValueError(str(error)) from error
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    if compiled.groups < 2:
        raise ValueError(
            f"{pattern!r} has {compiled.groups} group(s); two are needed, the metric's name and its value, "
            f"as in {KATIB_DEFAULT}"
        )
    return compiled


def check_filter(pattern: str) -> str | None:
    """What is wrong with a `metricsFormat` entry, in words for its author; None where nothing is."""
    try:
        compile_filter(pattern, ())
    except ValueError as error:
        return str(error)
    return None
