"""Worker jobs from templates: every placeholder rule, and values that text replacement would break on."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import TrialParameterSpec, TrialTemplate
from pykatib.api.shared import ParameterAssignment
from pykatib.control.rendering import Template, parse_template_text

JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"labels": {"team": "a", "n": 7}, "annotations": {"note": 'say "hi"'}},
}


def source(**references: str) -> TrialTemplate:
    return TrialTemplate(trial_parameters=tuple(TrialParameterSpec(k, "", v) for k, v in references.items()))


def render(body: dict[str, Any], values: dict[str, str], **references: str) -> dict[str, Any]:
    template = Template(source(**references), body)
    assignments = [ParameterAssignment(name, value) for name, value in values.items()]
    rendered: dict[str, Any] = msgspec.json.decode(template.render("e-abc", "ns", assignments))
    return rendered


def rendered_spec(spec: Any, values: dict[str, str], **references: str) -> Any:
    return render({**JOB, "spec": spec}, values, **references)["spec"]


def bare(value: str) -> Any:
    text = "apiVersion: batch/v1\nkind: Job\nspec: {replicas: ${trialParameters.x}}\n"
    return render(parse_template_text(text), {"x": value}, x="x")["spec"]["replicas"]


# Where placeholders stand


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param("${trialParameters.lr}", "0.1", id="a whole text stays a text"),
        pytest.param("--lr=${trialParameters.lr}", "--lr=0.1", id="within a text"),
        pytest.param("${trialParameters.lr}${trialParameters.lr}", "0.10.1", id="twice, side by side"),
        pytest.param({"a": [{"b": "x${trialParameters.lr}y"}]}, {"a": [{"b": "x0.1y"}]}, id="nested"),
        pytest.param({"k-${trialParameters.lr}": 1}, {"k-0.1": 1}, id="in a key"),
        pytest.param([1, 2.5, True, None, {}, [], ""], [1, 2.5, True, None, {}, [], ""], id="everything else stays"),
        pytest.param(
            "{{workflow.name}} $(VAR) ${VAR} $${x}", "{{workflow.name}} $(VAR) ${VAR} $${x}", id="others' own"
        ),
        pytest.param("C:\\${trialParameters.lr}\\n\"'", "C:\\0.1\\n\"'", id="beside quotes and backslashes"),
        pytest.param("\\u0000${trialParameters.lr}\\u0000", "\\u00000.1\\u0000", id="beside escapes spelt out"),
        pytest.param("a\x00${trialParameters.lr}\x00b", "a\x000.1\x00b", id="beside control characters"),
    ],
)
def test_placeholders_are_replaced_wherever_they_stand(spec: Any, expected: Any) -> None:
    assert rendered_spec(spec, {"lr": "0.1"}, lr="lr") == expected


def test_a_placeholder_takes_the_assignment_that_it_refers_to() -> None:
    names = {"learningRate": "--lr", "=": "=x", "n": "trialSpec.Name"}
    spec = "${trialParameters.learningRate} ${trialParameters.=} ${trialParameters.n}"
    assert rendered_spec(spec, {"--lr": "1", "=x": "2", "trialSpec.Name": "3"}, **names) == "1 2 3"


def test_the_job_gets_the_trials_name_and_namespace_whatever_the_template_says() -> None:
    body = {**JOB, "metadata": {**JOB["metadata"], "name": "mine", "namespace": "mine"}}
    assert render(body, {})["metadata"] == {**JOB["metadata"], "name": "e-abc", "namespace": "ns"}
    assert render({"apiVersion": "v1", "kind": "X"}, {})["metadata"] == {"name": "e-abc", "namespace": "ns"}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("${trialSpec.Name}", "e-abc"),
        ("${trialSpec.Namespace}", "ns"),
        ("${trialSpec.Kind}", "Job"),
        ("${trialSpec.APIVersion}", "batch/v1"),
        ("${trialSpec.Labels[team]}", "a"),
        ("${trialSpec.Labels[n]}", "7"),
        ("${trialSpec.Annotations[note]}", 'say "hi"'),
    ],
)
def test_metadata_can_be_referred_to(reference: str, expected: str) -> None:
    assert rendered_spec("<${trialParameters.m}>", {}, m=reference) == f"<{expected}>"


@pytest.mark.parametrize(
    ("body", "references", "path", "words"),
    [
        pytest.param({}, {"m": "${trialSpec.Labels[no]}"}, "trialParameters[0].reference", "Labels[no]", id="no label"),
        pytest.param({}, {"m": "${trialSpec.Spec}"}, "trialParameters[0].reference", "names nothing", id="unknown key"),
        pytest.param({}, {"m": "${trialSpec.Labels}"}, "trialParameters[0].reference", "names nothing", id="no index"),
        pytest.param({"spec": "${trialParameters.x}"}, {}, "trialParameters", "trialParameters.x", id="undeclared"),
        pytest.param({"metadata": "x"}, {}, "metadata", "mapping", id="metadata is a text"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(
    body: dict[str, Any], references: dict[str, str], path: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Template(source(**references), {**JOB, **body})
    [error] = caught.value.errors
    assert path in error.path
    assert words in str(error)


def test_a_missing_assignment_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"no assignment for the parameter 'lr'"):
        rendered_spec("${trialParameters.x}", {"other": "1"}, x="lr")


# Values


@given(st.text())
@example('"')
@example("\\")
@example('a"b\\c\n\t\x00\x1f')
@example("${trialParameters.y}")
@example("${trialSpec.Name}")
@example("é ü 漢字 🙂\u2028")
@example("'''")
@example("{{x}}")
def test_any_value_reaches_the_job_as_it_is(value: str) -> None:
    spec = {"args": ["${trialParameters.x}", "--x=${trialParameters.x}!"], "y": "${trialParameters.y}"}
    expected = {"args": [value, f"--x={value}!"], "y": "2"}
    assert rendered_spec(spec, {"x": value, "y": "2"}, x="x", y="y") == expected


@given(
    st.recursive(
        st.text() | st.integers(-(2**53), 2**53) | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_template_without_placeholders_is_the_job(spec: Any) -> None:
    assert render({**JOB, "spec": spec}, {})["spec"] == spec


# Templates in ConfigMaps


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3),
        ("-3", -3),
        ("+3", 3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-05", 1e-05),
        ("1E5", 1e5),
        ("true", True),
        ("False", False),
        ("yes", True),
        ("off", False),
        ("010", 8),
        ("1_000", 1000),
        ("0x1F", 31),
        ("sgd", "sgd"),
        ("", ""),
        ("null", "null"),
        ("~", "~"),
        ("inf", "inf"),
        ("nan", "nan"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("2026-02-30", "2026-02-30"),
        ("1:30", "1:30"),
        ("a: b", "a: b"),
        ("[1, 2]", "[1, 2]"),
        ("@x", "@x"),
        ("*x", "*x"),
        ("# x", "# x"),
        ("1 # x", "1 # x"),
        ("9" * 400, "9" * 400),
    ],
)
def test_an_unquoted_placeholder_becomes_what_its_value_reads_as(value: str, expected: Any) -> None:
    found = bare(value)
    assert (type(found), found) == (type(expected), expected)


@given(st.text())
@example("=")
@example("<<")
@example("!!python/none")
@example("0" * 20)
def test_any_value_can_stand_unquoted(value: str) -> None:
    found = bare(value)
    assert isinstance(found, bool | int | float) or found == value


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        pytest.param("a: '${trialParameters.x}'", {"a": "1"}, id="single quotes"),
        pytest.param('a: "${trialParameters.x}"', {"a": "1"}, id="double quotes"),
        pytest.param("a: --x=${trialParameters.x}", {"a": "--x=1"}, id="within a text"),
        pytest.param("a: [x, ${trialParameters.x}, '${trialParameters.x}']", {"a": ["x", 1, "1"]}, id="flow list"),
        pytest.param("a: {b: ${trialParameters.x}}", {"a": {"b": 1}}, id="flow mapping"),
        pytest.param("a: |\n    run ${trialParameters.x}\n    end\n", {"a": "run 1\nend\n"}, id="block text"),
        pytest.param("${trialParameters.x}: v", {"1": "v"}, id="key"),
        pytest.param(
            "a: [1.50, 2020-01-01, yes, placeholder0z]", {"a": [1.5, "2020-01-01", True, "placeholder0z"]}, id="rest"
        ),
        pytest.param("a: ${trialParameters.m}", {"a": "Job"}, id="metadata, unquoted"),
        pytest.param("a: ${trialParameters.l}", {"a": 7}, id="a label that reads as a number, unquoted"),
    ],
)
def test_a_config_maps_yaml_is_filled_in(yaml: str, expected: Any) -> None:
    text = f"apiVersion: batch/v1\nkind: Job\nmetadata: {{labels: {{n: '7'}}}}\nspec:\n  {yaml}\n"
    made = Template(source(x="x", m="${trialSpec.Kind}", l="${trialSpec.Labels[n]}"), parse_template_text(text))
    assert msgspec.json.decode(made.render("e", "ns", [ParameterAssignment("x", "1")]))["spec"] == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("- a", id="a list"),
        pytest.param("text", id="a text"),
        pytest.param("a: 1\n---\nb: 2", id="two documents"),
        pytest.param("a: [", id="no YAML"),
        pytest.param("a: &a [x, *a]", id="a loop"),
        pytest.param("a: !!python/object:os.system x", id="a tag"),
    ],
)
def test_text_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_template_text(text)
