"""Finding what a name means: in one namespace where it is given, else wherever the name is clear."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput, NotFound
from pykatib.api.experiment import Experiment
from pykatib.api.meta import Reference
from pykatib.api.objects import Object
from pykatib.api.schema_walk import did_you_mean
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.cli.settings import home_folders
from pykatib.store.reader import SqliteReader

KatibObject = Experiment | Suggestion | Trial
K = TypeVar("K", bound=KatibObject)

KINDS: dict[str, type[KatibObject]] = {
    names.EXPERIMENT: Experiment,
    names.SUGGESTION: Suggestion,
    names.TRIAL: Trial,
}


class Readable(Protocol):
    """What both a reader and an owner's store can do."""

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        ...

    def list(self, kind: str, *, namespace: str | None = None) -> Sequence[Object]:
        """All objects of a kind."""
        ...


@contextlib.contextmanager
def open_reader(home: str | None) -> Iterator[SqliteReader]:
    """Reads a home folder, also beside a process that owns it. Raises StorageFailed where nothing was run there."""
    reader = SqliteReader(home_folders(home).database)
    try:
        yield reader
    finally:
        reader.close()


def find_one(reader: Readable, kind: type[K], name: str, namespace: str = "") -> K:
    """The object of that name.

    Raises:
        NotFound: there is none; the nearest name is told.
        InvalidInput: there are several, in different namespaces.
    """
    if namespace:
        found = reader.find(Reference(kind.__name__, namespace, name))
        if isinstance(found, kind):
            return found
        raise NotFound(_not_found(reader, kind.__name__, name, namespace))
    namespaces = dict.fromkeys(one.metadata.namespace for one in reader.list(names.EXPERIMENT))
    candidates = [reader.find(Reference(kind.__name__, one, name)) for one in namespaces]
    matches = [one for one in candidates if isinstance(one, kind)]
    if len(matches) > 1:
        places = ", ".join(one.metadata.namespace for one in matches)
        message = f"{kind.__name__} {name!r} is in several namespaces: {places}; choose one with -n"
        raise InvalidInput([FieldError("", message)])
    if not matches:
        raise NotFound(_not_found(reader, kind.__name__, name, None))
    return matches[0]


def _not_found(reader: Readable, kind: str, name: str, namespace: str | None) -> str:
    known = [one.metadata.name for one in reader.list(kind, namespace=namespace)]
    where = f" in namespace {namespace}" if namespace else ""
    if not known:
        return f"there is no {kind} {name!r}{where}, nor any other"
    hint = did_you_mean(name, known) or f"; `katib get {kind.lower()}s` lists those that there are"
    return f"there is no {kind} {name!r}{where}{hint}"


def trials_of(reader: SqliteReader, experiment: Experiment) -> list[Trial]:
    """The Trials of an Experiment, oldest first."""
    meta = experiment.metadata
    found = reader.list(names.TRIAL, namespace=meta.namespace, labels={names.LABEL_EXPERIMENT: meta.name})
    return [trial for trial in found if isinstance(trial, Trial)]
