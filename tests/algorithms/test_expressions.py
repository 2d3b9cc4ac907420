"""Expressions mean what arithmetic says, and what is wrong with one is told with its column."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykatib.algorithms.conformance import choice, double, integer
from pykatib.algorithms.expression_words import ExpressionError
from pykatib.algorithms.expressions import parse
from pykatib.algorithms.space import SearchSpace

SPACE = SearchSpace.from_specs(
    (
        double("lr", "0.01", "1"),
        integer("num-layers", "1", "5"),
        choice("opt", "categorical", "sgd", "adam-w"),
        choice("bs", "discrete", "16", "32"),
        choice("heads", "categorical", "64", "128"),
    )
)
POINT = (0.5, 3, "adam-w", "16", "64")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("lr < 1", True),
        ("num-layers in 2, 3", True),
        ("num-layers not in (2, 3)", False),
        ("num-layers - 1 == 2", True),
        ("opt == adam-w and not lr > 1", True),
        ("opt in ('sgd', \"adam-w\")", True),
        ("bs * heads <= 1024", True),
        ("heads % bs == 0", True),
        ("1 <= num-layers <= 2", False),
        ("-lr ** 2 == -0.25", True),
        ("2 ** 3 ** 2 == 512 + 0 * lr", True),
        ("min(bs, heads, 5) == 5", True),
        ("heads == '64'", True),
        ("1 / (num-layers - 3) > 0", False),
        ("1 / (num-layers - 3) > 0 or lr < 1", True),
        ("log(lr - 1) < 0", False),
    ],
)
def test_an_expression_holds_where_it_should(text: str, holds: bool) -> None:
    assert parse(text, SPACE.parameters).holds(POINT) is holds


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("lr <", "the end", 5),
        ("lr = 1", "write ==", 4),
        ("lrr < 1", "did you mean lr", 1),
        ("opt < sgd", "no order", 5),
        ("opt == '16'", "not in that list", 8),
        ("lr < opt", "no numbers", 6),
        ("sqr(lr) < 1", "sqrt", 1),
        ("(lr < 1", "')' is expected", 8),
        ("3x < 1", "neither a number nor a name", 1),
        ("lr", "not a comparison", 1),
        ("__import__('os') < 1", "no function", 1),
        ("(" * 100 + "lr < 1" + ")" * 100, "deep", 61),
    ],
)
def test_a_mistake_is_told_with_its_column(text: str, message: str, column: int) -> None:
    with pytest.raises(ExpressionError, match=message.replace("(", r"\(").replace(")", r"\)")) as caught:
        parse(text, SPACE.parameters)

    assert caught.value.column == column


@given(
    st.recursive(
        st.integers(0, 9).map(str),
        lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
        max_leaves=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_arithmetic_is_that_of_python(text: str) -> None:
    assert parse(f"{text} + 0 * num-layers == {eval(text)}", SPACE.parameters).holds(POINT)


@given(st.text(alphabet="lropt bs<=>()+-*/%,'\"`0123.andin", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_either_read_or_refused(text: str) -> None:
    column = 1
    try:
        parse(text, SPACE.parameters).holds(POINT)
    except ExpressionError as error:
        column = error.column

    assert 1 <= column <= len(text) + 1
