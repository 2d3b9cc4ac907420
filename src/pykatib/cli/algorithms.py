"""`katib algorithms`: what can be asked for by name."""

import click

from pykatib.cli.options import names_of_both, output_option


@click.command()
@click.argument("name", required=False, shell_complete=names_of_both)
@output_option("table", "json", "yaml", text="How to print it.", default="table")
def command(name: str | None, output: str) -> None:
    """List the search algorithms and the early stopping methods; with NAME, one with all its settings.

    Some names are both: then both are printed.
    """
    from pykatib.algorithms import registry
    from pykatib.cli.catalog import documents, documents_of, lines_of, overview_lines
    from pykatib.cli.refusals import warn
    from pykatib.cli.shapes import print_document

    for note in registry.notes():
        warn(note)
    if output != "table":
        found = documents() if name is None else documents_of(name)
        print_document(found[0] if name is not None and len(found) == 1 else found, output)
        return
    for line in overview_lines() if name is None else lines_of(name):
        click.echo(line)
