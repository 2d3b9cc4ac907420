"""What is wrong is answered before anything starts: all of it, with its place, in sentences."""

import os
import stat
from pathlib import Path

import pytest
from cli_support import QUICK, Katib, manifest

UNRUNNABLE = manifest().replace("random\n", "randon\n").replace("minimize", "minimise") + "  surprise: 1\n"


def test_structure_and_rules_of_all_documents_of_all_files_are_told_at_once(katib: Katib) -> None:
    one = katib.write(
        UNRUNNABLE + "---\n" + manifest("other").replace("maxTrialCount: 3", "maxTrialCount: -1"), "1.yaml"
    )
    two = katib.write("a: [1,\n", "2.yaml")
    done = katib("run", one, two, "missing.yaml")
    assert (done.status, done.out) == (2, "")
    for words in (
        "1.yaml, line 1 (Experiment tiny): 3 mistakes",
        "spec.surprise: unknown field",
        'spec.objective.type: found "minimise"',
        "spec.algorithm.algorithmName: ",
        "(Experiment other): spec.maxTrialCount: ",
        "2.yaml: line 2, column 1: this is not YAML",
        "missing.yaml: cannot be read: No such file or directory",
    ):
        assert words in done.err
    assert not katib.home.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--set", "spec.objectiv.goal=1"],
            "--set spec.objectiv.goal: unknown field 'objectiv'; did you mean `objective`?",
        ),
        (["--set", "spec.parameters[7].name=x"], "there are [0] to [1], named lr, layers"),
        (["--set", "spec.parameters[lr].feasibleSpace.maxx=1"], "unknown field 'maxx'; did you mean `max`?"),
        (["--set", "spec.objective.goal"], "write PATH=VALUE"),
        (["--set", "spec.objective.goal=[1"], "this is not YAML"),
        (["--set", "spec.trialTemplate.trialSpec.spec.tmplate.x=1"], "did you mean `template`?"),
        (["--image", "busybox"], "write IMAGE=FOLDER"),
        (["--image", "busybox=nowhere"], "nowhere is not a folder"),
        (["--max-trials", "0"], "spec.maxTrialCount"),
        (["--parallel", "-1"], "spec.parallelTrialCount"),
        (["--parallel", "many"], "'many' is not a valid integer"),
        (["--colour"], "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_refused(katib: Katib, arguments: list[str], words: str) -> None:
    done = katib("run", katib.write(manifest()), *arguments)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no Experiment in it"),
        ("kind: Pod\n", 'kind: found "Pod"'),
        (manifest().replace("name: tiny", "name: tiny\n  namespace: lab"), "but --namespace says 'default'"),
        (manifest() + "---\n" + manifest(), "another Experiment 'tiny' in the files"),
        (
            manifest()
            .replace("apiVersion: batch/v1", "apiVersion: pykatib.dev/v1")
            .replace("kind: Job", "kind: CallableJob"),
            "tune()",
        ),
        (manifest().replace(QUICK, "'echo'").replace("[sh,", "[no-such-program,"), "no-such-program"),
    ],
    ids=["empty", "another kind", "two namespaces", "twice the same name", "a Python function", "no program"],
)
def test_a_wrong_file_is_refused(katib: Katib, text: str, words: str) -> None:
    done = katib("run", katib.write(text), "-n", "default")
    assert (done.status, done.out) == (2, "")
    assert words in done.err


def test_validation_says_ok_or_all_that_is_wrong_and_keeps_nothing(katib: Katib) -> None:
    fine = katib("validate", katib.write(manifest()))
    assert (fine.status, fine.out, fine.err) == (0, "Experiment default/tiny: OK\n", "")
    wrong = katib("validate", katib.write(UNRUNNABLE))
    assert (wrong.status, wrong.out) == (2, "")
    assert "3 mistakes" in wrong.err
    assert not katib.home.exists()


@pytest.mark.parametrize(
    "arguments",
    [["get", "trials"], ["best", "x"], ["stop", "x"], ["delete", "x"], ["resume", "x"], ["logs", "x"]],
    ids=lambda arguments: arguments[0],
)
def test_a_home_in_which_nothing_ran_is_told_in_a_sentence(katib: Katib, arguments: list[str]) -> None:
    done = katib(*arguments)
    assert done.status == 1
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1


def test_a_file_that_is_no_database_is_told_in_a_sentence(katib: Katib) -> None:
    katib.home.mkdir()
    (katib.home / "katib.db").write_bytes(b"something else entirely" * 100)
    for arguments in (["get", "trials"], ["run", str(katib.write(manifest()))], ["delete", "x"]):
        done = katib(*arguments)
        assert (done.status, done.err.count("\n"), "Traceback" in done.err) == (1, 1, False)
        assert "it is not a pykatib database" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_told_in_a_sentence(katib: Katib) -> None:
    katib.folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        done = katib("run", "-", stdin=manifest())
    finally:
        katib.folder.chmod(stat.S_IRWXU)
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "cannot make the home folder" in done.err


def test_a_home_below_a_file_is_told_in_a_sentence(katib: Katib) -> None:
    done = katib("run", katib.write(manifest()), "--home", katib.write("", "file") / "home")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "cannot make the home folder" in done.err


def test_a_settings_file_with_mistakes_is_named(katib: Katib) -> None:
    path = katib.folder / "config" / "pykatib" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("hom = 1\n")
    done = katib("run", katib.write(manifest()))
    assert done.status == 2
    assert str(path) in done.err


def test_flags_win_over_the_environment_and_that_over_the_settings_file(katib: Katib, tmp_path: Path) -> None:
    path = katib.folder / "config" / "pykatib" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'home = "{tmp_path}/from-file"\n')
    file = katib.write(manifest())
    assert katib("run", file, "-q", "--home", tmp_path / "from-flag").status == 0
    assert katib("run", file, "-q").status == 0
    assert katib("run", file, "-q", environment={"KATIB_HOME": ""}).status == 0
    for name in ("from-flag", "home", "from-file"):
        assert (tmp_path / name / "katib.db").exists()
