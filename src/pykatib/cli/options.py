"""Options and arguments that several commands share, and the completion of names. Only click is imported here."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def home_option(command: F) -> F:
    """`--home DIR`."""
    return click.option(
        "--home",
        metavar="DIR",
        help="The home folder, where everything is kept. [default: $KATIB_HOME, the settings file, or ~/.katib]",
    )(command)


def service_option(command: F) -> F:
    """`--algorithm-service NAME=HOST:PORT`."""
    return click.option(
        "--algorithm-service",
        "services",
        multiple=True,
        metavar="NAME=HOST:PORT",
        help="Ask the Katib suggestion service that listens there for the algorithm NAME. May be given several times.",
    )(command)


def namespace_option(command: F) -> F:
    """`-n NAMESPACE` of commands that find what is there."""
    return click.option(
        "-n", "--namespace", default="", help="Look in this namespace only. [default: all, as long as names are clear]"
    )(command)


def output_option(*formats: str, text: str, default: str | None = None) -> Callable[[F], F]:
    """`-o FORMAT`."""
    return click.option("-o", "--output", type=click.Choice(formats), default=default, help=text)


def experiment_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completes names of Experiments."""
    return _names_of("Experiment", ctx, incomplete)


def trial_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completes names of Trials."""
    return _names_of("Trial", ctx, incomplete)


def names_of_kind(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completes names of the kind that the command line has named before."""
    kind = str(ctx.params.get("kind") or "")
    known = {"e": "Experiment", "s": "Suggestion", "t": "Trial"}
    return _names_of(known.get(kind[:1].lower(), "Experiment"), ctx, incomplete)


def names_of_both(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completes names of algorithms and early stopping methods."""
    from pykatib.algorithms import registry

    known = dict.fromkeys([*registry.names(), *registry.early_stopping_names()])
    return [name for name in known if name.startswith(incomplete)]


def algorithm_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completes names of algorithms."""
    from pykatib.algorithms import registry

    return [name for name in registry.names() if name.startswith(incomplete)]


def _names_of(kind: str, ctx: click.Context, incomplete: str) -> list[str]:
    # Completion must never print an error into the line that is being typed.
    try:
        from pykatib.cli.lookup import open_reader

        with open_reader(ctx.params.get("home")) as reader:
            found = reader.list(kind, namespace=ctx.params.get("namespace") or None)
    except Exception:
        return []
    return sorted({obj.metadata.name for obj in found if obj.metadata.name.startswith(incomplete)})
