"""The `katib` command: finds the command that was asked for, and answers every failure with a sentence.

Only click is imported here: `katib --help` answers at once, and each command imports what it needs when it runs.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

SUCCEEDED = 0
FAILED = 1
REFUSED = 2
INTERRUPTED = 130

# The name of each command, the module of `pykatib.cli` that holds it as `command`, and its line in `katib --help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run the Experiments of manifests, here or in a cluster."),
    "validate": ("validate", "Say whether manifests can be run, or all that is wrong with them."),
    "get": ("get", "List Experiments, Suggestions or Trials."),
    "describe": ("describe", "Tell all about an Experiment, a Trial or a Suggestion."),
    "best": ("best", "Print the best Trial of an Experiment."),
    "logs": ("logs", "Print what a Trial has printed."),
    "export": ("export", "Write the Trials of an Experiment as CSV, JSON or Parquet."),
    "export-model": ("export_model", "Write the best architecture: a torch module, a picture, a manifest."),
    "stop": ("stop", "Stop an Experiment; it can be resumed."),
    "resume": ("resume", "Take a stopped or interrupted Experiment up again."),
    "delete": ("delete", "Delete an Experiment with all that is kept of it."),
    "operator": ("operator", "Run the control plane of a Kubernetes cluster."),
    "db-manager": ("db_manager", "Keep the metrics of a Kubernetes cluster in a database."),
    "serve": ("serve", "Serve a search algorithm to Katib, over gRPC."),
    "algorithms": ("algorithms", "List the search algorithms and their settings."),
    "completion": ("completion", "Print a script that completes commands and names in your shell."),
}

HELP = """Tune hyperparameters with Katib's manifests, on this machine or in a cluster.

An Experiment searches for the best parameters of a program; a Trial runs the program once with some of them.
Everything that ever ran is kept in a home folder (--home, KATIB_HOME, or ~/.katib). With --context NAME (or
KATIB_CONTEXT) the same commands work in a Kubernetes cluster, whose operator runs the Experiments.

\b
  katib run experiment.yaml
  katib get trials --experiment NAME
  katib best NAME -o json

Exit status: 0 succeeded; 1 failed, or not found; 2 the input was refused; 130 stopped before its end (by Ctrl-C,
SIGTERM, `katib stop` or `katib delete`)."""


class OutputClosed(Exception):  # noqa: N818 - it is no error: `katib get trials | head` has seen enough
    """Whoever read the output has gone away."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"pykatib.cli.{COMMANDS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name for one that is unknown."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """As click does, but a reader that has gone away is for `main` to judge."""
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise OutputClosed from error
        except KeyboardInterrupt as error:  # of a command that only watches; nothing is to be said
            raise click.exceptions.Exit(INTERRUPTED) from error
        return result

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their lines, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"katib {version('pykatib')}")
        ctx.exit()


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show where in the program an error came from. (Also: KATIB_DEBUG=1)")
@click.option("--home", metavar="DIR", help="The home folder for this command. (Also as an option of the command.)")
@click.option("--context", metavar="NAME", help="Work in the cluster of this context. (Also as an option of commands.)")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version and exit."
)
@click.pass_context
def katib(ctx: click.Context, debug: bool, home: str | None, context: str | None) -> None:
    """The group itself has nothing to do."""
    if home and context is not None:
        raise click.UsageError("--home means a folder, --context a cluster; leave one of them out.")
    if home:
        os.environ["KATIB_HOME"] = home
        os.environ.pop("KATIB_CONTEXT", None)
    if context is not None:
        os.environ["KATIB_CONTEXT"] = context
    if debug:
        os.environ["KATIB_DEBUG"] = "1"  # what the command starts shall see it too


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; answers the exit status."""
    try:
        colour = False if os.environ.get("NO_COLOR") else None  # None: as the output is a terminal or not
        status = katib.main(args=arguments, prog_name="katib", standalone_mode=False, color=colour)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        click.echo("Aborted.", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OutputClosed:
        _close_output()
        return SUCCEEDED
    except Exception as error:
        from pykatib.cli.refusals import tell

        return tell(error)
    return status if isinstance(status, int) else SUCCEEDED


def _close_output() -> None:
    # What is still buffered must not be written at the interpreter's end, where it would fail again.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
