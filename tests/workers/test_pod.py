"""A Job becomes processes as the cluster would run them, or is refused with the field and the reason."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import ConfigMap, Object
from pykatib.api.shared import CollectorSpec, FileSystemPath, MetricsCollectorSpec, SourceSpec
from pykatib.api.trial import Trial, TrialSpec
from pykatib.workers.images import Images
from pykatib.workers.pod import Place, PodPlan, Refused, plan_pod
from pykatib.workers.slots import Machine, Request

MAIN = "spec.template.spec.containers[0]"
MACHINE = Machine(millicpus=2000, memory_bytes=4 << 30)
WITH_GPUS = Machine(millicpus=2000, memory_bytes=4 << 30, gpu_ids=("GPU-a", "GPU-b"))
CONFIG = ConfigMap(metadata=ObjectMeta(name="config", namespace="ns"), data={"greeting": "hello"})


def job(
    container: Mapping[str, Any] | None = None, *, pod: Mapping[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    main = {"name": "main", "image": "app", "command": ["true"], **(container or {})}
    template = {"spec": {"restartPolicy": "Never", "containers": [main], **(pod or {})}}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": template, **spec}}


def file_collector(path: str, kind: str = "File") -> MetricsCollectorSpec:
    return MetricsCollectorSpec(
        source=SourceSpec(file_system_path=FileSystemPath(path=path, kind=kind)),
        collector=CollectorSpec(kind="File" if kind == "File" else "TensorFlowEvent"),
    )


def read(
    manifest: Mapping[str, Any],
    here: Path,
    *,
    images: Mapping[str, Path] | None = None,
    machine: Machine = MACHINE,
    collector: MetricsCollectorSpec | None = None,
    inherited: Mapping[str, str] | None = None,
    lookup: Mapping[Reference, Object] | None = None,
    extra_mounts: Mapping[str, Path] | None = None,
    python: str = sys.executable,
    trial_name: str = "trial",
) -> PodPlan | Refused:
    trial = Trial(
        metadata=ObjectMeta(name=trial_name, namespace="ns", uid="u", labels={"mine": "yes"}),
        spec=TrialSpec(
            run_spec=msgspec.Raw(msgspec.json.encode(manifest)),
            primary_container_name="main",
            metrics_collector=collector,
        ),
    )
    place = Place(
        machine=machine,
        manifest_folder=here,
        images=Images(images),
        lookup=(lookup or {}).get,
        inherited={"PATH": os.defpath, **(inherited or {})},
        python=python,
    )
    return plan_pod(trial, place=place, folder=here / trial_name, extra_mounts=extra_mounts)


def planned(manifest: Mapping[str, Any], here: Path, **options: Any) -> PodPlan:
    plan = read(manifest, here, **options)
    assert isinstance(plan, PodPlan), plan
    return plan


def refusals(manifest: Mapping[str, Any], here: Path, **options: Any) -> dict[str, str]:
    plan = read(manifest, here, **options)
    assert isinstance(plan, Refused), plan
    return {error.path: error.message for error in plan.errors}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder that stands for an image."""
    folder = tmp_path / "image"
    (folder / "opt/app").mkdir(parents=True)
    (folder / "opt/app/train.py").touch()
    return folder


def test_command_and_args_are_one_argument_list_with_references_expanded(tmp_path: Path) -> None:
    container = {
        "command": ["sh", "-c"],
        "args": ["echo $(LR) $$HOME $(NONE) $(KATIB_TRIAL_NAME)"],
        "env": [{"name": "LR", "value": "0.1"}],
    }
    plan = planned(job(container), tmp_path)
    assert plan.main.argv == ("sh", "-c", "echo 0.1 $HOME $(NONE) trial")


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    arguments = ["a b", "'x'", ";rm", "*", '"q"']
    assert planned(job({"command": ["echo", *arguments]}), tmp_path).main.argv == ("echo", *arguments)


def test_the_users_environment_lies_below_the_containers(tmp_path: Path) -> None:
    container = {"env": [{"name": "BOTH", "value": "container"}]}
    env = planned(job(container), tmp_path, inherited={"BOTH": "user", "HOME": "/home/me"}).main.env
    assert (env["BOTH"], env["HOME"], env["KATIB_TRIAL_NAME"]) == ("container", "/home/me", "trial")


def test_the_users_environment_is_not_expanded(tmp_path: Path) -> None:
    plan = planned(job({"command": ["echo", "$(HOME)"]}), tmp_path, inherited={"HOME": "/home/me"})
    assert plan.main.argv == ("echo", "$(HOME)")


@pytest.mark.parametrize(
    ("container", "threads"),
    [
        pytest.param({}, "1", id="no request"),
        pytest.param({"resources": {"requests": {"cpu": "1500m"}}}, "2", id="request rounded up"),
        pytest.param({"resources": {"limits": {"cpu": 2}}}, "2", id="limit without request"),
        pytest.param({"resources": {"requests": {"cpu": "0.5"}, "limits": {"cpu": "2"}}}, "1", id="request first"),
        pytest.param({"resources": {"requests": {"cpu": "16"}}}, "2", id="no more than the machine has"),
        pytest.param({"env": [{"name": "OMP_NUM_THREADS", "value": "7"}]}, "7", id="the manifest says"),
    ],
)
def test_threads_follow_the_request(container: dict[str, Any], threads: str, tmp_path: Path) -> None:
    plan = planned(job(container), tmp_path, inherited={"OMP_NUM_THREADS": "64"})
    assert plan.main.env["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize(
    ("container", "machine", "given", "expected"),
    [
        pytest.param({}, WITH_GPUS, (), "", id="none asked, none seen"),
        pytest.param({}, MACHINE, (), "user's", id="no GPU known, nothing hidden"),
        pytest.param({"resources": {"limits": {"nvidia.com/gpu": 1}}}, WITH_GPUS, ("GPU-b",), "GPU-b", id="one"),
        pytest.param({"resources": {"limits": {"amd.com/gpu": 2}}}, WITH_GPUS, ("a", "b"), "a,b", id="two"),
        pytest.param({"env": [{"name": "CUDA_VISIBLE_DEVICES", "value": "9"}]}, WITH_GPUS, ("a",), "9", id="manifest"),
    ],
)
def test_a_process_sees_the_gpus_that_it_was_given(
    container: dict[str, Any], machine: Machine, given: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    plan = planned(job(container), tmp_path, machine=machine, inherited={"CUDA_VISIBLE_DEVICES": "user's"})
    assert plan.with_gpus(given).main.env["CUDA_VISIBLE_DEVICES"] == expected


def test_that_a_machine_with_gpus_hides_them_is_said(tmp_path: Path) -> None:
    warnings = planned(job(), tmp_path, machine=WITH_GPUS).warnings
    assert ["nvidia.com/gpu" in one.message for one in warnings if one.path == f"{MAIN}.resources"] == [True]


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        pytest.param(job(), Request(), id="nothing"),
        pytest.param(
            job({"resources": {"limits": {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"}}}),
            Request(millicpus=500, memory_bytes=1 << 30, gpus=1),
            id="limits",
        ),
        pytest.param(job({"resources": {"requests": {"cpu": "64"}}}), Request(millicpus=2000), id="cut down"),
        pytest.param(
            job(
                {"resources": {"requests": {"cpu": 1, "memory": 10}}},
                pod={"initContainers": [{"name": "i", "command": ["true"], "resources": {"requests": {"cpu": 2}}}]},
            ),
            Request(millicpus=2000, memory_bytes=10),
            id="the larger of init and main",
        ),
    ],
)
def test_the_request_is_what_the_scheduler_would_count(
    manifest: dict[str, Any], expected: Request, tmp_path: Path
) -> None:
    assert planned(manifest, tmp_path, machine=WITH_GPUS).request == expected


def test_that_a_request_is_cut_down_is_said(tmp_path: Path) -> None:
    manifest = job({"resources": {"requests": {"cpu": "64", "memory": "1Ti"}}})
    messages = [one.message for one in planned(manifest, tmp_path).warnings if one.path == f"{MAIN}.resources"]
    assert [message.partition(";")[0] for message in messages] == [
        "asks for 64 CPUs",
        "asks for 1048576 MiB of memory",
    ]


def test_limits_of_time_and_tries_are_the_jobs(tmp_path: Path) -> None:
    pod = {"activeDeadlineSeconds": 30, "terminationGracePeriodSeconds": 5}
    plan = planned(job(pod=pod, activeDeadlineSeconds=60, backoffLimit=3), tmp_path)
    assert (plan.active_deadline_seconds, plan.backoff_limit, plan.grace_seconds) == (30, 3, 5)


def test_what_a_job_does_not_say_is_left_open(tmp_path: Path) -> None:
    plan = planned(job(), tmp_path)
    assert (plan.active_deadline_seconds, plan.backoff_limit, plan.grace_seconds) == (None, None, 5)


def test_nulls_are_absent_fields(tmp_path: Path) -> None:
    assert planned(job({"args": None, "env": None}, pod={"volumes": None}), tmp_path).main.argv == ("true",)


def test_a_files_path_in_the_image_is_taken_from_its_folder(tmp_path: Path, image: Path) -> None:
    plan = planned(job({"command": ["python3", "/opt/app/train.py", "--x=1"]}), tmp_path, images={"app": image})
    assert plan.main.argv == ("python3", f"{image}/opt/app/train.py", "--x=1")
    assert plan.main.cwd == image
    assert plan.warnings == ()


def test_an_image_without_a_folder_runs_from_the_manifests_folder_and_says_so(tmp_path: Path) -> None:
    plan = planned(job(), tmp_path)
    assert plan.main.cwd == tmp_path
    assert [warning.path for warning in plan.warnings] == [f"{MAIN}.image"]
    assert "--image app=FOLDER" in plan.warnings[0].message


def test_warnings_name_no_trial_so_that_they_are_said_once(tmp_path: Path) -> None:
    manifest = job({"ports": [{"containerPort": 80}], "livenessProbe": {"exec": {}}}, pod={"nodeSelector": {"a": "b"}})
    one, other = (planned(manifest, tmp_path, trial_name=name).warnings for name in ("one", "other"))
    assert one == other
    assert len(one) == 4


@pytest.mark.parametrize(
    ("working_dir", "expected"),
    [
        pytest.param("", "image", id="the image's root"),
        pytest.param("/opt/app", "image/opt/app", id="absolute"),
        pytest.param("opt", "image/opt", id="relative"),
        pytest.param("/scratch/run", "trial/volumes/scratch/run", id="within a volume"),
    ],
)
def test_the_working_folder_is_the_images_or_a_volumes(
    working_dir: str, expected: str, tmp_path: Path, image: Path
) -> None:
    container = {"workingDir": working_dir, "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
    plan = planned(job(container, pod={"volumes": [{"name": "scratch"}]}), tmp_path, images={"app": image})
    assert plan.main.cwd == tmp_path / expected
    assert plan.main.cwd.is_dir() or plan.main.cwd in plan.folders


def test_without_an_image_the_working_folder_is_relative_to_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    assert planned(job({"workingDir": "src"}), tmp_path).main.cwd == tmp_path / "src"


@pytest.mark.parametrize(
    ("described", "container", "expected"),
    [
        pytest.param('entrypoint = ["echo"]\ncmd = ["c"]', {}, ("echo", "c"), id="entry point and its arguments"),
        pytest.param('entrypoint = ["echo"]\ncmd = ["c"]', {"args": ["a"]}, ("echo", "a"), id="args instead"),
        pytest.param('entrypoint = ["echo"]\ncmd = ["c"]', {"command": ["true"]}, ("true",), id="command alone"),
        pytest.param('cmd = ["echo", "c"]', {}, ("echo", "c"), id="no entry point"),
        pytest.param('entrypoint = ["ls", "/opt/app/train.py"]', {}, ("ls", "{}/opt/app/train.py"), id="path"),
        pytest.param('entrypoint = ["echo", "$(X)"]', {"env": [{"name": "X", "value": "1"}]}, ("echo", "$(X)"),
                     id="the image's own is not expanded"),
    ],
)  # fmt: skip
def test_without_a_command_the_images_entry_point_runs(
    described: str, container: dict[str, Any], expected: tuple[str, ...], tmp_path: Path, image: Path
) -> None:
    (image / "katib-image.toml").write_text(described)
    plan = planned(job({"command": [], **container}), tmp_path, images={"app": image})
    assert plan.main.argv == tuple(word.replace("{}", str(image)) for word in expected)


def test_what_an_image_says_of_folder_and_variables_lies_below_the_containers(tmp_path: Path, image: Path) -> None:
    text = 'workdir = "/opt/app"\n[env]\nAPP = "/opt/app"\nBOTH = "image"\n'
    (image / "katib-image.toml").write_text(text)
    container = {"env": [{"name": "BOTH", "value": "container"}]}
    main = planned(job(container), tmp_path, images={"app": image}).main
    assert (main.cwd, main.env["APP"], main.env["BOTH"]) == (image / "opt/app", f"{image}/opt/app", "container")


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "not mapped"])
def test_without_a_command_or_entry_point_it_says_what_would_do(mapped: bool, tmp_path: Path, image: Path) -> None:
    found = refusals(job({"command": []}), tmp_path, images={"app": image} if mapped else {})
    assert list(found) == [f"{MAIN}.command"]
    assert "katib-image.toml" in found[f"{MAIN}.command"]


def test_volumes_are_seen_in_arguments_and_variables_but_not_in_secrets(tmp_path: Path) -> None:
    container = {
        "command": ["echo", "--in=/data/x"],
        "env": [{"name": "IN", "value": "/data"}, {"name": "BOTH", "value": "$(IN)/y"}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    plan = planned(job(container, pod={"volumes": [{"name": "data"}]}), tmp_path, inherited={"USERS": "/data"})
    local = tmp_path / "trial/volumes/data"
    assert plan.main.argv == ("echo", f"--in={local}/x")
    assert (plan.main.env["IN"], plan.main.env["BOTH"], plan.main.env["USERS"]) == (str(local), f"{local}/y", "/data")
    assert local in plan.folders


def test_a_checkpoint_folder_of_the_caller_is_a_mount(tmp_path: Path) -> None:
    command = ["echo", "--checkpoint=/var/log/katib/checkpoints/"]
    plan = planned(
        job({"command": command}), tmp_path, extra_mounts={"/var/log/katib/checkpoints/": tmp_path / "shared"}
    )
    assert plan.main.argv == ("echo", f"--checkpoint={tmp_path}/shared/")


@pytest.mark.parametrize(
    ("python_there", "first"), [pytest.param(True, "py", id="named python"), pytest.param(False, "trial/bin", id="not")]
)
def test_python_is_the_interpreter_that_runs_katib(python_there: bool, first: str, tmp_path: Path) -> None:
    (tmp_path / "py").mkdir()
    for name in ("python3.11", "python3", *(("python",) if python_there else ())):
        (tmp_path / "py" / name).touch(mode=0o755)
    plan = planned(job({"command": ["python", "-V"]}), tmp_path, python=str(tmp_path / "py/python3.11"))
    assert plan.main.env["PATH"].split(os.pathsep)[0] == str(tmp_path / first)
    assert [file.path.name for file in plan.files] == ([] if python_there else ["python"])


def test_an_images_own_interpreter_is_replaced_where_it_is_not_there(tmp_path: Path) -> None:
    plan = planned(job({"command": ["/opt/conda-none/bin/python3", "-V"]}), tmp_path)
    assert plan.main.argv == (sys.executable, "-V")
    assert f"{MAIN}.command" in [warning.path for warning in plan.warnings]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        pytest.param(["no-such-program"], False, id="program"),
        pytest.param(["/no/such/program"], False, id="program by path"),
        pytest.param(["./no-such"], False, id="program from here"),
        pytest.param(["python", "none.py"], False, id="script"),
        pytest.param(["python", "/none.py", "--x"], False, id="script by path"),
        pytest.param(["python3", "-u", "none.py"], False, id="script after an option"),
        pytest.param(["sh", "none.sh"], False, id="shell script"),
        pytest.param(["python", "there.py"], True, id="script that is there"),
        pytest.param(["./there.sh"], True, id="program that is there"),
        pytest.param(["python", "-m", "none"], True, id="module, not judged"),
        pytest.param(["sh", "-c", "python none.py"], True, id="shell text, not judged"),
        pytest.param(["echo", "/none"], True, id="argument, not judged"),
        pytest.param(["python", "/scratch/made-later.py"], True, id="in a volume, not judged"),
    ],
)
def test_a_program_that_is_not_there_is_refused_before_it_starts(
    command: list[str], found: bool, tmp_path: Path
) -> None:
    (tmp_path / "there.py").touch()
    (tmp_path / "there.sh").touch(mode=0o755)
    container = {"command": command, "volumeMounts": [{"name": "s", "mountPath": "/scratch"}]}
    plan = read(job(container, pod={"volumes": [{"name": "s"}]}), tmp_path)
    assert isinstance(plan, PodPlan) == found
    if isinstance(plan, Refused):
        assert [error.path for error in plan.errors] == [f"{MAIN}.command"]
        assert "--image app=FOLDER" in plan.errors[0].message


def test_what_an_init_container_may_make_is_not_judged(tmp_path: Path) -> None:
    pod = {"initContainers": [{"name": "fetch", "command": ["true"]}]}
    assert planned(job({"command": ["python", "none.py"]}, pod=pod), tmp_path).main.argv == ("python", "none.py")


EXTRA = {"name": "extra", "image": "x", "command": ["true"]}


@pytest.mark.parametrize(
    ("manifest", "path", "word"),
    [
        pytest.param({"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob"}, "kind", "wanted a Job", id="PyTorchJob"),
        pytest.param({"apiVersion": "kubeflow.org/v1", "kind": "TFJob"}, "kind", "wanted a Job", id="TFJob"),
        pytest.param({"apiVersion": "batch/v1beta1", "kind": "Job"}, "kind", "batch/v1", id="another version"),
        pytest.param({"apiVersion": "v1", "kind": "Pod"}, "kind", "found Pod", id="Pod"),
        pytest.param({}, "kind", "no kind", id="nothing"),
        pytest.param(job(parallelism=2), "spec.parallelism", "found 2", id="parallelism"),
        pytest.param(job(completions=3), "spec.completions", "found 3", id="completions"),
        pytest.param(job(suspend=True), "spec.suspend", "never starts", id="suspended"),
        pytest.param(job(pod={"restartPolicy": "Always"}), "spec.template.spec.restartPolicy", "Never", id="restart"),
        pytest.param(
            job(pod={"containers": [{"name": "main", "command": ["true"]}, EXTRA]}),
            "spec.template.spec.containers[1]",
            "'extra' beside the primary",
            id="sidecar",
        ),
        pytest.param(
            job(pod={"initContainers": [{**EXTRA, "restartPolicy": "Always"}]}),
            "spec.template.spec.initContainers[0].restartPolicy",
            "sidecar",
            id="init sidecar",
        ),
        pytest.param(
            job({"resources": {"limits": {"nvidia.com/gpu": 1}}}), f"{MAIN}.resources", "has none", id="more GPUs"
        ),
        pytest.param(
            job({"resources": {"limits": {"nvidia.com/gpu": "500m"}}}),
            f"{MAIN}.resources.limits.nvidia.com/gpu",
            "whole",
            id="half a GPU",
        ),
        pytest.param(
            job({"resources": {"requests": {"google.com/tpu": 1}}}),
            f"{MAIN}.resources.requests.google.com/tpu",
            "no google.com/tpu",
            id="another device",
        ),
        pytest.param(
            job({"resources": {"requests": {"cpu": "many"}}}), f"{MAIN}.resources.requests.cpu", "'many'", id="quantity"
        ),
        pytest.param(
            job({"resources": {"requests": {"cpu": "-1"}}}), f"{MAIN}.resources.requests.cpu", "negative", id="negative"
        ),
        pytest.param(
            job({"resources": {"claims": [{"name": "c"}]}}), f"{MAIN}.resources.claims", "cluster", id="claim"
        ),
        pytest.param(job({"volumeDevices": [{"name": "v"}]}), f"{MAIN}.volumeDevices", "block", id="block device"),
        pytest.param(job({"workingDir": "/no/such"}), f"{MAIN}.workingDir", "no such folder", id="working folder"),
        pytest.param(
            job({"env": [{"name": "X", "value": 1}]}), f"{MAIN}.env[0].value", "Expected `str`", id="wrong type"
        ),
    ],
)
def test_what_cannot_run_here_is_refused_at_its_path(
    manifest: dict[str, Any], path: str, word: str, tmp_path: Path
) -> None:
    found = refusals(manifest, tmp_path)
    assert list(found) == [path]
    assert word in found[path]


def test_a_missing_primary_container_is_told_with_those_there_are(tmp_path: Path) -> None:
    found = refusals(job(pod={"containers": [EXTRA]}), tmp_path)
    assert found["spec.template.spec.containers"].endswith("it has extra")


def test_all_reasons_are_told_at_once(tmp_path: Path) -> None:
    pod = {"volumes": [{"name": "v", "nfs": {}}], "restartPolicy": ""}
    assert len(refusals(job({"command": []}, pod=pod, parallelism=2), tmp_path)) == 4


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        (job(pod={"nodeSelector": {"a": "b"}}), "spec.template.spec.nodeSelector"),
        (job(pod={"tolerations": [{}]}), "spec.template.spec.tolerations"),
        (job(pod={"affinity": {"nodeAffinity": {}}}), "spec.template.spec.affinity"),
        (job(pod={"serviceAccountName": "x"}), "spec.template.spec.serviceAccountName"),
        (job(pod={"imagePullSecrets": [{"name": "x"}]}), "spec.template.spec.imagePullSecrets"),
        (job(pod={"securityContext": {"runAsUser": 0}}), "spec.template.spec.securityContext"),
        (job(pod={"dnsConfig": {"searches": []}}), "spec.template.spec.dnsConfig"),
        (job({"securityContext": {"privileged": True}}), f"{MAIN}.securityContext"),
        (job({"lifecycle": {"preStop": {}}}), f"{MAIN}.lifecycle"),
        (job({"startupProbe": {"exec": {}}}), f"{MAIN}.startupProbe"),
        (job({"ports": [{"containerPort": 1}]}), f"{MAIN}.ports"),
        (job({"tty": True}), f"{MAIN}.tty"),
        (job({"resources": {"limits": {"memory": "1Gi"}}}), f"{MAIN}.resources.limits.memory"),
        (job(podFailurePolicy={"rules": []}), "spec.podFailurePolicy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_passed_over_is_said(manifest: dict[str, Any], path: str, tmp_path: Path) -> None:
    assert path in [warning.path for warning in planned(manifest, tmp_path).warnings]


@pytest.mark.parametrize("member", ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"])
def test_what_is_so_anyway_needs_no_word(member: str, tmp_path: Path, image: Path) -> None:
    assert planned(job(pod={member: True}), tmp_path, images={"app": image}).warnings == ()


def test_an_indexed_job_has_index_zero(tmp_path: Path) -> None:
    assert planned(job(completionMode="Indexed", completions=1), tmp_path).main.env["JOB_COMPLETION_INDEX"] == "0"


def test_a_pod_knows_its_labels(tmp_path: Path) -> None:
    manifest = job({"env": [
        {"name": "MINE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['mine']"}}},
        {"name": "TRIAL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['katib.kubeflow.org/trial']"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]})  # fmt: skip
    env = planned(manifest, tmp_path).main.env
    assert (env["MINE"], env["TRIAL"], env["POD"]) == ("yes", "trial", "trial-0")


@pytest.mark.parametrize(
    ("collector", "command", "expected", "read_from"),
    [
        pytest.param(
            file_collector("/katib/mnist.log"),
            ["echo", "--log-path=/katib/mnist.log"],
            "--log-path={}/metrics/mnist.log",
            "metrics/mnist.log",
            id="file",
        ),
        pytest.param(
            file_collector("/logs-none/test", "Directory"),
            ["echo", "--log-path=/logs-none"],
            "--log-path={}/metrics",
            "metrics/test",
            id="the command names the folder above",
        ),
        pytest.param(
            file_collector("/tmp/logs-none/test", "Directory"),
            ["echo", "/tmp/logs-none/train,/tmp/logs-none/test,/tmp/x"],
            "/tmp/logs-none/train,{}/metrics,/tmp/x",
            "metrics",
            id="the folder alone",
        ),
        pytest.param(
            file_collector("/metrics.log"),
            ["echo", ">/metrics.log"],
            ">{}/metrics/metrics.log",
            "metrics/metrics.log",
            id="file of the root",
        ),
        pytest.param(
            MetricsCollectorSpec(collector=CollectorSpec(kind="File")),
            ["echo", "/var/log/katib/metrics.log"],
            "{}/metrics/metrics.log",
            "metrics/metrics.log",
            id="Katib's default",
        ),
        pytest.param(
            MetricsCollectorSpec(collector=CollectorSpec(kind="StdOut")),
            ["echo", "/var/log/katib/metrics.log"],
            "/var/log/katib/metrics.log",
            None,
            id="standard output has no file",
        ),
    ],
)
def test_the_folder_of_metrics_is_the_trials_own(
    collector: MetricsCollectorSpec, command: list[str], expected: str, read_from: str | None, tmp_path: Path
) -> None:
    plan = planned(job({"command": command}), tmp_path, collector=collector)
    trial = tmp_path / "trial"
    assert plan.main.argv[1] == expected.replace("{}", str(trial))
    assert plan.collector_path == (trial / read_from if read_from is not None else None)
    if read_from is not None:
        is_file = Path(read_from).suffix == ".log"
        assert ((trial / read_from).parent if is_file else trial / read_from) in plan.folders


@pytest.mark.parametrize(
    ("is_shared", "mount_path", "argument", "read_from", "is_said"),
    [
        pytest.param(False, "/logs", "/logs/a", "trial/volumes/v/a", False, id="a volume of the pod"),
        pytest.param(True, "/logs", "/logs/a", "a", True, id="a shared volume at it"),
        pytest.param(True, "/l", "/l/ogs/a", "trial/metrics/a", False, id="above, named whole"),
        pytest.param(True, "/l", "/l", "trial/metrics/a", True, id="above, not named whole"),
    ],
)
def test_a_volume_over_the_metrics_serves_unless_trials_share_it(
    is_shared: bool, mount_path: str, argument: str, read_from: str, is_said: bool, tmp_path: Path
) -> None:
    pod = {"volumes": [{"name": "v", **({"hostPath": {"path": str(tmp_path)}} if is_shared else {})}]}
    container = {"command": ["echo", argument], "volumeMounts": [{"name": "v", "mountPath": mount_path}]}
    collector = file_collector("/logs/a" if mount_path == "/logs" else "/l/ogs/a")
    plan = planned(job(container, pod=pod), tmp_path, collector=collector)
    assert plan.collector_path == tmp_path / read_from
    assert (f"{MAIN}.volumeMounts" in [warning.path for warning in plan.warnings]) == is_said


def test_a_folder_above_the_metrics_that_is_there_stays_and_this_is_said(tmp_path: Path) -> None:
    collector = file_collector(f"{tmp_path}/test", "Directory")
    plan = planned(job({"command": ["echo", str(tmp_path)]}), tmp_path, collector=collector)
    assert plan.main.argv == ("echo", str(tmp_path))
    assert f"{MAIN}.command" in [warning.path for warning in plan.warnings]


def test_planning_writes_nothing_and_planning_twice_is_the_same(tmp_path: Path) -> None:
    pod = {"volumes": [{"name": "c", "configMap": {"name": "config"}}, {"name": "e"}]}
    options: dict[str, Any] = {"lookup": {CONFIG.reference: CONFIG}, "collector": file_collector("/katib/x.log")}
    assert planned(job(pod=pod), tmp_path, **options) == planned(job(pod=pod), tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_really_runs(tmp_path: Path) -> None:
    script = "import os,sys; print(open(sys.argv[1]).read(), open('/w/made'.replace('/w', sys.argv[2])).read())"
    mounts = [{"name": "c", "mountPath": "/etc/config"}, {"name": "w", "mountPath": "/scratch"}]
    container = {
        "command": ["python", "-c", script, "/etc/config/greeting", "/scratch"],
        "volumeMounts": mounts,
    }
    init = {"name": "i", "command": ["sh", "-c", "echo $WHO >/scratch/made"], "volumeMounts": mounts,
            "env": [{"name": "WHO", "value": "world"}]}  # fmt: skip
    pod = {"volumes": [{"name": "c", "configMap": {"name": "config"}}, {"name": "w"}], "initContainers": [init]}
    plan = planned(job(container, pod=pod), tmp_path, lookup={CONFIG.reference: CONFIG})
    for folder in plan.folders:
        folder.mkdir(parents=True, exist_ok=True)
    for file in plan.files:
        file.path.write_bytes(file.content)
        file.path.chmod(file.mode)
    for process in (*plan.init, plan.main):
        done = subprocess.run(
            process.argv, cwd=process.cwd, env=dict(process.env), capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["hello", "world"]
