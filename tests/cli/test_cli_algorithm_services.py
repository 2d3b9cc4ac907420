"""`--algorithm-service`: manifests whose algorithm is a suggestion service of somebody else."""

import json
from collections.abc import Iterator

import pytest
from cli_support import Katib, manifest

from foreign_service import ForeignService


@pytest.fixture
def service() -> Iterator[ForeignService]:
    """A service that listens."""
    with ForeignService() as started:
        yield started


def theirs(name: str = "tiny", *, max_trials: int = 3) -> str:
    """A manifest that asks for `theirs`, and searches x alone."""
    text = manifest(name, max_trials=max_trials, script="'echo loss=$0; echo rounds=$1'")
    text = text.replace("algorithmName: random", "algorithmName: theirs").replace("name: layers", "name: x")
    text = text.replace("reference: layers", "reference: x").replace("trialParameters.layers", "trialParameters.x")
    lines = [line for line in text.splitlines() if "name: lr" not in line]
    return "\n".join(lines).replace("${trialParameters.lr}", "${trialParameters.x}") + "\n"


def values(katib: Katib, name: str = "tiny") -> list[str]:
    """The values of x that Trials have had, in order."""
    found = json.loads(katib("get", "trials", "--experiment", name, "-o", "json").out)
    return sorted(one["value"] for trial in found["items"] for one in trial["spec"]["parameterAssignments"])


def test_an_experiment_runs_with_the_service_of_the_command_line(katib: Katib, service: ForeignService) -> None:
    ended = katib("run", katib.write(theirs()), "--algorithm-service", f"theirs={service.address}")
    assert ended.status == 0, ended.err
    assert values(katib) == ["1", "2", "3"]
    assert len(service.judged) >= 1


def test_the_settings_file_names_services_for_every_run(katib: Katib, service: ForeignService) -> None:
    config = katib.folder / "config" / "pykatib" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[algorithm_services]\ntheirs = "{service.address}"\n')
    assert katib("validate", katib.write(theirs())).status == 0
    config.write_text('[algorithm_services]\ntheirs = "nowhere"\n')
    refused = katib("validate", katib.write(theirs()))
    assert refused.status == 2
    assert "algorithm_services.theirs: found 'nowhere'; write HOST:PORT" in refused.err


def test_a_stopped_experiment_goes_on_with_a_service_that_has_moved(katib: Katib, service: ForeignService) -> None:
    run = katib("run", katib.write(theirs(max_trials=2)), "--algorithm-service", f"theirs={service.address}")
    assert run.status == 0, run.err
    service.stop()
    with ForeignService() as moved:
        wrong = katib("resume", "tiny", "--algorithm-service", f"other={moved.address}")
        assert wrong.status == 2
        assert "'other' is not the algorithm of tiny, which is 'theirs'" in wrong.err
        options = ("--max-trials", 3, "--algorithm-service", f"theirs={moved.address}")
        assert katib("resume", "tiny", *options).status == 0
        assert [(one.name, one.value) for one in moved.requests[0].experiment.spec.algorithm.algorithm_settings] == [
            ("random_state", "7"),
            ("state", "2"),
        ]
    assert values(katib) == ["1", "2", "3"]


def test_a_refusal_is_said_in_the_services_words_and_nothing_starts(katib: Katib, service: ForeignService) -> None:
    service.refusal = "random_state is odd"
    refused = katib("run", katib.write(theirs()), "--algorithm-service", f"theirs={service.address}")
    assert refused.status == 2
    assert "ValidateAlgorithmSettings Error: random_state is odd" in refused.err
    assert not (katib.home / "katib.db").exists() or not json.loads(katib("get", "trials", "-o", "json").out)["items"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("theirs", "found 'theirs'; write NAME=HOST:PORT"),
        ("theirs=http://localhost:1", "found 'http://localhost:1'; write HOST:PORT"),
        ("other=localhost:1", "no Experiment here has the algorithmName 'other'"),
    ],
)
def test_a_wrong_option_is_told(katib: Katib, option: str, words: str) -> None:
    refused = katib("validate", katib.write(theirs()), "--algorithm-service", option)
    assert refused.status == 2
    assert words in refused.err
