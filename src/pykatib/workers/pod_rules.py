"""Which parts of a batch/v1 Job this machine can honour: what is refused, and what is passed over and said.

Nothing is dropped in silence. What would change the result (sidecars, several pods) is refused; what only decides
where and as whom a pod runs is passed over with a word.
"""

import math
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError
from pykatib.api.job import Container, Job, JobSpec, PodSpec, ResourceRequirements
from pykatib.api.quantity import parse_quantity
from pykatib.workers.findings import Findings
from pykatib.workers.slots import Machine, Request

SPEC: Final = "spec"
POD: Final = "spec.template.spec"
GPU_RESOURCES: Final = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe")
_SHARED_GPU_RESOURCES: Final = ("nvidia.com/gpu.shared", "nvidia.com/mig-")

_PLACEMENT: Final = (
    "node_selector", "affinity", "tolerations", "topology_spread_constraints", "scheduler_name", "node_name",
    "priority_class_name", "priority", "preemption_policy", "runtime_class_name", "overhead", "scheduling_gates",
    "readiness_gates", "resource_claims", "os",
)  # fmt: skip
_NETWORK: Final = ("dns_config", "dns_policy", "host_aliases", "hostname", "hostname_override", "subdomain")
_LIFECYCLE: Final = ("lifecycle", "liveness_probe", "readiness_probe", "startup_probe", "restart_policy_rules")
_CONTROLLER: Final = (
    "pod_failure_policy", "success_policy", "backoff_limit_per_index", "max_failed_indexes", "pod_replacement_policy",
    "managed_by", "selector", "manual_selector",
)  # fmt: skip


class _Head(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""


def read_job(run_spec: bytes) -> Job | tuple[FieldError, ...]:
    """The Job that a Trial runs, or why it is none that can be read here."""
    try:
        document = msgspec.json.decode(run_spec)
        head = msgspec.convert(document, _Head)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        return (FieldError("", f"is no Kubernetes object: {error}"),)
    if (head.api_version, head.kind) != ("batch/v1", names.JOB):
        found = f"found {head.kind or 'no kind'} of {head.api_version or 'no apiVersion'}"
        return (FieldError("kind", f"{found}; wanted a Job of batch/v1"),)
    try:
        return msgspec.convert(_without_nulls(document), Job)
    except msgspec.ValidationError as error:
        text, _, path = str(error).rpartition(" - at `$")
        return (FieldError(path.rstrip("`").lstrip("."), text or str(error)),)


def check_job_spec(spec: JobSpec, findings: Findings) -> None:
    """What the Job controller would be asked for."""
    for count, member in ((spec.parallelism, "parallelism"), (spec.completions, "completions")):
        if count is not None and count != 1:
            findings.refuse(f"{SPEC}.{member}", f"found {count}; a Trial runs one pod on this machine, so 1")
    if spec.suspend:
        findings.refuse(f"{SPEC}.suspend", "a suspended Job never starts; take it out")
    policy = spec.template.spec.restart_policy
    if policy not in (names.NEVER, "OnFailure"):
        findings.refuse(f"{POD}.restartPolicy", f"found {policy!r}; a Job needs Never or OnFailure")
    _pass_over(spec, _CONTROLLER, SPEC, "is not looked at on this machine", findings)


def check_pod_spec(pod: PodSpec, primary_container_name: str, findings: Findings) -> Container | None:
    """What the kubelet would be asked for; returns the primary container where it is there."""
    primary: Container | None = None
    for index, container in enumerate(pod.containers):
        at = f"{POD}.containers[{index}]"
        if container.name == primary_container_name:
            primary = container
            _check_container(container, at, findings)
        else:
            message = f"the container {container.name!r} beside the primary one cannot run here; init containers can"
            findings.refuse(at, message)
    if primary is None:
        there = ", ".join(container.name for container in pod.containers) or "none"
        message = f"has no container {primary_container_name!r}, which primaryContainerName names; it has {there}"
        findings.refuse(f"{POD}.containers", message)
    for index, container in enumerate(pod.init_containers):
        at = f"{POD}.initContainers[{index}]"
        if container.restart_policy == "Always":
            findings.refuse(f"{at}.restartPolicy", "a sidecar cannot run here; init containers that end can")
        _check_container(container, at, findings)
    _pass_over(pod, _PLACEMENT, POD, "has no meaning on one machine", findings)
    _pass_over(pod, _NETWORK, POD, "is not looked at; the process uses this machine's network", findings)
    _pass_over(pod, ("security_context",), POD, "is not looked at; the process runs as you", findings)
    _pass_over(pod, ("image_pull_secrets",), POD, "is not looked at; images are not pulled", findings)
    _pass_over(pod, ("ephemeral_containers",), POD, "is not looked at", findings)
    _pass_over(pod, ("service_account_name", "service_account"), POD, "brings no token on this machine", findings)
    return primary


def _check_container(container: Container, at: str, findings: Findings) -> None:
    if container.volume_devices:
        findings.refuse(f"{at}.volumeDevices", "block devices need a cluster; a hostPath volume would do")
    if container.resources.claims:
        findings.refuse(f"{at}.resources.claims", "resource claims need a cluster")
    _pass_over(container, _LIFECYCLE, at, "is not looked at on this machine", findings)
    _pass_over(container, ("security_context",), at, "is not looked at; the process runs as you", findings)
    _pass_over(container, ("stdin", "tty"), at, "is not looked at; the process has no input", findings)
    if container.ports:
        findings.warn(f"{at}.ports", "Trials that run at the same time share this machine's ports")
    if "memory" in container.resources.limits:
        findings.warn(f"{at}.resources.limits.memory", "is booked, but not enforced on this machine")


def _pass_over(value: msgspec.Struct, members: Iterable[str], at: str, message: str, findings: Findings) -> None:
    for member in members:
        if getattr(value, member):
            written = next(field.encode_name for field in msgspec.structs.fields(value) if field.name == member)
            findings.warn(f"{at}.{written}", message)


def effective_request(pod: PodSpec, primary: Container, machine: Machine, findings: Findings) -> Request:
    """The pod's request as the scheduler counts it: the larger of the container's and each init container's.

    CPUs and memory are cut down to what the machine has; GPUs that it has not are refused.
    """
    index = pod.containers.index(primary)
    requests = [container_request(primary, f"{POD}.containers[{index}]", findings)]
    for number, container in enumerate(pod.init_containers):
        requests.append(container_request(container, f"{POD}.initContainers[{number}]", findings))
    whole = _request(pod.resources, f"{POD}.resources", findings)
    request = Request(
        millicpus=whole.millicpus or max(one.millicpus for one in requests),
        memory_bytes=whole.memory_bytes or max(one.memory_bytes for one in requests),
        gpus=max(one.gpus for one in requests),
    )
    at = f"{POD}.containers[{index}].resources"
    if request.gpus > len(machine.gpu_ids):
        have = f"this machine has {len(machine.gpu_ids) or 'none'}"
        findings.refuse(at, f"asks for {request.gpus} GPUs; {have}, so no Trial could ever start")
    if request.millicpus > machine.millicpus:
        have = f"this machine has {machine.millicpus / 1000:g}, which Trials will take one after another"
        findings.warn(at, f"asks for {request.cpus:g} CPUs; {have}")
    if request.memory_bytes > machine.memory_bytes:
        have = f"this machine has {machine.memory_bytes >> 20} MiB, which Trials will take one after another"
        findings.warn(at, f"asks for {request.memory_bytes >> 20} MiB of memory; {have}")
    return machine.clamped(request)


def container_request(container: Container, at: str, findings: Findings) -> Request:
    """What one container asks for; limits count where requests are absent."""
    return _request(container.resources, f"{at}.resources", findings)


def _request(resources: ResourceRequirements, at: str, findings: Findings) -> Request:
    amounts: dict[str, Any] = {}
    for name, written in {**resources.limits, **resources.requests}.items():
        member = f"{at}.{'requests' if name in resources.requests else 'limits'}.{name}"
        try:
            amount = parse_quantity(written)
        except ValueError as error:
            findings.refuse(member, str(error))
            continue
        if amount < 0:
            findings.refuse(member, f"found {written}; an amount is not negative")
        elif name in GPU_RESOURCES or name.startswith(_SHARED_GPU_RESOURCES):
            if amount.denominator != 1:
                findings.refuse(member, f"found {written}; GPUs are given whole")
            else:
                amounts["gpu"] = amounts.get("gpu", 0) + int(amount)
        elif name in ("cpu", "memory"):
            amounts[name] = amount
        elif name == "ephemeral-storage":
            findings.warn(member, "is not looked at on this machine")
        elif amount > 0:
            findings.refuse(member, f"this machine has no {name}; cpu, memory and {GPU_RESOURCES[0]} are known")
    return Request(
        millicpus=math.ceil(amounts.get("cpu", 0) * 1000),
        memory_bytes=math.ceil(amounts.get("memory", 0)),
        gpus=amounts.get("gpu", 0),
    )


def _without_nulls(value: Any) -> Any:
    """Kubernetes takes a null for an absent field."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
