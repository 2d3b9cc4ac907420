"""A batch/v1 Job as a value: the worker job that nearly every Experiment runs.

Every field of Kubernetes' Job, PodSpec and Container has its name here, so that an unknown one can be told from a
known one. What no part of pykatib reads (probes, affinity, cloud disks …) is kept as the JSON that its author wrote.
Quantities stay as written too; `pykatib.api.quantity` reads them.
"""

from typing import Any, TypeAlias

import msgspec

from pykatib.api import names
from pykatib.api.meta import ObjectMeta, Value

Json: TypeAlias = dict[str, Any]  # a sub-object that only the cluster understands
JsonList: TypeAlias = tuple[dict[str, Any], ...]
WrittenQuantity: TypeAlias = str | int | float


class ObjectFieldSelector(Value, frozen=True):
    """A field of the pod, by its path."""

    field_path: str = ""
    api_version: str = ""


class ResourceFieldSelector(Value, frozen=True):
    """A request or limit of a container, divided by `divisor` and rounded up."""

    resource: str = ""
    container_name: str = ""
    divisor: WrittenQuantity = ""


class KeySelector(Value, frozen=True):
    """One key of a ConfigMap or Secret."""

    key: str = ""
    name: str = ""
    optional: bool = False


class EnvVarSource(Value, frozen=True):
    """Where the value of a variable comes from; exactly one member is set."""

    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    file_key_ref: Json | None = None


class EnvVar(Value, frozen=True):
    """A variable of a container's environment."""

    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class NamedSource(Value, frozen=True):
    """A whole ConfigMap or Secret."""

    name: str = ""
    optional: bool = False


class EnvFromSource(Value, frozen=True):
    """All keys of a ConfigMap or Secret as variables."""

    prefix: str = ""
    config_map_ref: NamedSource | None = None
    secret_ref: NamedSource | None = None


class ResourceRequirements(Value, frozen=True):
    """What a container needs and may use."""

    requests: dict[str, WrittenQuantity] = {}
    limits: dict[str, WrittenQuantity] = {}
    claims: JsonList = ()


class VolumeMount(Value, frozen=True):
    """Where a container sees a volume."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: bool = False
    recursive_read_only: str = ""
    mount_propagation: str = ""


class Container(Value, frozen=True):
    """One program of a pod."""

    name: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: JsonList = ()
    env_from: tuple[EnvFromSource, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: ResourceRequirements = msgspec.field(default_factory=ResourceRequirements)
    resize_policy: JsonList = ()
    restart_policy: str = ""
    restart_policy_rules: JsonList = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    volume_devices: JsonList = ()
    liveness_probe: Json | None = None
    readiness_probe: Json | None = None
    startup_probe: Json | None = None
    lifecycle: Json | None = None
    termination_message_path: str = ""
    termination_message_policy: str = ""
    image_pull_policy: str = ""
    security_context: Json | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False


class KeyToPath(Value, frozen=True):
    """The file that a key becomes."""

    key: str = ""
    path: str = ""
    mode: int | None = None


class ConfigMapVolumeSource(Value, frozen=True):
    """A ConfigMap's keys as files."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool = False


class SecretVolumeSource(Value, frozen=True):
    """A Secret's keys as files."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool = False


class DownwardAPIVolumeFile(Value, frozen=True):
    """A file that holds a field or resource of the pod."""

    path: str = ""
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardAPIVolumeSource(Value, frozen=True):
    """Fields of the pod as files."""

    items: tuple[DownwardAPIVolumeFile, ...] = ()
    default_mode: int | None = None


class SecretProjection(Value, frozen=True):
    """A Secret within a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class ConfigMapProjection(Value, frozen=True):
    """A ConfigMap within a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class DownwardAPIProjection(Value, frozen=True):
    """Fields of the pod within a projected volume."""

    items: tuple[DownwardAPIVolumeFile, ...] = ()


class VolumeProjection(Value, frozen=True):
    """One source of a projected volume."""

    secret: SecretProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardAPIProjection | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: Json | None = None
    cluster_trust_bundle: Json | None = None
    pod_certificate: Json | None = None


class ProjectedVolumeSource(Value, frozen=True):
    """Several sources in one folder."""

    sources: tuple[VolumeProjection, ...] = ()
    default_mode: int | None = None


class EmptyDirVolumeSource(Value, frozen=True):
    """A folder that lives as long as the pod."""

    medium: str = ""
    size_limit: WrittenQuantity = ""


class HostPathVolumeSource(Value, frozen=True):
    """A file or folder of the machine."""

    path: str = ""
    type: str = ""


class PersistentVolumeClaimVolumeSource(Value, frozen=True):
    """A claim of the same namespace."""

    claim_name: str = ""
    read_only: bool = False


class Volume(Value, frozen=True):
    """A named volume; exactly one source is set, an empty folder where none is."""

    name: str = ""
    host_path: HostPathVolumeSource | None = None
    empty_dir: EmptyDirVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = msgspec.field(default=None, name="downwardAPI")
    projected: ProjectedVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    aws_elastic_block_store: Json | None = msgspec.field(default=None, name="awsElasticBlockStore")
    azure_disk: Json | None = None
    azure_file: Json | None = None
    cephfs: Json | None = None
    cinder: Json | None = None
    csi: Json | None = None
    ephemeral: Json | None = None
    fc: Json | None = None
    flex_volume: Json | None = None
    flocker: Json | None = None
    gce_persistent_disk: Json | None = None
    git_repo: Json | None = None
    glusterfs: Json | None = None
    image: Json | None = None
    iscsi: Json | None = None
    nfs: Json | None = None
    photon_persistent_disk: Json | None = None
    portworx_volume: Json | None = None
    quobyte: Json | None = None
    rbd: Json | None = None
    scale_io: Json | None = msgspec.field(default=None, name="scaleIO")
    storageos: Json | None = None
    vsphere_volume: Json | None = None


class PodSpec(Value, frozen=True):
    """What a pod runs and where it may run."""

    volumes: tuple[Volume, ...] = ()
    init_containers: tuple[Container, ...] = ()
    containers: tuple[Container, ...] = ()
    ephemeral_containers: JsonList = ()
    restart_policy: str = ""
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None
    dns_policy: str = ""
    node_selector: dict[str, str] = {}
    service_account_name: str = ""
    service_account: str = ""
    automount_service_account_token: bool | None = None
    node_name: str = ""
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    share_process_namespace: bool | None = None
    security_context: Json | None = None
    image_pull_secrets: JsonList = ()
    hostname: str = ""
    hostname_override: str = ""
    subdomain: str = ""
    affinity: Json | None = None
    scheduler_name: str = ""
    tolerations: JsonList = ()
    host_aliases: JsonList = ()
    priority_class_name: str = ""
    priority: int | None = None
    dns_config: Json | None = None
    readiness_gates: JsonList = ()
    runtime_class_name: str = ""
    enable_service_links: bool | None = None
    preemption_policy: str = ""
    overhead: dict[str, WrittenQuantity] = {}
    topology_spread_constraints: JsonList = ()
    set_hostname_as_fqdn: bool | None = msgspec.field(default=None, name="setHostnameAsFQDN")
    os: Json | None = None
    host_users: bool | None = None
    scheduling_gates: JsonList = ()
    resource_claims: JsonList = ()
    resources: ResourceRequirements = msgspec.field(default_factory=ResourceRequirements)


class PodTemplateSpec(Value, frozen=True):
    """The pods that a Job starts."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)


class JobSpec(Value, frozen=True):
    """What a Job runs, how often, how long."""

    parallelism: int | None = None
    completions: int | None = None
    active_deadline_seconds: int | None = None
    pod_failure_policy: Json | None = None
    success_policy: Json | None = None
    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    selector: Json | None = None
    manual_selector: bool | None = None
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)
    ttl_seconds_after_finished: int | None = None
    completion_mode: str = ""
    suspend: bool = False
    pod_replacement_policy: str = ""
    managed_by: str = ""


class JobCondition(Value, frozen=True):
    """One line of a Job's state."""

    type: str = ""
    status: str = ""
    last_probe_time: str | None = None
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class JobStatus(Value, frozen=True):
    """Where a Job stands."""

    conditions: tuple[JobCondition, ...] = ()
    start_time: str | None = None
    completion_time: str | None = None
    active: int = 0
    ready: int | None = None
    succeeded: int = 0
    failed: int = 0
    terminating: int | None = None
    completed_indexes: str = ""
    failed_indexes: str = ""
    uncounted_terminated_pods: Json | None = None


class Job(Value, frozen=True, omit_defaults=False, kw_only=True):
    """A batch/v1 Job."""

    api_version: str = "batch/v1"
    kind: str = names.JOB
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    spec: JobSpec = msgspec.field(default_factory=JobSpec)
    status: JobStatus = msgspec.field(default_factory=JobStatus)
