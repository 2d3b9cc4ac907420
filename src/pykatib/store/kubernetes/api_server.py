"""Talking to an API server: requests with their failures in pykatib's words, and watches line by line.

lightkube finds the server (kubeconfig, in-cluster service account) and signs in (certificates, tokens, exec plug-ins);
its HTTP client does the rest. Its typed client is left aside: it would parse each object once more, knows neither
preconditions of deletion nor bookmarks, and this is all that is needed.

Failures: an answer is told as NotFound, AlreadyExists, Conflict or InvalidInput; what may succeed later, from a refused
connection to a missing permission, is Unavailable. Only 429 is tried again here, as long as the server asks for it: it
has then done nothing. Everything else is for the reconcile loop to decide anew.
"""

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import httpx2 as httpx
import msgspec
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError

from pykatib.api.errors import AlreadyExists, Conflict, FieldError, InvalidInput, NotFound, PykatibError, Unavailable

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

TIMEOUT_SECONDS = 30.0
THROTTLED_SECONDS = 30.0
"""How long a request is held back, in all, while the server answers 429."""
SILENCE_SECONDS = 100.0
"""A watch that says nothing for so long is begun again; bookmarks come once a minute."""

MERGE_PATCH = "application/merge-patch+json"


class Expired(Unavailable):
    """The version that a watch or a list wants to go on from is too old: 410 Gone."""


class Forbidden(Unavailable):
    """This may not be done, or not now: no permission, or a namespace that is going."""


class _Cause(msgspec.Struct):
    message: str = ""
    field: str = ""


class _Details(msgspec.Struct, rename="camel"):
    causes: list[_Cause] | None = None
    retry_after_seconds: int = 0


class Status(msgspec.Struct):
    """A `meta/v1` Status, as far as it is read."""

    kind: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None


_status_decoder = msgspec.json.Decoder(Status)


class ApiServer:
    """One API server. Any thread may ask."""

    def __init__(self, client: httpx.Client, *, namespace: str = "default") -> None:
        self._client = client
        self.namespace = namespace
        self._closing = threading.Event()
        self.is_failing = False
        """Whether the last request met no server, or one that could not serve."""

    @classmethod
    def connect(cls, kubeconfig: str | None = None, *, context: str | None = None) -> "ApiServer":
        """The server of a kubeconfig file; by default, of the Pod this runs in, of KUBECONFIG, or of `~/.kube/config`.

        Raises:
            InvalidInput: there is no such configuration, or it cannot be used.
        """
        source = kubeconfig or "kubeconfig"
        try:
            loaded = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
            config = loaded.get(context)
            if config is None:
                raise InvalidInput([FieldError("context", f"there is no context {context!r}")], source=source)
            timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=5.0)
            return cls(Client(config, ConnectionParams(timeout=timeout)), namespace=config.namespace or "default")
        except (ConfigError, OSError, ValueError, KeyError) as error:
            raise InvalidInput([FieldError("", f"cannot be used: {error}")], source=source) from error

    def request(
        self,
        method: Method,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """The body of the answer. Raises NotFound, Conflict, AlreadyExists, InvalidInput, Expired, Unavailable."""
        headers = {"Content-Type": content_type} if body is not None else None
        left = THROTTLED_SECONDS
        while True:
            try:
                response = self._client.request(method, path, params=params, content=body, headers=headers)
            except (httpx.HTTPError, ConfigError) as error:
                self.is_failing = True
                raise Unavailable(f"the API server does not answer: {_words(error)}") from error
            except RuntimeError as error:  # the client is closed
                raise Unavailable("the connection to the API server is closed") from error
            self.is_failing = response.status_code >= 500
            if response.status_code < 400:
                return response.content
            if response.status_code != 429 or left <= 0:
                raise _failure(response)
            pause = min(left, _retry_after(response)) * random.uniform(1.0, 1.2)
            left -= pause
            if self._closing.wait(pause):
                raise _failure(response)

    @contextmanager
    def watch(self, path: str, params: Mapping[str, str], canceller: "Canceller") -> Iterator[Iterator[bytes]]:
        """The lines of a watch while it lasts; `canceller` ends it from another thread. Raises as `request`."""
        with self.stream(path, params, canceller) as pieces:
            yield _lines(pieces)

    @contextmanager
    def stream(
        self,
        path: str,
        params: Mapping[str, str],
        canceller: "Canceller",
        *,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> Iterator[Iterator[bytes]]:
        """An answer that grows, piece by piece, as `watch` has it line by line. Raises as `request`."""
        timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=5.0, read=silence_seconds)
        request = self._client.build_request("GET", path, params=dict(params), timeout=timeout)
        try:
            response = self._client.send(request, stream=True)
        except (httpx.HTTPError, ConfigError, RuntimeError) as error:
            raise Unavailable(f"the API server does not answer: {_words(error)}") from error
        try:
            canceller.follow(response)
            if response.status_code >= 400:
                response.read()
                raise _failure(response)
            yield response.iter_bytes()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Unavailable(f"the connection broke off: {_words(error)}") from error
        finally:
            canceller.follow(None)
            response.close()

    def close(self) -> None:
        """Closes all connections."""
        self._closing.set()
        self._client.close()


class Canceller:
    """Ends a watch from another thread, though it waits for the next line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._response: httpx.Response | None = None
        self._cancelled = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        """Whether it is over."""
        return self._cancelled.is_set()

    def wait(self, seconds: float) -> bool:
        """Waits so long, or until it is over; answers whether it is."""
        return self._cancelled.wait(seconds)

    def follow(self, response: httpx.Response | None) -> None:
        """Takes note of what is being read."""
        with self._lock:
            self._response = response
            if self._cancelled.is_set():
                self._break()

    def cancel(self) -> None:
        """Ends the watch."""
        self._cancelled.set()
        with self._lock:
            self._break()

    def _break(self) -> None:
        if self._response is None:
            return
        stream = self._response.extensions.get("network_stream")
        socket = stream.get_extra_info("socket") if stream is not None else None
        if socket is not None:
            try:
                socket.shutdown(2)
            except OSError:
                pass  # it is closed already


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    # Not `iter_lines`: that decodes to text and splits at characters that may stand within JSON strings.
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line for line in lines if line)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return max(0.1, float(text)) if text.isdecimal() else 1.0


def _failure(response: httpx.Response) -> PykatibError:
    try:
        response.raise_for_status()
    except httpx.HTTPStatusError as error:
        failure = failure_of(_status_of(response))
        failure.__cause__ = error
        return failure
    raise AssertionError("a failure has a status of 400 or more")  # pragma: no cover


def _status_of(response: httpx.Response) -> Status:
    try:
        status = _status_decoder.decode(response.content)
    except msgspec.MsgspecError:
        status = Status()
    status.code = response.status_code
    status.message = status.message or response.text[:500] or response.reason_phrase
    return status


def status_in(data: msgspec.Raw | bytes) -> Status:
    """The Status that JSON describes."""
    return _status_decoder.decode(data)


def failure_of(status: Status) -> PykatibError:
    """What a Status of the API server means to a caller."""
    text = status.message
    if status.code == 404:
        return NotFound(text)
    if status.code == 409:
        return AlreadyExists(text) if status.reason == "AlreadyExists" else Conflict(text)
    if status.code == 410:
        return Expired(text)
    if status.code in (400, 405, 413, 415, 422) or "request is too large" in text:
        causes = (status.details.causes if status.details is not None else None) or []
        return InvalidInput([FieldError(cause.field, cause.message) for cause in causes] or [FieldError("", text)])
    if status.code in (401, 403):
        return Forbidden(f"the API server refuses: {text}")
    return Unavailable(f"the API server answers {status.code}: {text}")


def decoded(data: bytes, decoder: msgspec.json.Decoder[Any], path: str) -> Any:
    """An answer as a value. Raises Unavailable where something else than an API server has answered."""
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"what answers at {path} does not speak as an API server: {error}") from error
