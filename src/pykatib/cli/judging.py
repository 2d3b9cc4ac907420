"""Reading the files of a command line, or telling all that is wrong with them: for `run` and `validate`."""

from collections.abc import Iterable
from pathlib import Path

import click

from pykatib.api.errors import InvalidInput
from pykatib.cli.refusals import told_errors, warn
from pykatib.cli.settings import image_folders, service_addresses
from pykatib.cli.sources import read_sources
from pykatib.embedded.algorithm_services import algorithm_of, parse_service_options
from pykatib.embedded.folders import HomeFolders
from pykatib.embedded.overrides import Override, parse_overrides
from pykatib.embedded.submission import Judge, Refusal, Submission
from pykatib.workers.images import Images, parse_image_options


def judged(
    files: Iterable[str],
    *,
    folders: HomeFolders,
    images: tuple[str, ...] = (),
    services: tuple[str, ...] = (),
    settings: tuple[str, ...] = (),
    namespace: str = "",
    may_exist: bool = False,
) -> Submission | None:
    """What the files ask for; None, and all mistakes told on standard error, where there are any."""
    refusals: list[Refusal] = []
    overrides: list[Override] = []
    mappings: dict[str, Path] = {}
    named: dict[str, str] = {}
    addresses: dict[str, str] = {}
    try:
        named = parse_service_options(services)
        addresses = service_addresses(named)
    except InvalidInput as error:
        refusals.append(Refusal(error.source, error.errors))
    try:
        overrides = parse_overrides(settings)
    except InvalidInput as error:
        refusals.append(Refusal(error.source, error.errors))
    try:
        mappings = image_folders(parse_image_options(images))
        Images(mappings)
    except InvalidInput as error:
        refusals.append(Refusal(error.source, error.errors))
        mappings = {}
    sources, unreadable = read_sources(list(files))
    refusals.extend(unreadable)
    submission = Submission()
    if sources:
        submission, found = Judge(folders).read(
            sources,
            overrides=overrides,
            images=mappings,
            services=addresses,
            namespace=namespace,
            may_exist=may_exist,
        )
        refusals.extend(found)
    for name in named.keys() - {algorithm_of(experiment) for experiment in submission.experiments}:
        warn(f"--algorithm-service {name}: no Experiment here has the algorithmName {name!r}")
    tell_refusals(refusals)
    return None if refusals else submission


def tell_refusals(refusals: Iterable[Refusal]) -> None:
    """Tells all that is wrong on standard error."""
    for refusal in refusals:
        for line in told_errors(refusal.source, refusal.errors):
            click.echo(line, err=True)
