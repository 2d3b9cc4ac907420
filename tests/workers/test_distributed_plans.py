"""What a distributed job means on this machine: what each replica is told, what is asked for, what is refused."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from job_bench import JobBench, manifest
from team_scene import job_of_kind, replica, team

from pykatib.api.errors import InvalidInput
from pykatib.api.meta import ObjectMeta
from pykatib.api.trial import Trial, TrialSpec
from pykatib.workers.distributed.plan import GangPlan
from pykatib.workers.distributed.ports import FIRST_PORT, PORT_COUNT, Ports, fill_in, port_token
from pykatib.workers.images import Images
from pykatib.workers.pod import Place, Refused
from pykatib.workers.slots import Machine, Request
from pykatib.workers.worker_plan import plan_worker

MACHINE = Machine(millicpus=8000, memory_bytes=8 << 30, gpu_ids=("GPU-a", "GPU-b", "GPU-c"))
GPU = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
MASTER_LABELS = {"training.kubeflow.org/job-role": "master"}
RUN = replica(["true"])
OF_OPERATORS = re.compile("MASTER|WORLD|RANK|PET_|TF_CONFIG|WORKER_|COORD|NUM_PROC|PROCESS_ID|PADDLE|OMPI_MCA_orte")


def pytorch(**types: Any) -> dict[str, Any]:
    return job_of_kind("PyTorchJob", spec={}, **types)


def read(
    document: Mapping[str, Any],
    here: Path,
    *,
    labels: Mapping[str, str] | None = None,
    inherited: Mapping[str, str] | None = None,
    machine: Machine = MACHINE,
) -> GangPlan | Refused:
    spec = TrialSpec(
        run_spec=msgspec.Raw(msgspec.json.encode(document)),
        primary_container_name="main",
        primary_pod_labels=dict(MASTER_LABELS if labels is None else labels),
    )
    place = Place(
        machine=machine,
        manifest_folder=here,
        images=Images(),
        lookup=lambda reference: None,
        inherited={"PATH": os.environ["PATH"], **(inherited or {})},
    )
    trial = Trial(metadata=ObjectMeta(name="trial", namespace="ns", uid="u"), spec=spec)
    plan = plan_worker(trial, place=place, folder=here / "1")
    assert isinstance(plan, GangPlan | Refused)
    return plan


def planned(document: Mapping[str, Any], here: Path, **options: Any) -> GangPlan:
    plan = read(document, here, **options)
    assert isinstance(plan, GangPlan), plan
    return plan


def told(plan: GangPlan) -> dict[str, dict[str, str]]:
    """The variables of each replica that are not the machine's, with small numbers for ports."""
    numbers: dict[str, int] = {}
    return {
        one.replica.name: {
            name: fill_in(value, lambda port: numbers.setdefault(port, len(numbers) + 1))
            for name, value in one.main.env.items()
            if re.match(
                r"MASTER|WORLD|RANK|PET_|TF_CONFIG|WORKER_|COORD|NUM_PROC|PROCESS_ID|PADDLE|OMPI_MCA_orte", name
            )
        }
        for one in plan.replicas
    }


# What replicas are told


def test_pytorch_replicas_meet_at_the_master(tmp_path: Path) -> None:
    job = pytorch(Worker=replica(["true"], count=2), Master=RUN)
    found = told(planned(job, tmp_path))
    assert list(found) == ["master-0", "worker-0", "worker-1"]
    assert found["worker-1"] == {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
        "WORLD_SIZE": "3",
        "RANK": "2",
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": "1",
        "PET_NODE_RANK": "2",
        "PET_NNODES": "3",
        "PET_NPROC_PER_NODE": "1",
    }
    assert [one["RANK"] for one in found.values()] == ["0", "1", "2"]
    assert {one["MASTER_PORT"] for one in found.values()} == {"1"}


def test_several_processes_a_node_count_for_the_world(tmp_path: Path) -> None:
    job = job_of_kind("PyTorchJob", spec={"nprocPerNode": "2"}, Master=RUN, Worker=RUN)
    [_, worker] = told(planned(job, tmp_path)).values()
    assert (worker["WORLD_SIZE"], worker["PET_NPROC_PER_NODE"], worker["PET_NNODES"]) == ("4", "2", "2")


def test_automatic_processes_a_node_are_as_many_as_it_has_gpus(tmp_path: Path) -> None:
    worker = replica(["true"], resources={"limits": {"nvidia.com/gpu": 2}})
    found = told(planned(job_of_kind("PyTorchJob", spec={"nprocPerNode": "auto"}, Master=RUN, Worker=worker), tmp_path))
    assert [one["PET_NPROC_PER_NODE"] for one in found.values()] == ["1", "2"]


def test_elastic_workers_meet_at_the_first_of_them(tmp_path: Path) -> None:
    policy = {
        "minReplicas": 1,
        "maxReplicas": 3,
        "maxRestarts": 5,
        "rdzvConf": [{"key": "timeout", "value": "60"}, {"key": "a", "value": "b"}],
    }
    job = job_of_kind("PyTorchJob", spec={"elasticPolicy": policy}, Worker=replica(["true"], count=2))
    plan = planned(job, tmp_path)
    assert told(plan)["worker-1"] == {
        "PET_RDZV_ENDPOINT": "127.0.0.1:1",
        "PET_RDZV_BACKEND": "c10d",
        "PET_RDZV_ID": "trial",
        "PET_RDZV_CONF": "timeout=60,a=b",
        "PET_NNODES": "1:3",
        "PET_MAX_RESTARTS": "5",
        "PET_NPROC_PER_NODE": "1",
    }
    assert plan.success == (("worker-0", "worker-1"),)
    [warning] = [one for one in plan.warnings if one.path.endswith("primaryPodLabels")]
    assert "those of worker-0 are read" in warning.message


def test_tensorflow_tasks_know_each_others_addresses(tmp_path: Path) -> None:
    job = job_of_kind("TFJob", spec={}, Worker=replica(["true"], count=2), PS=RUN, Chief=RUN, Evaluator=RUN)
    found = {name: json.loads(variables["TF_CONFIG"]) for name, variables in told(planned(job, tmp_path)).items()}
    cluster = found["ps-0"]["cluster"]
    assert {name: len(addresses) for name, addresses in cluster.items()} == {"chief": 1, "worker": 2, "ps": 1}
    addresses = [address for group in cluster.values() for address in group]
    assert len(set(addresses)) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", address) for address in addresses)
    assert all(one["cluster"] == cluster and one["environment"] == "cloud" for one in found.values())
    assert found["worker-1"]["task"] == {"type": "worker", "index": 1}
    assert found["evaluator-0"]["task"] == {"type": "evaluator", "index": 0}


def test_a_task_alone_is_told_nothing(tmp_path: Path) -> None:
    assert told(planned(job_of_kind("TFJob", spec={}, Worker=RUN), tmp_path)) == {"worker-0": {}}


def test_dynamic_workers_know_themselves_and_the_servers(tmp_path: Path) -> None:
    job = job_of_kind("TFJob", spec={"enableDynamicWorker": True}, Worker=replica(["true"], count=2), PS=RUN)
    found = {name: json.loads(variables["TF_CONFIG"]) for name, variables in told(planned(job, tmp_path)).items()}
    assert list(found["worker-1"]["sparseCluster"]["worker"]) == ["1"]
    assert len(found["worker-1"]["sparseCluster"]["ps"]) == 1
    assert found["ps-0"]["sparseCluster"]["worker"] == {}


def test_xgboost_workers_have_ports_of_their_own(tmp_path: Path) -> None:
    job = job_of_kind("XGBoostJob", spec={}, Master=RUN, Worker=replica(["true"], count=2))
    found = told(planned(job, tmp_path))
    assert {one["MASTER_PORT"] for one in found.values()} == {"1"}
    assert [one["RANK"] for one in found.values()] == ["0", "1", "2"]
    assert {one["WORLD_SIZE"] for one in found.values()} == {"3"}
    assert found["worker-0"]["WORKER_PORT"] != found["worker-1"]["WORKER_PORT"]
    assert found["master-0"]["WORKER_ADDRS"] == "127.0.0.1,127.0.0.1"


def test_an_xgboost_master_alone_has_no_workers(tmp_path: Path) -> None:
    [found] = told(planned(job_of_kind("XGBoostJob", spec={}, Master=RUN), tmp_path)).values()
    assert "WORKER_ADDRS" not in found


def test_jax_processes_are_numbered(tmp_path: Path) -> None:
    job = job_of_kind("JAXJob", spec={}, Worker=replica(["true"], count=2))
    found = told(planned(job, tmp_path, labels={}))
    assert found["worker-1"] == {
        "COORDINATOR_ADDRESS": "127.0.0.1",
        "COORDINATOR_PORT": "1",
        "NUM_PROCESSES": "2",
        "PROCESS_ID": "1",
    }


def test_paddle_servers_and_trainers_are_told_apart(tmp_path: Path) -> None:
    found = told(planned(job_of_kind("PaddleJob", spec={}, Master=RUN, Worker=RUN), tmp_path))
    assert found["worker-0"] == {
        "PADDLE_JOB_ID": "trial",
        "PADDLE_NNODES": "2",
        "PADDLE_MASTER": "127.0.0.1:1",
        "PADDLE_TRAINER_NUM": "1",
    }
    assert found["master-0"]["PADDLE_SERVER_NUM"] == "1"


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here: apt install openmpi-bin")
@pytest.mark.parametrize("version", ["kubeflow.org/v1", "kubeflow.org/v2beta1"])
def test_an_mpi_launcher_finds_the_slots_of_all_workers(tmp_path: Path, version: str) -> None:
    worker = replica(["/usr/sbin/sshd", "-De"], count=3, resources={"requests": {"cpu": 1}})
    launcher = replica(["mpirun", "true"])
    job = job_of_kind("MPIJob", version=version, spec={"slotsPerWorker": 2}, Launcher=launcher, Worker=worker)
    plan = planned(job, tmp_path)
    variables = told(plan)
    assert list(variables) == ["launcher-0"]
    [file] = [file for file in plan.files if file.path.name == "hostfile"]
    assert variables["launcher-0"]["OMPI_MCA_orte_default_hostfile"] == str(file.path)
    assert file.content == b"localhost slots=6\n"
    assert plan.request.millicpus == 3000


def test_what_a_replica_is_told_can_stand_in_its_command(tmp_path: Path) -> None:
    job = pytorch(Master=replica(["echo", "$(MASTER_ADDR):$(MASTER_PORT)", "rank $(RANK)"]))
    [one] = planned(job, tmp_path).replicas
    assert one.main.argv[1:] == (f"127.0.0.1:{port_token('master-0')}", "rank 0")


def test_gloo_stays_on_this_machine_unless_its_user_says_otherwise(tmp_path: Path) -> None:
    job = pytorch(Master=RUN)
    assert planned(job, tmp_path).replicas[0].main.env["GLOO_SOCKET_IFNAME"].startswith("lo")
    chosen = planned(job, tmp_path, inherited={"GLOO_SOCKET_IFNAME": "eth1"})
    assert chosen.replicas[0].main.env["GLOO_SOCKET_IFNAME"] == "eth1"


# What is asked for


def test_the_requests_of_all_replicas_are_one(tmp_path: Path) -> None:
    small = {"requests": {"cpu": "500m", "memory": "1Gi"}}
    worker = replica(["true"], count=3, resources=small)
    plan = planned(pytorch(Master=RUN, Worker=worker), tmp_path)
    assert plan.request == Request(millicpus=1500, memory_bytes=3 << 30)


def test_more_than_the_machine_has_is_cut_down_and_said(tmp_path: Path) -> None:
    worker = replica(["true"], count=3, resources={"requests": {"cpu": 4}})
    plan = planned(pytorch(Master=RUN, Worker=worker), tmp_path)
    assert plan.request.millicpus == 8000
    assert any("asks for 12 CPUs in all" in warning.message for warning in plan.warnings)


def test_gpus_are_shared_out_among_replicas(tmp_path: Path) -> None:
    job = pytorch(Master=RUN, Worker=replica(["true"], count=2, **GPU))
    plan = planned(job, tmp_path).with_gpus(("GPU-c", "GPU-a"))
    assert plan.request.gpus == 2
    assert [one.main.env["CUDA_VISIBLE_DEVICES"] for one in plan.replicas] == ["", "GPU-c", "GPU-a"]
    script = json.loads(plan.script_file().content)
    assert script["replicas"][2]["stages"][0]["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-a"
    assert [file.content for file in plan.files if file.path == plan.script] == [plan.script_file().content]


def test_the_nearest_deadline_counts(tmp_path: Path) -> None:
    spec = {"runPolicy": {"activeDeadlineSeconds": 60, "backoffLimit": 4}}
    plan = planned(
        job_of_kind("PyTorchJob", spec=spec, Master=replica(["true"], pod={"activeDeadlineSeconds": 9})), tmp_path
    )
    assert (plan.active_deadline_seconds, plan.backoff_limit) == (9, 4)


@pytest.mark.parametrize(
    ("kind", "spec", "types", "success"),
    [
        pytest.param("PyTorchJob", {}, ("Master", "Worker"), [["master-0"]], id="the master"),
        pytest.param("TFJob", {}, ("Chief", "Worker", "PS"), [["chief-0"]], id="the chief"),
        pytest.param("TFJob", {}, ("Worker", "PS"), [["worker-0"], ["worker-0", "worker-1"]], id="worker 0"),
        pytest.param("TFJob", {"successPolicy": "AllWorkers"}, ("Worker",), [["worker-0", "worker-1"]], id="all"),
        pytest.param("XGBoostJob", {}, ("Master", "Worker"), [["master-0"]], id="the tracker"),
        pytest.param("JAXJob", {}, ("Worker",), [["worker-0", "worker-1"]], id="all processes"),
        pytest.param("PaddleJob", {}, ("Worker",), [["worker-0", "worker-1"]], id="all trainers"),
    ],
)
def test_success_is_whose_the_kind_says(
    kind: str, spec: dict[str, Any], types: tuple[str, ...], success: list[list[str]], tmp_path: Path
) -> None:
    replicas = {name: replica(["true"], count=2 if name == "Worker" else 1) for name in types}
    plan = planned(job_of_kind(kind, spec=spec, **replicas), tmp_path, labels={})
    assert [list(group) for group in plan.success] == success


@pytest.mark.parametrize(
    ("labels", "log"),
    [
        pytest.param({"training.kubeflow.org/job-role": "master"}, "chief-0", id="by role"),
        pytest.param({"training.kubeflow.org/replica-type": "worker"}, "worker-0", id="by type"),
        pytest.param(
            {"training.kubeflow.org/replica-type": "worker", "training.kubeflow.org/replica-index": "1"},
            "worker-1",
            id="by index",
        ),
        pytest.param({"mine": "yes"}, "evaluator-0", id="by a label of one's own"),
    ],
)
def test_the_primary_replica_is_found_by_labels(labels: dict[str, str], log: str, tmp_path: Path) -> None:
    evaluator = replica(["true"])
    evaluator["template"]["metadata"] = {"labels": {"mine": "yes"}}
    workers = replica(["true"], count=2)
    job = job_of_kind("TFJob", spec={}, Chief=RUN, Worker=workers, Evaluator=evaluator)
    plan = planned(job, tmp_path, labels=labels)
    assert [one.replica.name for one in plan.replicas if one.log is None] == [log]


# What is refused


def with_spec(**spec: Any) -> dict[str, Any]:
    return job_of_kind("PyTorchJob", spec=spec, Master=RUN)


def tensorflow(**spec: Any) -> dict[str, Any]:
    return job_of_kind("TFJob", spec=spec, Worker=RUN)


SPECS = "spec.pytorchReplicaSpecs"


@pytest.mark.parametrize(
    ("document", "path", "word"),
    [
        pytest.param(with_spec(runPolcy={}), "spec.runPolcy", "runPolicy", id="a misspelt field"),
        pytest.param(pytorch(Master={**RUN, "replicas": "two"}), f"{SPECS}.Master.replicas", "two", id="no number"),
        pytest.param(pytorch(Chief=RUN), f"{SPECS}.Chief", "Master, Worker", id="no such type"),
        pytest.param(pytorch(), SPECS, "no replicas", id="no replicas"),
        pytest.param(pytorch(Worker=RUN), SPECS, "no Master", id="no master"),
        pytest.param(
            pytorch(Master=replica(["true"], count=2)), f"{SPECS}.Master.replicas", "one Master", id="masters"
        ),
        pytest.param(
            pytorch(Master=replica(["true"], policy="Sometimes")),
            f"{SPECS}.Master.restartPolicy",
            "ExitCode",
            id="restart policy",
        ),
        pytest.param(with_spec(runPolicy={"suspend": True}), "spec.runPolicy.suspend", "never starts", id="suspended"),
        pytest.param(with_spec(nprocPerNode="many"), "spec.nprocPerNode", "auto", id="processes a node"),
        pytest.param(
            pytorch(Master=RUN, Worker=replica(["no-such-program-here"])),
            f"{SPECS}.Worker.template.spec.containers[0].command",
            "no-such-program-here",
            id="no such program",
        ),
        pytest.param(pytorch(Master=RUN, Worker=replica(["true"], count=4, **GPU)), SPECS, "4 GPUs in all", id="GPUs"),
        pytest.param(
            pytorch(Master=replica(["true"], pod={"volumes": [{"name": "v", "nfs": {}}]})),
            f"{SPECS}.Master.template.spec.volumes[0].nfs",
            "",
            id="a volume",
        ),
        pytest.param(
            job_of_kind("TFJob", spec={}, PS=RUN), "spec.tfReplicaSpecs", "nothing would train", id="only servers"
        ),
        pytest.param(tensorflow(successPolicy="Any"), "spec.successPolicy", "AllWorkers", id="success policy"),
        pytest.param(
            job_of_kind("XGBoostJob", spec={}, Worker=RUN), "spec.xgbReplicaSpecs.Master.replicas", "one", id="tracker"
        ),
    ],
)
def test_what_cannot_run_is_refused_at_its_path(document: dict[str, Any], path: str, word: str, tmp_path: Path) -> None:
    refused = read(document, tmp_path, labels={})
    assert isinstance(refused, Refused)
    found = {error.path: error.message for error in refused.errors}
    assert path in found
    assert word in found[path]


def test_labels_that_no_replica_has_are_refused(tmp_path: Path) -> None:
    refused = read(
        job_of_kind("TFJob", spec={}, Worker=RUN), tmp_path, labels={"training.kubeflow.org/replica-type": "Worker"}
    )
    assert isinstance(refused, Refused)
    [error] = refused.errors
    assert error.path == "spec.trialTemplate.primaryPodLabels"
    assert "one of worker" in error.message


def test_without_mpirun_an_mpi_job_is_refused(tmp_path: Path) -> None:
    refused = read(job_of_kind("MPIJob", spec={}, Launcher=RUN), tmp_path, inherited={"PATH": str(tmp_path)})
    assert isinstance(refused, Refused)
    assert any("install it" in error.message for error in refused.errors)


@pytest.mark.parametrize(
    ("version", "kind", "field", "word"),
    [
        ("trainer.kubeflow.org/v1alpha1", "TrainJob", "kind", "Kubeflow Trainer"),
        ("ray.io/v1", "RayJob", "kind", "KubeRay"),
        ("argoproj.io/v1alpha1", "Workflow", "kind", "Argo"),
        ("tekton.dev/v1", "PipelineRun", "kind", "Tekton"),
        ("example.com/v1", "Job2", "kind", "knows it"),
        ("kubeflow.org/v1beta1", "PyTorchJob", "apiVersion", "kubeflow.org/v1 runs"),
    ],
    ids=lambda value: str(value) if str(value)[0].isupper() else "",
)
def test_other_kinds_are_refused_when_they_are_handed_in(
    bench: JobBench, version: str, kind: str, field: str, word: str
) -> None:
    conditions = {"successCondition": "status.#(ok==1)", "failureCondition": "status.#(ok==0)"}
    spec = {"apiVersion": version, "kind": kind, "spec": {"arguments": ["${trialParameters.x}"]}}
    with pytest.raises(InvalidInput) as caught:
        bench.create(manifest(["true"], template={"trialSpec": spec, **conditions}))
    [error] = caught.value.errors
    assert error.path == f"spec.trialTemplate.trialSpec.{field}"
    assert word in error.message


def test_faults_of_replicas_are_told_at_once_with_the_experiments_paths(bench: JobBench) -> None:
    with pytest.raises(InvalidInput) as caught:
        bench.create(team(Master=RUN, Worker=replica(["true"], imagePullPolcy="Always")))
    [error] = caught.value.errors
    assert error.path == (
        "spec.trialTemplate.trialSpec.spec.pytorchReplicaSpecs.Worker.template.spec.containers[0].imagePullPolcy"
    )


# Ports


def test_ports_are_given_to_one_owner_at_a_time() -> None:
    first, second = Ports(), Ports()
    mine = [first(str(number)) for number in range(20)]
    theirs = [second(str(number)) for number in range(20)]
    assert len({*mine, *theirs}) == 40
    assert [first(str(number)) for number in range(20)] == mine
    assert all(FIRST_PORT <= port < FIRST_PORT + PORT_COUNT for port in (*mine, *theirs))
    first.close()
    third = Ports()
    assert not {third(str(number)) for number in range(20)} & set(theirs)
    second.close()
    third.close()


def test_tokens_stand_for_ports_anywhere_in_a_text() -> None:
    text = json.dumps({"a": f"host:{port_token('a-0')}", "b": [f"host:{port_token('b-1')}"]})
    assert json.loads(fill_in(text, {"a-0": 1, "b-1": 2}.__getitem__)) == {"a": "host:1", "b": ["host:2"]}
    assert fill_in("{port}", {}.__getitem__) == "{port}"


def test_our_manifests_of_distributed_jobs_are_sound(bench: JobBench) -> None:
    folder = Path(__file__).parents[2] / "examples" / "distributed"
    files = sorted(folder.glob("*.yaml"))
    assert files
    for file in files:
        bench.create_from(file.read_text(), folder=folder)
        assert yaml.safe_load(file.read_text())["metadata"]["name"] == file.stem
