"""Keeps the webhooks' certificates: in a Secret that replicas share, trusted by the API server, and served.

Every replica does the same, every few seconds, from what is there: it reads the Secret; where that has nothing usable
it writes new certificates, naming the version that it read, so that of several replicas one writes and the others
take what it wrote; it puts the authorities into both webhook configurations wherever they are not; and only then it
serves the certificate. It may be ended between any two of these, and the next look goes on.
"""

import base64
import binascii
import json
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from pykatib.api import wire
from pykatib.api.errors import Conflict, InvalidInput, NotFound, PykatibError
from pykatib.api.objects import Secret
from pykatib.kube.certificates import (
    Certificates,
    current_time,
    expiry,
    includes,
    joined,
    made,
    problem_with,
    renewal_time,
)
from pykatib.store.kubernetes.api_server import MERGE_PATCH, ApiServer

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 5.0
SETTLING_SECONDS = 2.0
"""How long an API server may take to notice a change of the authorities that it trusts."""
WRITE_ATTEMPTS = 5
JSON_PATCH = "application/json-patch+json"

CONFIGURATION_PATHS = tuple(
    f"/apis/admissionregistration.k8s.io/v1/{plural}"
    for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
)
_KEYS = ("ca.crt", "tls.crt", "tls.key")


class CertificateKeeper:
    """Looks after the certificates on a thread of its own, between `start` and `close`."""

    def __init__(
        self,
        server: ApiServer,
        *,
        namespace: str,
        secret_name: str,
        configuration_name: str,
        hosts: Sequence[str],
        serve: Callable[[Certificates], None],
        makes_them: bool = True,
        now: Callable[[], datetime] = current_time,
        seconds_between_looks: float = SECONDS_BETWEEN_LOOKS,
    ) -> None:
        """Makes a keeper.

        Args:
            server: a connection of its own; it is closed at the end.
            namespace: where the Secret is.
            secret_name: its name.
            configuration_name: the name of both webhook configurations.
            hosts: the names under which the API server calls.
            serve: takes the certificates to serve.
            makes_them: False where somebody else fills the Secret and the configurations.
            now: the time.
            seconds_between_looks: how soon it notices what others have changed.
        """
        self._server = server
        self._secret_name = secret_name
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._configuration_name = configuration_name
        self._hosts = tuple(hosts)
        self._serve = serve
        self._makes_them = makes_them
        self._now = now
        self._seconds = seconds_between_looks
        self._served: Certificates | None = None
        self._told: set[str] = set()  # at this look, and at the one before
        self._told_before: set[str] = set()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to look."""
        self._thread = threading.Thread(target=self._run, name="pykatib-certificates", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Looks no more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except PykatibError as error:
                self._tell(f"the webhooks' certificates cannot be looked after: {error}")
            except Exception:  # whatever it is must not end the renewal for good
                logger.exception("looking after the webhooks' certificates failed")
            self._told_before, self._told = self._told, set()
            if self._over.wait(self._seconds):
                return

    def look(self) -> None:
        """One look. Raises Unavailable and its like where the API server cannot be asked."""
        for attempt in range(WRITE_ATTEMPTS):
            try:
                found = self._agreed()
                break
            except (Conflict, NotFound):
                if attempt == WRITE_ATTEMPTS - 1 or self._over.wait(0.05):
                    raise
        if found is None:
            return
        if self._makes_them:
            self._trust(found.authorities)
        if found == self._served:
            return
        if self._makes_them and self._served is not None and found.authorities != self._served.authorities:
            self._over.wait(SETTLING_SECONDS)
        self._serve(found)
        if self._served is None or found.certificate != self._served.certificate:
            logger.info("serving a certificate that expires at %s", f"{expiry(found):%Y-%m-%d %H:%M}")
        self._served = found

    def _agreed(self) -> Certificates | None:
        """What the Secret holds, made usable where it is not; None where that is left to others, who have not yet.

        Raises Conflict or NotFound where somebody has written or deleted it in between.
        """
        secret = self._read()
        found = _certificates_of(secret)
        now = self._now()
        problem = problem_with(found, self._hosts, now=now)
        if not self._makes_them:
            if problem is not None:
                self._tell(f"Secret {self._secret_name}: {problem}")
            return found if problem is None else None
        if problem is None and now >= renewal_time(found):
            problem = f"the one that there is expires at {expiry(found):%Y-%m-%d %H:%M}"
        trusted = self._served.authorities if self._served is not None else b""
        if problem is None and includes(found.authorities, trusted, now=now):
            return found
        if problem is None:  # somebody else's: what replicas serve now stays trusted until it is replaced everywhere
            wanted = found._replace(authorities=joined(found.authorities, trusted, now=now))
        else:
            logger.info("making a certificate: %s", problem)
            wanted = made(self._hosts, now=now, trusted=_readable(found.authorities, now) + trusted)
        self._write(secret, wanted)
        return wanted

    def _read(self) -> Secret | None:
        try:
            return wire.decode(self._server.request("GET", f"{self._secrets}/{self._secret_name}"), Secret)
        except NotFound:
            return None

    def _write(self, secret: Secret | None, certificates: Certificates) -> None:
        values = (certificates.authorities, certificates.certificate, certificates.key)
        data = {key: base64.b64encode(value).decode() for key, value in zip(_KEYS, values, strict=True)}
        body: dict[str, Any] = {"data": data}
        if secret is None:
            body |= {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self._secret_name}}
            body["type"] = "kubernetes.io/tls"
            self._server.request("POST", self._secrets, body=json.dumps(body).encode())
            return
        body["metadata"] = {"resourceVersion": secret.metadata.resource_version, "uid": secret.metadata.uid}
        path = f"{self._secrets}/{self._secret_name}"
        self._server.request("PATCH", path, body=json.dumps(body).encode(), content_type=MERGE_PATCH)

    def _trust(self, authorities: bytes) -> None:
        """Has both webhook configurations trust the authorities."""
        bundle = base64.b64encode(authorities).decode()
        for collection in CONFIGURATION_PATHS:
            path = f"{collection}/{self._configuration_name}"
            try:
                configuration = msgspec.json.decode(self._server.request("GET", path))
            except NotFound:
                self._tell(f"there is no {collection.rpartition('/')[2][:-1]} {self._configuration_name}")
                continue
            patch = bundle_patch(configuration, bundle)
            if not patch:
                continue
            try:
                self._server.request("PATCH", path, body=json.dumps(patch).encode(), content_type=JSON_PATCH)
            except (Conflict, NotFound, InvalidInput) as error:  # it has changed in between; the next look sees how
                logger.info("%s was changed by somebody else: %s", path, error)

    def _tell(self, text: str) -> None:
        """Says it once for as long as it lasts."""
        if text not in self._told | self._told_before:
            logger.warning("%s", text)
        self._told.add(text)


def bundle_patch(configuration: Any, bundle: str) -> list[dict[str, Any]]:
    """The JSON patch by which all webhooks of a configuration trust a bundle; empty where they do."""
    patch: list[dict[str, Any]] = []
    for index, webhook in enumerate(configuration.get("webhooks") or ()):
        if webhook["clientConfig"].get("caBundle") != bundle:
            patch.append({"op": "test", "path": f"/webhooks/{index}/name", "value": webhook["name"]})
            patch.append({"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle})
    return patch


def _certificates_of(secret: Secret | None) -> Certificates:
    data = secret.data if secret is not None else {}
    return Certificates(*(_decoded(data.get(key, "")) for key in _KEYS))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _readable(authorities: bytes, now: datetime) -> bytes:
    try:
        return joined(authorities, b"", now=now)
    except ValueError:
        return b""
