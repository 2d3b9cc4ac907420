"""Finding algorithms by name, and what is said about a wrong name, setting or space."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import double, integer
from pykatib.algorithms.contract import Ask
from pykatib.algorithms.description import SettingInfo
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment, ExperimentSpec, ParameterSpec
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec, Setting

STEPPED = double("lr", "0.01", "0.05", "0.005")
CONTINUOUS = double("momentum", "0.5", "0.9")


def experiment(algorithm: str, *parameters: ParameterSpec, settings: dict[str, str] | None = None) -> Experiment:
    stated = tuple(Setting(name, value) for name, value in (settings or {}).items())
    return Experiment(
        metadata=ObjectMeta(name="x"),
        spec=ExperimentSpec(
            parameters=parameters or (STEPPED, CONTINUOUS),
            objective=ObjectiveSpec(type="maximize", objective_metric_name="accuracy"),
            algorithm=AlgorithmSpec(algorithm, stated),
            max_trial_count=1000,
        ),
    )


def test_sound_experiments_have_no_errors() -> None:
    for name in ("random", "sobol"):
        assert registry.check(experiment(name, settings={"random_state": "10"})) == ()
    assert registry.check(experiment("grid", STEPPED, integer("layers", "1", "3"))) == ()


@pytest.mark.parametrize(
    ("found", "errors"),
    [
        pytest.param(
            experiment("rnadom"),
            ["spec.algorithm.algorithmName: unknown algorithm 'rnadom'; did you mean random?"],
            id="misspelt",
        ),
        pytest.param(
            experiment("zzz"),
            ["spec.algorithm.algorithmName: unknown algorithm 'zzz'; there are " + ", ".join(registry.names())],
            id="unlike any",
        ),
        pytest.param(
            experiment(""),
            ["spec.algorithm.algorithmName: is missing; there are " + ", ".join(registry.names())],
            id="no name",
        ),
        pytest.param(
            experiment("random", settings={"random_sate": "1"}),
            [
                "spec.algorithm.algorithmSettings[0].name: "
                "unknown setting 'random_sate' of the algorithm random; did you mean random_state?"
            ],
            id="misspelt setting",
        ),
        pytest.param(
            experiment("random", settings={"random_state": "-1"}),
            ["spec.algorithm.algorithmSettings[0].value: random_state must be a whole number at least 0, found '-1'"],
            id="negative seed",
        ),
        pytest.param(
            experiment("sobol", settings={"random_state": "1.5"}),
            ["spec.algorithm.algorithmSettings[0].value: random_state must be a whole number at least 0, found '1.5'"],
            id="fractional seed",
        ),
        pytest.param(
            experiment("grid"),
            [
                "spec.parameters[1].feasibleSpace.step: is needed for the double momentum: "
                "grid search tries every value, without a step there is no end"
            ],
            id="grid without step",
        ),
    ],
)
def test_mistakes_are_told_with_their_path_and_what_would_do(found: Experiment, errors: list[str]) -> None:
    assert [str(error) for error in registry.check(found)] == errors
    with pytest.raises(InvalidInput) as caught:
        registry.create(found, seed=1)
    assert [str(error) for error in caught.value.errors] == errors


def test_a_setting_that_is_stated_twice_is_told() -> None:
    twice = experiment("random")
    spec = AlgorithmSpec("random", (Setting("random_state", "1"), Setting("random_state", "2")))
    errors = registry.check(
        Experiment(metadata=twice.metadata, spec=ExperimentSpec(parameters=(STEPPED,), algorithm=spec))
    )

    assert [str(error) for error in errors] == [
        "spec.algorithm.algorithmSettings[1].name: random_state is set more than once"
    ]


def test_a_space_that_makes_none_is_left_to_the_validation_of_the_experiment() -> None:
    broken = experiment("grid", double("lr", "2", "1"))

    assert registry.check(broken) == ()
    with pytest.raises(InvalidInput, match=r"spec\.parameters\[0\]\.feasibleSpace\.min"):
        registry.create(broken, seed=1)


def test_the_seed_counts_unless_the_user_states_one() -> None:
    def first(seed: int, settings: dict[str, str]) -> object:
        _, algorithm = registry.create(experiment("random", settings=settings), seed=seed)
        return algorithm.ask(Ask(1, 0))[0].values

    assert first(1, {}) != first(2, {})
    assert first(1, {"random_state": "0"}) == first(2, {"random_state": "0"}) == first(0, {})


@pytest.mark.parametrize(
    ("setting", "text", "expected"),
    [
        pytest.param(SettingInfo(name="s", kind="float", help="", above=0, at_most=1), "0.5", 0.5, id="float"),
        pytest.param(SettingInfo(name="s", kind="float", help="", above=0), "0", "a number above 0", id="at the limit"),
        pytest.param(SettingInfo(name="s", kind="float", help=""), "nan", "a number", id="nan"),
        pytest.param(SettingInfo(name="s", kind="int", help="", below=5), "5", "a whole number below 5", id="below"),
        pytest.param(SettingInfo(name="s", kind="bool", help=""), "True", True, id="bool"),
        pytest.param(SettingInfo(name="s", kind="bool", help=""), "yes", "true or false", id="no bool"),
        pytest.param(SettingInfo(name="s", kind="text", help="", choices=("a", "b")), "a", "a", id="choice"),
        pytest.param(
            SettingInfo(name="s", kind="text", help="", choices=("a", "b")), "c", "one of a, b", id="no choice"
        ),
        pytest.param(SettingInfo(name="s", kind="float", help="", allows_none=True), "None", None, id="none"),
    ],
)
def test_settings_are_read_as_they_are_described(setting: SettingInfo, text: str, expected: object) -> None:
    if isinstance(expected, str) and expected != text:
        with pytest.raises(ValueError, match=f"must be {expected}, found '{text}'"):
            setting.parse(text)
    else:
        assert setting.parse(text) == expected


PLUGINS = {
    "mine": """
from pykatib.algorithms.description import AlgorithmInfo
from pykatib.algorithms.random_search import RandomSearch
INFO = AlgorithmInfo(name="mine", summary="My own.", create=RandomSearch)
""",
    "broken": "raise RuntimeError('no GPU here')",
    "liar": "INFO = 'an algorithm'",
    "renamed": """
from pykatib.algorithms.description import AlgorithmInfo
from pykatib.algorithms.random_search import RandomSearch
INFO = AlgorithmInfo(name="other", summary="", create=RandomSearch)
""",
    "random": "raise RuntimeError('must not be loaded')",
}


@pytest.fixture
def _installed_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Packages of others, installed as pip would leave them."""
    metadata = tmp_path / "others-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    points = "".join(f"{name} = others_{name}:INFO\n" for name in PLUGINS)
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{points}gone = others_gone:INFO\n")
    for name, source in PLUGINS.items():
        (tmp_path / f"others_{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._plugins.cache_clear()
    yield
    registry._plugins.cache_clear()
    for name in PLUGINS:
        sys.modules.pop(f"others_{name}", None)


@pytest.mark.usefixtures("_installed_plugins")
def test_an_algorithm_of_another_package_is_found_by_its_name() -> None:
    space, algorithm = registry.create(experiment("mine"), seed=1)

    assert "mine" in registry.names()
    assert space.contains(algorithm.ask(Ask(1, 0))[0].values)


@pytest.mark.usefixtures("_installed_plugins")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "broken",
            "the algorithm 'broken' of others_broken:INFO (others 1.0) cannot be loaded: RuntimeError: no GPU here",
        ),
        (
            "gone",
            "the algorithm 'gone' of others_gone:INFO (others 1.0) cannot be loaded: "
            "ModuleNotFoundError: No module named 'others_gone'",
        ),
        ("liar", "the algorithm 'liar' of others_liar:INFO (others 1.0) is a str, not a pykatib AlgorithmInfo"),
        ("renamed", "the algorithm 'renamed' of others_renamed:INFO (others 1.0) calls itself 'other'"),
    ],
)
def test_a_broken_algorithm_of_another_package_is_told_with_its_name_and_harms_no_other(
    name: str, message: str
) -> None:
    assert [error.message for error in registry.check(experiment(name))] == [message]
    assert registry.check(experiment("random")) == ()
    assert name in registry.names()


@pytest.mark.usefixtures("_installed_plugins")
def test_a_name_of_pykatibs_own_cannot_be_taken() -> None:
    assert registry.names().count("random") == 1
    assert registry.check(experiment("random")) == ()


def test_the_registry_is_light_to_import() -> None:
    script = (
        "import sys, pykatib.algorithms.registry; print([m for m in ('numpy', 'scipy', 'torch') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
