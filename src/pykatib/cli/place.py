"""Where a command works: in a home folder of this machine, or in a cluster. The one place where that is decided.

`--context` or `--kubeconfig` choose a cluster, `--home` a home folder; else the variable KATIB_CONTEXT a cluster; else
it is the home folder of `KATIB_HOME`, the settings file or `~/.katib`. Everything that commands print is made of what
a `Place` answers, so it is the same for both.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import click

from pykatib.api import names
from pykatib.api.errors import NotSupported
from pykatib.api.meta import Reference
from pykatib.api.objects import Event, Object
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.cli.options import Where
from pykatib.cli.settings import home_folders

ADVICE = "pip install 'pykatib[kubernetes]'"


class LogWish(NamedTuple):
    """Which of a Trial's output is wanted."""

    follow: bool = False
    tail: int | None = None
    attempt: int | None = None
    replica: str = ""


class TrialLog(NamedTuple):
    """A Trial's output; `remark` is said first, to people."""

    lines: Iterator[bytes]
    remark: str = ""


class LastOutput(NamedTuple):
    """The last lines of a Trial's last attempt, and how many attempts there were; 0 where none is left."""

    text: str
    attempt_count: int
    missing: str = ""


class Place(Protocol):
    """What commands need of where Experiments are."""

    default_namespace: str
    """Where objects are looked for when nobody names a namespace; empty for everywhere."""

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        ...

    def list(
        self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Object]:
        """All objects of a kind, oldest first; `labels` must all be carried."""
        ...

    def whole(self, found: Object) -> Object:
        """The object with whatever the place keeps apart from it: for who prints all of it."""
        ...

    def changes(
        self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Iterator[Sequence[Object]]:
        """All objects of a kind, then whatever changes, without end."""
        ...

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an object, or of a namespace, oldest first."""
        ...

    def latest(self, trial: Trial) -> Mapping[str, MetricLog]:
        """The last log of each metric of a Trial, where they can be read."""
        ...

    def whereabouts(self, found: Object) -> Sequence[tuple[str, str]]:
        """Where an object's output is, as names and values."""
        ...

    def last_output(self, trial: Trial, count: int) -> LastOutput:
        """The last lines that a Trial printed."""
        ...

    def log(self, trial: Trial, wish: LogWish) -> TrialLog:
        """A Trial's output. Raises NotFound where there is none."""
        ...

    def stop(self, references: Sequence[Reference]) -> None:
        """Stops Experiments so that they can be resumed. Raises InvalidInput, NotFound, Conflict."""
        ...

    def delete(self, references: Sequence[Reference]) -> None:
        """Deletes Experiments with all that is kept of them, and returns when they are gone."""
        ...

    def close(self) -> None:
        """Lets go."""
        ...


def cluster_of(where: Where) -> tuple[str | None, str | None] | None:
    """The kubeconfig and the context that are meant; None where a home folder is.

    Raises:
        UsageError: both are meant.
    """
    if where.home and (where.context is not None or where.kubeconfig):
        raise click.UsageError("--home means a folder, --context and --kubeconfig a cluster; leave one of them out.")
    if where.context is not None or where.kubeconfig:
        return where.kubeconfig, where.context
    context = os.environ.get("KATIB_CONTEXT", "")
    return (None, context) if context and not where.home else None


@contextlib.contextmanager
def open_place(where: Where) -> Iterator[Place]:
    """Opens the place that is meant.

    Raises:
        StorageFailed: nothing was ever run in the home folder.
        InvalidInput: there is no such context, or its kubeconfig cannot be used.
        NotSupported: what speaks to clusters is not installed.
    """
    cluster = cluster_of(where)
    place: Place
    if cluster is not None:
        with needing_client():
            from pykatib.cli.cluster_place import open_cluster
        with open_cluster(*cluster) as place:
            yield place
        return
    from pykatib.cli.home_place import HomePlace

    place = HomePlace(home_folders(where.home))
    try:
        yield place
    finally:
        place.close()


def addressed(where: Where, place: Place, reference: Reference) -> str:
    """How a further command names an Experiment: its name, with the options without which it would not be found."""
    parts = [reference.name]
    if where.kubeconfig:
        parts.append(f"--kubeconfig {where.kubeconfig}")
    if where.context is not None:
        parts.append(f"--context {where.context}")
    if reference.namespace != (place.default_namespace or names.DEFAULT_NAMESPACE):
        parts.append(f"-n {reference.namespace}")
    return " ".join(parts)


@contextlib.contextmanager
def needing_client() -> Iterator[None]:
    """Says what to install where an import within fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise NotSupported(f"for clusters, {error.name} is needed; run: {ADVICE}") from error
