"""Filters are Go's RE2: what reads differently in Python is translated, what Python or Katib cannot do is refused."""

import re

import pytest

from pykatib.workers.collectors.filters import KATIB_DEFAULT, check_filter
from pykatib.workers.collectors.re2 import translate


@pytest.mark.parametrize(
    "pattern",
    [
        KATIB_DEFAULT,
        r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}",
        r"([\w-]+)=(Genotype.*)",
        r"(?P<name>\w+)=(?P<value>\d+)",
        r"(\w+)\s*[:=]+\s*([0-9.]+?)\z",
        r"((?:\w+-)*\w+)=(\d+)",
    ],
)
def test_a_filter_with_a_name_and_a_value_is_good(pattern: str) -> None:
    assert check_filter(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r"loss=(\d+)", "two are needed"),
        (r"(loss)=(?:\d+)", "two are needed"),
        (r"(loss=(\d+)", "not closed"),
        (r"(loss))=(\d+)", "not opened"),
        (r"(loss)=([0-9)", "not closed"),
        (r"*(loss)=(\d)", "regular expression"),
        (r"(?<=x)(loss)=(\d+)", "lookaround"),
        (r"(a)(?!b)(c)", "lookaround"),
        (r"(loss)=(\d+) \1", "back"),
        (r"(?P<a>x)(?P=a)(y)", "RE2"),
        (r"(?>a)(b)(c)", "RE2"),
        (r"(\pL+)=(\d+)", "not supported"),
        (r"(?U)(a+)=(b)", "flag U"),
        (r"(a++)(b)", "RE2"),
        (r"(a)(b)\Z", "not an escape"),
        (r"(a)(b){1001}", "1000"),
        (r"([[:letter:]]+)=(\d)", "alpha"),
        (r"(\w+)+=(\d)", "for ever"),
        (r"((\w+))*=(\d)", "for ever"),
        ("(a)(b)\\", "backslash"),
    ],
)
def test_a_bad_filter_is_refused_in_words(pattern: str, word: str) -> None:
    problem = check_filter(pattern)
    assert problem is not None
    assert word in problem


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"a(?i)b|c", "aB", "aB"),
        (r"a(?i)b|c", "C", "C"),
        (r"a(?i)b|c", "A", None),
        (r"(x(?i)y)z", "xYz", "xYz"),
        (r"(x(?i)y)z", "xyZ", None),
        (r"(?i)loss", "LOSS", "LOSS"),
        (r"(?<n>a)b", "ab", "ab"),
        (r"a\z", "a", "a"),
        (r"a{,2}", "a{,2}", "a{,2}"),
        (r"{a}", "{a}", "{a}"),
        (r"a{2,}b", "aaab", "aaab"),
        (r"\Qa.b\E+", "a.bbb", "a.bbb"),
        (r"\Qa.b\E", "axb", None),
        (r"[[:alpha:]_]+", "ab_1", "ab_"),
        (r"[^[:digit:]]+", "ab1", "ab"),
        (r"[[:punct:]]+", "a[`~!b", "[`~!"),
        (r"[\w-.]+", "a-.b", "a-.b"),
        (r"[]a]+", "]a", "]a"),
        (r"[^]a]+", "]b", "b"),
        (r"[a||b&&c~~[]+", "|&~[", "|&~["),
        (r"[+--]+", "+,-.", "+,-"),
        (r"[a-c-]+", "b-d", "b-"),
        (r"\x{1F600}\x41\101", "\U0001f600AA", "\U0001f600AA"),
        (r"\_\-\"", '_-"', '_-"'),
        (r"\w+", "é", None),
        (r"(?s:.)+?b", "a\nb", "a\nb"),
    ],
)
def test_an_expression_means_in_python_what_it_means_in_go(pattern: str, text: str, found: str | None) -> None:
    match = re.compile(translate(pattern), re.ASCII).search(text)
    assert (match[0] if match else None) == found
