"""The operator's small HTTP server: `/healthz`, `/readyz` and `/metrics`, for kubelets and Prometheus."""

import logging
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from pykatib.api.errors import FieldError, InvalidInput

logger = logging.getLogger(__name__)


class Answer(NamedTuple):
    """Status and text of an answer."""

    status: int
    text: str


Page = Callable[[], Answer]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    pages: Mapping[str, Page]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0

    def do_GET(self) -> None:
        """Answers one of the pages."""
        page = self.server.pages.get(self.path.split("?")[0])
        answer = page() if page is not None else Answer(404, "there is no such page\n")
        body = answer.text.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Probes come every few seconds; nobody wants to read of them."""


class HealthServer:
    """Answers pages at an address, on threads of its own, from its making until `close`."""

    def __init__(self, address: str, pages: Mapping[str, Page]) -> None:
        host, port = parsed_address(address)
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise InvalidInput([FieldError("", f"cannot listen at {address}: {error.strerror or error}")]) from error
        self._server.pages = pages
        self._thread = threading.Thread(target=self._server.serve_forever, name="pykatib-health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Listens no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def parsed_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `:PORT`. Raises InvalidInput."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise InvalidInput([FieldError("", f"{address!r} is no address; write HOST:PORT or :PORT")])
    return host.strip("[]"), int(port)
