"""`katib export-model`: what an architecture search has found, as files to go on with."""

import click

from pykatib.cli.options import Where, experiment_names, namespace_option, place_options


@click.command()
@click.argument("name", shell_complete=experiment_names)
@click.option("-d", "--folder", metavar="DIR", help="Write into this folder. [default: NAME-model]")
@click.option("--epochs", type=click.IntRange(1), default=50, show_default=True, help="Epochs of the retraining.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How often it is trained.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@namespace_option
@place_options
def command(name: str, folder: str | None, epochs: int, seeds: int, force: bool, namespace: str, where: Where) -> None:
    """Write the best architecture of a search as a module of torch, a picture, and a manifest that trains it.

    model.py needs torch alone (`python model.py` prints shapes and the number of weights); architecture.svg shows it,
    architecture.png too where rsvg-convert or cairosvg is installed; `katib run retrain.yaml` trains it from scratch.

    Exit status: 1 when no Trial has an objective value (yet); 2 when the Experiment searched for no architecture.
    """
    from pathlib import Path

    from pykatib.api import names
    from pykatib.api.errors import NotFound
    from pykatib.api.experiment import Experiment
    from pykatib.api.meta import Reference
    from pykatib.api.trial import Trial
    from pykatib.cli.exported_model import files_of, write_files
    from pykatib.cli.lookup import find_one
    from pykatib.cli.place import open_place
    from pykatib.cli.results import best_of, metrics_of
    from pykatib.nas.found import FoundCells, found_by
    from pykatib.nas.retraining import retraining

    with open_place(where) as place:
        experiment = find_one(place, Experiment, name, namespace)
        best = best_of(experiment)
        if best is None:
            raise NotFound(f"no Trial of Experiment {name} has an objective value")
        trial = place.find(Reference(names.TRIAL, experiment.metadata.namespace, best.best_trial_name))
    if not isinstance(trial, Trial):
        raise NotFound(f"the Trial {best.best_trial_name} of Experiment {name} is gone")
    found = found_by(experiment, best)
    manifest = retraining(found, experiment, trial, epochs=epochs, seeds=seeds)
    metrics = metrics_of(best.observation, experiment.spec.objective)
    about = [f"Found by Experiment {name}, Trial {best.best_trial_name}", *map(" = ".join, metrics.items())]
    files, notes = files_of(found, manifest, about=about)
    target = Path(folder or f"{name}-model")
    write_files(target, files, force=force)
    if isinstance(found, FoundCells):
        click.echo(f"Best-Genotype={found.genotype}")
    click.echo(f"{best.best_trial_name}: {', '.join(map(' = '.join, metrics.items()))}", err=True)
    for file in files:
        click.echo(f"  {target / file}", err=True)
    for note in notes:
        click.echo(note, err=True)
