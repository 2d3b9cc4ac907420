"""`katib best`: the answer that an Experiment was run for."""

import click

from pykatib.cli.options import experiment_names, home_option, namespace_option, output_option


@click.command()
@click.argument("name", shell_complete=experiment_names)
@output_option("text", "json", "yaml", text="How to print it.", default="text")
@namespace_option
@home_option
def command(name: str, output: str, namespace: str, home: str | None) -> None:
    """Print the best Trial of an Experiment: its value, its parameters, its metrics.

    With -o json, `parameters` and `metrics` are objects with numbers as numbers, ready for a script:
    `katib best NAME -o json | jq .parameters.lr`.

    Exit status: 1 when no Trial has an objective value (yet).
    """
    from pykatib.api.errors import NotFound
    from pykatib.api.experiment import Experiment
    from pykatib.cli.lookup import find_one, open_reader
    from pykatib.cli.results import best_document, best_of
    from pykatib.cli.shapes import print_document

    with open_reader(home) as reader:
        experiment = find_one(reader, Experiment, name, namespace)
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
