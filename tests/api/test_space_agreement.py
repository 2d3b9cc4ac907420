"""What admission lets in, the algorithms can read: the two look at the same texts with different eyes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pykatib.algorithms.space import SearchSpace
from pykatib.api.experiment import FeasibleSpace, ParameterSpec
from pykatib.api.validation.space import check_parameters

WHOLE = ["0", "1", "-1", "5", "10", "+1", "1e3", "10.0", "0e-999"]
BROKEN = ["0.5", "1E-3", ".5", "5.", " 1"]
ODD = ["", "abc", "nan", "inf", "1_0", "٣", "1e999", "1e400", "1e-400"]
NUMBERS = st.sampled_from([*WHOLE, *BROKEN, *ODD])
PARAMETERS = st.builds(
    ParameterSpec,
    name=st.just("a"),
    parameter_type=st.sampled_from(["double", "int", "discrete", "categorical"]),
    feasible_space=st.builds(
        FeasibleSpace,
        min=NUMBERS,
        max=NUMBERS,
        step=NUMBERS,
        values=st.lists(NUMBERS, max_size=2).map(tuple),
        distribution=st.sampled_from(["", "uniform", "logUniform", "normal", "logNormal", "unknown", "x"]),
    ),
)


@settings(max_examples=500)
@given(PARAMETERS)
def test_an_accepted_parameter_makes_a_search_space(parameter: ParameterSpec) -> None:
    if not list(check_parameters([parameter], "spec.parameters")):
        assert len(SearchSpace.from_specs([parameter])) == 1
