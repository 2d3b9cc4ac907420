"""`katib logs`: what a Trial has printed, whole or as it is written."""

import click

from pykatib.cli.options import home_option, namespace_option, trial_names


@click.command()
@click.argument("trial", shell_complete=trial_names)
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the Trial ends.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Print the last N lines only.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Of this attempt. [default: the last]")
@click.option("--replica", metavar="NAME", help="Of this replica of a distributed job, such as worker-1.")
@namespace_option
@home_option
def command(
    trial: str,
    follow: bool,
    tail: int | None,
    attempt: int | None,
    replica: str | None,
    namespace: str,
    home: str | None,
) -> None:
    """Print what a Trial has printed: of a distributed job, the replica whose metrics are read, or the one named.

    In a terminal, control characters are shown as pictures of themselves; into a pipe go the bytes as they are.
    """
    from pykatib.cli.logging_out import print_log
    from pykatib.cli.lookup import open_reader
    from pykatib.cli.settings import home_folders

    with open_reader(home) as reader:
        print_log(
            reader,
            home_folders(home),
            trial,
            namespace=namespace,
            follow=follow,
            tail=tail,
            attempt_number=attempt,
            replica=replica,
        )
