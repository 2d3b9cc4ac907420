"""`katib stop`: stops Experiments, also beside the process that runs them."""

import click

from pykatib.cli.options import experiment_names, home_option, namespace_option


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=experiment_names)
@namespace_option
@home_option
def command(names: tuple[str, ...], namespace: str, home: str | None) -> None:
    """Stop Experiments so that `katib resume` can take them up again.

    Their running Trials are ended and run again later. Where another katib runs them, that one is asked, and this
    command returns when it is done.
    """
    from pykatib.api.experiment import Experiment
    from pykatib.cli.lookup import find_one, open_reader
    from pykatib.cli.requests import ask
    from pykatib.cli.settings import home_folders

    with open_reader(home) as reader:
        found = [find_one(reader, Experiment, name, namespace) for name in names]
    ask(home_folders(home), "stop", [one.reference for one in found])
    for one in found:
        click.echo(f"Experiment {one.metadata.name} is stopped. To go on: katib resume {one.metadata.name}")
