"""`katib delete`: deletes Experiments, also beside the process that runs them."""

import click

from pykatib.cli.options import experiment_names, home_option, namespace_option


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=experiment_names)
@click.option("-y", "--yes", is_flag=True, help="Ask nothing. (In a pipe nothing is asked anyway.)")
@namespace_option
@home_option
def command(names: tuple[str, ...], yes: bool, namespace: str, home: str | None) -> None:
    """Delete Experiments with their Trials, metrics and output, for good.

    Where another katib owns the home folder, that one is asked; running Trials are ended, and their output goes when it
    lets go of the folder.
    """
    import sys

    from pykatib.api.experiment import Experiment
    from pykatib.cli import words
    from pykatib.cli.lookup import find_one, open_reader
    from pykatib.cli.requests import ask
    from pykatib.cli.settings import home_folders

    with open_reader(home) as reader:
        found = [find_one(reader, Experiment, name, namespace) for name in names]
    if not yes and sys.stdin.isatty():
        parts = [f"{one.metadata.name} ({words.count(one.status.trials, 'Trial')})" for one in found]
        click.confirm(f"Delete {', '.join(parts)} and all that is kept of them?", abort=True)
    ask(home_folders(home), "delete", [one.reference for one in found])
    for one in found:
        click.echo(f"Experiment {one.metadata.name} is deleted.")
