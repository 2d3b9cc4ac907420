"""The manual names every early stopping method and every setting, with what it accepts."""

import re
from pathlib import Path

import pytest

from pykatib.algorithms.stopping.builtin import BUILTIN
from pykatib.algorithms.stopping.description import StoppingInfo

MANUAL = (Path(__file__).parents[3] / "docs" / "algorithms.md").read_text()
SECTIONS = dict(re.findall(r"^### stopping: (\S+)\n(.*?)(?=^##|\Z)", MANUAL, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("info", BUILTIN, ids=lambda info: info.name)
def test_a_method_has_a_section_with_a_row_for_each_setting_and_no_other(info: StoppingInfo) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", SECTIONS[info.name], re.MULTILINE)

    assert {name: expected for name, expected, _ in rows} == {one.name: one.expected for one in info.settings}
    stated = {name: default for name, _, default in rows}
    assert [one.name for one in info.settings if one.default is not None and stated[one.name] != str(one.default)] == []


@pytest.mark.parametrize("info", BUILTIN, ids=lambda info: info.name)
def test_a_method_tells_its_use_and_is_in_the_table(info: StoppingInfo) -> None:
    assert "*When.*" in SECTIONS[info.name]
    assert f"[`{info.name}`](#stopping-{info.name})" in MANUAL


def test_there_is_no_section_too_many() -> None:
    assert set(SECTIONS) == {info.name for info in BUILTIN}
