"""Whatever is written, the answer is a value or InvalidInput."""

import copy
from typing import Any

import yaml
from experiment_samples import FROM_CONFIG_MAP, GOOD, GOOD_TEXT, TEMPLATE_TEXT, Catalog, edited, templates
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment
from pykatib.api.manifest import Document, decode_object, load_documents
from pykatib.api.meta import ObjectMeta
from pykatib.api.objects import ConfigMap
from pykatib.api.validation import condition_problem, read_experiment
from pykatib.api.wire import decode, encode

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["${trialParameters.layers}", "1e999", "-0", "nan", "File", "Job", "double", "\ud800", ""])
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
YAML_SCRAPS = st.sampled_from(
    ["a", ":", " ", "\n", "- ", "&x ", "*x", "!!int ", "!", "{", "}", "[", "]", ",", "'", '"', "|", ">", "---", "...",
     "%", "\t", "#", "? ", "<<: ", "1", "0x", "\\", "\r", "\x85", "\u2028", "\x00", "\ufeff"]
)  # fmt: skip


def told(error: InvalidInput) -> None:
    """A refusal says something, in characters that can be printed and sent."""
    assert error.errors
    assert str(error).encode()


def answer(tree: dict[str, Any]) -> Experiment | None:
    try:
        return read_experiment(Document(tree, "fuzz"), catalog=Catalog(), templates=templates)
    except InvalidInput as error:
        told(error)
        return None


def documents(text: str | bytes) -> list[Document]:
    try:
        return load_documents(text, source="fuzz")
    except InvalidInput as error:
        told(error)
        assert str(error).startswith("fuzz: line ")  # noqa: PT017 - refusing is one of two right answers
        return []


@settings(max_examples=300)
@given(st.lists(YAML_SCRAPS, max_size=25).map("".join) | st.text(max_size=40) | st.binary(max_size=40))
@example("a: &x\n<<: *x")
@example("? |\n  a\n: b")
@example("\ud800")
def test_any_text_is_documents_or_a_mistake_with_its_place(text: str | bytes) -> None:
    for document in documents(text):
        assert isinstance(document.value, dict)
        answer(document.value)


@given(st.integers(0, len(GOOD_TEXT)), st.integers(0, 8), st.lists(YAML_SCRAPS, max_size=3).map("".join))
def test_a_text_with_a_slip_is_read_or_refused(start: int, length: int, slip: str) -> None:
    for document in documents(GOOD_TEXT[:start] + slip + GOOD_TEXT[start + length :]):
        answer(document.value)


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from(["metadata", "spec", "status", "x"]), TREES, max_size=4),
    st.sampled_from(["Experiment", "Suggestion", "Trial", "ConfigMap", "Secret"]),
)
def test_any_tree_is_an_object_or_a_list_of_mistakes(tree: dict[str, Any], kind: str) -> None:
    version = "v1" if kind in ("ConfigMap", "Secret") else "kubeflow.org/v1beta1"
    try:
        value = decode_object(Document({**tree, "kind": kind, "apiVersion": version}))
    except InvalidInput as error:
        told(error)
    else:
        assert encode(decode(encode(value), type(value))) == encode(value)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A good manifest in which a few spots, wherever they are, have become something else."""
    tree: dict[str, Any] = copy.deepcopy(draw(st.sampled_from([GOOD, edited(GOOD, FROM_CONFIG_MAP)])))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = tree
        while True:
            key = draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
            if not isinstance(node[key], dict | list) or not node[key] or draw(st.integers(0, 5)) == 0:
                break
            node = node[key]
        action = draw(st.sampled_from(["replace", "delete", "rename"]))
        if action == "replace":
            node[key] = draw(TREES)
        elif action == "rename" and isinstance(node, dict):
            node[key + draw(st.text(max_size=2))] = node.pop(key)
        elif len(tree) > 1:
            del node[key]
    return tree


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_a_manifest_with_a_few_spots_changed_is_accepted_or_refused(tree: dict[str, Any]) -> None:
    experiment = answer(tree)

    if experiment is not None:
        assert decode(encode(experiment), Experiment) == experiment
        assert answer(yaml.safe_load(encode(experiment))) == experiment


@given(st.integers(0, len(TEMPLATE_TEXT)), st.integers(0, 8), st.lists(YAML_SCRAPS, max_size=3).map("".join))
def test_a_template_text_with_a_slip_is_accepted_or_refused(start: int, length: int, slip: str) -> None:
    text = TEMPLATE_TEXT[:start] + slip + TEMPLATE_TEXT[start + length :]

    def found(namespace: str, name: str) -> ConfigMap | None:
        return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data={"job.yaml": text})

    try:
        read_experiment(Document(edited(GOOD, FROM_CONFIG_MAP)), catalog=Catalog(), templates=found)
    except InvalidInput as error:
        told(error)


@given(st.lists(st.sampled_from(list("ab.#()|[]{}@\"'!=<>%:,~*?\\1 ")), max_size=15).map("".join))
def test_any_condition_is_sound_or_has_a_problem(condition: str) -> None:
    problem = condition_problem(condition)

    assert problem is None or problem
