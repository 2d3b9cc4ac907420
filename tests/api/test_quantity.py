"""Quantities are read exactly, as Kubernetes reads them."""

from fractions import Fraction

import pytest

from pykatib.api.quantity import parse_quantity


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("1", Fraction(1)),
        (2, Fraction(2)),
        (0.5, Fraction(1, 2)),
        (1e-05, Fraction(1, 100000)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("500m", Fraction(1, 2)),
        ("0.1", Fraction(1, 10)),
        ("100n", Fraction(1, 10**7)),
        ("1k", Fraction(1000)),
        ("1Ki", Fraction(1024)),
        ("1.5Gi", Fraction(3 * 2**29)),
        ("1E", Fraction(10**18)),
        ("1E3", Fraction(1000)),
        ("2e-3", Fraction(1, 500)),
        ("-1", Fraction(-1)),
    ],
    ids=str,
)
def test_a_quantity_is_read_exactly(written: str | float, amount: Fraction) -> None:
    assert parse_quantity(written) == amount


@pytest.mark.parametrize("written", ["", "m", "1e", "1mi", "1ki", "1 Gi", "one", "1,5", "0x1", "nan", "1e99999"])
def test_what_is_no_quantity_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="a quantity is a number"):
        parse_quantity(written)
