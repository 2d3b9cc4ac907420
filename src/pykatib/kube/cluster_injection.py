"""How Pods of Trials are made to report in this cluster: by katib-config as it is now, and by the Trial's Suggestion.

The Suggestion is asked for only where something depends on it: a Trial with stop rules announces its stop to the
service that made them, and one whose algorithm keeps checkpoints shares its volume.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import msgspec

from pykatib.algorithms.checkpoint_setting import checkpoint_path
from pykatib.algorithms.lineage import lineage_of
from pykatib.api import names, wire
from pykatib.api.errors import NotFound
from pykatib.api.job import ResourceRequirements
from pykatib.api.meta import Reference
from pykatib.api.shared import AlgorithmSpec
from pykatib.api.suggestion import SuggestionSpec
from pykatib.api.trial import Trial
from pykatib.kube.algorithm_objects import service_name_of
from pykatib.kube.injection import SIDECAR_NAMES, CollectorSettings, InjectionSettings, inject
from pykatib.kube.katib_config import EARLY_STOPPING_PORT, CollectorEntry, KatibConfig
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.resources import OURS

_SUGGESTIONS = next(each for each in OURS if each.kind == names.SUGGESTION)


class _Asked(msgspec.Struct):
    """A Suggestion without its status, which may be long."""

    spec: SuggestionSpec


class _Beside(NamedTuple):
    """What a Trial's algorithm has running beside it."""

    early_stopping_address: str = ""
    checkpoint_claim: str = ""
    checkpoint_path: str = ""


class ClusterInjection:
    """Makes Pods report to a DB manager, through the images that katib-config names; any thread may ask."""

    def __init__(
        self,
        server: ApiServer,
        config: Callable[[], KatibConfig],
        *,
        db_manager_address: str,
        early_stopping_address: str = "",
    ) -> None:
        """Makes one.

        Args:
            server: is asked for Suggestions.
            config: katib-config as it is now.
            db_manager_address: where sidecars report.
            early_stopping_address: where the sidecars of Trials announce a stop by pykatib's own methods.
        """
        self._server = server
        self._config = config
        self._db_manager_address = db_manager_address
        self._early_stopping_address = early_stopping_address

    def inject(self, pod: dict[str, Any], trial: Trial) -> dict[str, Any]:
        """The Pod of a Trial as it is to be created. Raises InvalidInput where it could not report."""
        config = self._config()
        beside = self._beside(trial, config)
        settings = InjectionSettings(
            db_manager_address=self._db_manager_address,
            collectors={kind: _settings_of(entry) for kind, entry in config.collectors.items()},
            early_stopping_address=beside.early_stopping_address,
            checkpoint_claim=beside.checkpoint_claim,
            checkpoint_path=beside.checkpoint_path,
            inject_security_context=config.init.controller.inject_security_context,
        )
        return inject(pod, trial, settings=settings)

    def collector_kinds(self) -> Collection[str]:
        """The kinds that there is an image for, and those that need none."""
        known = self._config().collectors
        return [kind for kind in names.COLLECTOR_KINDS if kind in known or kind not in SIDECAR_NAMES]

    def _beside(self, trial: Trial, config: KatibConfig) -> _Beside:
        name = trial.metadata.labels.get(names.LABEL_EXPERIMENT, "")
        is_continued = lineage_of(trial.metadata.labels) is not None
        if not name or not (trial.spec.early_stopping_rules or config.suggestions or is_continued):
            return _Beside(self._early_stopping_address)
        namespace = trial.metadata.namespace
        try:
            answer = self._server.request("GET", _SUGGESTIONS.path(Reference(names.SUGGESTION, namespace, name)))
        except NotFound:
            return _Beside(self._early_stopping_address)
        spec = wire.decode(answer, _Asked).spec
        algorithm = spec.algorithm or AlgorithmSpec()
        service = service_name_of(name, algorithm.algorithm_name)
        address = self._early_stopping_address
        stopping = spec.early_stopping
        if stopping is not None and config.early_stopping_service_of(stopping.algorithm_name) is not None:
            address = f"{service}.{namespace}:{EARLY_STOPPING_PORT}"
        folder = checkpoint_path(algorithm)
        # Made with a service, as in Katib; or by the operator, in whose process the algorithm runs.
        has_volume = spec.resume_policy == names.FROM_VOLUME or config.service_of(algorithm.algorithm_name) is None
        return _Beside(address, service, folder) if has_volume and folder else _Beside(address)


def _settings_of(entry: CollectorEntry) -> CollectorSettings:
    return CollectorSettings(
        image=entry.image,
        image_pull_policy=entry.image_pull_policy,
        resources=msgspec.convert(entry.resources, ResourceRequirements),
        wait_all_processes=entry.wait_all_processes,
    )
