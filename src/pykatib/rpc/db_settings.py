"""Which database the DB manager uses, from Katib's environment variables; `sqlite` is pykatib's own."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import URL

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput


class DatabaseSettings(NamedTuple):
    """Where the database is, and whether tables may be made in it."""

    url: URL
    initialize: bool


def database_settings(environment: Mapping[str, str]) -> DatabaseSettings:
    """Reads the variables; an empty one counts as absent.

    Raises:
        InvalidInput: DB_NAME or a port is missing or wrong.
    """
    get = _Reader(environment)
    match environment.get(names.ENV_DB_NAME, ""):
        case "mysql":
            url = URL.create(
                "mysql+pymysql",
                get(names.ENV_DB_USER, "root"),
                environment.get(names.ENV_DB_PASSWORD) or None,
                get(names.ENV_MYSQL_HOST, "katib-mysql"),
                get.port(names.ENV_MYSQL_PORT, 3306),
                get(names.ENV_MYSQL_DATABASE, "katib"),
            )
        case "postgres":
            url = URL.create(
                "postgresql+psycopg",
                get(names.ENV_DB_USER, "katib"),
                environment.get(names.ENV_DB_PASSWORD) or None,
                get(names.ENV_POSTGRESQL_HOST, "katib-postgres"),
                get.port(names.ENV_POSTGRESQL_PORT, 5432),
                get(names.ENV_POSTGRESQL_DATABASE, "katib"),
                {"sslmode": get(names.ENV_POSTGRESQL_SSL_MODE, "disable")},
            )
        case "sqlite":
            url = URL.create("sqlite", database=get(names.ENV_SQLITE_PATH, "katib-observations.db"))
        case other:
            raise InvalidInput(
                [FieldError(names.ENV_DB_NAME, f"must be mysql, postgres or sqlite; found {other!r}")],
                source="environment",
            )
    return DatabaseSettings(url, get(names.ENV_SKIP_DB_INITIALIZATION, "false") == "false")


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(self, name: str, default: str) -> str:
        return self._environment.get(name) or default

    def port(self, name: str, default: int) -> int:
        text = self(name, str(default))
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:
            raise InvalidInput([FieldError(name, f"must be a port, found {text!r}")], source="environment")
        return int(text)
