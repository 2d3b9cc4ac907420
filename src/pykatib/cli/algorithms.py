"""`katib algorithms`: what can be asked for by name."""

import click

from pykatib.cli.options import algorithm_names, output_option


@click.command()
@click.argument("name", required=False, shell_complete=algorithm_names)
@output_option("table", "json", "yaml", text="How to print it.", default="table")
def command(name: str | None, output: str) -> None:
    """List the search algorithms; with NAME, one with all its settings."""
    from pykatib.cli.catalog import algorithm_document, algorithm_lines, overview_lines
    from pykatib.cli.shapes import print_document

    if output != "table":
        from pykatib.algorithms import registry

        names = [name] if name is not None else registry.names()
        documents = [algorithm_document(one) for one in names]
        print_document(documents[0] if name is not None else documents, output)
        return
    for line in overview_lines() if name is None else algorithm_lines(name):
        click.echo(line)
