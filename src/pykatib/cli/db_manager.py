"""`katib db-manager`: keeps the metric logs of Trials in a database, for a cluster."""

import re

import click

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_seconds(ctx: click.Context, parameter: click.Parameter, text: str) -> float:
    """The seconds of a duration as Katib's flags write it: 90s, 1m30s, 500ms."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise click.BadParameter(f"{text!r} is no duration; write it as 90s, 1m30s or 500ms")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


@click.command()
@click.option("--listen-address", default="0.0.0.0:6789", show_default=True, help="Where to listen, as HOST:PORT.")
@click.option(
    "--connect-timeout",
    default="60s",
    show_default=True,
    callback=duration_seconds,
    help="How long to wait for the database at the start, as 90s or 1m30s.",
)
def command(listen_address: str, connect_timeout: float) -> None:
    """Serve Katib's DB manager: the metric logs of Trials, over gRPC, from a database.

    The environment names the database, as for Katib's own: DB_NAME is mysql (which MariaDB is too), postgres or
    sqlite; DB_USER and DB_PASSWORD; KATIB_MYSQL_DB_HOST, _PORT and _DATABASE; KATIB_POSTGRESQL_DB_HOST, _PORT,
    _DATABASE and KATIB_POSTGRESQL_SSL_MODE; KATIB_SQLITE_DB_PATH. With SKIP_DB_INITIALIZATION=true nothing is made in
    the database. Needs `pykatib[grpc]` with the extra `mysql`, `postgres` or `sql`. SIGTERM stops it.

    Exit status: 0 when it was stopped, 1 when the database does not answer or cannot be used, 2 when the environment
    is wrong.
    """
    import logging
    import os

    try:
        from pykatib.rpc.db_manager_process import run
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is not installed; run: pip install 'pykatib[grpc,sql]'") from error
    from pykatib.rpc.db_settings import database_settings
    from pykatib.rpc.serving import stop_signal

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(
        database_settings(os.environ),
        listen_address=listen_address,
        connect_timeout_seconds=connect_timeout,
        asked=stop_signal(),
    )
