"""`katib validate`: the judgement of `katib run`, without the run."""

import click

from pykatib.cli.options import home_option, service_option


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True), metavar="FILE...")
@click.option("--image", "images", multiple=True, metavar="IMAGE=FOLDER", help="As of `katib run`.")
@service_option
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE", help="As of `katib run`.")
@click.option("-n", "--namespace", default="", help="For documents that name no namespace. [default: default]")
@home_option
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[str, ...],
    images: tuple[str, ...],
    services: tuple[str, ...],
    settings: tuple[str, ...],
    namespace: str,
    home: str | None,
) -> None:
    """Say whether manifests can be run, or all that is wrong with them.

    Nothing is started and nothing is kept. ConfigMaps are looked for in the files and in the home folder.

    Exit status: 0 when all can be run, 2 when there are mistakes.
    """
    from pykatib.cli.judging import judged
    from pykatib.cli.settings import home_folders

    submission = judged(
        files,
        folders=home_folders(home),
        images=images,
        services=services,
        settings=settings,
        namespace=namespace,
        may_exist=True,
    )
    if submission is None:
        ctx.exit(2)
    for one in (*submission.beside, *submission.experiments):
        click.echo(f"{one.kind} {one.metadata.namespace}/{one.metadata.name or one.metadata.generate_name + '*'}: OK")
