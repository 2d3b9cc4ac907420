"""The search space: bounds, steps, formats and the refusal of spaces that make none."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykatib.algorithms.conformance import SPACES, choice, double, integer
from pykatib.algorithms.distributions import DISTRIBUTION_NAMES
from pykatib.algorithms.parameters import Choice
from pykatib.algorithms.space import SearchSpace
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import FeasibleSpace, ParameterSpec
from pykatib.api.shared import ParameterAssignment

LOGARITHMIC = ("logUniform", "logNormal")


@st.composite
def numeric_specs(draw: st.DrawFn) -> ParameterSpec:
    """Any double or int with sound bounds, as a user might write it."""
    distribution = draw(st.sampled_from(["", *DISTRIBUTION_NAMES]))
    positive = distribution in LOGARITHMIC
    if draw(st.booleans()):
        low = draw(st.integers(1 if positive else -(2**63), 2**63))
        high = draw(st.integers(low, low + 2**63))
        step = draw(st.one_of(st.just(""), st.integers(1, 2**40).map(str)))
        return integer("p", str(low), str(high), step, distribution)
    places = draw(st.integers(0, 12))
    first = draw(st.integers(1 if positive else -(10**9), 10**9))
    width = draw(st.integers(0, 10**9))
    number = [str(Decimal(value).scaleb(-places)) for value in (first, first + width)]
    step = draw(st.one_of(st.just(""), st.integers(1, 10**9).map(lambda k: str(Decimal(k).scaleb(-places)))))
    return double("p", number[0], number[1], step, distribution)


@st.composite
def specs(draw: st.DrawFn) -> ParameterSpec:
    if draw(st.booleans()):
        return draw(numeric_specs())
    kind = draw(st.sampled_from(["discrete", "categorical"]))
    texts = st.one_of(st.text(max_size=5), st.integers().map(str), st.floats().map(repr))
    return choice("p", kind, *draw(st.lists(texts, min_size=1, max_size=8)))


UNITS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, 5e-324, 1 - 2**-53]))


@given(specs(), UNITS, st.integers(0, 2**64 - 1))
@settings(max_examples=400, deadline=None)
def test_every_place_of_the_unit_cube_and_every_word_gives_a_point_of_the_space(
    spec: ParameterSpec, unit: float, word: int
) -> None:
    space = SearchSpace.from_specs([spec])

    for point in (space.from_unit([unit]), space.from_words([word])):
        assert space.contains(point)
        assert space.parse(space.format(point)) == point
        assert 0.0 <= space.to_unit(point)[0] <= 1.0


@given(numeric_specs(), st.lists(UNITS, min_size=2, max_size=2))
@settings(max_examples=200, deadline=None)
def test_a_greater_unit_number_never_gives_a_smaller_value(spec: ParameterSpec, units: list[float]) -> None:
    space = SearchSpace.from_specs([spec])
    low, high = (space.from_unit([unit])[0] for unit in sorted(units))

    assert not isinstance(low, str)
    assert not isinstance(high, str)
    assert low <= high


@given(specs(), st.integers(0, 2**70))
@settings(max_examples=200, deadline=None)
def test_numbers_of_points_go_there_and_back(spec: ParameterSpec, number: int) -> None:
    space = SearchSpace.from_specs([spec])
    if space.size is None:
        with pytest.raises(IndexError):
            space.at(0)
    else:
        index = number % space.size
        assert space.index_of(space.at(index)) == index
        with pytest.raises(IndexError):
            space.at(space.size)


@given(numeric_specs())
@settings(max_examples=200, deadline=None)
def test_steps_are_counted_from_min_exactly(spec: ParameterSpec) -> None:
    feasible = spec.feasible_space
    space = SearchSpace.from_specs([spec])
    if space.size is None:
        return
    step = Fraction(feasible.step or "1")
    low, high = Fraction(feasible.min), Fraction(feasible.max)
    if step and low < high:
        assert space.size == (high - low) // step + 1
        for index in {0, space.size // 2, space.size - 1}:
            exact = low + index * step
            assert space.at(index)[0] == (int(exact) if spec.parameter_type == "int" else float(exact))


@pytest.mark.parametrize("name", SPACES)
def test_the_middle_of_a_cell_leads_back_to_its_value(name: str) -> None:
    space = SearchSpace.from_specs(SPACES[name])
    generator = np.random.Generator(np.random.Philox(3))
    for _ in range(50):
        point = space.sample(generator)
        back = space.from_unit(space.to_unit(point))
        for parameter, value, again in zip(space.parameters, point, back, strict=True):
            if parameter.count is None:
                assert isinstance(value, float)
                assert isinstance(again, float)
                low, high = float(parameter.min), float(parameter.max)
                assert math.isclose(value, again, rel_tol=1e-9, abs_tol=1e-9 * (high / 2 - low / 2))
            elif parameter.count < 2**40:
                assert value == again


def test_katibs_example_steps_print_without_noise() -> None:
    space = SearchSpace.from_specs([double("lr", "0.01", "0.05", "0.005")])
    assert space.size == 9
    texts = [space.format(space.at(index))[0].value for index in range(space.size)]

    assert texts == ["0.01", "0.015", "0.02", "0.025", "0.03", "0.035", "0.04", "0.045", "0.05"]


@pytest.mark.parametrize(
    ("spec", "texts"),
    [
        pytest.param(double("p", "0", "1", "0.3"), ["0.0", "0.3", "0.6", "0.9"], id="max off the steps"),
        pytest.param(double("p", "5", "7", "0.8"), ["5.0", "5.8", "6.6"], id="from min, not from zero"),
        pytest.param(double("p", "1e-5", "3e-5", "1e-5"), ["1e-05", "2e-05", "3e-05"], id="exponents"),
        pytest.param(double("p", "-1", "1", "1"), ["-1.0", "0.0", "1.0"], id="across zero"),
        pytest.param(double("p", "1e300", "3e300", "1e300"), ["1e+300", "2e+300", "3e+300"], id="large"),
        pytest.param(integer("p", "1", "10", "4"), ["1", "5", "9"], id="int with step"),
        pytest.param(integer("p", "1e1", "12.0"), ["10", "11", "12"], id="whole numbers however written"),
        pytest.param(
            integer("p", "9223372036854775806", "9223372036854775808"),
            ["9223372036854775806", "9223372036854775807", "9223372036854775808"],
            id="beyond doubles",
        ),
        pytest.param(choice("p", "discrete", "0.10", "1e-3", "5"), ["0.10", "1e-3", "5"], id="discrete as written"),
        pytest.param(choice("p", "categorical", "b", "a", "b"), ["b", "a"], id="repeated entry counts once"),
    ],
)
def test_the_values_of_a_finite_parameter(spec: ParameterSpec, texts: list[str]) -> None:
    space = SearchSpace.from_specs([spec])

    assert [space.format(space.at(index))[0].value for index in range(space.size or 0)] == texts


def test_points_are_counted_with_the_last_parameter_fastest() -> None:
    space = SearchSpace.from_specs([integer("a", "1", "2"), choice("b", "categorical", "x", "y", "z")])

    assert [space.at(index) for index in range(6)] == [(1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z")]


def test_a_discrete_list_of_numbers_lies_in_the_unit_interval_in_the_order_of_the_numbers() -> None:
    parameter = Choice("p", "discrete", ["10", "2", "3.5"])

    assert parameter.ordinal
    assert [parameter.from_unit(unit) for unit in (0.1, 0.5, 0.9)] == ["2", "3.5", "10"]
    assert [parameter.to_unit(value) for value in ("2", "3.5", "10")] == [1 / 6, 1 / 2, 5 / 6]


@pytest.mark.parametrize(
    ("spec", "text", "value"),
    [
        pytest.param(double("p", "0", "1"), "5e-1", 0.5, id="exponent"),
        pytest.param(double("p", "0", "1"), "1", 1.0, id="double without a point"),
        pytest.param(double("p", "0.01", "0.05", "0.005"), "0.049999999999999996", 0.05, id="noise of others"),
        pytest.param(integer("p", "0", "20"), "10.0", 10, id="int with a point"),
        pytest.param(integer("p", "0", "20"), "1e1", 10, id="int with an exponent"),
        pytest.param(choice("p", "discrete", "0.10", "0.2"), "0.1", "0.10", id="discrete by number"),
        pytest.param(choice("p", "categorical", "0.10", "0.1"), "0.1", "0.1", id="categorical by text"),
    ],
)
def test_texts_of_others_are_understood(spec: ParameterSpec, text: str, value: float | int | str) -> None:
    found = SearchSpace.from_specs([spec]).parse([ParameterAssignment("p", text)])[0]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("spec", "text", "message"),
    [
        pytest.param(double("p", "0", "1"), "1.5", "1.5 is not between 0.0 and 1.0", id="outside"),
        pytest.param(double("p", "0", "1"), "nan", "nan is not between", id="not a number"),
        pytest.param(double("p", "0", "1", "0.5"), "0.4", "0.4 is not among 0.0, 0.5", id="off the steps"),
        pytest.param(double("p", "0", "1"), "x", "x is not a number", id="no number"),
        pytest.param(integer("p", "0", "9"), "1.5", "1.5 is not a whole number", id="fraction"),
        pytest.param(choice("p", "categorical", "a", "b"), "c", "c is not in the list a, b", id="not in the list"),
    ],
)
def test_texts_outside_the_space_are_refused_with_what_would_do(spec: ParameterSpec, text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SearchSpace.from_specs([spec]).parse([ParameterAssignment("p", text)])

    assert caught.value.errors[0].path == "parameterAssignments.p"
    assert caught.value.errors[0].message.startswith(message)


def test_a_missing_assignment_is_named_and_one_of_another_name_is_left_aside() -> None:
    space = SearchSpace.from_specs([integer("a", "1", "2"), integer("b", "1", "2")])
    with pytest.raises(InvalidInput) as caught:
        space.parse([ParameterAssignment("a", "1"), ParameterAssignment("c", "1")])

    assert [str(error) for error in caught.value.errors] == ["parameterAssignments.b: is missing"]


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        pytest.param(
            double("p", "2", "1"), ["feasibleSpace.min: must not be greater than max: found 2 and 1"], id="order"
        ),
        pytest.param(
            double("p", "0", "1", "0"), ["feasibleSpace.step: must be greater than zero, found 0"], id="no step at all"
        ),
        pytest.param(
            integer("p", "0", "9", "-1"), ["feasibleSpace.step: must be greater than zero, found -1"], id="backwards"
        ),
        pytest.param(
            double("p", "0", "1", "", "logUniform"),
            ["feasibleSpace.min: must be greater than zero with logUniform, found 0"],
            id="logarithm of zero",
        ),
        pytest.param(
            double("p", "a", "inf"),
            ["feasibleSpace.min: a is not a number", "feasibleSpace.max: inf is not a number that a double can hold"],
            id="no numbers",
        ),
        pytest.param(integer("p", "", "3"), ["feasibleSpace.min: '' is not a number"], id="empty"),
        pytest.param(integer("p", "0.5", "3"), ["feasibleSpace.min: 0.5 is not a whole number"], id="fractional int"),
        pytest.param(
            double("p", "0", "1", "1e-999"),
            ["feasibleSpace.step: 1e-999 is not a number that a double can hold"],
            id="too small for a double",
        ),
        pytest.param(
            integer("p", "0", "9" * 400),
            [f"feasibleSpace.max: {'9' * 400} is not a number that a double can hold"],
            id="too large for a double",
        ),
        pytest.param(choice("p", "discrete"), ["feasibleSpace.list: needs at least one value"], id="empty list"),
        pytest.param(
            double("p", "0", "1", "", "beta"),
            ["feasibleSpace.distribution: must be one of uniform, logUniform, normal, logNormal, not 'beta'"],
            id="distribution",
        ),
        pytest.param(
            ParameterSpec("p", "float", FeasibleSpace(min="0", max="1")),
            ["parameterType: must be double, int, discrete or categorical, not 'float'"],
            id="type",
        ),
    ],
)
def test_a_space_that_makes_none_is_refused_with_its_path(spec: ParameterSpec, errors: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        SearchSpace.from_specs([integer("fine", "0", "1"), spec])

    assert [str(error) for error in caught.value.errors] == [f"spec.parameters[1].{error}" for error in errors]


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        pytest.param(double("p", "0", "1"), 1, id="an int is no double"),
        pytest.param(integer("p", "0", "1"), 1.0, id="a double is no int"),
        pytest.param(integer("p", "0", "1"), True, id="true is no int"),
        pytest.param(integer("p", "0", "9", "2"), 3, id="off the steps"),
        pytest.param(double("p", "0", "1", "0.5"), 0.4, id="a double off the steps"),
        pytest.param(double("p", "0", "1", "0.5"), math.inf, id="infinite"),
        pytest.param(double("p", "0", "1"), math.nan, id="nan"),
        pytest.param(choice("p", "discrete", "0.10"), "0.1", id="another text"),
    ],
)
def test_what_is_no_value_of_a_parameter(spec: ParameterSpec, value: float | int | str) -> None:
    assert not SearchSpace.from_specs([spec]).contains([value])
