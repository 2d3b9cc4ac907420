"""`katib export`: an Experiment's Trials as a table of data."""

import click

from pykatib.cli.options import Where, experiment_names, namespace_option, output_option, place_options


@click.command()
@click.argument("name", shell_complete=experiment_names)
@output_option("csv", "json", "parquet", text="The format.", default="csv")
@click.option("-f", "--file", type=click.Path(dir_okay=False), help="Write into this file. [default: standard output]")
@namespace_option
@place_options
def command(name: str, output: str, file: str | None, namespace: str, where: Where) -> None:
    """Write the Trials of an Experiment: one row each, with a column a parameter and a column a metric.

    Columns: name, experiment, namespace, state, value (the objective), startTime, completionTime, seconds,
    parameters.NAME, metrics.NAME. Parquet needs pyarrow: pip install 'pykatib[parquet]'.
    """
    import sys

    from pykatib.api.experiment import Experiment
    from pykatib.cli.exporting import content_of
    from pykatib.cli.lookup import find_one, trials_of
    from pykatib.cli.place import open_place
    from pykatib.cli.results import trial_record

    if output == "parquet" and file is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal; name a --file.")
    with open_place(where) as place:
        experiment = find_one(place, Experiment, name, namespace)
        records = [trial_record(trial, experiment) for trial in trials_of(place, experiment)]
    content = content_of(records, output)
    if file is None:
        click.echo(content, nl=False)
    else:
        with open(file, "wb") as opened:
            opened.write(content)
        click.echo(f"{len(records)} Trials written to {file}", err=True)
