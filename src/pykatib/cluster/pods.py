"""The Pods of a Trial and what its program prints there.

The operator labels them with the Trial's name; Jobs and training operators with their own, which is the Trial's too.
The *primary* Pod is the one whose metrics are read: by `primaryPodLabels`, and, of replicas, the one that leads. Of a
Job whose Pods failed there are several, each an attempt; a container that was started again within its Pod has one
earlier attempt that can be read still.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from pykatib.api import names
from pykatib.api.errors import InvalidInput, NotFound
from pykatib.api.meta import ObjectMeta, Value
from pykatib.api.trial import Trial
from pykatib.store.kubernetes.api_server import ApiServer, Canceller, Forbidden, decoded
from pykatib.store.kubernetes.resources import Resource

PODS = Resource("v1", "Pod", "pods")
_TRAINING = "training.kubeflow.org"
_NAME_LABELS = (names.LABEL_TRIAL, "job-name", f"{_TRAINING}/job-name", "jobset.sigs.k8s.io/jobset-name")
_SILENCE_SECONDS = 300.0


class _Waiting(Value, frozen=True):
    reason: str = ""
    message: str = ""


class _Terminated(Value, frozen=True):
    reason: str = ""
    exit_code: int = 0


class _State(Value, frozen=True):
    waiting: _Waiting | None = None
    running: dict[str, str] | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(Value, frozen=True):
    name: str = ""
    restart_count: int = 0
    state: _State = _State()
    last_state: _State = _State()


class _Condition(Value, frozen=True):
    type: str = ""
    status: str = ""
    message: str = ""


class _PodStatus(Value, frozen=True):
    phase: str = ""
    message: str = ""
    container_statuses: list[_ContainerStatus] | None = None
    conditions: list[_Condition] | None = None


class _Container(Value, frozen=True):
    name: str = ""


class _PodSpec(Value, frozen=True):
    containers: list[_Container] | None = None


class Pod(Value, frozen=True):
    """A Pod, as far as its output goes."""

    metadata: ObjectMeta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    @property
    def replica(self) -> str:
        """`worker-0`, of a distributed job; empty otherwise."""
        labels = self.metadata.labels
        kind, index = labels.get(f"{_TRAINING}/replica-type"), labels.get(f"{_TRAINING}/replica-index")
        return f"{kind.lower()}-{index}" if kind and index else ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.status.phase in ("Succeeded", "Failed")

    def container_status(self, container: str) -> _ContainerStatus:
        """How a container is."""
        found = (each for each in self.status.container_statuses or () if each.name == container)
        return next(found, _ContainerStatus(container))

    def is_printing(self, container: str) -> bool:
        """Whether a container may print yet, or again."""
        return not self.has_ended and self.container_status(container).state.terminated is None

    def why_waiting(self, container: str) -> str:
        """What keeps it from starting; empty where nothing does."""
        waiting = self.container_status(container).state.waiting
        if waiting is not None and waiting.reason:
            return f"{waiting.reason}: {waiting.message}" if waiting.message else waiting.reason
        unscheduled = (each for each in self.status.conditions or () if each.status == names.FALSE and each.message)
        return next((each.message for each in unscheduled if each.type == "PodScheduled"), "")


class _PodList(msgspec.Struct):
    items: list[Pod] | None = None


_list_decoder = msgspec.json.Decoder(_PodList)
_pod_decoder = msgspec.json.Decoder(Pod)


class Attempt(NamedTuple):
    """One run of a Trial's program: a Pod's container, or what it was before it was started again."""

    pod: Pod
    container: str
    is_previous: bool = False

    def __str__(self) -> str:
        return f"Pod {self.pod.metadata.name}, container {self.container}"


def pods_of(server: ApiServer, trial: Trial) -> list[Pod]:
    """The Pods of a Trial that are there, oldest first."""
    meta = trial.metadata
    path = PODS.collection(meta.namespace)
    for label in _NAME_LABELS:
        params = {"labelSelector": f"{label}={meta.name}"}
        found = decoded(server.request("GET", path, params=params), _list_decoder, path).items
        if found:
            return sorted(found, key=lambda pod: (pod.metadata.creation_timestamp or "", pod.metadata.name))
    return []


def attempts_in(pods: Sequence[Pod], trial: Trial, *, replica: str = "") -> list[Attempt]:
    """The attempts of the primary Pods, or of a replica, in order. Raises NotFound where there is no such replica."""
    chosen = [pod for pod in pods if pod.replica == replica] if replica else _primary(pods, trial)
    if replica and pods and not chosen:
        known = ", ".join(dict.fromkeys(pod.replica for pod in pods if pod.replica))
        if not known:
            text = f"Trial {trial.metadata.name} has no replicas; without --replica its output is printed"
            raise NotFound(text)
        raise NotFound(f"Trial {trial.metadata.name} has no replica {replica!r} now; replicas: {known}")
    found = []
    for pod in chosen:
        container = _container(pod, trial)
        if pod.container_status(container).restart_count:
            found.append(Attempt(pod, container, is_previous=True))
        found.append(Attempt(pod, container))
    return found


def _primary(pods: Sequence[Pod], trial: Trial) -> list[Pod]:
    wanted = trial.spec.primary_pod_labels.items()
    chosen = [pod for pod in pods if wanted <= pod.metadata.labels.items()] or list(pods)
    replicas = {pod.replica for pod in chosen}
    if len(replicas) <= 1:
        return chosen
    leads = [pod for pod in chosen if pod.metadata.labels.get(f"{_TRAINING}/job-role") == "master"]
    first = (leads or sorted(chosen, key=lambda pod: pod.replica))[0].replica
    return [pod for pod in chosen if pod.replica == first]


def _container(pod: Pod, trial: Trial) -> str:
    there = [container.name for container in pod.spec.containers or ()]
    name = trial.spec.primary_container_name
    return name if name in there or not there else there[0]


def pod_now(server: ApiServer, pod: Pod) -> Pod | None:
    """The Pod as it is now; None where it has gone."""
    path = f"{PODS.collection(pod.metadata.namespace)}/{pod.metadata.name}"
    try:
        found: Pod = decoded(server.request("GET", path), _pod_decoder, path)
    except NotFound:
        return None
    return found if found.metadata.uid == pod.metadata.uid else None


def log_request(
    attempt: Attempt, *, follow: bool = False, tail: int | None = None, since: str = ""
) -> tuple[str, dict[str, str]]:
    """Path and parameters of what an attempt has printed; with `follow` each line begins with its moment."""
    meta = attempt.pod.metadata
    params = {"container": attempt.container}
    if attempt.is_previous:
        params["previous"] = "true"
    if tail is not None:
        params["tailLines"] = str(tail)
    if follow:
        params |= {"follow": "true", "timestamps": "true"}
    if since:
        params["sinceTime"] = since
    return f"{PODS.collection(meta.namespace)}/{meta.name}/log", params


def log_lines(server: ApiServer, attempt: Attempt, *, tail: int | None = None) -> Iterator[bytes]:
    """What an attempt has printed so far.

    Raises:
        NotFound: its Pod has gone, or has not started.
        Unavailable: the node does not answer.
    """
    path, params = log_request(attempt, tail=tail)
    try:
        with server.stream(path, params, Canceller(), silence_seconds=30.0) as pieces:
            yield from _lines(pieces)
    except InvalidInput as error:  # 400: "container … is waiting to start", "previous terminated container … not found"
        why = attempt.pod.why_waiting(attempt.container)
        raise NotFound(f"{attempt} has printed nothing yet: {why or error}") from error
    except NotFound as error:
        raise NotFound(f"{attempt} has gone, and what it printed with it") from error


class LogFollower:
    """What an attempt prints, line by line, until it ends; goes on where it was when a connection breaks off."""

    def __init__(self, server: ApiServer, attempt: Attempt, canceller: Canceller) -> None:
        self._server = server
        self._attempt = attempt
        self._canceller = canceller
        self._moment = b""
        self._seen_at_moment = 0

    def lines(self) -> Iterator[bytes]:
        """The lines that have not been told yet, as long as the connection holds. Raises as `log_lines`."""
        path, params = log_request(self._attempt, follow=True, since=self._moment.decode())
        known, seen_before, skipped = self._moment, self._seen_at_moment, 0
        with self._server.stream(path, params, self._canceller, silence_seconds=_SILENCE_SECONDS) as pieces:
            for line in _lines(pieces):
                moment, _, text = line.partition(b" ")
                if known and _order(moment) <= _order(known):  # `sinceTime` is of whole seconds: some come again
                    skipped += moment == known
                    if moment != known or skipped <= seen_before:
                        continue
                self._seen_at_moment = self._seen_at_moment + 1 if moment == self._moment else 1
                self._moment = moment
                yield text


def _order(moment: bytes) -> tuple[bytes, bytes]:
    whole, _, fraction = moment.rstrip(b"Z").partition(b".")
    return whole, fraction.ljust(9, b"0")  # nodes of old leave zeros out


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def may_not_read_logs(error: Forbidden, trial: Trial) -> Forbidden:
    """What is said to who may not read Pods or their output."""
    return Forbidden(
        f"{error}. To read what Trials print, one needs `get` and `list` of pods and `get` of pods/log in namespace "
        f"{trial.metadata.namespace}"
    )
