"""A cluster as commands see it: the API server that a context names."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from pykatib.api import names
from pykatib.api.errors import InvalidInput, NotFound, PykatibError, Unavailable
from pykatib.api.meta import Reference
from pykatib.api.objects import Event, Object
from pykatib.api.shared import MetricLog
from pykatib.api.trial import Trial
from pykatib.cli.place import LastOutput, LogWish, TrialLog
from pykatib.cli.refusals import warn
from pykatib.cluster.contexts import Connection, connect
from pykatib.cluster.pods import (
    Attempt,
    LogFollower,
    Pod,
    attempts_in,
    log_lines,
    may_not_read_logs,
    pod_now,
    pods_of,
)
from pykatib.cluster.reading import ClusterReader
from pykatib.cluster.wishes import Wishes
from pykatib.control.view import is_finished, trial_state
from pykatib.store.kubernetes.api_server import Canceller, Forbidden

_WAIT_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0


class ClusterPlace:
    """The Experiments of a cluster."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.server = connection.server
        self.default_namespace = connection.namespace
        self.wishes = Wishes(self.server)
        self.reader = ClusterReader(self.server)

    def find(self, reference: Reference) -> Object | None:
        """The object, or None."""
        return self.reader.find(reference)

    def list(
        self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Object]:
        """All objects of a kind, oldest first; `labels` must all be carried."""
        return self.reader.list(kind, namespace=namespace, labels=labels)

    def whole(self, found: Object) -> Object:
        """The object with the parts of its lists that API servers keep elsewhere."""
        return self.reader.whole(found)

    def changes(
        self, kind: str, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Iterator[Sequence[Object]]:
        """All objects of a kind, then whatever changes, without end."""
        return self.reader.changes(kind, namespace=namespace, labels=labels)

    def events(self, *, namespace: str, name: str | None = None, kind: str | None = None) -> Sequence[Event]:
        """The events of an object, or of a namespace, oldest first; none where one may not read them."""
        try:
            return self.reader.events(namespace=namespace, name=name, kind=kind)
        except Forbidden as error:
            warn(f"its events are left out: {error}")
            return ()

    def latest(self, trial: Trial) -> Mapping[str, MetricLog]:
        """None: values before a Trial's end are at the DB manager, within the cluster."""
        return {}

    def whereabouts(self, found: Object) -> Sequence[tuple[str, str]]:
        """The Pods of a Trial."""
        if not isinstance(found, Trial):
            return []
        try:
            pods = pods_of(self.server, found)
        except PykatibError:
            return []  # a person may see Trials and no Pods
        return [("Pod", _pod_words(pod, found)) for pod in pods]

    def last_output(self, trial: Trial, count: int) -> LastOutput:
        """The last lines that a Trial printed, as long as its Pod is there."""
        try:
            attempts = attempts_in(pods_of(self.server, trial), trial)
            if not attempts:
                return LastOutput("", 0, "its Pod is gone, and what it printed with it")
            lines = [*log_lines(self.server, attempts[-1], tail=count)]
        except PykatibError as error:
            return LastOutput("", 0, str(error))
        return LastOutput(b"\n".join(lines).decode(errors="replace"), len(attempts))

    def log(self, trial: Trial, wish: LogWish) -> TrialLog:
        """A Trial's output. Raises NotFound where there is none."""
        try:
            return self._log(trial, wish)
        except Forbidden as error:
            raise may_not_read_logs(error, trial) from error

    def _log(self, trial: Trial, wish: LogWish) -> TrialLog:
        name = trial.metadata.name
        attempts = self._attempts(trial, wish)
        while wish.follow and not attempts and not self._is_over(trial):
            time.sleep(_WAIT_SECONDS)
            attempts = self._attempts(trial, wish)
        if wish.attempt is not None and attempts and wish.attempt > len(attempts):
            there = ", ".join(str(number + 1) for number in range(len(attempts)))
            raise NotFound(f"Trial {name} has no attempt {wish.attempt} that is still there; attempts: {there}")
        if not attempts:
            raise NotFound(_nothing_left(trial))
        attempt = attempts[(wish.attempt or len(attempts)) - 1]
        remark = ""
        if wish.attempt is None and len(attempts) > 1:
            remark = f"This is attempt {len(attempts)}, the last; --attempt shows others."
        if wish.follow and wish.attempt is None:
            return TrialLog(self._followed(attempt), remark)
        lines = log_lines(self.server, attempt, tail=wish.tail)
        first = next(lines, None)  # what cannot be read is said before the remark
        return TrialLog(_chained(first, lines), remark)

    def _attempts(self, trial: Trial, wish: LogWish) -> Sequence[Attempt]:
        return attempts_in(pods_of(self.server, trial), trial, replica=wish.replica)

    def _is_over(self, trial: Trial) -> bool:
        now = self.find(trial.reference)
        return not isinstance(now, Trial) or is_finished(now)

    def _followed(self, attempt: Attempt) -> Iterator[bytes]:
        """What is printed until the attempt ends, whatever breaks off in between."""
        follower = LogFollower(self.server, attempt, Canceller())
        said: deque[str] = deque(maxlen=1)
        while True:
            why, broke_off = "", False
            try:
                yield from follower.lines()
            except Forbidden:
                raise
            except Unavailable as error:
                why, broke_off = f"{error}; going on when it does", True
            except (NotFound, InvalidInput):
                pass  # it has not started yet, or is gone: the Pod says which
            with contextlib.suppress(Unavailable):
                now = pod_now(self.server, attempt.pod)
                if now is None or not (broke_off or now.is_printing(attempt.container)):
                    return
                if now.why_waiting(attempt.container):
                    why = f"{attempt} waits: {now.why_waiting(attempt.container)}"
            if why and why not in said:
                said.append(why)
                warn(why)
            time.sleep(_WAIT_SECONDS)

    def stop(self, references: Sequence[Reference]) -> None:
        """Writes into each Experiment that it is to stop; the operator ends its Trials."""
        for reference in references:
            self.wishes.stop(reference)

    def delete(self, references: Sequence[Reference]) -> None:
        """Deletes Experiments, and waits until the operator and the cluster have let them go."""
        said: list[Reference] = []

        def on_waiting(seconds: float, reference: Reference) -> None:
            if seconds > _PATIENCE_SECONDS and reference not in said:
                said.append(reference)
                warn(
                    f"Experiment {reference.name} is being deleted, and not gone yet; its Trials go first, and the "
                    "operator has to let it go: is it running? Ctrl-C ends only this wait."
                )

        self.wishes.delete_all(references, on_waiting=on_waiting)

    def close(self) -> None:
        """Closes all connections."""
        self.server.close()


def _pod_words(pod: Pod, trial: Trial) -> str:
    why = pod.why_waiting(trial.spec.primary_container_name)
    return f"{pod.metadata.name} ({pod.status.phase}{': ' if why else ''}{why})"


def _chained(first: bytes | None, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first is not None:
        yield first
        yield from rest


def _nothing_left(trial: Trial) -> str:
    name = trial.metadata.name
    if is_finished(trial):
        return (
            f"Trial {name} has ended ({trial_state(trial)}), and its Pod is gone, with what it printed: worker jobs "
            "are deleted when they have ended, unless spec.trialTemplate.retain is true"
        )
    return f"Trial {name} is {trial_state(trial).lower()} and has no Pod yet; -f waits for one"


@contextlib.contextmanager
def open_cluster(kubeconfig: str | None, context: str | None) -> Iterator[ClusterPlace]:
    """Opens the cluster of a context. Failures name it.

    Raises:
        InvalidInput: there is no such context, or its kubeconfig cannot be used.
    """
    connection = connect(kubeconfig, context)
    place = ClusterPlace(connection)
    try:
        yield place
    except Forbidden as error:
        raise Forbidden(_who_may(str(error), connection)) from error
    except Unavailable as error:
        raise Unavailable(f"{connection}: {error}") from error
    finally:
        place.close()


def _who_may(text: str, connection: Connection) -> str:
    if "Unauthorized" in text:
        return f"{connection} does not know you (401 Unauthorized): sign in to it anew"
    roles = "the roles katib-view and katib-edit allow it (manifests/user-roles)" if names.GROUP in text else ""
    return f"{connection}: {text}" + (f"; {roles}" if roles else "")
