"""katib-config as it is in the cluster now: read when the operator starts, then every few seconds.

A configuration that cannot be read changes nothing: the last good one counts, and what is wrong is logged once. The
operator starts without one too, for its own algorithms need none.
"""

import logging
import threading

import msgspec

from pykatib.api.errors import InvalidInput, NotFound, PykatibError
from pykatib.kube.katib_config import KEY, NAME, KatibConfig, read_katib_config
from pykatib.store.kubernetes.api_server import ApiServer

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 10.0


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] = {}


class LiveConfig:
    """The configuration of a cluster. `current` may be asked for from any thread, and waits for nobody."""

    def __init__(self, server: ApiServer, namespace: str, *, period_seconds: float = PERIOD_SECONDS) -> None:
        self._server = server
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{NAME}"
        self._source = f"the ConfigMap {namespace}/{NAME}"
        self._period_seconds = period_seconds
        self._text: str | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="pykatib-config", daemon=True)
        self._config = KatibConfig()
        self._problem = ""

    @property
    def current(self) -> KatibConfig:
        """What was read last."""
        return self._config

    @property
    def problem(self) -> str:
        """Why `current` is not what is in the cluster; empty where it is."""
        return self._problem

    def start(self) -> None:
        """Reads it, and follows it from now on."""
        self.read()
        self._thread.start()

    def close(self) -> None:
        """Follows it no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def read(self) -> None:
        """Reads it once."""
        try:
            try:
                found = msgspec.json.decode(self._server.request("GET", self._path), type=_ConfigMap)
                text = found.data.get(KEY, "")
            except NotFound:
                text = ""
            if text == self._text:
                return
            config = read_katib_config(text, source=f"{self._source}, {KEY}")
            self._text = text
        except (PykatibError, msgspec.MsgspecError) as error:
            kind = logging.ERROR if isinstance(error, InvalidInput) else logging.WARNING
            if str(error) != self._problem:
                logger.log(kind, "%s cannot be used; the last good one counts: %s", self._source, error)
            self._problem = str(error)
            return
        self._config, self._problem = config, ""
        for note in config.notes:
            logger.info("%s: %s", self._source, note)

    def _follow(self) -> None:
        while not self._over.wait(self._period_seconds):
            self.read()
