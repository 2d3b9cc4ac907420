from collections.abc import Iterator

import pytest


def _server(kind: str) -> Iterator[object]:
    servers = pytest.importorskip("database_servers", exc_type=ImportError)
    try:
        server = servers.KINDS[kind]()
    except servers.NotInstalledError as missing:
        pytest.skip(str(missing))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[object]:
    """A MariaDB server that all tests of this process share; its databases are their own."""
    yield from _server("mariadb")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[object]:
    """A PostgreSQL server that all tests of this process share; its databases are their own."""
    yield from _server("postgresql")
