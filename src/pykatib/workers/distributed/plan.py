"""A distributed job as a plan of one process: the gang that starts all replicas and ends them together.

Each replica is planned as the pod it would be, in a folder of its own below the attempt's: what it mounts, and the
folder of its metrics, is nobody else's. The output of the replica that metrics are read from is the attempt's log;
the others have logs of their own, `replicas/<type>-<index>.log`.

The job asks for the slots of all its replicas at once, so of two Trials that could each get half, one waits.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

import pykatib
from pykatib.api import names
from pykatib.api.defaults import KIND_DEFAULTS
from pykatib.api.errors import FieldError
from pykatib.api.job import Container, Job, JobSpec
from pykatib.api.trial import Trial
from pykatib.workers.distributed.kinds import KINDS, read_team
from pykatib.workers.distributed.report import REPORT_NAME
from pykatib.workers.distributed.team import Kind, Replica, Surroundings, Team, labels_of
from pykatib.workers.findings import Findings
from pykatib.workers.pod import Place, PodPlan, ProcessPlan, Refused, plan_job
from pykatib.workers.pod_rules import POD
from pykatib.workers.slots import Request
from pykatib.workers.volumes import PlannedFile

PRIMARY_POD_LABELS: Final = "spec.trialTemplate.primaryPodLabels"
LINGER_SECONDS: Final = 5.0
"""How long replicas may go on when the job has succeeded and its `cleanPodPolicy` does not have them ended."""

_ROOT: Final = str(Path(pykatib.__file__).resolve().parents[1])
_PROGRAM: Final = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); from pykatib.workers.distributed.gang import main; main(sys.argv[1])"
)


class ReplicaPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A replica as processes: `init` in order, then `main`. `log` is None for the one whose output is the attempt's."""

    replica: Replica
    init: tuple[ProcessPlan, ...]
    main: ProcessPlan
    log: Path | None
    gpus: int


class GangPlan(PodPlan, frozen=True, kw_only=True):
    """The plan of a job with replicas. Its `main` is the gang, which reads the last of `files` when it starts."""

    team: Team
    replicas: tuple[ReplicaPlan, ...]
    script: Path
    success: tuple[tuple[str, ...], ...]
    linger_seconds: float
    endless: tuple[str, ...]

    def with_gpus(self, gpu_ids: Sequence[str]) -> "GangPlan":
        """The plan with the GPUs shared out among its replicas, to each as many as it asks for."""
        left = list(gpu_ids)
        replicas: list[ReplicaPlan] = []
        for one in self.replicas:
            own, left = left[: one.gpus], left[one.gpus :]
            replicas.append(
                msgspec.structs.replace(
                    one, init=tuple(_seeing(process, own) for process in one.init), main=_seeing(one.main, own)
                )
            )
        plan = msgspec.structs.replace(self, replicas=tuple(replicas))
        others = tuple(file for file in self.files if file.path != self.script)
        return msgspec.structs.replace(plan, files=(*others, plan.script_file()))

    def log_of(self, name: str) -> Path | None:
        """Where a replica's output goes; None where that is the attempt's log."""
        return next((one.log for one in self.replicas if one.replica.name == name), None)

    def script_file(self) -> PlannedFile:
        """What the gang is told. Only its owner may read it: it holds the replicas' variables."""
        base = self.main.env
        document = {
            "report": str(self.script.with_name(REPORT_NAME)),
            "success": self.success,
            "linger": self.linger_seconds,
            "grace": self.grace_seconds,
            "endless": self.endless,
            "replicas": [
                {
                    "name": one.replica.name,
                    "log": None if one.log is None else str(one.log),
                    "stages": [_stage(process, base) for process in (*one.init, one.main)],
                }
                for one in self.replicas
            ],
        }
        # Not by msgspec: variables that came as bytes are texts with lone surrogates.
        return PlannedFile(self.script, json.dumps(document).encode(), 0o600)


def plan_replicas(
    trial: Trial, kind: Kind, *, place: Place, folder: Path, extra_mounts: Mapping[str, Path] | None = None
) -> GangPlan | Refused:
    """The plan of a Trial's distributed job. `folder` is this attempt's own; see `plan_pod`."""
    team = read_team(kind, trial.metadata.name, bytes(trial.spec.run_spec))
    if not isinstance(team, Team):
        return Refused(team)
    return _Planner(trial, team, kind, place, folder, dict(extra_mounts or {})).plan()


class _Planner:
    """Holds what the steps of one reading share."""

    def __init__(
        self, trial: Trial, team: Team, kind: Kind, place: Place, folder: Path, extra_mounts: dict[str, Path]
    ) -> None:
        self._trial, self._team, self._kind, self._place = trial, team, kind, place
        self._folder = folder.absolute()
        self._extra_mounts = extra_mounts
        self._surroundings = Surroundings(place.inherited, self._folder)
        self._findings = Findings()
        self._said: set[str] = set()

    def plan(self) -> GangPlan | Refused:
        team, kind, findings = self._team, self._kind, self._findings
        kind.check(team, self._surroundings, findings)
        primary = self._primary()
        pods: dict[str, PodPlan] = {}
        for replica in team.replicas:
            pod = self._pod(replica)
            if pod is not None:
                pods[replica.name] = pod
        started = tuple(replica for replica in team.replicas if kind.runs(replica))
        request = self._request(pods)
        if findings.refusals or primary is None:
            return Refused(findings.refusals)
        policy = team.run_policy
        deadlines = [
            seconds
            for seconds in (policy.active_deadline_seconds, *(pod.active_deadline_seconds for pod in pods.values()))
            if seconds is not None
        ]
        replicas = tuple(
            self._replica(replica, pods[replica.name], is_primary=replica == primary) for replica in started
        )
        script = self._folder / "gang.json"
        env = dict(self._place.inherited)
        plan = GangPlan(
            init=(),
            main=ProcessPlan(
                name="gang",
                argv=(sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, str(script)),
                cwd=self._folder,
                env=env,
            ),
            collector=pods[primary.name].collector,
            folders=tuple(dict.fromkeys((self._folder, *(one for pod in pods.values() for one in pod.folders)))),
            files=tuple(file for pod in pods.values() for file in pod.files) + self._offered_files(),
            request=request,
            collector_path=pods[primary.name].collector_path,
            active_deadline_seconds=min(deadlines, default=None),
            backoff_limit=policy.backoff_limit,
            grace_seconds=max(pods[replica.name].grace_seconds for replica in started),
            warnings=findings.warnings,
            team=team,
            replicas=replicas,
            script=script,
            success=tuple(tuple(one.name for one in group) for group in kind.success(team)),
            linger_seconds=0.0 if policy.clean_pod_policy in ("Running", "All") else LINGER_SECONDS,
            endless=tuple(one.name for one in team.of_type(*kind.endless)),
        )
        return plan.with_gpus(())

    def _primary(self) -> Replica | None:
        """The replica whose metrics are read, by the labels of its pod."""
        template = self._trial.spec
        wanted = dict(template.primary_pod_labels)
        started = [replica for replica in self._team.replicas if self._kind.runs(replica)]
        fitting = [replica for replica in started if wanted.items() <= self._labels(replica).items()]
        if len(fitting) > 1:
            message = f"fit {len(fitting)} replicas; here the metrics of {fitting[0].name} alone are read"
            self._findings.warn(PRIMARY_POD_LABELS, message)
        if fitting:
            return fitting[0]
        shown = ", ".join(f"{key}: {value}" for key, value in wanted.items())
        defaults = KIND_DEFAULTS.get(self._team.kind)
        if started and defaults is not None and wanted == defaults.primary_pod_labels:
            message = (
                f"default to {shown}, which no replica has, so a cluster would read no metrics; here those of "
                f"{started[0].name} are read. training.kubeflow.org/replica-type: {started[0].type.lower()} would do"
            )
            self._findings.warn(PRIMARY_POD_LABELS, message)
            return started[0]
        types = ", ".join(dict.fromkeys(replica.type.lower() for replica in started)) or "none"
        message = (
            f"found {shown}, which no replica has, so no metrics would be read; "
            f"training.kubeflow.org/replica-type is one of {types}"
        )
        self._findings.refuse(PRIMARY_POD_LABELS, message)
        return None

    def _labels(self, replica: Replica) -> dict[str, str]:
        return {**replica.spec.template.metadata.labels, **labels_of(self._team, self._kind, replica)}

    def _home(self, replica: Replica) -> Path:
        return self._folder / "replicas" / replica.name

    def _offered(self, replica: Replica, path: str) -> Path:
        """Where a file is that the kind puts into a replica's container at a path."""
        return self._home(replica) / "offered" / Path(path).name

    def _pod(self, replica: Replica) -> PodPlan | None:
        """The pod that a replica would be; what is wrong with it goes to the findings."""
        at = f"{replica.path}.template.spec"
        template = replica.spec.template
        if not template.spec.containers:
            self._findings.refuse(f"{at}.containers", "is required: a replica runs at least one container")
            return None
        if not self._kind.runs(replica):  # its command is nothing to be found here; its resources count
            container = msgspec.structs.replace(template.spec.containers[0], command=("sh",), args=())
            template = msgspec.structs.replace(
                template, spec=msgspec.structs.replace(template.spec, containers=(container,), init_containers=())
            )
        pod = msgspec.structs.replace(template.spec, restart_policy=names.NEVER)
        job = Job(spec=JobSpec(template=msgspec.structs.replace(template, spec=pod)))
        offer = self._kind.offer(self._team, replica, self._surroundings)
        local = {path: str(self._offered(replica, path)) for path in offer.files}
        name = self._primary_container(pod.containers)
        spec = msgspec.structs.replace(self._trial.spec, primary_container_name=name)
        planned = plan_job(
            msgspec.structs.replace(self._trial, spec=spec),
            job,
            place=self._place,
            folder=self._home(replica),
            pod_name=f"{self._trial.metadata.name}-{replica.name}",
            pod_labels=labels_of(self._team, self._kind, replica),
            variables={name: local.get(value, value) for name, value in offer.variables.items()},
            extra_mounts={
                **self._extra_mounts,
                **{path: self._offered(replica, path) for path in offer.files},
            },
        )
        found = planned.errors if isinstance(planned, Refused) else planned.warnings
        for error in found:
            moved = FieldError(error.path.replace(POD, at, 1), error.message)
            if isinstance(planned, Refused):
                self._findings.refuse(moved.path, moved.message)
            elif self._kind.runs(replica) and moved.message not in self._said:
                self._said.add(moved.message)  # replicas are much alike: the first is told for all
                self._findings.warn(moved.path, moved.message)
        return None if isinstance(planned, Refused) else planned

    def _primary_container(self, containers: Sequence[Container]) -> str:
        """The container of a replica that counts: the one that is named, or the only one.

        Launchers and workers of an MPIJob name theirs differently, and only one of them can be the named one.
        """
        named = self._trial.spec.primary_container_name
        return containers[0].name if len(containers) == 1 else named

    def _request(self, pods: Mapping[str, PodPlan]) -> Request:
        """What all replicas ask for together, cut down to what the machine has; GPUs that it has not are refused."""
        machine = self._place.machine
        requests = [pod.request for pod in pods.values()]
        total = Request(
            millicpus=sum(one.millicpus for one in requests),
            memory_bytes=sum(one.memory_bytes for one in requests),
            gpus=sum(one.gpus for one in requests),
        )
        path = f"spec.{self._kind.member}"
        if total.gpus > len(machine.gpu_ids):
            message = f"asks for {total.gpus} GPUs in all; this machine has {len(machine.gpu_ids) or 'none'}"
            self._findings.refuse(path, f"{message}, so no Trial could ever start")
        if total.millicpus > machine.millicpus:
            message = f"asks for {total.cpus:g} CPUs in all; this machine has {machine.millicpus / 1000:g}"
            self._findings.warn(path, f"{message}, which Trials will take one after another")
        if total.memory_bytes > machine.memory_bytes:
            message = f"asks for {total.memory_bytes >> 20} MiB of memory in all"
            here = f"this machine has {machine.memory_bytes >> 20} MiB, which Trials will take one after another"
            self._findings.warn(path, f"{message}; {here}")
        return machine.clamped(total)

    def _replica(self, replica: Replica, pod: PodPlan, *, is_primary: bool) -> ReplicaPlan:
        return ReplicaPlan(
            replica=replica,
            init=tuple(map(_on_loopback, pod.init)),
            main=_on_loopback(pod.main),
            log=None if is_primary else self._folder / "replicas" / f"{replica.name}.log",
            gpus=pod.request.gpus,
        )

    def _offered_files(self) -> tuple[PlannedFile, ...]:
        return tuple(
            PlannedFile(self._offered(replica, path), text.encode())
            for replica in self._team.replicas
            if self._kind.runs(replica)
            for path, text in self._kind.offer(self._team, replica, self._surroundings).files.items()
        )


class Head(msgspec.Struct, rename="camel"):
    """What a worker job says that it is."""

    api_version: str = ""
    kind: str = ""

    @property
    def known(self) -> Kind | None:
        """The kind, where its replicas run here."""
        kind = KINDS.get(self.kind)
        return kind if kind is not None and self.api_version in kind.api_versions else None


def head_of(run_spec: bytes) -> Head | None:
    """What a worker job says that it is; None for what is no object."""
    try:
        return msgspec.json.decode(run_spec, type=Head)
    except msgspec.MsgspecError:
        return None


def _seeing(process: ProcessPlan, gpu_ids: Sequence[str]) -> ProcessPlan:
    devices = dict.fromkeys(process.open_devices, ",".join(gpu_ids))
    return msgspec.structs.replace(process, env={**process.env, **devices})


def _on_loopback(process: ProcessPlan) -> ProcessPlan:
    """gloo asks what the machine's name resolves to, which on a laptop may be nothing, or a network that is away."""
    interface = "lo0" if sys.platform == "darwin" else "lo"
    return msgspec.structs.replace(process, env={"GLOO_SOCKET_IFNAME": interface, **process.env})


def _stage(process: ProcessPlan, base: Mapping[str, str]) -> dict[str, Any]:
    """A process, with only those variables that differ from the gang's own."""
    own = {name: value for name, value in process.env.items() if base.get(name) != value}
    return {"argv": process.argv, "cwd": str(process.cwd), "env": own}
