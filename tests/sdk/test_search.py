"""The search space in Python, and what a function gets of it."""

from typing import Any

import numpy as np
import pytest

from pykatib import search
from pykatib.api.experiment import FeasibleSpace, ParameterSpec
from pykatib.sdk.problem import SearchProblem, check_objective
from pykatib.sdk.search import Dimension


@pytest.mark.parametrize(
    ("dimension", "kind", "space"),
    [
        pytest.param(search.double(0.1, 2), "double", FeasibleSpace("2", "0.1", distribution="uniform"), id="double"),
        pytest.param(
            search.double(1e-5, 1, log=True), "double", FeasibleSpace("1", "1e-05", distribution="logUniform"), id="log"
        ),
        pytest.param(
            search.double(min=0, max=1, step=0.25),
            "double",
            FeasibleSpace("1", "0", step="0.25", distribution="uniform"),
            id="double with a step, by Katib's names",
        ),
        pytest.param(
            search.double(0, 1, distribution="normal"),
            "double",
            FeasibleSpace("1", "0", distribution="normal"),
            id="a distribution",
        ),
        pytest.param(search.int(1, 8, 2), "int", FeasibleSpace("8", "1", step="2", distribution="uniform"), id="int"),
        pytest.param(
            search.categorical(["sgd", True, None, 1]),
            "categorical",
            FeasibleSpace(values=("sgd", "True", "None", "1")),
            id="categorical",
        ),
        pytest.param(search.discrete([0.5, 1]), "discrete", FeasibleSpace(values=("0.5", "1")), id="discrete"),
        pytest.param(
            search.double(np.float64(0.5), np.float64(1)),
            "double",
            FeasibleSpace("1.0", "0.5", distribution="uniform"),
            id="numpy's numbers",
        ),
    ],
)
def test_helpers_state_what_a_manifest_would(dimension: Dimension, kind: str, space: FeasibleSpace) -> None:
    assert dimension.spec("p") == ParameterSpec("p", kind, space)


@pytest.mark.parametrize(
    ("dimension", "text", "value"),
    [
        pytest.param(search.double(0, 1), "1e-05", 1e-05, id="double"),
        pytest.param(search.double(0, 2), "1", 1.0, id="a double that looks whole"),
        pytest.param(search.int(0, 9), "7", 7, id="int"),
        pytest.param(search.categorical(["a", None, False, 3]), "None", None, id="categorical None"),
        pytest.param(search.categorical(["a", None, False, 3]), "False", False, id="categorical bool"),
        pytest.param(search.categorical([(1, 2), (3, 4)]), "(3, 4)", (3, 4), id="categorical tuple"),
        pytest.param(search.discrete([1, 2.5]), "2.5", 2.5, id="discrete float"),
        pytest.param(search.discrete([1, 2.5]), "1", 1, id="discrete int"),
    ],
)
def test_a_function_gets_values_of_the_type_that_was_stated(dimension: Dimension, text: str, value: Any) -> None:
    found = dimension.value_of(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param(lambda: search.double(0, 1, log=True, distribution="normal"), "not both", id="log and more"),
        pytest.param(lambda: search.categorical([1, "1"]), "not all different", id="values of one text"),
        pytest.param(lambda: search.categorical("sgd"), "a list of values is wanted", id="a text"),
        pytest.param(lambda: SearchProblem.of({"x": 1}), "names nothing to search", id="nothing to search"),
        pytest.param(lambda: SearchProblem.of({}), "names nothing to search", id="nothing at all"),
        pytest.param(
            lambda: check_objective(3), "must be callable, got function type: <class 'int'>", id="no function"
        ),
        pytest.param(lambda: check_objective(lambda: 1), "Invalid args in the Objective function", id="no argument"),
        pytest.param(lambda: check_objective(lambda a, b: 1), "Invalid args in the Objective", id="two arguments"),
        pytest.param(lambda: check_objective(lambda *, p: 1), "Invalid args in the Objective", id="by keyword only"),
    ],
)
def test_mistakes_are_said_at_once(wrong: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wrong()


@pytest.mark.parametrize(
    "objective",
    [lambda p: 1, lambda p, more=1: 1, lambda *a: 1, print, dict],
    ids=["one", "more", "any", "print", "dict"],
)
def test_what_takes_one_argument_is_an_objective(objective: Any) -> None:
    check_objective(objective)


def test_constants_are_handed_through_as_they_are() -> None:
    data = object()
    given = {"x": search.int(0, 3), "data": data, "layers": [1, 2]}
    problem = SearchProblem.of(given)
    values = problem.values({"x": "2"})
    assert values == {"x": 2, "data": data, "layers": [1, 2]}
    assert values["data"] is data
    assert [*given] == ["x", "data", "layers"]
