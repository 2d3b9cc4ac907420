"""Plays the kubelet that API servers ask for the output of containers: a node with an HTTPS server."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer


class KubeletStandIn:
    """Answers for the containers of one node. Output is told line by line, each with its moment."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[str, list[tuple[str, str]]] = {}
        """By `<pod>/<container>`, with `/previous` for what it was before it was started again."""
        self.cuts: dict[str, list[int]] = {}
        """After how many lines of each answer the connection breaks off."""
        self.asked: list[dict[str, str]] = []

    def answer(self, key: str, query: dict[str, str]) -> tuple[list[str], bool]:
        """The lines of an answer, and whether it breaks off after them."""
        self.asked.append(query)
        found = [
            (f"{moment} {text}" if query.get("timestamps") == "true" else text)
            for moment, text in self.lines[key]
            if moment[:19] >= query.get("sinceTime", "")[:19]
        ]
        if "tailLines" in query:
            found = found[-int(query["tailLines"]) :]
        cuts = self.cuts.get(key) or []
        return (found[: cuts.pop(0)], True) if cuts else (found, False)


@contextmanager
def kubelet(server: ApiServer, folder: Path, name: str) -> Iterator[KubeletStandIn]:
    """A node with a kubelet that answers for output and does nothing else."""
    stand_in = KubeletStandIn(name)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            key = url.path.split("/", 3)[3] + ("/previous" if query.get("previous") == "true" else "")
            if key not in stand_in.lines:
                refusal = f"container {key} is waiting to start".encode()
                self.send_response(400)
                self.send_header("Content-Length", str(len(refusal)))
                self.end_headers()
                self.wfile.write(refusal)
                return
            lines, breaks_off = stand_in.answer(key, query)
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in lines:
                data = f"{line}\n".encode()
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()
            if breaks_off:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    key, certificate = folder / "kubelet.key", folder / "kubelet.pem"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=kubelet", *files],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    server.request("POST", "/api/v1/nodes", body=json.dumps({"metadata": {"name": name}}).encode())
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": listener.server_port}},
    }
    _patch(server, f"/api/v1/nodes/{name}/status", {"status": status})
    try:
        yield stand_in
    finally:
        server.request("DELETE", f"/api/v1/nodes/{name}")
        listener.shutdown()
        thread.join()
        listener.server_close()


def make_pod(
    server: ApiServer,
    namespace: str,
    name: str,
    node: str,
    *,
    labels: dict[str, str],
    containers: Sequence[str] = ("training",),
) -> None:
    """A Pod that is bound to a node."""
    body = {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": each, "image": "example"} for each in containers],
        },
    }
    server.request("POST", f"/api/v1/namespaces/{namespace}/pods", body=json.dumps(body).encode())


def set_pod(server: ApiServer, namespace: str, name: str, phase: str, **container: Any) -> None:
    """Writes a Pod's status: its phase, and that of its container `training`."""
    status = {
        "phase": phase,
        "containerStatuses": [
            {"name": "training", "image": "example", "imageID": "", "ready": False, "restartCount": 0, **container}
        ],
    }
    _patch(server, f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": status})


def _patch(server: ApiServer, path: str, body: object) -> None:
    server.request("PATCH", path, body=json.dumps(body).encode(), content_type=MERGE_PATCH)
