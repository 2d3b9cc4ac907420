"""What makes a worker's Pod report: the pure half of the Pod webhook, Pod in and Pod out.

A registry is never asked what an image runs, and nothing else is: what cannot be known is refused in words, or done
without (see `pykatib.kube.wrapping`).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from pykatib.api.job import ResourceRequirements
from pykatib.api.trial import Trial


class CollectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The sidecar of a collector kind: an entry of katib-config's `runtime.metricsCollectors`."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    resources: ResourceRequirements = msgspec.field(default_factory=ResourceRequirements)
    wait_all_processes: bool | None = None


class InjectionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster's operator decides about every injected Pod.

    `early_stopping_address` is where the sidecar announces that it has stopped this Trial; it is needed for Trials
    with rules. `checkpoint_claim` and `checkpoint_path` are set where the Trial's algorithm shares a volume.
    """

    db_manager_address: str
    collectors: Mapping[str, CollectorSettings]
    early_stopping_address: str = ""
    checkpoint_claim: str = ""
    checkpoint_path: str = ""
    inject_security_context: bool = False
    native_sidecar: bool = False


def inject(pod: dict[str, Any], trial: Trial, *, settings: InjectionSettings) -> dict[str, Any]:
    """The Pod as it is to be created for a Trial; the one given is left as it is.

    Raises:
        InvalidInput: metrics could not be collected from this Pod; each reason has its field's path within the Pod.
    """
    raise NotImplementedError
