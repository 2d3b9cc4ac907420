"""The command line as such: light to start, completely documented, completed by shells."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_support import Katib, manifest
from click.testing import CliRunner

from pykatib.cli.main import COMMANDS, LazyGroup, katib

MANUAL = Path(__file__).parents[2] / "docs" / "cli.md"
HEAVY = {"numpy", "scipy", "rich", "msgspec", "yaml", "sqlite3", "psutil", "pykatib.api", "pykatib.algorithms"}


def _section(command: str) -> str:
    """What the manual says of a command."""
    _, found, rest = MANUAL.read_text().partition(f"\n## katib {command}\n")
    assert found, f"no section on katib {command}"
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom pykatib.cli.main import main\n"
        f"status = main({arguments!r})\nprint(*sys.modules, file=sys.stderr)\nsys.exit(status)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "click" in done.stderr.split()
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    program = (
        "import sys\nfrom pykatib.cli.main import main\n"
        f"status = main([{command!r}, '--help'])\nprint(*sys.modules, file=sys.stderr)\nsys.exit(status)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stderr.split())


def test_help_lists_every_command_and_the_exit_statuses() -> None:
    shown = CliRunner().invoke(katib, ["--help"]).output
    for command, (_, text) in COMMANDS.items():
        assert f"  {command} " in shown
        assert text.endswith(".")
    assert "Exit status: 0 succeeded; 1 failed" in " ".join(shown.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_manual(name: str) -> None:
    command = _command(name)
    section = _section(name)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            for option in parameter.opts:
                assert f"`{option}" in section or f", `{option}" in section, option
        else:
            metavar = parameter.make_metavar(click.Context(command)).strip("[]").removesuffix("...").rstrip("]")
            assert metavar.split("|")[0].lower().strip("{[") in section.lower()


def test_the_options_of_katib_itself_are_in_the_manual() -> None:
    text = MANUAL.read_text()
    for parameter in katib.params:
        assert any(option in text for option in parameter.opts)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_in_sentences(name: str) -> None:
    command = _command(name)
    assert command.help is not None
    assert command.help.split("\n")[0].rstrip().endswith(".")


def _command(name: str) -> click.Command:
    assert isinstance(katib, LazyGroup)
    command = katib.get_command(click.Context(katib), name)
    assert command is not None
    return command


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    done = CliRunner().invoke(katib, ["gte"])
    assert done.exit_code == 2
    assert "No such command 'gte'; did you mean 'get'?" in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_a_completion_script(katib: Katib, shell: str) -> None:
    done = katib("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert "_KATIB_COMPLETE" in done.out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("katib de", {"describe", "delete"}),
        ("katib get ex", {"experiments"}),
        ("katib best ", {"tiny"}),
        ("katib describe experiment t", {"tiny"}),
        ("katib algorithms gr", {"grid"}),
        ("katib get trials -o j", {"json"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_commands_kinds_and_names_are_completed(ran: Katib, line: str, expected: set[str]) -> None:
    assert _completions(ran, line) == expected


def test_trials_are_completed(ran: Katib) -> None:
    trials = {name.partition("/")[2] for name in ran("get", "trials", "-o", "name").out.split()}
    assert _completions(ran, "katib logs tiny") == trials


def test_completion_is_silent_where_there_is_nothing(tmp_path: Path) -> None:
    assert _completions(Katib(tmp_path), "katib best ") == set()


def _completions(katib: Katib, line: str) -> set[str]:
    words = line.split(" ")
    environment = {
        "_KATIB_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = katib(environment=environment)
    assert done.err == ""
    return {line.partition(",")[2] for line in done.out.split()}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Katib:
    """A home in which an Experiment has run."""
    katib = Katib(tmp_path_factory.mktemp("ran"))
    assert katib("run", katib.write(manifest()), "-q").status == 0
    return katib


def test_algorithms_are_listed_with_their_settings(katib: Katib) -> None:
    assert "random_state" in katib("algorithms").out
    assert "a whole number at least 0" in katib("algorithms", "random").out
    refused = katib("algorithms", "randm")
    assert (refused.status, "did you mean random" in refused.err) == (2, True)


def test_early_stopping_methods_are_listed_and_described_too(katib: Katib) -> None:
    assert "Early stopping (spec.earlyStopping):" in katib("algorithms").out
    assert "min_trials_required: a whole number at least 1 [default: 3]" in katib("algorithms", "medianstop").out
    both = katib("algorithms", "asha").out
    assert "asha: Successive halving" in both
    assert "Early stopping asha: " in both
    assert "did you mean medianstop?" in katib("algorithms", "medianstopp").err
