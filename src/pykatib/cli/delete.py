"""`katib delete`: deletes Experiments, also beside the process that runs them."""

import click

from pykatib.cli.options import Where, experiment_names, namespace_option, place_options


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=experiment_names)
@click.option("-y", "--yes", is_flag=True, help="Ask nothing. (In a pipe nothing is asked anyway.)")
@namespace_option
@place_options
def command(names: tuple[str, ...], yes: bool, namespace: str, where: Where) -> None:
    """Delete Experiments with their Trials, metrics and output, for good.

    Where another katib owns the home folder, that one is asked; running Trials are ended, and their output goes when it
    lets go of the folder. In a cluster their worker jobs go too, and this command returns when all is gone.
    """
    import sys

    from pykatib.api.experiment import Experiment
    from pykatib.cli import words
    from pykatib.cli.lookup import find_one
    from pykatib.cli.place import open_place

    with open_place(where) as place:
        found = [find_one(place, Experiment, name, namespace) for name in names]
        if not yes and sys.stdin.isatty():
            parts = [f"{one.metadata.name} ({words.count(one.status.trials, 'Trial')})" for one in found]
            click.confirm(f"Delete {', '.join(parts)} and all that is kept of them?", abort=True)
        place.delete([one.reference for one in found])
    for one in found:
        click.echo(f"Experiment {one.metadata.name} is deleted.")
