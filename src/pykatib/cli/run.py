"""`katib run`: from files to finished Experiments, in the foreground."""

import click

from pykatib.cli.options import home_option, output_option, service_option
from pykatib.cli.resume import RESULT_FORMATS


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True), metavar="FILE...")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="IMAGE=FOLDER",
    help="Take an image's files from this folder: nothing is pulled. May be given several times.",
)
@service_option
@click.option("--parallel", type=int, metavar="N", help="Run N Trials at a time (spec.parallelTrialCount).")
@click.option("--max-trials", type=int, metavar="N", help="End after N Trials (spec.maxTrialCount).")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a field before the Experiments are read: spec.objective.goal=0.5, or "
    "spec.parameters[lr].feasibleSpace.max=0.1; VALUE is YAML. May be given several times.",
)
@click.option("-n", "--namespace", default="", help="For documents that name no namespace. [default: default]")
@click.option(
    "--replace", is_flag=True, help="Delete Experiments of the same names first, with all that is kept of them."
)
@home_option
@output_option(
    *RESULT_FORMATS, text="Print the Experiments so at the end, on standard output; progress goes elsewhere."
)
@click.option("-q", "--quiet", is_flag=True, help="Print the result only.")
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[str, ...],
    images: tuple[str, ...],
    services: tuple[str, ...],
    parallel: int | None,
    max_trials: int | None,
    settings: tuple[str, ...],
    namespace: str,
    replace: bool,
    home: str | None,
    output: str | None,
    quiet: bool,
) -> None:
    """Run the Experiments of manifests on this machine.

    FILE is a manifest, or - for standard input; it may hold several documents: Experiments, ConfigMaps and Secrets.
    Trials run as processes of this machine, from the folder of their manifest. Ctrl-C stops everything so that
    `katib resume` can take it up again; a second Ctrl-C ends it at once.

    Exit status: 0 when all Experiments have succeeded, 1 when one has failed or the home folder cannot be used, 2 when
    the input was refused (nothing was started then), 130 when the run was stopped before its end.
    """
    from pykatib.cli.following import foreground
    from pykatib.cli.judging import judged
    from pykatib.cli.refusals import warn
    from pykatib.cli.resume import follow_to_end
    from pykatib.cli.settings import home_folders
    from pykatib.embedded.submission import submit

    folders = home_folders(home)
    submission = judged(
        files,
        folders=folders,
        images=images,
        services=services,
        settings=(
            *((f"spec.parallelTrialCount={parallel}",) if parallel is not None else ()),
            *((f"spec.maxTrialCount={max_trials}",) if max_trials is not None else ()),
            *settings,
        ),
        namespace=namespace,
        may_exist=replace,
    )
    if submission is None:
        ctx.exit(2)
    with foreground(folders) as work:
        for experiment in work.start():
            name = experiment.metadata.name
            warn(f"Experiment {name} was interrupted before; it is stopped now, `katib resume {name}` takes it up")
        if replace:
            work.remove(experiment.reference for experiment in submission.experiments)
        for experiment in submit(submission, work.door):
            work.follow(experiment)
        ctx.exit(follow_to_end(work, output=output, quiet=quiet))
