"""Reads a Trial's Job as the cluster would and says which processes to run here: files and machine in, plan out.

Nothing is started, written or waited for, so the same code judges a template at admission and plans a Trial at its
start. What differs from the cluster, and why:

* Images are not pulled (see `images`), mounts are not seen (see `volumes`).
* The process inherits the environment of the user who runs katib, below the container's own: on a laptop CUDA,
  proxies and caches are set up there. `python` is the interpreter that runs katib.
* A Trial that asks for no GPU sees none, as on the cluster, even where the machine has some: otherwise it would share
  one with a Trial that was promised it alone. This is said once. Where no GPU is known, nothing is hidden.
* The folder of the metrics files is the Trial's own (see `metrics_folder`).
"""

import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError
from pykatib.api.job import Container, Job
from pykatib.api.shared import MetricsCollectorSpec
from pykatib.api.trial import Trial
from pykatib.api.wire import decode
from pykatib.workers.environment import (
    DEVICE_VARIABLES,
    Lookup,
    PodIdentity,
    Variables,
    container_variables,
    expand,
    search_path,
    thread_variables,
)
from pykatib.workers.executables import is_absent_python, missing_program, python_folders
from pykatib.workers.findings import Findings
from pykatib.workers.images import IMAGE_FILE, ImageFolder, Images
from pykatib.workers.metrics_folder import metrics_mount, metrics_source
from pykatib.workers.pod_rules import (
    POD,
    check_job_spec,
    check_pod_spec,
    container_request,
    effective_request,
    read_job,
)
from pykatib.workers.slots import Machine, Request
from pykatib.workers.volumes import PathMap, PlannedFile, VolumePlan, container_path, mount_points, plan_volumes

CUSTOM_COLLECTOR: Final = "spec.metricsCollectorSpec.collector.customCollector"
DEFAULT_GRACE_SECONDS: Final = 5  # the cluster's 30 s are long for a person who has pressed Ctrl-C


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where Trials run: this machine, the folder of the manifest, and what was given beside it."""

    machine: Machine
    manifest_folder: Path
    images: Images
    lookup: Lookup
    inherited: Mapping[str, str]
    python: str = sys.executable


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A process of a pod: an argument list, no shell, and its complete environment."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    open_devices: tuple[str, ...] = ()  # variables that the GPU assignment fills, for the manifest does not


class PodPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a Trial's Job means here. Make `folders`, write `files`, run `init` in order, then `main`.

    `collector` is a collector of the user's own, which runs beside `main` and sees the metrics folder as it does.
    `request` is what to take from the slots first, `collector_path` the local file or folder that metrics are read
    from, `backoff_limit` and `active_deadline_seconds` are None where the manifest says nothing.
    """

    init: tuple[ProcessPlan, ...]
    main: ProcessPlan
    collector: ProcessPlan | None
    folders: tuple[Path, ...]
    files: tuple[PlannedFile, ...]
    request: Request
    collector_path: Path | None
    active_deadline_seconds: int | None
    backoff_limit: int | None
    grace_seconds: int
    warnings: tuple[FieldError, ...]

    def with_gpus(self, gpu_ids: Sequence[str]) -> "PodPlan":
        """The plan with its processes seeing these GPUs and no others."""
        visible = ",".join(gpu_ids)

        def seeing(process: ProcessPlan) -> ProcessPlan:
            devices = dict.fromkeys(process.open_devices, visible)
            return msgspec.structs.replace(process, env={**process.env, **devices})

        return msgspec.structs.replace(self, init=tuple(map(seeing, self.init)), main=seeing(self.main))


class Refused(msgspec.Struct, frozen=True):
    """Why a Job cannot run here: each reason with the path of its field within the Job."""

    errors: tuple[FieldError, ...]


def plan_pod(
    trial: Trial,
    *,
    place: Place,
    folder: Path,
    attempt: int = 0,
    extra_mounts: Mapping[str, Path] | None = None,
) -> PodPlan | Refused:
    """The plan of a Trial's Job. `folder` is this attempt's own: volumes that live with a pod are made within it.

    `extra_mounts` says where other container paths are on this machine: a checkpoint folder that Trials share.
    """
    job = read_job(bytes(trial.spec.run_spec))
    if not isinstance(job, Job):
        return Refused(job)
    name = trial.metadata.name
    owner = {"job-name": name, "batch.kubernetes.io/job-name": name}
    return plan_job(
        trial,
        job,
        place=place,
        folder=folder,
        pod_name=f"{name}-{attempt}",
        pod_labels=owner,
        extra_mounts=extra_mounts,
    )


def plan_job(
    trial: Trial,
    job: Job,
    *,
    place: Place,
    folder: Path,
    pod_name: str,
    pod_labels: Mapping[str, str],
    variables: Mapping[str, str] | None = None,
    extra_mounts: Mapping[str, Path] | None = None,
) -> PodPlan | Refused:
    """The plan of one pod of a Trial, described as a Job, with the labels and variables that its controller sets."""
    pod = _identity(trial, job, place.machine, pod_name, pod_labels)
    return _Planner(trial, job, place, folder, pod, dict(variables or {}), dict(extra_mounts or {})).plan()


class _Planner:
    """Holds what the steps of one reading share."""

    def __init__(
        self,
        trial: Trial,
        job: Job,
        place: Place,
        folder: Path,
        pod: PodIdentity,
        variables: dict[str, str],
        extra_mounts: dict[str, Path],
    ) -> None:
        self._trial, self._job, self._place, self._pod = trial, job, place, pod
        self._variables = variables
        self._folder = Path(os.path.abspath(folder))
        self._extra_mounts = {container_path(path): local for path, local in extra_mounts.items()}
        self._findings = Findings()
        self._folders: list[Path] = [self._folder]
        self._files: list[PlannedFile] = []
        self._collector_path: Path | None = None
        self._metrics_mount: dict[str, Path] = {}
        self._first_in_path, shims = python_folders(place.python, self._folder / "bin")
        self._files.extend(shims)

    def plan(self) -> PodPlan | Refused:
        spec = self._job.spec
        pod = spec.template.spec
        findings, machine = self._findings, self._place.machine
        check_job_spec(spec, findings)
        primary = check_pod_spec(pod, self._trial.spec.primary_container_name, findings)
        own_collector = custom_collector(self._trial.spec.metrics_collector)
        volumes = plan_volumes(
            pod.volumes,
            path=f"{POD}.volumes",
            folder=self._folder / "volumes",
            pod=self._pod,
            containers=(*pod.containers, *pod.init_containers, *own_collector),
            machine=machine,
            lookup=self._place.lookup,
            findings=findings,
        )
        self._folders += volumes.folders
        self._files += volumes.files
        init = [
            self._process(container, f"{POD}.initContainers[{index}]", volumes)
            for index, container in enumerate(pod.init_containers)
        ]
        main: ProcessPlan | None = None
        request = Request()
        if primary is not None:
            at = f"{POD}.containers[{pod.containers.index(primary)}]"
            main = self._process(primary, at, volumes, primary=True)
            request = effective_request(pod, primary, machine, findings)
            if not request.gpus and machine.gpu_ids and main is not None and main.open_devices:
                message = (
                    "asks for no GPU, so Trials see none; resources.limits: {nvidia.com/gpu: 1} gives each its own"
                )
                findings.warn(f"{at}.resources", message)
        collector = [self._process(one, CUSTOM_COLLECTOR, volumes, collects=True) for one in own_collector]
        if findings.refusals or main is None:
            return Refused(findings.refusals)
        deadlines = [one for one in (spec.active_deadline_seconds, pod.active_deadline_seconds) if one is not None]
        grace = pod.termination_grace_period_seconds
        plan = PodPlan(
            init=tuple(process for process in init if process is not None),
            main=main,
            collector=collector[0] if collector else None,
            folders=tuple(dict.fromkeys(self._folders)),
            files=tuple(self._files),
            request=request,
            collector_path=self._collector_path,
            active_deadline_seconds=min(deadlines, default=None),
            backoff_limit=spec.backoff_limit,
            grace_seconds=DEFAULT_GRACE_SECONDS if grace is None else grace,
            warnings=findings.warnings,
        )
        return plan.with_gpus(()) if machine.gpu_ids else plan

    def _process(
        self,
        container: Container,
        path: str,
        volumes: VolumePlan,
        *,
        primary: bool = False,
        collects: bool = False,
    ) -> ProcessPlan | None:
        findings, place = self._findings, self._place
        image = place.images.find(container.image)
        if image is None:
            message = (
                f"the image {container.image!r} stands for no folder, so the command runs on this machine from "
                f"{place.manifest_folder}; --image {container.image or 'IMAGE'}=FOLDER says where its files are"
            )
            findings.warn(f"{path}.image", message)
        added = {names.ENV_TRIAL_NAME: self._trial.metadata.name} if primary or collects else {}
        if primary:
            added.update(self._variables)
        if self._job.spec.completion_mode == "Indexed":
            added["JOB_COMPLETION_INDEX"] = "0"
        variables = container_variables(
            container,
            path=path,
            pod=self._pod,
            machine=place.machine,
            lookup=place.lookup,
            findings=findings,
            added=added,
        )
        mounts, folders = mount_points(
            container, path=path, volumes=volumes, variables=variables.values, findings=findings
        )
        self._folders += folders
        mounts = {**self._extra_mounts, **mounts} if primary else mounts
        argv = self._command(container, image, variables, path)
        source = metrics_source(self._trial.spec.metrics_collector) if primary else None
        if source is not None:
            own = (value for name, value in variables.values.items() if name not in variables.verbatim)
            mount = metrics_mount(
                source,
                mounts=mounts,
                texts=(*argv, *own),
                image_folder=image.folder if image else None,
                attempt_folder=self._folder,
                path=path,
                findings=findings,
            )
            self._metrics_mount = dict([mount]) if mount is not None else {}
        if source is not None or collects:
            mounts = {**mounts, **self._metrics_mount}
        longest_first = tuple(sorted(mounts.items(), key=lambda mount: -len(mount[0])))
        paths = PathMap(longest_first, image.folder if image else None)
        if source is not None:
            self._collector_path = Path(paths.mounted(source.path) or source.path)
            self._folders.append(self._collector_path.parent if source.is_file else self._collector_path)
        cwd = self._working_folder(container, image, paths, path)
        env = self._environment(container, image, variables, paths, path)
        if not argv or cwd is None:
            return None
        argv = tuple(paths.rewrite(word) for word in argv)
        if is_absent_python(argv[0]):
            findings.warn(f"{path}.command", f"{argv[0]} is not there; the interpreter that runs katib is taken")
            argv = (place.python, *argv[1:])
        if not findings.refusals:  # else the reason may be one of those
            self._refuse_missing(argv, cwd, env["PATH"], path, container.image if image is None else None)
        open_devices = tuple(name for name in DEVICE_VARIABLES if name not in variables.values)
        return ProcessPlan(
            name=container.name,
            argv=argv,
            cwd=cwd,
            env=env,
            open_devices=open_devices if place.machine.gpu_ids else (),
        )

    def _command(
        self, container: Container, image: ImageFolder | None, variables: Variables, path: str
    ) -> tuple[str, ...]:
        own = tuple(expand(word, variables.values) for word in (*container.command, *container.args))
        if container.command:
            return own
        described = image.described if image is not None else None
        if described is not None:
            words = described.entrypoint + (own if container.args else described.cmd)
            if words:
                return words
        name = container.image or "the image"
        if image is None:
            what = f"--image {name}=FOLDER with an entrypoint in FOLDER/{IMAGE_FILE}"
        else:
            what = f"an entrypoint in {image.folder / IMAGE_FILE}"
        self._findings.refuse(
            f"{path}.command", f"is absent, and what {name} runs is not known here; say it, or give {what}"
        )
        return ()

    def _refuse_missing(self, argv: tuple[str, ...], cwd: Path, search: str, path: str, unmapped: str | None) -> None:
        """Refuses what cannot be found, unless it is ours to make or an init container's."""
        missing = missing_program(argv, cwd=cwd, search=search)
        if missing is None or self._job.spec.template.spec.init_containers:
            return
        if isinstance(missing, Path) and missing.is_relative_to(self._folder):
            return
        hint = (
            f"; --image {unmapped or 'IMAGE'}=FOLDER says where the image's files are" if unmapped is not None else ""
        )
        self._findings.refuse(f"{path}.command", f"there is no {missing} on this machine{hint}")

    def _working_folder(
        self, container: Container, image: ImageFolder | None, paths: PathMap, path: str
    ) -> Path | None:
        base = image.folder if image is not None else Path(os.path.abspath(self._place.manifest_folder))
        written = container.working_dir or (image.described.workdir if image and image.described else "")
        if not written:
            return base
        mounted = paths.mounted(written) if written.startswith("/") else None
        if mounted is not None:
            local = Path(mounted)
            if local.is_relative_to(self._folder):
                self._folders.append(local)
                return local
        elif image is not None:
            local = Path(os.path.normpath(base / written.lstrip("/")))
        else:
            local = Path(os.path.normpath(base / written))
        if not local.is_dir():
            where = "" if str(local) == written else f", which is {local} here"
            self._findings.refuse(f"{path}.workingDir", f"found {written!r}{where}; there is no such folder")
            return None
        return local

    def _environment(
        self, container: Container, image: ImageFolder | None, variables: Variables, paths: PathMap, path: str
    ) -> dict[str, str]:
        from_image = image.described.env if image is not None and image.described is not None else {}
        own = {name: paths.rewrite(value) for name, value in from_image.items()}
        for name, value in variables.values.items():
            own[name] = value if name in variables.verbatim else paths.rewrite(value)
        request = self._place.machine.clamped(container_request(container, path, self._findings))
        inherited = self._place.inherited
        env = {**inherited, **thread_variables(request.millicpus), "PYTHONUNBUFFERED": "1", **own}
        env["PATH"] = search_path(self._first_in_path, own.get("PATH"), inherited.get("PATH", ""))
        return env


def custom_collector(collector: MetricsCollectorSpec | None) -> tuple[Container, ...]:
    """The container that collects metrics, where the user has given one of their own."""
    if collector is None or collector.kind != names.CUSTOM or collector.collector is None:
        return ()
    return (decode(bytes(collector.collector.custom_collector), Container),)


def _identity(trial: Trial, job: Job, machine: Machine, name: str, labels: Mapping[str, str]) -> PodIdentity:
    meta, template = trial.metadata, job.spec.template
    return PodIdentity(
        name=name,
        namespace=meta.namespace,
        uid=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{meta.uid}/{meta.namespace}/{name}")),
        labels={**template.metadata.labels, **labels, **meta.labels, names.LABEL_TRIAL: meta.name},
        annotations=template.metadata.annotations,
        node_name=machine.node_name,
        service_account_name=template.spec.service_account_name,
    )
