"""Unary gRPC calls without gRPC: one connection, one call at a time, over HTTP/2 in pure Python.

The gRPC library takes 20 MB and a dozen threads in each Pod, for one call a second to one server. What is needed of
the protocol is little: a request of headers and one message, an answer of headers, one message and
trailers that hold the status. Calls are plain text, as all of Katib's.
"""

import socket
import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from pykatib.api.errors import FieldError, InvalidInput, NotFound, NotSupported, PykatibError, Unavailable

OK: Final = 0
_TRANSIENT: Final = {1, 2, 4, 8, 10, 14}  # UNKNOWN too: Katib's DB manager says it while its database is away
_MESSAGE_HEADER_BYTES = 5


class Connection:
    """A server at `host:port`; connected when it is called, and again after a failure. Not for several threads."""

    def __init__(self, address: str) -> None:
        self.address = address.removeprefix("dns:///")
        self._socket: socket.socket | None = None
        self._http: h2.connection.H2Connection | None = None

    def call(
        self, method: str, request: bytes, *, metadata: Iterable[tuple[str, str]] = (), timeout_seconds: float
    ) -> bytes:
        """The reply of a method, `/package.Service/Method`.

        Raises:
            InvalidInput: the server refuses the request.
            Unavailable: it did not answer in time, or cannot at the moment; the call may have been carried out.
            PykatibError: any other status.
        """
        until = time.monotonic() + timeout_seconds
        try:
            status, text, reply = self._exchange(method, request, tuple(metadata), until)
        except (OSError, h2.exceptions.ProtocolError) as error:
            self.close()
            raise Unavailable(f"{self.address}: {str(error) or type(error).__name__}") from error
        if status != OK:
            raise _error(status, f"{self.address}: {text or f'status {status}'}")
        return reply

    def close(self) -> None:
        """Closes the connection; the next call opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = self._http = None

    def _exchange(
        self, method: str, request: bytes, metadata: tuple[tuple[str, str], ...], until: float
    ) -> tuple[int, str, bytes]:
        http, stream = self._open(until)
        left = max(1, int((until - time.monotonic()) * 1000))
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", self.address),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "katib-metrics-collector"),
            ("grpc-timeout", f"{min(left, 99_999_999)}m"),
            *metadata,
        ]
        http.send_headers(stream, headers)
        call = _Call(stream)
        message = b"\0" + len(request).to_bytes(4, "big") + request
        while message and not call.is_over:
            window = min(http.local_flow_control_window(stream), http.max_outbound_frame_size)
            if window > 0:
                piece, message = message[:window], message[window:]
                http.send_data(stream, piece, end_stream=not message)
                self._flush(until)
            else:
                self._flush(until)
                self._receive(call, until)
        self._flush(until)
        while not call.is_over:
            self._receive(call, until)
        if call.is_last or message:
            self.close()
        return call.outcome()

    def _open(self, until: float) -> tuple[h2.connection.H2Connection, int]:
        if self._http is None:
            host, _, port = self.address.rpartition(":")
            if not host or not port.isdigit():
                raise InvalidInput([FieldError("", f"found the address {self.address!r}, wanted HOST:PORT")])
            self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=_left(until))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._http = h2.connection.H2Connection(
                h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
            )
            self._http.initiate_connection()
        return self._http, self._http.get_next_available_stream_id()

    def _flush(self, until: float) -> None:
        assert self._socket is not None, "a call is under way"
        assert self._http is not None, "a call is under way"
        self._socket.settimeout(_left(until))
        self._socket.sendall(self._http.data_to_send())

    def _receive(self, call: "_Call", until: float) -> None:
        assert self._socket is not None, "a call is under way"
        assert self._http is not None, "a call is under way"
        self._socket.settimeout(_left(until))
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError("the connection was closed")
        for event in self._http.receive_data(data):
            call.hear(event, self._http)
        self._flush(until)


class _Call:
    """What has come of an answer."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._headers: dict[str, str] = {}
        self._body = b""
        self.is_over = False
        self.is_last = False

    def hear(self, event: h2.events.Event, http: h2.connection.H2Connection) -> None:
        match event:
            case h2.events.ConnectionTerminated():
                self.is_last = True
                last = event.last_stream_id
                if last is not None and last < self._stream:
                    raise ConnectionResetError("the server goes away")
            case h2.events.DataReceived(stream_id=self._stream, data=data):
                self._body += data or b""
                if event.flow_controlled_length:
                    http.acknowledge_received_data(event.flow_controlled_length, self._stream)
            case (
                h2.events.ResponseReceived(stream_id=self._stream) | h2.events.TrailersReceived(stream_id=self._stream)
            ):
                self._headers.update((_text(name), _text(value)) for name, value in event.headers or ())
            case h2.events.StreamEnded(stream_id=self._stream):
                self.is_over = True
            case h2.events.StreamReset(stream_id=self._stream):
                if "grpc-status" not in self._headers:
                    raise ConnectionResetError(f"the call was reset ({event.error_code})")
                self.is_over = True

    def outcome(self) -> tuple[int, str, bytes]:
        status = self._headers.get("grpc-status", "")
        if not status.isdigit():
            http_status = self._headers.get(":status", "nothing")
            return 14, f"it answered {http_status} without a gRPC status", b""
        return int(status), unquote(self._headers.get("grpc-message", "")), self._body[_MESSAGE_HEADER_BYTES:]


def _text(value: Any) -> str:  # bytes or text, by the release of h2
    return value.decode() if isinstance(value, bytes) else str(value)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _error(status: int, text: str) -> PykatibError:
    if status in _TRANSIENT:
        return Unavailable(text)
    match status:
        case 3 | 11:
            return InvalidInput([FieldError("", text)])
        case 5:
            return NotFound(text)
        case 12:
            return NotSupported(text)
    return PykatibError(text)
