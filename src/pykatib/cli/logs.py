"""`katib logs`: what a Trial has printed, whole or as it is written."""

import click

from pykatib.cli.options import Where, namespace_option, place_options, trial_names


@click.command()
@click.argument("trial", shell_complete=trial_names)
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the Trial ends.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Print the last N lines only.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Of this attempt. [default: the last]")
@click.option("--replica", metavar="NAME", help="Of this replica of a distributed job, such as worker-1.")
@namespace_option
@place_options
def command(
    trial: str,
    follow: bool,
    tail: int | None,
    attempt: int | None,
    replica: str | None,
    namespace: str,
    where: Where,
) -> None:
    """Print what a Trial has printed: of a distributed job, the replica whose metrics are read, or the one named.

    In a cluster it is what its Pods still have: those of a worker job go with it, soon after its end, unless
    spec.trialTemplate.retain is true.

    In a terminal, control characters are shown as pictures of themselves; into a pipe go the bytes as they are.
    """
    from pykatib.cli.logging_out import print_log
    from pykatib.cli.place import LogWish, open_place

    with open_place(where) as place:
        print_log(place, trial, LogWish(follow, tail, attempt, replica or ""), namespace=namespace)
