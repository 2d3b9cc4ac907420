"""`katib resume`: takes an Experiment up again, here or in the process that owns the home folder."""

import contextlib
from typing import TYPE_CHECKING

import click

from pykatib.cli.options import (
    Where,
    experiment_names,
    namespace_option,
    output_option,
    place_options,
    service_option,
)

if TYPE_CHECKING:
    from pykatib.cli.presenting import Work

RESULT_FORMATS = ("table", "json", "yaml")


@click.command()
@click.argument("name", shell_complete=experiment_names)
@click.option("--max-trials", type=int, metavar="N", help="Go on to N Trials in all (spec.maxTrialCount).")
@service_option
@namespace_option
@place_options
@output_option(*RESULT_FORMATS, text="Print the Experiment so at the end, on standard output; progress goes elsewhere.")
@click.option("-q", "--quiet", is_flag=True, help="Print the result only.")
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    max_trials: int | None,
    services: tuple[str, ...],
    namespace: str,
    where: Where,
    output: str | None,
    quiet: bool,
) -> None:
    """Take a stopped or interrupted Experiment up again.

    Trials that have ended stay as they are; those that were cut off run again. An Experiment that has used up its
    Trials goes on when --max-trials gives it more and its resumePolicy is LongRunning or FromVolume.

    It runs in the foreground, as with `katib run`. Where another katib owns the home folder, that one runs it, and this
    command returns. In a cluster the operator runs it, and it is followed from here; Ctrl-C ends only that.
    """
    from pykatib.api.errors import Conflict
    from pykatib.api.experiment import Experiment
    from pykatib.cli.following import foreground
    from pykatib.cli.lookup import find_one
    from pykatib.cli.place import cluster_of, needing_client, open_place
    from pykatib.cli.refusals import warn
    from pykatib.cli.requests import ask_owner, moved_service, owner_of, refuse_callable
    from pykatib.cli.settings import home_folders
    from pykatib.embedded.mail import Wishes

    if cluster_of(where) is not None:
        if services:
            raise click.UsageError("--algorithm-service is for this machine; a cluster has its katib-config.")
        with needing_client():
            from pykatib.cli.cluster_work import resume_there
        with resume_there(where, name, namespace, max_trial_count=max_trials) as there:
            ctx.exit(follow_to_end(there, output=output, quiet=quiet))
    folders = home_folders(where.home)
    with open_place(where) as place:
        found = find_one(place, Experiment, name, namespace)
    refuse_callable(found)
    address = moved_service(found, services)
    owner = owner_of(folders)
    if owner is not None and address:
        raise Conflict(f"process {owner.pid} owns the home folder {folders.root}; stop it to name another service")
    if owner is not None and ask_owner(folders, "resume", [found.reference], wishes=Wishes(max_trial_count=max_trials)):
        click.echo(f"Experiment {name} goes on in process {owner.pid}, which owns the home folder {folders.root}.")
        return
    with foreground(folders) as work:
        for other in work.start(but=[found.reference]):
            warn(f"Experiment {other.metadata.name} was interrupted before as well; it is stopped now")
        meta = found.metadata
        if address:
            work.door.ask_service(meta.namespace, meta.name, address)
        work.follow(work.door.resume(meta.namespace, meta.name, max_trial_count=max_trials), resumed=True)
        ctx.exit(follow_to_end(work, output=output, quiet=quiet))


def follow_to_end(work: "Work", *, output: str | None, quiet: bool) -> int:
    """Runs what is followed, shows it, prints the result; answers the exit status."""
    import sys

    from pykatib.cli.lines import Lines
    from pykatib.cli.presenting import Presenter, Silence

    stream = sys.stdout if output is None else sys.stderr
    presenter: Presenter
    if quiet:
        presenter = Silence()
    elif stream.isatty():
        from pykatib.cli.live import LiveView

        presenter = LiveView(work, stream)
    else:
        presenter = Lines(lambda line: click.echo(line, file=stream))
    status = work.run(presenter)
    with contextlib.suppress(BrokenPipeError):  # nobody reads any more; what happened is as it is
        _print_results(work, output)
        sys.stdout.flush()
    return status


def _print_results(work: "Work", output: str | None) -> None:
    from pykatib.cli.results import result_lines
    from pykatib.cli.shapes import print_objects

    experiments = work.results()
    if output is not None:
        print_objects(experiments, output, as_list=len(experiments) != 1)
    else:
        for experiment in experiments:
            for line in result_lines(experiment, work.output_of(experiment)):
                click.echo(line)
