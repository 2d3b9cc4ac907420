"""The pure functions of the command line, as tables."""

from typing import Any

import pytest

from pykatib.api.shared import ParameterAssignment
from pykatib.cli import words
from pykatib.cli.results import record_columns, typed
from pykatib.embedded.overrides import apply_override, parse_overrides


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 120, "5h2m"),
        (8 * 3600 + 120, "8h"),
        (47 * 3600, "47h"),
        (49 * 3600, "2d1h"),
        (9 * 86400 + 3600, "9d"),
        (800 * 86400, "2y"),
    ],
)
def test_ages_read_as_those_of_kubectl(seconds: float, text: str) -> None:
    assert words.age(seconds) == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("0.5", "0.5"),
        ("0.46166626887663953", "0.461666"),
        ("1.2345678901e-12", "1.23457e-12"),
        ("123456789012", "123456789012"),
        ("nan", "nan"),
        ("resnet-50-with-a-long-name", "resnet-50-with-a-long-name"),
        ("1_0.123456789", "1_0.123456789"),
        ("", ""),
    ],
)
def test_long_numbers_are_shortened_and_nothing_else(text: str, short: str) -> None:
    assert words.number(text) == short


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("3.0", 3.0), ("1e3", 1000.0), ("nan", "nan"), ("inf", "inf"), ("adam", "adam"), ("1_0", "1_0")],
)
def test_texts_become_numbers_where_they_are_finite_ones(text: str, value: Any) -> None:
    found = typed(text)
    assert (found, type(found)) == (value, type(value))


def test_tables_have_three_spaces_between_columns_and_none_at_the_end() -> None:
    assert words.columns(("NAME", "AGE"), [("a-long-name", "5s"), ("b", "")]) == [
        "NAME          AGE",
        "a-long-name   5s",
        "b",
    ]


def test_durations_spans_counts_and_assignments() -> None:
    assert (words.duration(0.25), words.duration(75)) == ("0.2s", "75s")
    assert words.span("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z") == 60.0
    assert words.span(None, "2026-01-01T00:01:00Z") is None
    assert words.age_since(None, 0.0) == "<unknown>"
    assert (words.count(1, "Trial"), words.count(0, "Trial")) == ("1 Trial", "0 Trials")
    assert words.assignments([ParameterAssignment("lr", "0.123456789"), ParameterAssignment("n", "3")]) == (
        "lr=0.123457 n=3"
    )


def test_columns_of_records_are_common_ones_then_parameters_then_metrics() -> None:
    records: list[dict[str, Any]] = [
        {"name": 1, "parameters.a": 1, "metrics.x": 1},
        {"name": 2, "parameters.b": 1, "metrics.y": 1},
    ]
    assert record_columns(records) == ["name", "parameters.a", "parameters.b", "metrics.x", "metrics.y"]


@pytest.mark.parametrize(
    ("option", "before", "after"),
    [
        ("spec.objective.goal=0.5", {}, {"spec": {"objective": {"goal": 0.5}}}),
        ("spec.maxTrialCount=", {"spec": {"maxTrialCount": 3}}, {"spec": {"maxTrialCount": None}}),
        (
            'spec.parameters[0].feasibleSpace.max="0.1"',
            {"spec": {"parameters": [{"name": "lr"}]}},
            {"spec": {"parameters": [{"name": "lr", "feasibleSpace": {"max": "0.1"}}]}},
        ),
        (
            "spec.parameters[lr].feasibleSpace.max=1e-3",
            {"spec": {"parameters": [{"name": "n"}, {"name": "lr"}]}},
            {"spec": {"parameters": [{"name": "n"}, {"name": "lr", "feasibleSpace": {"max": "1e-3"}}]}},
        ),
        (
            "metadata.labels[example.com/team]=7",
            {"metadata": {}},
            {"metadata": {"labels": {"example.com/team": "7"}}},
        ),
        (
            "spec.trialTemplate.trialSpec.spec.template.spec.containers[main].image=two",
            {
                "spec": {
                    "trialTemplate": {"trialSpec": {"spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}}}
                }
            },
            {
                "spec": {
                    "trialTemplate": {
                        "trialSpec": {
                            "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "two"}]}}}
                        }
                    }
                }
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_change_the_tree(option: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    (override,) = parse_overrides((option,))
    assert apply_override(before, override) is None
    assert before == after


@pytest.mark.parametrize(
    ("path", "tree"),
    [
        ("spec.objective.goal.x", {}),
        ("spec.parameters[0].name", {"spec": {"parameters": []}}),
        ("spec.parameters.name", {"spec": {"parameters": [{"name": "lr"}]}}),
        ("spec.objective.goal", {"spec": "text"}),
        ("spec.objective.goal", {"spec": []}),
        ("metadata.labels.a.b", {"metadata": {"labels": {"a": "text"}}}),
        ("speck", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_lead_nowhere_are_refused(path: str, tree: dict[str, Any]) -> None:
    (override,) = parse_overrides((f"{path}=1",))
    error = apply_override(tree, override)
    assert error is not None
    assert error.path == f"--set {path}"
