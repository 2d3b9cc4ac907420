"""An algorithm that somebody has written and installed: the package of `examples/own_algorithm`, as users use it."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from cli_support import Katib

from pykatib.algorithms.conformance import AlgorithmConformance, OneByOneConformance

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_algorithm"
sys.path.append(str(EXAMPLE))
from halton_search import HALTON  # noqa: E402 - it is not installed

TUNE = """\
import json
from pykatib import search, tune

result = tune(
    objective=lambda p: p["x"] ** 2,
    parameters={"x": search.double(-1, 1)},
    algorithm_name="halton",
    algorithm_settings={"random_state": 7},
    objective_type="minimize",
    max_trial_count=5,
    run_in="inline",
    progress=False,
)
print(json.dumps([trial.parameters["x"] for trial in result.trials]))
"""


class TestHalton(OneByOneConformance, AlgorithmConformance):
    """The example keeps the laws that pykatib's own keep."""

    info = HALTON


def installed(folder: Path, name: str, version: str, points: Mapping[str, str]) -> None:
    """What pip leaves of a package: its metadata."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (metadata / "entry_points.txt").write_text(f"[pykatib.algorithms]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, katib: Katib) -> Path:
    """A folder of installed packages, with the example in it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "site"
    installed(folder, project["name"], project["version"], project["entry-points"]["pykatib.algorithms"])
    katib.environment["PYTHONPATH"] = f"{folder}:{EXAMPLE}"
    return folder


def told(katib: Katib, *arguments: object) -> tuple[int, str, str]:
    """Runs a command in a process of its own, which finds the packages."""
    ended = katib(*arguments, environment={"PYTHONPATH": katib.environment["PYTHONPATH"], "COLUMNS": "200"})
    return ended.status, ended.out, ended.err


def test_it_is_listed_with_its_package(katib: Katib, site: Path) -> None:
    status, out, _ = told(katib, "algorithms")
    assert status == 0
    [line] = [line for line in out.splitlines() if line.startswith("halton")]
    assert "[halton-search 0.1.0]" in line
    status, out, _ = told(katib, "algorithms", "halton")
    assert "It comes from the package halton-search 0.1.0." in out
    assert "skip: a whole number at least 0 [default: 0]" in out


def test_its_manifest_runs(katib: Katib, site: Path) -> None:
    status, out, err = told(katib, "run", EXAMPLE / "experiment.yaml")
    assert status == 0, err
    assert "6 Trials: 6 succeeded" in out


def test_a_wrong_setting_of_it_is_refused(katib: Katib, site: Path) -> None:
    text = (EXAMPLE / "experiment.yaml").read_text().replace("name: random_state", "name: skipp")
    status, _, err = told(katib, "validate", katib.write(text))
    assert status == 2
    assert "unknown setting 'skipp' of the algorithm halton; did you mean skip?" in err


def test_a_function_is_tuned_with_it(katib: Katib, site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TUNE], env=katib.environment, capture_output=True, text=True, check=True, timeout=60
    )
    values = json.loads(done.stdout)
    assert len(set(values)) == 5
    assert all(-1 <= value <= 1 for value in values)


def test_packages_that_are_broken_are_said_and_harm_no_other(katib: Katib, site: Path) -> None:
    installed(site, "broken", "2.0", {"nowhere": "there_is_no_such_module:X", "random": "there_is_no_such_module:X"})
    installed(site, "rival", "3.0", {"halton": "halton_search:HALTON"})
    status, out, err = told(katib, "algorithms")
    assert status == 0
    assert "cannot be loaded: ModuleNotFoundError: No module named 'there_is_no_such_module'" in out
    assert "is offered by halton-search 0.1.0 and rival 3.0; uninstall all but one" in out
    assert "broken 2.0 offers an algorithm 'random', a name that pykatib's own has; that one is used" in err
    status, out, _ = told(katib, "algorithms", "-o", "json")
    assert status == 0
    errors = {each["name"]: each["error"] for each in json.loads(out) if "error" in each}
    assert set(errors) == {"nowhere", "halton"}
    status, _, err = told(katib, "run", EXAMPLE / "experiment.yaml")
    assert status == 2
    assert "is offered by halton-search 0.1.0 and rival 3.0" in err
