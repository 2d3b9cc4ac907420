"""What makes a worker's Pod report: the pure half of the Pod webhook, Pod in and Pod out.

Nothing is asked of anybody, least of all a registry. StdOut, and Trials with stop rules, need a command to wrap (see
`pykatib.kube.injection_wrapping`), and a Pod whose image alone knows what it runs is refused in words. The other kinds
do without one: the collector then shares the Pod's processes and sees the primary container's come and go.

A Pod that was injected is given back as it is, so a webhook that is called twice does no harm.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

import msgspec

from pykatib.algorithms.lineage import lineage_of
from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.job import ResourceRequirements
from pykatib.api.shared import MetricsCollectorSpec, ObjectiveSpec, SourceSpec
from pykatib.api.trial import Trial
from pykatib.kube.injection_checkpoints import (
    CHECKPOINT_VOLUME,
    COPIER,
    checkpoint_copier,
    copier_security_context,
)
from pykatib.kube.injection_sidecar import sidecar_arguments, sidecar_security_context
from pykatib.kube.injection_wrapping import EXIT_FILE, whole_command, wrapped_command

METRICS_VOLUME: Final = "metrics-volume"
CONTROL_VOLUME: Final = "katib-control"
CONTROL_FOLDER: Final = "/var/lib/katib-control"
STDOUT_PATH: Final = "/var/log/katib/metrics.log"
SIDECAR_NAMES: Final[Mapping[str, str]] = {
    names.STDOUT: "metrics-logger-and-collector",
    names.FILE: "metrics-logger-and-collector",
    names.TENSORFLOW_EVENT: "metrics-collector",
    names.PROMETHEUS_METRIC: "metrics-collector",
}
DEFAULT_RESOURCES: Final = ResourceRequirements(
    requests={"cpu": "50m", "memory": "40Mi", "ephemeral-storage": "500Mi"},
    limits={"cpu": "500m", "memory": "100Mi", "ephemeral-storage": "5Gi"},
)


class CollectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The sidecar of a collector kind: an entry of katib-config's `runtime.metricsCollectors`."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    resources: ResourceRequirements = DEFAULT_RESOURCES
    wait_all_processes: bool | None = None


class InjectionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster's operator decides about every injected Pod.

    `early_stopping_address` is where the sidecar announces that it has stopped this Trial; it is needed for Trials
    with rules. `checkpoint_claim` and `checkpoint_path` are set where the Trial's algorithm shares a volume.
    `native_sidecar` makes the collector an init container that runs on, as Kubernetes has it since 1.29.
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
    pod = deepcopy(pod)
    _add_labels(pod, trial)
    index = _primary_index(pod, trial)
    if index is None:
        if is_primary_pod(pod, trial) and trial.spec.primary_pod_labels:
            raise InvalidInput([_no_primary_container(pod, trial)])
        return pod
    container = pod["spec"]["containers"][index]
    _add_environment(container, settings)
    if not is_primary_pod(pod, trial):
        return pod
    if settings.checkpoint_claim and settings.checkpoint_path:
        _add_checkpoints(pod, container, trial, settings)
    collector = trial.spec.metrics_collector or MetricsCollectorSpec()
    if collector.kind in SIDECAR_NAMES:
        _Injection(pod, index, trial, collector, settings).add_sidecar()
    elif collector.kind == names.CUSTOM:
        _Injection(pod, index, trial, collector, settings).add_custom()
    return pod


def is_primary_pod(pod: Mapping[str, Any], trial: Trial) -> bool:
    """Whether the Pod is the one of its job that reports."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    return all(labels.get(label) == value for label, value in trial.spec.primary_pod_labels.items())


def _add_labels(pod: dict[str, Any], trial: Trial) -> None:
    metadata = pod.setdefault("metadata", {})
    added = {**trial.metadata.labels, names.LABEL_TRIAL: trial.metadata.name}
    metadata["labels"] = {**(metadata.get("labels") or {}), **added}


def _primary_index(pod: Mapping[str, Any], trial: Trial) -> int | None:
    for index, container in enumerate(pod["spec"].get("containers") or ()):
        if container.get("name") == trial.spec.primary_container_name:
            return index
    return None


def _no_primary_container(pod: Mapping[str, Any], trial: Trial) -> FieldError:
    found = ", ".join(str(container.get("name")) for container in pod["spec"].get("containers") or ())
    wanted = trial.spec.primary_container_name
    return FieldError("spec.containers", f"found {found}; none is called {wanted!r}, the Trial's primaryContainerName")


def _add_environment(container: dict[str, Any], settings: InjectionSettings) -> None:
    of_label = {"fieldRef": {"fieldPath": f"metadata.labels['{names.LABEL_TRIAL}']"}}
    _add_variable(container, {"name": names.ENV_TRIAL_NAME, "valueFrom": of_label})
    _add_variable(container, {"name": names.ENV_DB_MANAGER_ADDRESS, "value": settings.db_manager_address})


def _add_variable(container: dict[str, Any], variable: dict[str, Any]) -> None:
    """Gives a container a variable, unless its author has."""
    variables = container["env"] = list(container.get("env") or ())
    if all(own.get("name") != variable["name"] for own in variables):
        variables.append(variable)


def _add_checkpoints(pod: dict[str, Any], container: dict[str, Any], trial: Trial, settings: InjectionSettings) -> None:
    experiment = trial.metadata.labels.get(names.LABEL_EXPERIMENT, "")
    claim = {"persistentVolumeClaim": {"claimName": settings.checkpoint_claim}}
    _add_volume(pod, CHECKPOINT_VOLUME, claim)
    path = f"{experiment}/{trial.metadata.name}"
    _add_mount(container, {"name": CHECKPOINT_VOLUME, "mountPath": settings.checkpoint_path, "subPath": path})
    lineage = lineage_of(trial.metadata.labels)
    if lineage is None or not lineage.member:  # a service of Katib's own has copied already
        return
    spec = pod["spec"]
    init = list(spec.get("initContainers") or ())
    if any(one.get("name") == COPIER for one in init):
        return
    collector = trial.spec.metrics_collector or MetricsCollectorSpec()
    chosen = settings.collectors.get(collector.kind) or next(iter(settings.collectors.values()), None)
    if chosen is None:
        text = "katib-config's runtime.metricsCollectors has no image, and copying checkpoints takes one of those"
        raise InvalidInput([FieldError("spec.initContainers", text)])
    copier = checkpoint_copier(
        experiment=experiment,
        trial=trial.metadata.name,
        lineage=lineage,
        image=chosen.image,
        image_pull_policy=chosen.image_pull_policy,
        resources=msgspec.to_builtins(chosen.resources),
        security_context=copier_security_context(
            container.get("securityContext") or {}, spec.get("securityContext") or {}
        ),
    )
    spec["initContainers"] = [copier, *init]


def _add_volume(pod: dict[str, Any], name: str, source: Mapping[str, Any]) -> None:
    volumes = pod["spec"]["volumes"] = list(pod["spec"].get("volumes") or ())
    if all(volume.get("name") != name for volume in volumes):
        volumes.append({"name": name, **source})


def _add_mount(container: dict[str, Any], mount: dict[str, Any]) -> None:
    mounts = container["volumeMounts"] = list(container.get("volumeMounts") or ())
    if all(own.get("mountPath") != mount["mountPath"] for own in mounts):
        mounts.append(mount)


def _folder_of(path: str, *, is_folder: bool) -> str:
    path = path.rstrip("/")
    return path if is_folder else path.rpartition("/")[0]


class _Injection:
    """Holds what the steps for one primary Pod share."""

    def __init__(
        self,
        pod: dict[str, Any],
        index: int,
        trial: Trial,
        collector: MetricsCollectorSpec,
        settings: InjectionSettings,
    ) -> None:
        self._pod, self._spec, self._trial, self._settings = pod, pod["spec"], trial, settings
        self._primary: dict[str, Any] = self._spec["containers"][index]
        self._path = f"spec.containers[{index}]"
        self._collector, self._kind = collector, collector.kind
        self._source = collector.source or SourceSpec()
        self._objective = trial.spec.objective or ObjectiveSpec()
        self._words = whole_command(self._primary.get("command") or (), self._primary.get("args") or ())

    def add_sidecar(self) -> None:
        name = SIDECAR_NAMES[self._kind]
        if self._has_container(name):
            return
        errors = [*self._refusals()]
        if errors:
            raise InvalidInput(errors)
        chosen = self._settings.collectors[self._kind]
        sidecar: dict[str, Any] = {
            "name": name,
            "image": chosen.image,
            "imagePullPolicy": chosen.image_pull_policy,
            "args": sidecar_arguments(
                self._trial,
                collector=self._collector,
                path=self._metrics_path(),
                db_manager_address=self._settings.db_manager_address,
                early_stopping_address=self._settings.early_stopping_address,
                wait_all_processes=chosen.wait_all_processes,
                control_folder=CONTROL_FOLDER,
                is_wrapped=bool(self._words),
                restart_policy=self._spec.get("restartPolicy") or "Always",
            ),
            "resources": msgspec.to_builtins(chosen.resources),
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": self._security_context(),
        }
        self._share_metrics(sidecar)
        self._share_control(sidecar)
        if self._settings.native_sidecar:
            sidecar["restartPolicy"] = "Always"
            self._spec["initContainers"] = [sidecar, *(self._spec.get("initContainers") or ())]
        else:
            self._spec["containers"].append(sidecar)

    def add_custom(self) -> None:
        """The user's container as it is written; it is told where it reads that the program has ended."""
        assert self._collector.collector is not None, "its kind says so"
        custom: dict[str, Any] = msgspec.json.decode(self._collector.collector.custom_collector)
        custom.setdefault("name", "metrics-collector")
        if self._has_container(custom["name"]):
            return
        if self._source.file_system_path is not None and self._source.file_system_path.path:
            errors = [*self._hidden_program()]
            if errors:
                raise InvalidInput(errors)
            self._share_metrics(custom)
        if not self._spec.get("hostPID"):
            self._spec["shareProcessNamespace"] = True
        _add_environment(custom, self._settings)
        if self._words:
            self._share_control(custom)
            _add_variable(custom, {"name": names.ENV_EXIT_FILE, "value": f"{CONTROL_FOLDER}/{EXIT_FILE}"})
        self._spec["containers"].append(custom)

    def _has_container(self, name: str) -> bool:
        containers = [*(self._spec.get("containers") or ()), *(self._spec.get("initContainers") or ())]
        return any(container.get("name") == name for container in containers)

    def _refusals(self) -> Iterator[FieldError]:
        if self._kind not in self._settings.collectors:
            known = ", ".join(self._settings.collectors) or "none"
            found = f"{self._kind} collects, and katib-config's runtime.metricsCollectors has no image for it"
            yield FieldError("spec.containers", f"{found} (it has: {known})")
        rules = self._trial.spec.early_stopping_rules
        if rules and not self._settings.early_stopping_address:
            yield FieldError("spec.containers", "the Trial has early stopping rules, and no service for them is known")
        if not self._words and (self._kind == names.STDOUT or rules):
            need = "its output has to be kept for StdOut" if self._kind == names.STDOUT else "early stopping ends it"
            way = "say what it runs" + ("" if rules else ", or collect from a File, or push")
            what = f"{self._primary.get('image') or 'its image'} runs"
            yield FieldError(f"{self._path}.command", f"is absent, and what {what} is not looked up: {need}; {way}")
        elif not self._words and self._spec.get("hostPID"):
            yield FieldError(
                f"{self._path}.command", "is absent, and with hostPID no process can be told to be its own"
            )
        yield from self._hidden_program()

    def _hidden_program(self) -> Iterator[FieldError]:
        """A program that lies in the folder of its metrics is gone once a volume is mounted over that folder."""
        folder = self._metrics_folder()
        if not folder or self._mount_over(folder) is not None:
            return
        working = str(self._primary.get("workingDir") or "").rstrip("/")
        inside = [word for word in self._words[:2] if word.startswith(f"{folder}/")]
        if working and f"{working}/".startswith(f"{folder}/"):
            yield self._hides(f"{self._path}.workingDir", working, folder)
        elif inside:
            yield self._hides(f"{self._path}.command", inside[0], folder)

    def _hides(self, path: str, found: str, folder: str) -> FieldError:
        return FieldError(
            path,
            f"found {found!r}, which the volume for the metrics in {folder} would hide; "
            "have the program write its metrics to a folder of their own",
        )

    def _metrics_path(self) -> str:
        if self._kind == names.STDOUT:
            return STDOUT_PATH
        file = self._source.file_system_path
        return file.path if file is not None and self._kind != names.PROMETHEUS_METRIC else ""

    def _metrics_folder(self) -> str:
        file = self._source.file_system_path
        is_folder = self._kind == names.TENSORFLOW_EVENT or (
            self._kind == names.CUSTOM and file is not None and file.kind == "Directory"
        )
        return _folder_of(self._metrics_path(), is_folder=is_folder)

    def _mount_over(self, folder: str) -> dict[str, Any] | None:
        """The primary container's own mount that holds a folder."""
        mounts: list[dict[str, Any]] = [
            mount
            for mount in self._primary.get("volumeMounts") or ()
            if f"{folder}/".startswith(f"{mount['mountPath'].rstrip('/')}/")
        ]
        return max(mounts, key=lambda mount: len(mount["mountPath"]), default=None)

    def _share_metrics(self, sidecar: dict[str, Any]) -> None:
        folder = self._metrics_folder()
        if not folder:
            return
        own = self._mount_over(folder)
        if own is None:
            own = {"name": METRICS_VOLUME, "mountPath": folder}
            _add_volume(self._pod, METRICS_VOLUME, {"emptyDir": {}})
            _add_mount(self._primary, dict(own))
        _add_mount(sidecar, dict(own))

    def _share_control(self, sidecar: dict[str, Any]) -> None:
        _add_volume(self._pod, CONTROL_VOLUME, {"emptyDir": {}})
        for container in (self._primary, sidecar):
            _add_mount(container, {"name": CONTROL_VOLUME, "mountPath": CONTROL_FOLDER})
        if self._words:
            self._primary["command"] = wrapped_command(
                control_folder=CONTROL_FOLDER,
                log_path=STDOUT_PATH if self._kind == names.STDOUT else "",
                is_stoppable=bool(self._trial.spec.early_stopping_rules) and self._kind != names.CUSTOM,
            )
            self._primary["args"] = self._words
        else:
            self._spec["shareProcessNamespace"] = True

    def _security_context(self) -> dict[str, Any]:
        if self._settings.inject_security_context:
            first = self._spec["containers"][0].get("securityContext")
            return deepcopy(first) if first else {}
        return sidecar_security_context(
            self._primary.get("securityContext") or {}, self._spec.get("securityContext") or {}
        )
