"""Katib's configuration: the ConfigMap `katib-config`, read into values.

It names the images that Katib runs beside an Experiment. pykatib has most algorithms itself, and for those an entry
of `runtime.suggestions` is passed over, so that Katib's own configuration can stay as it is: nothing is started for
them. An entry is used where pykatib has no algorithm of that name, or where it says so by one of two fields that
Katib does not know:

    inProcess: false           # run the image though pykatib has an algorithm of that name
    address: "halton.ml:6789"  # ask the service that runs there, for all Experiments; no image is needed

A field that nobody here knows is told in `notes` and passed over, for another release of Katib may know it; what is
known must be right.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from pykatib.algorithms import registry
from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.meta import Value
from pykatib.api.quantity import parse_quantity
from pykatib.api.schema_walk import decode_tree, did_you_mean, shown
from pykatib.api.yaml_tree import yaml_documents
from pykatib.embedded.algorithm_services import address_problem

NAME: Final = "katib-config"
KEY: Final = "katib-config.yaml"
API_VERSION: Final = "config.kubeflow.org/v1beta1"
KIND: Final = "KatibConfig"

DEFAULT_MOUNT_PATH: Final = "/opt/katib/data"
DEFAULT_CLAIM: Final[Mapping[str, Any]] = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
}
DEFAULT_REQUESTS: Final[Mapping[str, str]] = {"cpu": "50m", "memory": "10Mi", "ephemeral-storage": "500Mi"}
DEFAULT_LIMITS: Final[Mapping[str, str]] = {"cpu": "500m", "memory": "100Mi", "ephemeral-storage": "5Gi"}
PORT_NAME: Final = "suggestion-api"
PORT: Final = 6789
EARLY_STOPPING_PORT_NAME: Final = "earlystop-api"
EARLY_STOPPING_PORT: Final = 6788
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_TRIAL_RESOURCE = re.compile(r"[A-Za-z0-9]+\.[a-z0-9]+(\.[-a-z0-9.]+)?")
_CONTAINER_FIELDS = (
    *("args", "command", "env", "envFrom", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "name", "ports"),
    *("readinessProbe", "resizePolicy", "resources", "restartPolicy", "securityContext", "startupProbe", "stdin"),
    *("stdinOnce", "terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts"),
    "workingDir",
)

T = TypeVar("T")


class ControllerInit(Value, frozen=True):
    """`init.controller`: how the operator works."""

    experiment_suggestion_name: str = "default"
    metrics_addr: str = ":8080"
    healthz_addr: str = ":18080"
    inject_security_context: bool = False
    enable_grpc_probe_in_suggestion: bool = msgspec.field(default=True, name="enableGRPCProbeInSuggestion")
    trial_resources: tuple[str, ...] = ("Job.v1.batch",)
    webhook_port: int = 8443
    enable_leader_election: bool = False
    leader_election_id: str = msgspec.field(default="3fbc96e9.katib.kubeflow.org", name="leaderElectionID")


class CertGeneratorInit(Value, frozen=True):
    """`init.certGenerator`: whether the operator makes the certificate of its webhooks."""

    enable: bool = False
    webhook_service_name: str = ""
    webhook_secret_name: str = ""


class Init(Value, frozen=True):
    """`init`, which is read when the operator starts."""

    controller: ControllerInit = ControllerInit()
    cert_generator: CertGeneratorInit = CertGeneratorInit()


class SuggestionEntry(Value, frozen=True):
    """An entry of `runtime.suggestions`. `container` is a core/v1 Container as its author wrote it, with defaults."""

    algorithm_name: str = ""
    service_account_name: str = ""
    volume_mount_path: str = DEFAULT_MOUNT_PATH
    persistent_volume_claim_spec: dict[str, Any] | None = None
    persistent_volume_spec: dict[str, Any] | None = None
    persistent_volume_labels: dict[str, str] = {}
    address: str = ""  # pykatib's own
    in_process: bool | None = None  # pykatib's own
    container: dict[str, Any] = {}


class EarlyStoppingEntry(Value, frozen=True):
    """An entry of `runtime.earlyStoppings`."""

    algorithm_name: str = ""
    image: str = ""
    image_pull_policy: str = ""
    resources: dict[str, Any] = {}


class CollectorEntry(Value, frozen=True):
    """An entry of `runtime.metricsCollectors`."""

    kind: str = ""
    image: str = ""
    image_pull_policy: str = ""
    resources: dict[str, Any] = {}
    wait_all_processes: bool | None = None


class KatibConfig(msgspec.Struct, frozen=True):
    """The whole of it, by name. `notes` tells what is passed over, and why."""

    init: Init = Init()
    suggestions: Mapping[str, SuggestionEntry] = {}
    early_stoppings: Mapping[str, EarlyStoppingEntry] = {}
    collectors: Mapping[str, CollectorEntry] = {}
    notes: tuple[str, ...] = ()

    def names_algorithm(self, name: str) -> bool:
        """Whether an Experiment may ask for that search algorithm: pykatib's own, or one that is named here."""
        return name in registry.names() or name in self.suggestions

    def names_early_stopping(self, name: str) -> bool:
        """Whether an Experiment may ask for that early stopping."""
        return name in registry.early_stopping_names() or name in self.early_stoppings

    def served_algorithms(self) -> tuple[str, ...]:
        """The search algorithms for which a service is asked, and not this process."""
        return tuple(name for name, entry in self.suggestions.items() if _is_used(entry))

    def served_early_stoppings(self) -> tuple[str, ...]:
        """The early stopping for which an image runs beside a suggestion service."""
        return tuple(name for name in self.early_stoppings if self.early_stopping_service_of(name) is not None)

    def service_of(self, algorithm: str, early_stopping: str = "") -> SuggestionEntry | None:
        """The entry whose service is asked for an algorithm; None where it runs in the operator's process.

        Early stopping that is an image runs beside the algorithm's, which is therefore used too.
        """
        entry = self.suggestions.get(algorithm)
        beside = self.early_stopping_service_of(early_stopping) is not None
        return entry if entry is not None and (beside or _is_used(entry)) else None

    def early_stopping_service_of(self, name: str) -> EarlyStoppingEntry | None:
        """The entry whose image runs beside a suggestion service; None where pykatib has that early stopping."""
        return None if name in registry.early_stopping_names() else self.early_stoppings.get(name)


def _is_used(entry: SuggestionEntry) -> bool:
    return bool(entry.address) or entry.in_process is False or entry.algorithm_name not in registry.names()


def read_katib_config(text: str, *, source: str = KEY) -> KatibConfig:
    """The configuration that a text holds; an empty text is an empty configuration.

    Raises:
        InvalidInput: with all mistakes and their paths.
    """
    documents = [tree for tree, _ in yaml_documents(text, source) if tree is not None]
    if not documents:
        return KatibConfig()
    tree = documents[0]
    if len(documents) > 1 or not isinstance(tree, dict):
        raise InvalidInput([FieldError("", f"wanted one mapping, of kind {KIND}")], source=source)
    reading = _Reading()
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if tree.get(field) != wanted:
            found = "nothing" if tree.get(field) is None else shown(tree[field])
            reading.errors.append(FieldError(field, f"found {found}, wanted {wanted!r}"))
    reading.note_unknown(tree, ("apiVersion", "kind", "init", "runtime"), "")
    init = reading.typed(tree.get("init") or {}, Init, "init")
    runtime = reading.mapping(tree.get("runtime"), "runtime")
    reading.note_unknown(runtime, ("suggestions", "earlyStoppings", "metricsCollectors"), "runtime")
    suggestions = [reading.suggestion(*each) for each in reading.entries(runtime, "suggestions")]
    stoppings = [reading.image(*each, EarlyStoppingEntry) for each in reading.entries(runtime, "earlyStoppings")]
    collectors = [reading.image(*each, CollectorEntry) for each in reading.entries(runtime, "metricsCollectors")]
    for place, name in enumerate(init.controller.trial_resources):
        if not _TRIAL_RESOURCE.fullmatch(name):
            text = f"found {name!r}; write Kind.version.group, as in PyTorchJob.v1.kubeflow.org"
            reading.errors.append(FieldError(f"init.controller.trialResources[{place}]", text))
    if reading.errors:
        raise InvalidInput(tuple(dict.fromkeys(reading.errors)), source=source)
    config = KatibConfig(
        init=init,
        suggestions={each.algorithm_name: each for each in suggestions},  # of equal names the last counts, as in Katib
        early_stoppings={each.algorithm_name: each for each in stoppings},
        collectors={each.kind: each for each in collectors},
    )
    passed_over = [name for name, entry in config.suggestions.items() if not _is_used(entry)]
    if passed_over:
        reading.notes.append(
            f"runtime.suggestions: pykatib's own {', '.join(passed_over)} run in the operator; "
            "an entry with inProcess: false or an address is used instead"
        )
    return msgspec.structs.replace(config, notes=tuple(reading.notes))


class _Reading:
    """Collects mistakes and notes on the way through the tree."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.notes: list[str] = []

    def note_unknown(self, tree: Mapping[str, Any], known: Sequence[str], path: str) -> None:
        for field in tree:
            if field not in known:
                where = f"{path}.{field}" if path else str(field)
                self.notes.append(f"{where}: nobody here knows this field{did_you_mean(str(field), known)}")

    def mapping(self, value: Any, path: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.errors.append(FieldError(path, f"found {shown(value)}, wanted a mapping"))
            return {}
        return value

    def typed(self, value: Any, kind: type[T], path: str) -> T:
        found, errors = decode_tree(value, kind, path=path)
        for error in errors:
            if error.message.startswith("unknown field"):
                self.notes.append(str(error))
            else:
                self.errors.append(error)
        return found if found is not None else kind()

    def entries(self, runtime: Mapping[str, Any], field: str) -> list[tuple[dict[str, Any], str]]:
        path = f"runtime.{field}"
        found = runtime.get(field) or []
        if not isinstance(found, list):
            self.errors.append(FieldError(path, f"found {shown(found)}, wanted a list"))
            return []
        return [(self.mapping(each, f"{path}[{place}]"), f"{path}[{place}]") for place, each in enumerate(found)]

    def image(self, tree: dict[str, Any], path: str, kind: type[T]) -> T:
        """An entry that runs a container of which little can be said."""
        entry: Any = self.typed(tree, kind, path)
        key = "kind" if kind is CollectorEntry else "algorithmName"
        for field in (key, "image"):
            if not tree.get(field):
                self.errors.append(FieldError(f"{path}.{field}", "is missing"))
        if kind is CollectorEntry and entry.kind and entry.kind not in names.COLLECTOR_KINDS:
            self.notes.append(f"{path}.kind: {entry.kind!r} is no kind of collector")
        changed: T = msgspec.structs.replace(
            entry,
            image_pull_policy=_pull_policy(entry.image_pull_policy),
            resources=self.resources(entry.resources, f"{path}.resources"),
        )
        return changed

    def suggestion(self, tree: dict[str, Any], path: str) -> SuggestionEntry:
        own = {field.encode_name for field in msgspec.structs.fields(SuggestionEntry)} - {"container"}
        entry = self.typed({name: value for name, value in tree.items() if name in own}, SuggestionEntry, path)
        container = {name: value for name, value in tree.items() if name not in own}
        self.note_unknown(container, (*_CONTAINER_FIELDS, *own), path)
        if not entry.algorithm_name:
            self.errors.append(FieldError(f"{path}.algorithmName", "is missing"))
        if tree.get("address"):
            problem = address_problem(entry.address) if entry.address else ""
            if problem:
                self.errors.append(FieldError(f"{path}.address", problem))
            return entry
        if not isinstance(container.get("image"), str) or not container["image"]:
            self.errors.append(FieldError(f"{path}.image", "is missing; name an image, or the address of a service"))
        ports = container.get("ports") or []
        for place, port in enumerate(ports if isinstance(ports, list) else [ports]):
            if isinstance(port, dict) and (port.get("name") == PORT_NAME or port.get("containerPort") == PORT):
                text = f"the port {PORT_NAME} ({PORT}) is added by itself; leave it out"
                self.errors.append(FieldError(f"{path}.ports[{place}]", text))
        resources = self.mapping(container.get("resources"), f"{path}.resources")
        container = {
            **container,
            "name": container.get("name") or "suggestion",
            "imagePullPolicy": _pull_policy(container.get("imagePullPolicy")),
            "resources": self.resources(resources, f"{path}.resources"),
        }
        return msgspec.structs.replace(entry, container=container)

    def resources(self, given: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Requests and limits with Katib's defaults; a negative quantity takes one away."""
        result: dict[str, Any] = {name: value for name, value in given.items() if name not in ("requests", "limits")}
        for part, defaults in (("requests", DEFAULT_REQUESTS), ("limits", DEFAULT_LIMITS)):
            stated = self.mapping(given.get(part), f"{path}.{part}")
            kept: dict[str, Any] = {}
            for name, quantity in {**defaults, **stated}.items():
                try:
                    number = parse_quantity(quantity)
                except (ValueError, TypeError) as error:
                    self.errors.append(FieldError(f"{path}.{part}.{name}", str(error)))
                    continue
                if number >= 0:
                    kept[name] = quantity
            for name in DEFAULT_REQUESTS if part == "limits" else ():
                # A request above a limit that nobody has stated would be refused: the limit is raised with it.
                asked = result["requests"].get(name)
                if name in kept and name not in stated and asked is not None:
                    kept[name] = max(kept[name], asked, key=parse_quantity)
            result[part] = kept
        return result


def _pull_policy(stated: Any) -> str:
    return stated if stated in _PULL_POLICIES else "IfNotPresent"
