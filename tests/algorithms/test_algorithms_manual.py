"""The manual names every algorithm and every setting, with what it accepts."""

import re
from pathlib import Path

import pytest

from pykatib.algorithms.builtin import BUILTIN
from pykatib.algorithms.description import AlgorithmInfo
from pykatib.algorithms.distributions import DISTRIBUTION_NAMES

MANUAL = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text()
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", MANUAL, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("info", BUILTIN, ids=lambda info: info.name)
def test_an_algorithm_has_a_section_with_a_row_for_each_setting_and_no_other(info: AlgorithmInfo) -> None:
    section = SECTIONS[info.name]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))

    assert rows == {setting.name: setting.expected for setting in info.settings}


@pytest.mark.parametrize("info", BUILTIN, ids=lambda info: info.name)
def test_an_algorithm_tells_its_order_its_end_and_its_use(info: AlgorithmInfo) -> None:
    assert [word for word in ("*Order.*", "*The end.*", "*When.*") if word not in SECTIONS[info.name]] == []
    assert f"[`{info.name}`](#{info.name})" in MANUAL


def test_every_distribution_is_explained() -> None:
    assert [name for name in DISTRIBUTION_NAMES if f"| `{name}` |" not in MANUAL] == []
