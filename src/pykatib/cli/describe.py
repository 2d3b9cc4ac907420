"""`katib describe`: all about one object, for people."""

import click

from pykatib.cli.get import KindParameter
from pykatib.cli.options import Where, names_of_kind, namespace_option, place_options


@click.command()
@click.argument("kind", type=KindParameter(), metavar="experiment|trial|suggestion")
@click.argument("name", shell_complete=names_of_kind)
@namespace_option
@place_options
def command(kind: str, name: str, namespace: str, where: Where) -> None:
    """Tell all about an Experiment, a Trial or a Suggestion.

    What it was asked to do, its conditions, its events, the best Trial; of a Trial that failed, the last lines that it
    printed.
    """
    import time

    from pykatib.cli.describing import description
    from pykatib.cli.lookup import KINDS, find_one
    from pykatib.cli.place import open_place

    with open_place(where) as place:
        found = find_one(place, KINDS[kind], name, namespace)
        for line in description(found, place, now=time.time()):
            click.echo(line)
