"""Requests that another process leaves for the owner of a database: `post` here, `SqliteStore.take_mail` there."""

from pathlib import Path
from typing import NamedTuple

from pykatib.store.database import Database


class Mail(NamedTuple):
    """A request; the verbs and the JSON of `body` are for sender and owner to agree on."""

    id: int
    verb: str
    namespace: str
    name: str
    body: str
    posted_at: float


def post(path: Path, verb: str, namespace: str, name: str, body: str = "{}", *, now: float) -> int:
    """Leaves a request; answers its id, which `SqliteReader.is_waiting` knows until its effects are committed."""
    database = Database(path, "post")
    try:
        with database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO mailbox (verb, namespace, name, body, posted_at) VALUES (?, ?, ?, ?, ?)",
                (verb, namespace, name, body, now),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid
    finally:
        database.close()
