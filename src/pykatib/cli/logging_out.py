"""The output of Trials, printed."""

import sys
from collections.abc import Iterable

import click

from pykatib.api.trial import Trial
from pykatib.cli.lookup import find_one
from pykatib.cli.place import LogWish, Place
from pykatib.workers.logfile import printable


def print_log(place: Place, name: str, wish: LogWish, *, namespace: str) -> None:
    """Prints a Trial's output. Raises NotFound where there is none."""
    found = place.log(find_one(place, Trial, name, namespace), wish)
    if found.remark:
        click.echo(found.remark, err=True)
    _print(found.lines)


def _print(lines: Iterable[bytes]) -> None:
    if sys.stdout.isatty():
        for line in lines:
            click.echo(printable(line))
        return
    out = sys.stdout.buffer
    for line in lines:
        out.write(line + b"\n")
        out.flush()
