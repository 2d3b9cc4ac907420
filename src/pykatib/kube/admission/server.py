"""The HTTPS server of the webhooks: a thread a connection, certificates changed while it serves.

A connection keeps the certificate that it began with; each new one gets the latest. Before there is a certificate
connections are closed at once, and API servers try again.
"""

import logging
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pykatib.api.errors import FieldError, InvalidInput, PykatibError, answer_to
from pykatib.kube.admission.reviews import Handler, answered
from pykatib.kube.certificates import Certificates
from pykatib.kube.health import parsed_address

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
IDLE_SECONDS = 180.0
"""Longer than API servers keep idle connections (90 s): who closes first must be the one that asks."""
MAX_BYTES = 16 * 1024 * 1024
"""An object in etcd has at most 1.5 MiB; a review holds two."""
MAX_CONNECTIONS = 256
CLOSING_SECONDS = 10.0


class WebhookServer:
    """Answers AdmissionReviews at an address, from its making until `close`."""

    def __init__(self, address: str, handlers: Mapping[str, Handler]) -> None:
        """Raises InvalidInput where it cannot listen there."""
        host, port = parsed_address(address)
        try:
            self._server = _Server((host, port), handlers)
        except OSError as error:
            raise InvalidInput([FieldError("", f"cannot listen at {address}: {error.strerror or error}")]) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="pykatib-webhooks", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.server_address[1])

    @property
    def is_serving(self) -> bool:
        """Whether it has a certificate, and so answers."""
        return self._server.context is not None

    def serve(self, certificates: Certificates) -> None:
        """Serves these to whoever connects from now on."""
        self._server.context = _context_of(certificates)

    def close(self) -> None:
        """Listens no more, and brings to an end what has been begun."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.end_connections()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handlers: Mapping[str, Handler]) -> None:
        self.handlers = handlers
        self.context: ssl.SSLContext | None = None
        self._connections: set[socket.socket] = set()
        self._busy = 0
        self._changed = threading.Condition()
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Speaks with one client; runs on the connection's own thread, handshake included."""
        context = self.context
        with self._changed:
            if context is None or len(self._connections) >= MAX_CONNECTIONS:
                return
            self._connections.add(request)
        connection = request
        try:
            request.settimeout(HANDSHAKE_SECONDS)
            connection = context.wrap_socket(request, server_side=True)
            with self._changed:
                self._connections.discard(request)
                self._connections.add(connection)
            _Handler(connection, client_address, self)
        except OSError as error:  # SSLError is one
            logger.debug("the connection of %s broke: %s", client_address, error)
        finally:
            with self._changed:
                self._connections -= {request, connection}
                self._changed.notify_all()
            connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection broke; nobody is there to be told."""
        logger.debug("the connection of %s broke", client_address, exc_info=True)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While a question is being answered its connection is not ended."""
        with self._changed:
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def end_connections(self) -> None:
        """Waits for answers under way, then ends all connections."""
        deadline = time.monotonic() + CLOSING_SECONDS
        with self._changed:
            while self._busy and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it is closed already
            while self._connections and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answers one AdmissionReview."""
        with self.server.answering():
            status, kind, body = self._answer()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    def _answer(self) -> tuple[int, str, bytes]:
        text = "text/plain; charset=utf-8"
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BYTES:
            self.close_connection = True
            return 413, text, f"a body of at most {MAX_BYTES} bytes, and its length, is wanted\n".encode()
        body = self.rfile.read(int(length))
        handler = self.server.handlers.get(self.path.partition("?")[0])  # API servers add `?timeout=10s`
        if handler is None:
            return 404, text, b"there is no such webhook\n"
        try:
            return 200, "application/json", answered(body, handler)
        except PykatibError as error:
            logger.warning("no answer at %s: %s", self.path, error)
            return answer_to(error).http_status, text, f"{error}\n".encode()
        except Exception:  # a flaw of ours must not take the thread with it unseen
            logger.exception("no answer at %s", self.path)
            return 500, text, b"this failed in a way that was not foreseen; the operator's log has more\n"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """The API server's audit log has them all."""


def _context_of(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _as_file(certificates.certificate + b"\n" + certificates.key) as path:
        context.load_cert_chain(path)
    return context


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A file for the readers that take nothing else; in memory where there is such a thing, for the key's sake."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pykatib")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pair.pem")
        file.touch(mode=0o600)
        file.write_bytes(content)
        yield str(file)
