"""`katib serve`: pykatib's algorithms for an existing Katib, as the services that it calls."""

from collections.abc import Callable
from functools import cache

import click

from pykatib.cli.options import algorithm_names


@click.group()
def command() -> None:
    """Serve search algorithms and early stopping over gRPC, in place of the images of Katib's services."""


@command.command()
@click.option(
    "--algorithm",
    "algorithms",
    multiple=True,
    metavar="NAME",
    shell_complete=algorithm_names,
    help="Serve this one; may be given several times. [default: all]",
)
@click.option("--port", type=click.IntRange(0, 65_535), default=6789, show_default=True, help="Where to listen.")
def suggestion(algorithms: tuple[str, ...], port: int) -> None:
    """Serve `api.v1.beta1.Suggestion` until SIGTERM, with health under the name `manager.v1beta1.Suggestion`.

    Everything is derived from each request: the process may be ended and started between any two calls.

    Exit status: 0 when it was stopped, 1 when it cannot listen, 2 when there is no such algorithm.
    """
    _set_up()
    from pykatib.rpc.serving import serve_until, stop_signal
    from pykatib.rpc.suggestion_service import suggestion_serving

    serve_until(stop_signal(), suggestion_serving(f"0.0.0.0:{port}", algorithms))


@command.command("early-stopping")
@click.option("--port", type=click.IntRange(0, 65_535), default=6788, show_default=True, help="Where to listen.")
@click.option("-n", "--namespace", default="", help="Where the Trials are. [default: that of the Pod it runs in]")
def early_stopping(port: int, namespace: str) -> None:
    """Serve `api.v1.beta1.EarlyStopping` until SIGTERM, with health under `manager.v1beta1.EarlyStopping`.

    Rules are made from the metrics at the DB manager that each request names; that a Trial is stopped is written to
    the API server, which is looked for when it is first needed. Everything is derived from each request: the process
    may be ended and started between any two calls.

    Exit status: 0 when it was stopped, 1 when it cannot listen.
    """
    _set_up()
    from pykatib.rpc.early_stopping_service import early_stopping_serving
    from pykatib.rpc.serving import serve_until, stop_signal

    serve_until(stop_signal(), early_stopping_serving(f"0.0.0.0:{port}", _stopper(namespace)))


def _stopper(namespace: str) -> Callable[[str], None]:
    """Writes on a Trial that it is stopped. Rules alone need neither a cluster nor its client."""

    @cache
    def connected() -> Callable[[str], None]:
        from pykatib.api.errors import NotSupported

        try:
            from pykatib.rpc.trial_stopper import TrialStopper
            from pykatib.store.kubernetes.api_server import ApiServer
        except ModuleNotFoundError as error:
            text = f"{error.name} is not installed; run: pip install 'pykatib[kubernetes]'"
            raise NotSupported(text) from error
        return TrialStopper(ApiServer.connect(), namespace=namespace).stop

    return lambda trial_name: connected()(trial_name)


def _set_up() -> None:
    import logging

    try:
        import grpc  # noqa: F401 - for the sentence that says where it comes from
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is not installed; run: pip install 'pykatib[grpc]'") from error
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
