"""`katib stop`: stops Experiments, also beside the process that runs them."""

import click

from pykatib.cli.options import Where, experiment_names, namespace_option, place_options


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=experiment_names)
@namespace_option
@place_options
def command(names: tuple[str, ...], namespace: str, where: Where) -> None:
    """Stop Experiments so that `katib resume` can take them up again.

    Their running Trials are ended and run again later. Where another katib runs them, that one is asked, and this
    command returns when it is done; in a cluster, when it is written down for the operator, who ends them.
    """
    from pykatib.api.experiment import Experiment
    from pykatib.cli.lookup import find_one
    from pykatib.cli.place import addressed, open_place

    with open_place(where) as place:
        found = [find_one(place, Experiment, name, namespace) for name in names]
        place.stop([one.reference for one in found])
        for one in found:
            click.echo(
                f"Experiment {one.metadata.name} is stopped. To go on: katib resume "
                f"{addressed(where, place, one.reference)}"
            )
