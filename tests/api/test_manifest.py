"""Texts become documents, documents become objects; what cannot, is said with its place."""

import json

import msgspec
import pytest
from experiment_samples import GOOD, GOOD_TEXT

from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.manifest import MAX_BYTES, Document, decode_object, load_documents
from pykatib.api.objects import ConfigMap, Secret
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.api.wire import decode, encode

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefghij", "bcdefghijk", strict=True)
)
LADDER = "a0: &a0 [x]\n" + "".join(f"a{level}: &a{level} [*a{level - 1}]\n" for level in range(1, 200))


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\n\tb: 2", "line 2, column 1", "a tab is used where YAML wants spaces"),
        ("a:\n\t- b", "line 2, column 1", "a tab is used where YAML wants spaces"),
        ("a: [1, 2", "line 2, column 1", "did not find expected ',' or ']'"),
        ("a: b: c", "line 1, column 5", "mapping values are not allowed"),
        ("a: 1\na: 2", "line 2, column 1", "the key `a` stands twice"),
        ('{"a": 1,\n "a": 2}', "line 2, column 2", "the key `a` stands twice"),
        ('{"a": "\\ud800"}', "line 1, column 10", "invalid Unicode"),
        ('a: "\ud800"', "line 1, column 5", "half of a surrogate pair"),
        ("x: &a [*a]", "line 1, column 8", "no finished anchor"),
        ("*a", "line 1, column 1", "no finished anchor"),
        (BOMB, "line 7", "aliases repeat more than"),
        (LADDER, "line 100", "the nesting is deeper than 100 levels"),
        ("a: &b x\n*b : 1", "line 2, column 1", "an alias as a key"),
        ("<<: 3", "line 1, column 5", "`<<` merges mappings only"),
        ("? [a]\n: 1", "line 1, column 3", "a mapping's key must be a single value"),
        ("a: !!python/object/apply:os.system [ls]", "line 1, column 4", "the tag `python/object/apply:os.system`"),
        ("a: !secret x", "line 1, column 4", "the tag `!secret` is not understood"),
        ("a: !!int x", "line 1, column 4", "is not of the type that its tag says"),
        ("- a", "line 1, column 1", "a document must be a mapping"),
        ("a: 1\n---\nhello", "line 2, column 1", "this one is a single value"),
        ("a: " + "9" * 5000, "line 1, column 4", "a number of 5000 digits"),
        ("[" * 100_000, "line 1", "nesting"),
        ("a: \x00", "line 1, column 4", "found the control character 0x00"),
        (b"a: \xff", "line 1, column 4", "not UTF-8 text: found the byte 0xff"),
        (b"\x89PNG\r\n", "line 1, column 1", "not UTF-8 text"),
        ("%YAML 9.9\n---\na: 1", "line 1, column 1", "this is not YAML"),
        ('{"a": ' * 90 + "1" + "}" * 90 + "]", "line 1", "this is not YAML"),
        ('{"a": ' * 101 + "1" + "}" * 101, "line 1", "the nesting is deeper than 100 levels"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_manifest_is_refused_with_source_line_and_column(text: str | bytes, place: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_documents(text, source="tune.yaml")

    assert str(caught.value).startswith(f"tune.yaml: {place}")
    assert words in str(caught.value)


def test_a_text_beyond_the_cap_is_refused_and_the_cap_named() -> None:
    with pytest.raises(InvalidInput, match="at most 16777216 \\(16 MiB\\) are read"):
        load_documents(b" " * (MAX_BYTES + 1), source="big.yaml")


def test_letters_count_in_bytes_towards_the_cap() -> None:
    with pytest.raises(InvalidInput, match="16 MiB"):
        load_documents("é" * (MAX_BYTES // 2 + 1), source="big.yaml")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", False),
        ("on", True),
        ("'no'", "no"),
        ("1e-3", 0.001),
        ("012", 10),
        ("08", 8.0),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("~", None),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("99999999999999999999", 1e20),
        (".5", 0.5),
    ],
)
def test_scalars_read_as_kubectl_reads_them(written: str, value: object) -> None:
    read = load_documents(f"a: {written}", source="")[0].value["a"]

    assert read == value
    assert type(read) is type(value)


def test_documents_keep_their_order_and_lines_and_empty_ones_are_left_out() -> None:
    documents = load_documents("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n", source="f")

    assert [(document.value, document.line) for document in documents] == [({"a": 1}, 2), ({"b": 2}, 6)]


def test_anchors_and_merges_are_understood() -> None:
    documents = load_documents("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n", source="")

    assert documents[0].value == {"a": {"x": 1, "y": 2}, "b": {"y": 3, "x": 1}, "c": {"x": 1, "y": 2}}


def test_a_byte_order_mark_does_no_harm() -> None:
    assert load_documents("\ufeffa: 1".encode(), source="") == load_documents("\ufeffa: 1", source="")


def test_json_with_emoji_and_slashes_is_read() -> None:
    text = '{"a": "\\ud83d\\ude00 \\/", "b": [1.5, true, null]}'

    assert load_documents(text, source="")[0].value == {"a": "\U0001f600 /", "b": [1.5, True, None]}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (GOOD_TEXT, Experiment),
        (json.dumps(GOOD), Experiment),
        ("{apiVersion: kubeflow.org/v1beta1, kind: Suggestion, metadata: {name: a}, spec: {requests: 3}}", Suggestion),
        ("{apiVersion: kubeflow.org/v1beta1, kind: Trial, metadata: {name: a}, spec: {runSpec: {kind: Job}}}", Trial),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: c, d: null}}", ConfigMap),
        ("{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {b: c}}", Secret),
    ],
    ids=["yaml", "json", "suggestion", "trial", "config map", "secret"],
)
def test_objects_survive_the_way_to_json_and_back(text: str, kind: type) -> None:
    value = decode_object(load_documents(text, source="f")[0])

    assert type(value) is kind
    again = decode(encode(value), kind)
    assert encode(again) == encode(value)
    assert decode_object(Document(msgspec.json.decode(encode(value)))) == again


def test_nothing_written_is_the_same_as_nothing_said() -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: null}, data: null}"

    assert decode_object(load_documents(text, source="")[0]) == decode_object(
        load_documents("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", source="")[0]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{kind: Pod, apiVersion: v1}", 'kind: found "Pod"; known kinds are Experiment, Suggestion, Trial'),
        ("{kind: configmap, apiVersion: v1}", "did you mean `ConfigMap`?"),
        ("{kind: [x]}", "kind: found a list; known kinds"),
        ("{a: 1}", "kind: is required; known kinds are"),
        ("{kind: ConfigMap, apiVersion: v1, metadata: {}}", "metadata.name: is required"),
        ("{kind: ConfigMap, apiVersion: v2, metadata: {name: a}}", 'found "v2"; the kind ConfigMap is of v1'),
        ("{kind: ConfigMap, apiVersion: v1, metadata: {name: a}, data: {x: 1}}", "data.x: found the number 1"),
        (
            "{kind: Trial, apiVersion: kubeflow.org/v1beta1, metadata: {name: a}, "
            "spec: {parameterAssignments: [{name: 1}, {value: x}], earlyStoppingRules: [3]}}",
            "spec.parameterAssignments[0].value: is required",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_object_of_ours_is_refused_with_its_source(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_object(load_documents(text, source="f.yaml")[0])

    assert str(caught.value).startswith("f.yaml: ")
    assert words in str(caught.value)
