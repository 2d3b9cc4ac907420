"""`katib best`: the answer that an Experiment was run for."""

import click

from pykatib.cli.options import Where, experiment_names, namespace_option, output_option, place_options


@click.command()
@click.argument("name", shell_complete=experiment_names)
@output_option("text", "json", "yaml", text="How to print it.", default="text")
@namespace_option
@place_options
def command(name: str, output: str, namespace: str, where: Where) -> None:
    """Print the best Trial of an Experiment: its value, its parameters, its metrics.

    With -o json, `parameters` and `metrics` are objects with numbers as numbers, ready for a script:
    `katib best NAME -o json | jq .parameters.lr`.

    Exit status: 1 when no Trial has an objective value (yet).
    """
    from pykatib.api.errors import NotFound
    from pykatib.api.experiment import Experiment
    from pykatib.cli.lookup import find_one
    from pykatib.cli.place import open_place
    from pykatib.cli.results import best_document, best_of, pareto_lines
    from pykatib.cli.shapes import print_document

    with open_place(where) as place:
        experiment = find_one(place, Experiment, name, namespace)
    best = best_of(experiment)
    if best is None:
        raise NotFound(f"no Trial of Experiment {name} has an objective value")
    document = best_document(experiment)
    if output != "text":
        print_document(document, output)
        return
    click.echo(f"{document['objective']} = {document['value']}  ({best.best_trial_name})")
    for one in best.parameter_assignments:
        click.echo(f"  {one.name} = {one.value}")
    for line in pareto_lines(experiment):
        click.echo(line)
