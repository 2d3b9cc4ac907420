"""The text of cells, there and back, and the names of operations."""

import pytest

from pykatib.api.errors import InvalidInput
from pykatib.nas.genotype import Genotype, Primitive, read_genotype, read_primitive, read_primitives

CELL = ((("max_pooling_3x3", 0), ("skip_connection", 1)), (("dilated_convolution_5x5", 2), ("skip_connection", 0)))
TEXT = (
    "Genotype(normal=[[('max_pooling_3x3',0),('skip_connection',1)],[('dilated_convolution_5x5',2),('skip_connection',0)]],"
    "normal_concat=range(2,4),reduce=[[('skip_connection',1),('max_pooling_3x3',0)]],reduce_concat=range(2,3))"
)


def test_cells_are_written_as_katib_prints_them_and_read_back() -> None:
    genotype = Genotype(CELL, ((("skip_connection", 1), ("max_pooling_3x3", 0)),))
    assert str(genotype) == TEXT
    assert read_genotype(TEXT) == genotype


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "genotype: found '', which is none"),
        ("Genotyp(normal=[])", "it does not begin with Genotype("),
        ("Genotype(normal=[],reduce=[])", "genotype.normal: has no nodes"),
        (
            "Genotype(normal=[[('skip_connection',2)]],reduce=[[('skip_connection',0)]])",
            "found edge 2; there are 0 to 1",
        ),
        ("Genotype(normal=[[('skip',0)]],reduce=[[('skip_connection',0)]])", "unknown operation 'skip'"),
        ("Genotype(normal=[[0]],reduce=[[('skip_connection',0)]])", "found 0, wanted an operation and an edge"),
        ("Genotype(normal=__import__('os'),reduce=[])", "which is none"),
    ],
)
def test_what_is_no_genotype_is_refused(text: str, error: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_genotype(text)
    assert error in str(caught.value)


def test_none_is_always_among_the_operations_and_last() -> None:
    assert read_primitives("['none', 'max_pooling_3x3', 'skip_connection']") == (
        "max_pooling_3x3",
        "skip_connection",
        "none",
    )
    assert read_primitive("separable_convolution_7x7", "") == Primitive("separable_convolution", 7)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("['max_poling_3x3']", "search-space[0]: unknown operation 'max_poling_3x3'; did you mean max_pooling"),
        (
            "['max_pooling_3x5']",
            "search-space[0]: found 'max_pooling_3x5'; a filter has an odd size, as in max_pooling_3x3",
        ),
        ("['max_pooling_4x4']", "search-space[0]: found 'max_pooling_4x4'"),
        ("['none']", "search-space: has no operation but none"),
        ("'max_pooling_3x3'", "search-space: found 'max_pooling_3x3', wanted a list of operations"),
        ("[", "search-space: found '[', which is no JSON"),
    ],
)
def test_a_search_space_that_is_none_is_refused(text: str, error: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_primitives(text)
    assert str(caught.value.errors[0]).startswith(error)
