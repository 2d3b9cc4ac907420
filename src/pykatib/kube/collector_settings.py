"""Which image collects metrics, by `runtime.metricsCollectors` of katib-config: read when a Pod asks for it.

An administrator changes it without a restart, as in Katib. What is read is remembered for a few seconds, so that a
burst of Pods asks once; while the API server does not answer, the last that was read is used.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
import yaml

from pykatib.api import names, wire
from pykatib.api.errors import NotFound, PykatibError
from pykatib.api.job import ResourceRequirements
from pykatib.api.meta import Reference
from pykatib.api.objects import ConfigMap
from pykatib.api.quantity import parse_quantity
from pykatib.api.trial import Trial
from pykatib.kube.injection import (
    DEFAULT_RESOURCES,
    SIDECAR_NAMES,
    CollectorSettings,
    InjectionSettings,
    inject,
)
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.resources import UNCACHED

logger = logging.getLogger(__name__)

CONFIG_NAME = "katib-config"
CONFIG_KEY = "katib-config.yaml"
REMEMBERED_SECONDS = 5.0
PULL_POLICIES = ("Always", "IfNotPresent", "Never")

_CONFIG_MAPS = next(each for each in UNCACHED if each.kind == names.CONFIG_MAP)


class _Entry(msgspec.Struct, rename="camel"):
    kind: str = ""
    image: str = ""
    image_pull_policy: str = ""
    resources: ResourceRequirements = ResourceRequirements()
    wait_all_processes: bool | None = None


class _Runtime(msgspec.Struct, rename="camel"):
    metrics_collectors: list[_Entry] | None = None


class _Config(msgspec.Struct):
    runtime: _Runtime | None = None


class CollectorConfig:
    """The collectors of a cluster; any thread may ask."""

    def __init__(
        self, server: ApiServer, core_namespace: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._server = server
        self._path = _CONFIG_MAPS.path(Reference(names.CONFIG_MAP, core_namespace, CONFIG_NAME))
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: Mapping[str, CollectorSettings] | None = None
        self._read_at = 0.0

    def collectors(self) -> Mapping[str, CollectorSettings]:
        """The sidecar of each kind. Raises Unavailable where it has never been read and cannot be now."""
        with self._lock:
            if self._known is not None and self._monotonic() < self._read_at + REMEMBERED_SECONDS:
                return self._known
            try:
                self._known = self._read()
            except PykatibError:
                if self._known is None:
                    raise
            self._read_at = self._monotonic()
            return self._known

    def _read(self) -> Mapping[str, CollectorSettings]:
        try:
            config = wire.decode(self._server.request("GET", self._path), ConfigMap)
        except NotFound:
            return {}
        try:
            return collectors_in(config.data.get(CONFIG_KEY, ""))
        except ValueError as error:  # msgspec's are ones
            logger.warning("%s: metrics collectors cannot be read: %s", CONFIG_NAME, error)
            return self._known or {}


class ClusterInjection:
    """Makes Pods report to a DB manager, through the images that katib-config names."""

    def __init__(self, config: CollectorConfig, db_manager_address: str) -> None:
        self._config = config
        self._db_manager_address = db_manager_address

    def inject(self, pod: dict[str, Any], trial: Trial) -> dict[str, Any]:
        """The Pod of a Trial as it is to be created. Raises InvalidInput where it could not report."""
        settings = InjectionSettings(db_manager_address=self._db_manager_address, collectors=self._config.collectors())
        return inject(pod, trial, settings=settings)

    def collector_kinds(self) -> Collection[str]:
        """The kinds that there is an image for, and those that need none."""
        known = self._config.collectors()
        return [kind for kind in names.COLLECTOR_KINDS if kind in known or kind not in SIDECAR_NAMES]


def collectors_in(text: str) -> Mapping[str, CollectorSettings]:
    """The collectors that a katib-config names; of two entries for a kind the last counts, one without image does not.

    Raises:
        ValueError: it does not read as one.
    """
    try:
        tree: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    config = msgspec.convert(tree, _Config)
    entries = (config.runtime.metrics_collectors if config.runtime is not None else None) or []
    return {
        entry.kind: CollectorSettings(
            image=entry.image.strip(),
            image_pull_policy=entry.image_pull_policy if entry.image_pull_policy in PULL_POLICIES else "IfNotPresent",
            resources=_with_defaults(entry.resources),
            wait_all_processes=entry.wait_all_processes,
        )
        for entry in entries
        if entry.image.strip()
    }


def _with_defaults(given: ResourceRequirements) -> ResourceRequirements:
    """Defaults for what is not said. A negative quantity means none, as in Katib."""
    return msgspec.structs.replace(
        given,
        requests=_without_negative({**DEFAULT_RESOURCES.requests, **given.requests}),
        limits=_without_negative({**DEFAULT_RESOURCES.limits, **given.limits}),
    )


def _without_negative(quantities: Mapping[str, Any]) -> dict[str, Any]:
    return {name: quantity for name, quantity in quantities.items() if parse_quantity(quantity) >= 0}
