"""Requests to the owner of a home folder, from other processes: stop, resume, delete.

The sender leaves a request in the database; the owner's loop takes it, does it through its front door, and the request
leaves the database in the very commit of its effects. A refusal comes back as an event about the request, in that same
commit: so what the sender reads is final, whoever dies. Where nobody owns the home, the sender may open it and take its
own mail: there is one way to do each thing.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from pykatib.api import names
from pykatib.api.errors import (
    AlreadyExists,
    Conflict,
    FieldError,
    InvalidInput,
    NotFound,
    PykatibError,
    StorageFailed,
    answer_to,
)
from pykatib.api.meta import Reference
from pykatib.api.objects import Event
from pykatib.embedded.plane import EmbeddedControlPlane
from pykatib.store.lock import holder_of
from pykatib.store.mailbox import Mail, post
from pykatib.store.reader import SqliteReader
from pykatib.store.sqlite import SqliteStore

Verb: TypeAlias = Literal["stop", "resume", "delete"]

LOOK_SECONDS: Final = 0.2
REQUEST: Final = "Request"
"""The kind of the events that tell a refusal; their names are the requests' numbers."""


class Wishes(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a request says beyond its verb and its Experiment."""

    max_trial_count: int | None = None


class Mailman:
    """A periodic of the owner's loop that does what is asked of it.

    Args:
        store: the owner's store.
        plane: what is asked goes through its front door.
        on_resume: told of Experiments that were resumed on request.
    """

    def __init__(
        self, store: SqliteStore, plane: EmbeddedControlPlane, *, on_resume: Callable[[Reference], None] | None = None
    ) -> None:
        self._store = store
        self._plane = plane
        self._on_resume = on_resume
        self._next = 0.0

    def tick(self, now: float) -> None:
        """Takes mail, if it is time."""
        if now < self._next:
            return
        self._next = now + LOOK_SECONDS
        for mail in self._store.take_mail():
            self._do(mail)

    def rest(self) -> None:
        """Nothing to do."""

    def next_moment(self) -> float | None:
        """The next look into the box."""
        return self._next

    def _do(self, mail: Mail) -> None:
        door = self._plane.front_door
        try:
            wishes = _wishes_of(mail)
            match mail.verb:
                case "stop":
                    door.suspend(mail.namespace, mail.name)
                case "resume":
                    found = door.resume(mail.namespace, mail.name, max_trial_count=wishes.max_trial_count)
                    if self._on_resume is not None:
                        self._on_resume(found.reference)
                case "delete":
                    door.delete(mail.namespace, mail.name)
                case _:
                    raise InvalidInput([FieldError("", f"this katib does not know the request {mail.verb!r}")])
        except StorageFailed:
            raise
        except PykatibError as error:
            self._refuse(mail, error)

    def _refuse(self, mail: Mail, error: PykatibError) -> None:
        now = self._plane.clock.now()
        reason = answer_to(error).reason
        refusal = Event(REQUEST, mail.namespace, str(mail.id), names.WARNING, reason, _text_of(error), now)
        self._store.record(refusal)


def _wishes_of(mail: Mail) -> Wishes:
    try:
        return msgspec.json.decode(mail.body, type=Wishes)
    except msgspec.MsgspecError as error:
        raise InvalidInput([FieldError("", f"the request cannot be read: {error}")]) from error


def _text_of(error: PykatibError) -> str:
    errors = list(error.errors) if isinstance(error, InvalidInput) else [FieldError("", str(error))]
    return msgspec.json.encode(errors).decode()


def send(database: Path, verb: Verb, reference: Reference, *, wishes: Wishes | None = None) -> int:
    """Leaves a request; answers its number. Raises StorageFailed."""
    body = msgspec.json.encode(wishes or Wishes()).decode()
    return post(database, verb, reference.namespace, reference.name, body, now=time.time())


def wait_for(database: Path, namespace: str, number: int) -> bool:
    """Waits until the owner has done what was asked; False where nobody owns the home (any more).

    Raises:
        InvalidInput, NotFound, Conflict: the owner refused, with its words.
    """
    with _reading(database) as reader:
        while reader.is_waiting(number):
            if holder_of(database) is None:
                return not reader.is_waiting(number) and _raise_refusal(reader, namespace, number)
            time.sleep(LOOK_SECONDS / 4)
        return _raise_refusal(reader, namespace, number)


def check_answer(database: Path, namespace: str, number: int) -> None:
    """Raises the refusal of a request that has been dealt with, if it was refused."""
    with _reading(database) as reader:
        _raise_refusal(reader, namespace, number)


def _raise_refusal(reader: SqliteReader, namespace: str, number: int) -> bool:
    for event in reader.events(namespace=namespace, name=str(number), kind=REQUEST):
        errors = msgspec.json.decode(event.message, type=list[FieldError])
        text = "; ".join(str(error) for error in errors)
        kind = {"NotFound": NotFound, "Conflict": Conflict, "AlreadyExists": AlreadyExists}.get(event.reason)
        raise InvalidInput(errors) if event.reason == "Invalid" else (kind or PykatibError)(text)
    return True


@contextlib.contextmanager
def _reading(database: Path) -> Iterator[SqliteReader]:
    reader = SqliteReader(database)
    try:
        yield reader
    finally:
        reader.close()
