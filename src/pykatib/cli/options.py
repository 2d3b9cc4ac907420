"""Options and arguments that several commands share, and the completion of names. Only click is imported here."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def home_option(command: F) -> F:
    """`--home DIR`."""
    return click.option(
        "--home",
        metavar="DIR",
        help="The home folder, where everything is kept. [default: $KATIB_HOME, the settings file, or ~/.katib]",
    )(command)


class Where(NamedTuple):
    """What a command line says of where it works; `pykatib.cli.place` knows what that means."""

    home: str | None = None
    context: str | None = None
    kubeconfig: str | None = None


def place_options(command: F) -> F:
    """`--home DIR`, `--context NAME` and `--kubeconfig FILE`; the command gets them as `where`."""

    @functools.wraps(command)
    def placed(*arguments: Any, home: str | None, context: str | None, kubeconfig: str | None, **options: Any) -> Any:
        return command(*arguments, where=Where(home, context, kubeconfig), **options)

    with_kubeconfig = click.option(
        "--kubeconfig",
        metavar="FILE",
        help="Where contexts of clusters are described; alone, its current one. [default: $KUBECONFIG, ~/.kube/config]",
    )(placed)
    with_context = click.option(
        "--context",
        metavar="NAME",
        help="Work in the cluster of this context of the kubeconfig; `.` is its current one. [default: $KATIB_CONTEXT]",
    )(with_kubeconfig)
    return home_option(with_context)  # type: ignore[return-value]  # `where` takes the place of three


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
        "-n",
        "--namespace",
        default="",
        help="Look in this namespace only. [default: all, as long as names are clear; of a cluster, the context's]",
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
        from pykatib.cli.place import open_place

        where = Where(*(ctx.params.get(name) for name in Where._fields))
        with open_place(where) as place:
            found = place.list(kind, namespace=ctx.params.get("namespace") or place.default_namespace or None)
    except Exception:
        return []
    return sorted({obj.metadata.name for obj in found if obj.metadata.name.startswith(incomplete)})
