"""Prometheus' text exposition format and OpenMetrics, as far as single samples go.

    loss{phase="train",host="a \\"b\\""} 0.31 1638422847287
    {"val.acc", phase="train"} 0.9            (names in UTF-8 form)

`#` begins a comment, an exemplar behind a sample included. Timestamps are milliseconds in Prometheus' format and
seconds in OpenMetrics. Types and help are not needed for reading a number.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_NAME = re.compile(r"[A-Za-z_:][\w:]*", re.ASCII)
_LABEL = re.compile(r"\s*(?:([A-Za-z_][\w.]*)|\"((?:[^\"\\]|\\.)*)\")\s*(?:=\s*\"((?:[^\"\\]|\\.)*)\")?\s*,?", re.ASCII)
_ESCAPE = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One sample; `timestamp` in seconds since the epoch where the exposition states one."""

    name: str
    labels: Mapping[str, str]
    value: str
    timestamp: float | None


def samples_of(text: str, *, timestamps_in_seconds: bool = False) -> Iterator[Sample]:
    """The samples of an exposition, in order; lines that are none are passed over."""
    for line in text.splitlines():
        sample = _sample(line.strip(), timestamps_in_seconds=timestamps_in_seconds)
        if sample is not None:
            yield sample


def _sample(line: str, *, timestamps_in_seconds: bool) -> Sample | None:
    if not line or line.startswith("#"):
        return None
    series = _series(line)
    if series is None:
        return None
    name, labels, at = series
    words = line[at:].partition("#")[0].split()
    if not 1 <= len(words) <= 2:
        return None
    try:
        float(words[0])
        stamp = float(words[1]) if len(words) == 2 else None
    except ValueError:
        return None
    if stamp is not None and not timestamps_in_seconds:
        stamp /= 1000
    return Sample(name, labels, words[0], stamp)


def parse_series(text: str) -> tuple[str, Mapping[str, str]] | None:
    """The name and labels of `name` or `name{label="x"}`; None where the text is neither."""
    series = _series(text.strip())
    if series is None or series[2] != len(text.strip()):
        return None
    return series[0], series[1]


def _series(line: str) -> tuple[str, dict[str, str], int] | None:
    named = _NAME.match(line)
    name, at = (named[0], named.end()) if named is not None else ("", 0)
    labels: dict[str, str] = {}
    brace = at + len(line[at:]) - len(line[at:].lstrip())
    if line.startswith("{", brace):
        at = brace + 1
        while not line.startswith("}", at):
            label = _LABEL.match(line, at)
            if label is None:
                return None
            key = label[1] or _unescaped(label[2] or "")
            if label[3] is None:  # a name in quotes stands where a label could
                name = name or key
            else:
                labels[key] = _unescaped(label[3])
            at = label.end() + len(line[label.end() :]) - len(line[label.end() :].lstrip())
        at += 1
    return (name, labels, at) if name else None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)
