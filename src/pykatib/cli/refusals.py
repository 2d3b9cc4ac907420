"""How errors are told: a sentence each, on standard error, never a traceback unless it was asked for."""

import os
import traceback
from collections.abc import Iterable, Sequence

import click

from pykatib.api.errors import FieldError, InvalidInput, PykatibError
from pykatib.cli.main import FAILED, REFUSED


def tell(error: Exception) -> int:
    """Prints an error; answers the exit status that it means."""
    if _debugging():
        traceback.print_exception(error)
    if isinstance(error, InvalidInput):
        for line in told_errors(error.source, error.errors):
            echo(line)
        return REFUSED
    if isinstance(error, PykatibError):
        say(str(error))
        return FAILED
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{error.strerror}")
        return FAILED
    advice = "" if _debugging() else "; run it again with `katib --debug …` to see where"
    say(f"this is a mistake in katib: {type(error).__name__}: {error}{advice}")
    return FAILED


def say(text: str) -> None:
    """Prints the reason why something cannot be done."""
    echo(f"{click.style('Error:', fg='red', bold=True)} {text}")


def warn(text: str) -> None:
    """Prints something to be known that keeps nothing from going on."""
    echo(f"{click.style('Warning:', fg='yellow', bold=True)} {text}")


def echo(line: str) -> None:
    """Prints a line on standard error, also where no command is at work any more that knows of NO_COLOR."""
    click.echo(line, err=True, color=False if os.environ.get("NO_COLOR") else None)


def told_errors(source: str, errors: Sequence[FieldError]) -> Iterable[str]:
    """The lines that tell the mistakes of one source."""
    head = click.style("Error:", fg="red", bold=True)
    if len(errors) == 1:
        return [f"{head} {source + ': ' if source else ''}{errors[0]}"]
    count = f"{len(errors)} mistakes"
    return [f"{head} {source + ': ' if source else ''}{count}", *(f"  {error}" for error in errors)]


def _debugging() -> bool:
    return os.environ.get("KATIB_DEBUG", "") not in ("", "0")
