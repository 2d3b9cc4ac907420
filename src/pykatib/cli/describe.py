"""`katib describe`: all about one object, for people."""

import click

from pykatib.cli.get import KindParameter
from pykatib.cli.options import home_option, names_of_kind, namespace_option


@click.command()
@click.argument("kind", type=KindParameter(), metavar="experiment|trial|suggestion")
@click.argument("name", shell_complete=names_of_kind)
@namespace_option
@home_option
def command(kind: str, name: str, namespace: str, home: str | None) -> None:
    """Tell all about an Experiment, a Trial or a Suggestion.

    What it was asked to do, its conditions, its events, the best Trial; of a Trial that failed, the last lines that it
    printed.
    """
    import time

    from pykatib.cli.describing import description
    from pykatib.cli.lookup import KINDS, find_one, open_reader
    from pykatib.cli.settings import home_folders

    with open_reader(home) as reader:
        found = find_one(reader, KINDS[kind], name, namespace)
        for line in description(found, reader, home_folders(home), now=time.time()):
            click.echo(line)
