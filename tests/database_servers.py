"""Real MariaDB and PostgreSQL servers for tests: on loopback, in a folder of their own, as an unprivileged user.

Nothing of the system's own servers is used or touched, but for the programs that their packages bring
(Debian: `mariadb-server`, `postgresql`).
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pymysql
from sqlalchemy import URL

USER = "katib"
PASSWORD = "secret word"
DATABASE = "katib"


class NotInstalledError(Exception):
    """The programs are not here."""


def _program(name: str, *places: str) -> str:
    found = shutil.which(name) or next((path for place in places for path in sorted(glob.glob(place))[::-1]), None)
    if found is None:
        raise NotInstalledError(f"{name} is not installed")
    return os.path.realpath(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A database server that can be stopped and started again; its data stay until `remove`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="katib-database-"))
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: list[str] = []
        if os.getuid() == 0:  # such servers do not run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            # Not by Popen(user=…): that takes a fork that gRPC's handlers see, and the child may hang in them.
            ids = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}"]
            self._as_user = [_program("setpriv"), *ids, "--clear-groups"]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = DATABASE) -> URL:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [*self._as_user, *command], cwd=self.folder, capture_output=True, text=True, env=self._environment()
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.folder), "TZ": "Asia/Kolkata"}

    def start(self) -> None:
        """Returns when the server answers."""
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [*self._as_user, *self._command()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
            )
        until = time.monotonic() + 60
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise AssertionError("the server did not start: " + (self.folder / "server.log").read_text()[-3000:])
            time.sleep(0.05)

    def stop(self, *, how: signal.Signals = signal.SIGTERM) -> None:
        """Returns when the server has gone."""
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Stops the server and deletes its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self, name: str) -> URL:
        """An empty database beside the first."""
        raise NotImplementedError


class MariaDB(Server):
    """MariaDB, or MySQL where that is what `mariadbd` is."""

    def __init__(self, *, durable: bool = False) -> None:
        self._server = _program("mariadbd", "/usr/sbin/mariadbd")
        install = _program("mariadb-install-db")
        super().__init__()
        self._flush = "1" if durable else "0"
        self._run(
            install,
            "--no-defaults",
            f"--datadir={self.data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        self.start()
        self._ask(f"CREATE DATABASE {DATABASE}")
        self._ask(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
        self._ask(f"GRANT ALL ON *.* TO '{USER}'@'%'")

    @property
    def _socket(self) -> str:
        return str(self.folder / "socket")

    def _ask(self, statement: str) -> None:
        with pymysql.connect(unix_socket=self._socket, user="root") as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def _command(self) -> list[str]:
        return [
            self._server,
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self._socket}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=64M",
            f"--innodb-flush-log-at-trx-commit={self._flush}",
        ]

    def _is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self._socket) == 0

    def url(self, database: str = DATABASE) -> URL:
        return URL.create("mysql+pymysql", USER, PASSWORD, "127.0.0.1", self.port, database)

    def new_database(self, name: str) -> URL:
        self._ask(f"CREATE DATABASE {name}")
        return self.url(name)


class PostgreSQL(Server):
    """PostgreSQL."""

    def __init__(self, *, durable: bool = False) -> None:
        self._server = _program("postgres", "/usr/lib/postgresql/*/bin/postgres")
        self._programs = Path(self._server).parent
        super().__init__()
        self._fsync = "on" if durable else "off"
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            str(self._programs / "initdb"),
            f"--pgdata={self.data}",
            f"--username={USER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-sync",
        )
        self.start()
        self.new_database(DATABASE)

    def _command(self) -> list[str]:
        return [
            self._server,
            "-D",
            str(self.data),
            "-p",
            str(self.port),
            "-h",
            "127.0.0.1",
            "-k",
            str(self.folder),
            "-c",
            f"fsync={self._fsync}",
            "-c",
            "shared_buffers=32MB",
        ]

    def _is_ready(self) -> bool:
        ready = [str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(ready).returncode == 0

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:  # SIGTERM would wait for clients
        super().stop(how=how)

    def url(self, database: str = DATABASE) -> URL:
        return URL.create("postgresql+psycopg", USER, PASSWORD, "127.0.0.1", self.port, database)

    def new_database(self, name: str) -> URL:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


KINDS: dict[str, Callable[[], Server]] = {"mariadb": MariaDB, "postgresql": PostgreSQL}
