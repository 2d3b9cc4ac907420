"""What is listed as public is there, is all there is, and costs nothing until it is used."""

import inspect
import subprocess
import sys

import pytest

import pykatib


def test_every_listed_name_is_there_and_no_other() -> None:
    assert pykatib.__all__ == sorted(pykatib.__all__)
    for name in pykatib.__all__:
        assert getattr(pykatib, name) is not None
    assert {*pykatib.__all__} <= {*dir(pykatib)}
    lazily_known = {name for names in pykatib._NAMES_BY_MODULE.values() for name in names}
    assert {*pykatib.__all__} == lazily_known | {"__version__"}


@pytest.mark.parametrize("name", [name for name in pykatib.__all__ if not name.startswith("_")])
def test_public_things_are_documented(name: str) -> None:
    assert inspect.getdoc(getattr(pykatib, name))


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tuna'"):
        _ = pykatib.tuna


def test_names_can_be_imported_from_the_package() -> None:
    from pykatib import RetryPolicy, search, tune

    assert search.double(0, 1).parameter_type == "double"
    assert RetryPolicy(crash=1).crash == 1
    assert callable(tune)


def test_importing_the_package_imports_nothing_else_of_it_and_nothing_foreign() -> None:
    program = "import sys; before = {*sys.modules}; import pykatib; print(*sorted({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = done.stdout.split()
    assert [name for name in found if name.split(".")[0] == "pykatib"] == ["pykatib"]
    assert not [name for name in found if name.split(".")[0] not in {*sys.stdlib_module_names, "pykatib"}]
