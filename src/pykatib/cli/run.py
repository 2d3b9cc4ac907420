"""`katib run`: from files to finished Experiments, in the foreground."""

import click

from pykatib.cli.options import Where, output_option, place_options, service_option
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
@click.option(
    "-n",
    "--namespace",
    default="",
    help="For documents that name no namespace. [default: default; of a cluster, the context's]",
)
@click.option(
    "--replace", is_flag=True, help="Delete Experiments of the same names first, with all that is kept of them."
)
@place_options
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
    where: Where,
    output: str | None,
    quiet: bool,
) -> None:
    """Run the Experiments of manifests, on this machine or, with --context, in a cluster.

    FILE is a manifest, or - for standard input; it may hold several documents: Experiments, ConfigMaps and Secrets.
    Trials run as processes of this machine, from the folder of their manifest. Ctrl-C stops everything so that
    `katib resume` can take it up again; a second Ctrl-C ends it at once.

    In a cluster the operator runs them, and they are followed from here: Ctrl-C ends only that. An Experiment that is
    in the cluster already, by the same manifest, is followed too.

    Exit status: 0 when all Experiments have succeeded, 1 when one has failed or the home folder cannot be used, 2 when
    the input was refused (nothing was started then), 130 when the run was stopped before its end.
    """
    from pykatib.cli.following import foreground
    from pykatib.cli.judging import judged
    from pykatib.cli.place import cluster_of, needing_client
    from pykatib.cli.refusals import warn
    from pykatib.cli.resume import follow_to_end
    from pykatib.cli.settings import home_folders
    from pykatib.embedded.submission import submit

    settings = (
        *((f"spec.parallelTrialCount={parallel}",) if parallel is not None else ()),
        *((f"spec.maxTrialCount={max_trials}",) if max_trials is not None else ()),
        *settings,
    )
    if cluster_of(where) is not None:
        if images or services:
            given = "--image" if images else "--algorithm-service"
            raise click.UsageError(f"{given} is for Trials on this machine; leave it out for a cluster.")
        with needing_client():
            from pykatib.cli.cluster_work import run_there
        with run_there(where, files, settings=settings, namespace=namespace, replaces=replace) as there:
            ctx.exit(2 if there is None else follow_to_end(there, output=output, quiet=quiet))
    folders = home_folders(where.home)
    submission = judged(
        files,
        folders=folders,
        images=images,
        services=services,
        settings=settings,
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
