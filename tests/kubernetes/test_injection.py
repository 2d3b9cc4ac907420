"""Pod in, Pod out: what the Pod webhook makes of workers."""

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pykatib.algorithms.lineage import Lineage
from pykatib.api.errors import InvalidInput
from pykatib.api.meta import ObjectMeta
from pykatib.api.shared import (
    CollectorSpec,
    EarlyStoppingRule,
    FileSystemPath,
    HTTPGet,
    MetricsCollectorSpec,
    MetricsFilter,
    ObjectiveSpec,
    SourceSpec,
)
from pykatib.api.trial import Trial, TrialSpec
from pykatib.kube.injection import CONTROL_FOLDER, CollectorSettings, InjectionSettings, inject
from pykatib.kube.injection_checkpoints import copier_words
from pykatib.sidecar.options import read_options

KINDS = ("StdOut", "File", "TensorFlowEvent", "PrometheusMetric")
SETTINGS = InjectionSettings(
    db_manager_address="katib-db-manager.kubeflow:6789",
    collectors={kind: CollectorSettings(image=f"example.test/{kind.lower()}:1") for kind in KINDS},
    early_stopping_address="exp-medianstop.team-a:6788",
)
SOURCES = {
    "StdOut": SourceSpec(filter=MetricsFilter(("([a-z]+)=(.*);", r"(\w+) is ([$\d]+)"))),
    "File": SourceSpec(file_system_path=FileSystemPath(path="/metrics/train.json", kind="File", format="JSON")),
    "TensorFlowEvent": SourceSpec(file_system_path=FileSystemPath(path="/events/run", kind="Directory")),
    "PrometheusMetric": SourceSpec(http_get=HTTPGet(path="/m", port=9_090)),
}


def trial(kind: str = "StdOut", *, custom: dict[str, Any] | None = None, **changes: Any) -> Trial:
    raw = msgspec.Raw(msgspec.json.encode(custom)) if custom is not None else msgspec.Raw()
    spec = TrialSpec(
        objective=ObjectiveSpec(
            type="minimize", objective_metric_name="loss", additional_metric_names=("val acc", "b")
        ),
        metrics_collector=MetricsCollectorSpec(
            source=SOURCES.get(kind), collector=CollectorSpec(kind=kind, custom_collector=raw)
        ),
        primary_container_name="main",
    )
    metadata = ObjectMeta(name="exp-abc", namespace="team-a", labels={"katib.kubeflow.org/experiment": "exp"})
    return Trial(metadata=metadata, spec=msgspec.structs.replace(spec, **changes))


def pod(**primary: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "example.test/train", "command": ["python", "train.py"], **primary}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "exp-abc-", "labels": {"job-name": "exp-abc"}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def container(made: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [one for one in made["spec"]["containers"] if one["name"] == name]
    return dict(found)


def refusals(given: dict[str, Any], of: Trial, settings: InjectionSettings = SETTINGS) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        inject(given, of, settings=settings)
    return [str(error) for error in caught.value.errors]


def without_kubernetes_dollars(words: list[str]) -> list[str]:
    """Words as the kubelet hands them to a container that has no variables."""
    return [word.replace("$$", "$") for word in words]


def test_every_pod_of_a_worker_carries_its_trial() -> None:
    made = inject(pod(), trial("Push"), settings=SETTINGS)
    assert made["metadata"]["labels"] == {
        "job-name": "exp-abc",
        "katib.kubeflow.org/experiment": "exp",
        "katib.kubeflow.org/trial": "exp-abc",
    }


@pytest.mark.parametrize("kind", ["Push", "None"])
def test_programs_that_push_are_told_where_and_get_no_sidecar(kind: str) -> None:
    made = inject(pod(env=[{"name": "MINE", "value": "1"}]), trial(kind), settings=SETTINGS)
    [main] = made["spec"]["containers"]
    assert main["command"] == ["python", "train.py"]
    assert main["env"] == [
        {"name": "MINE", "value": "1"},
        {
            "name": "KATIB_TRIAL_NAME",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['katib.kubeflow.org/trial']"}},
        },
        {"name": "KATIB_DB_MANAGER_ADDR", "value": "katib-db-manager.kubeflow:6789"},
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_pod_given_is_left_alone_and_twice_is_as_once(kind: str) -> None:
    given = pod()
    before = deepcopy(given)
    once = inject(given, trial(kind), settings=SETTINGS)
    assert given == before
    assert once != before
    assert inject(once, trial(kind), settings=SETTINGS) == once


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", [["python", "train.py"], None], ids=["wrapped", "unwrapped"])
def test_the_sidecar_reads_its_arguments_as_they_were_meant(kind: str, command: list[str] | None) -> None:
    if kind == "StdOut" and command is None:
        command = ["./train"]
    rules = (EarlyStoppingRule("loss", "0.5", "greater", 4),) if command else ()
    of = trial(kind, early_stopping_rules=rules)
    made = inject(pod(command=command), of, settings=SETTINGS)
    sidecar = made["spec"]["containers"][1]
    options = read_options(without_kubernetes_dollars(sidecar["args"]))
    assert options.trial_name == "exp-abc"
    assert options.namespace == "team-a"
    assert options.objective.metric_names == ("loss", "val acc", "b")
    assert options.objective.type == "minimize"
    assert options.rules == rules
    assert options.early_stopping_address == ("exp-medianstop.team-a:6788" if rules else "")
    assert options.is_unwrapped == (command is None)
    assert options.control_folder == CONTROL_FOLDER
    assert options.collector.kind == kind
    source, wanted = options.collector.source, SOURCES[kind]
    assert source is not None
    assert source.filter == wanted.filter
    assert source.http_get == wanted.http_get
    if wanted.file_system_path is not None:
        assert options.path == wanted.file_system_path.path


def test_words_without_semicolons_go_the_way_of_katib() -> None:
    source = SourceSpec(filter=MetricsFilter(("([a-z]+)=(.*)", r"(\w+): (\d+)")))
    collector = MetricsCollectorSpec(source=source, collector=CollectorSpec(kind="StdOut"))
    settings = msgspec.structs.replace(
        SETTINGS, collectors={"StdOut": CollectorSettings(image="c", wait_all_processes=False)}
    )
    made = inject(pod(), trial(metrics_collector=collector), settings=settings)
    sidecar = container(made, "metrics-logger-and-collector")
    assert sidecar["args"][:16] == [
        *("-t", "exp-abc", "-m", "loss;val acc;b", "-o-type", "minimize", "-s-db", "katib-db-manager.kubeflow:6789"),
        *("-path", "/var/log/katib/metrics.log", "-f", r"([a-z]+)=(.*);(\w+): (\d+)", "-format", "TEXT", "-w", "false"),
    ]


def test_the_command_s_words_are_handed_on_untouched() -> None:
    words = ["python", "-c", "print('a  b');\nexit(3)", "$(LEARNING_RATE)", "$$", '"', ""]
    made = inject(pod(command=words[:1], args=words[1:]), trial(), settings=SETTINGS)
    main = container(made, "main")
    assert main["args"] == words
    assert main["command"][:2] == ["sh", "-c"]
    assert main["command"][3:] == ["katib", CONTROL_FOLDER, "/var/log/katib/metrics.log", ""]


def test_the_command_that_is_made_runs(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "print('loss=1'); raise SystemExit(4)"]
    main = container(inject(pod(command=words), trial(), settings=SETTINGS), "main")
    command = [
        word.replace(CONTROL_FOLDER, str(tmp_path)).replace("/var/log/katib", str(tmp_path))
        for word in without_kubernetes_dollars(main["command"])
    ]
    done = subprocess.run([*command, *main["args"]], stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout) == (4, b"loss=1\n")
    assert (tmp_path / "metrics.log").read_text() == "loss=1\n"
    assert (tmp_path / "exit").read_text() == "4 /main\n"


def test_a_sidecar_passes_the_restricted_pod_security_level() -> None:
    sidecar = container(inject(pod(), trial(), settings=SETTINGS), "metrics-logger-and-collector")
    assert sidecar["securityContext"] == {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert set(sidecar["resources"]) == {"requests", "limits"}
    assert sidecar["image"] == "example.test/stdout:1"


@pytest.mark.parametrize(
    ("of_pod", "of_container", "user"),
    [({"runAsUser": 0}, {}, 65532), ({"runAsUser": 7}, {}, 7), ({"runAsUser": 7}, {"runAsUser": 8}, 8)],
    ids=["root", "the pod's", "the container's"],
)
def test_a_sidecar_is_the_program_s_user_but_never_root(
    of_pod: dict[str, int], of_container: dict[str, int], user: int
) -> None:
    given = pod(securityContext=of_container)
    given["spec"]["securityContext"] = of_pod
    made = inject(given, trial(), settings=SETTINGS)
    assert container(made, "metrics-logger-and-collector")["securityContext"]["runAsUser"] == user


def test_folders_of_metrics_are_shared() -> None:
    made = inject(pod(), trial("File"), settings=SETTINGS)
    mounts = [
        {"name": "metrics-volume", "mountPath": "/metrics"},
        {"name": "katib-control", "mountPath": CONTROL_FOLDER},
    ]
    assert made["spec"]["volumes"] == [
        {"name": "metrics-volume", "emptyDir": {}},
        {"name": "katib-control", "emptyDir": {}},
    ]
    assert container(made, "main")["volumeMounts"] == mounts
    assert container(made, "metrics-logger-and-collector")["volumeMounts"] == mounts
    assert "shareProcessNamespace" not in made["spec"]


def test_a_volume_of_the_program_s_own_is_read_where_it_lies() -> None:
    own = {"name": "results", "mountPath": "/metrics/", "subPath": "a"}
    given = pod(volumeMounts=[own])
    given["spec"]["volumes"] = [{"name": "results", "persistentVolumeClaim": {"claimName": "results"}}]
    made = inject(given, trial("File"), settings=SETTINGS)
    assert container(made, "metrics-logger-and-collector")["volumeMounts"][0] == own
    assert [volume["name"] for volume in made["spec"]["volumes"]] == ["results", "katib-control"]


def test_what_an_image_runs_is_not_needed_where_files_are_read() -> None:
    made = inject(pod(command=None, args=["--epochs", "3"]), trial("TensorFlowEvent"), settings=SETTINGS)
    main = container(made, "main")
    assert main["command"] is None
    assert main["args"] == ["--epochs", "3"]
    assert made["spec"]["shareProcessNamespace"] is True


@pytest.mark.parametrize(
    ("of", "given", "words"),
    [
        pytest.param(trial(), pod(command=None), ["spec.containers[0].command: is absent", "StdOut"], id="StdOut"),
        pytest.param(
            trial("File", early_stopping_rules=(EarlyStoppingRule("loss", "1", "less"),)),
            pod(command=[]),
            ["spec.containers[0].command: is absent", "early stopping"],
            id="rules",
        ),
        pytest.param(
            trial("File"),
            pod(command=["python", "/metrics/train.py"]),
            ["spec.containers[0].command: found '/metrics/train.py'", "would hide"],
            id="hidden program",
        ),
        pytest.param(
            trial("File"),
            pod(workingDir="/metrics"),
            ["spec.containers[0].workingDir", "would hide"],
            id="hidden folder",
        ),
        pytest.param(
            trial(primary_pod_labels={"job-name": "exp-abc"}),
            pod(name="other"),
            ["spec.containers: found other; none is called 'main'"],
            id="no primary container",
        ),
    ],
)
def test_a_pod_that_could_not_report_is_refused_in_words(of: Trial, given: dict[str, Any], words: list[str]) -> None:
    [message] = refusals(given, of)
    assert all(word in message for word in words), message


def test_a_kind_without_an_image_is_refused() -> None:
    settings = msgspec.structs.replace(SETTINGS, collectors={"File": CollectorSettings(image="f")})
    [message] = refusals(pod(), trial(), settings)
    assert "no image for it (it has: File)" in message


def test_only_the_primary_pod_of_a_distributed_job_reports() -> None:
    of = trial(primary_pod_labels={"role": "master"})
    worker = inject(pod(), of, settings=SETTINGS)
    assert [one["name"] for one in worker["spec"]["containers"]] == ["main"]
    assert container(worker, "main")["env"][0]["name"] == "KATIB_TRIAL_NAME"
    given = pod()
    given["metadata"]["labels"]["role"] = "master"
    master = inject(given, of, settings=SETTINGS)
    assert [one["name"] for one in master["spec"]["containers"]] == ["main", "metrics-logger-and-collector"]


def test_pods_that_have_no_primary_container_just_start() -> None:
    made = inject(pod(name="mpi-worker"), trial(primary_pod_labels={"role": "launcher"}), settings=SETTINGS)
    assert [one["name"] for one in made["spec"]["containers"]] == ["mpi-worker"]
    assert "env" not in container(made, "mpi-worker")


def test_a_collector_of_the_user_s_own_is_added_as_it_is() -> None:
    own = {"name": "mine", "image": "example.test/mine", "args": ["--path", "$(P)"]}
    source = SourceSpec(file_system_path=FileSystemPath(path="/out", kind="Directory"))
    collector = MetricsCollectorSpec(
        source=source,
        collector=CollectorSpec(kind="Custom", custom_collector=msgspec.Raw(json.dumps(own).encode())),
    )
    made = inject(pod(), trial(metrics_collector=collector), settings=SETTINGS)
    mine = container(made, "mine")
    assert {name: mine[name] for name in own} == own
    assert {one["name"] for one in mine["env"]} == {"KATIB_TRIAL_NAME", "KATIB_DB_MANAGER_ADDR", "PYKATIB_EXIT_FILE"}
    assert mine["volumeMounts"][0] == {"name": "metrics-volume", "mountPath": "/out"}
    assert made["spec"]["shareProcessNamespace"] is True
    assert inject(made, trial(metrics_collector=collector), settings=SETTINGS) == made


def test_a_native_sidecar_starts_before_everything_else() -> None:
    settings = msgspec.structs.replace(SETTINGS, native_sidecar=True)
    given = pod()
    given["spec"]["initContainers"] = [{"name": "prepare", "image": "i"}]
    made = inject(given, trial(), settings=settings)
    sidecar, prepare = made["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("metrics-logger-and-collector", "Always")
    assert prepare["name"] == "prepare"
    assert len(made["spec"]["containers"]) == 1
    assert inject(made, trial(), settings=settings) == made


def test_a_folder_of_checkpoints_is_mounted_where_the_algorithm_shares_one() -> None:
    settings = msgspec.structs.replace(SETTINGS, checkpoint_claim="exp-pbt", checkpoint_path="/opt/katib/data")
    made = inject(pod(), trial("Push"), settings=settings)
    assert container(made, "main")["volumeMounts"] == [
        {"name": "suggestion-volume", "mountPath": "/opt/katib/data", "subPath": "exp/exp-abc"}
    ]
    assert made["spec"]["volumes"] == [{"name": "suggestion-volume", "persistentVolumeClaim": {"claimName": "exp-pbt"}}]


CHECKPOINTS = msgspec.structs.replace(SETTINGS, checkpoint_claim="exp-pbt", checkpoint_path="/checkpoints")


def continued(parent: str, kind: str = "StdOut") -> Trial:
    of = trial(kind)
    labels = Lineage(generation=1, parent=parent, member="3").labels("pbt")
    metadata = msgspec.structs.replace(of.metadata, labels={**of.metadata.labels, **labels})
    return msgspec.structs.replace(of, metadata=metadata)


@pytest.mark.parametrize("kind", ["StdOut", "Push"])
def test_a_parent_s_checkpoints_are_copied_before_the_program_starts(kind: str) -> None:
    given = pod()
    given["spec"]["initContainers"] = [{"name": "prepare", "image": "i"}]
    made = inject(given, continued("exp-xyz", kind), settings=CHECKPOINTS)

    copier, prepare = made["spec"]["initContainers"]
    assert (copier["name"], copier["image"], prepare["name"]) == (
        "checkpoint-copier",
        "example.test/stdout:1",
        "prepare",
    )
    assert without_kubernetes_dollars(copier["command"]) == copier_words("exp-abc", "exp-xyz")
    assert copier["volumeMounts"] == [
        {"name": "suggestion-volume", "mountPath": "/katib-checkpoints", "subPath": "exp"}
    ]
    assert copier["securityContext"] == {"runAsUser": 0}
    mount = {"name": "suggestion-volume", "mountPath": "/checkpoints", "subPath": "exp/exp-abc"}
    assert mount in container(made, "main")["volumeMounts"]
    assert made["metadata"]["labels"]["pbt.suggestion.katib.kubeflow.org/parent"] == "exp-xyz"
    assert inject(made, continued("exp-xyz", kind), settings=CHECKPOINTS) == made


@pytest.mark.parametrize(
    ("primary", "in_pod", "context"),
    [
        pytest.param({}, {"runAsUser": 7}, {}, id="the Pod says who"),
        pytest.param({"runAsUser": 7}, {"runAsUser": 8}, {"runAsUser": 7}, id="the container says who"),
        pytest.param({"runAsNonRoot": True}, {}, {"runAsNonRoot": True}, id="nobody else than root"),
        pytest.param({"readOnlyRootFilesystem": True}, {}, {"runAsUser": 0}, id="nobody says who"),
    ],
)
def test_checkpoints_are_copied_by_who_will_use_them(
    primary: dict[str, Any], in_pod: dict[str, Any], context: dict[str, Any]
) -> None:
    given = pod(securityContext=primary)
    given["spec"]["securityContext"] = in_pod
    made = inject(given, continued("exp-xyz"), settings=CHECKPOINTS)
    assert made["spec"]["initContainers"][0]["securityContext"] == context


def test_without_any_image_for_collectors_checkpoints_cannot_be_copied() -> None:
    [message] = refusals(pod(), continued("x", "Push"), msgspec.structs.replace(CHECKPOINTS, collectors={}))
    assert "has no image, and copying checkpoints takes one of those" in message


def run_copier(volume: Path, own: str, parent: str) -> "subprocess.CompletedProcess[str]":
    words = copier_words(own, parent, str(volume))
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_copier_leaves_a_whole_copy_however_often_it_runs(tmp_path: Path) -> None:
    assert run_copier(tmp_path, "exp-a", "").returncode == 0
    assert (tmp_path / "exp-a").stat().st_mode & 0o777 == 0o777
    (tmp_path / "exp-a" / "deep").mkdir()
    (tmp_path / "exp-a" / "deep" / "state").write_text("of a")
    (tmp_path / "exp-a" / "deep" / "state").chmod(0o600)
    (tmp_path / "exp-b.partial").mkdir()  # of a Pod that was ended
    (tmp_path / "exp-b.partial" / "half").touch()
    for _ in range(2):
        assert run_copier(tmp_path, "exp-b", "exp-a").returncode == 0
        assert sorted(one.name for one in (tmp_path / "exp-b").iterdir()) == ["deep"]
        state = tmp_path / "exp-b" / "deep" / "state"
        assert (state.read_text(), state.stat().st_mode & 0o777) == ("of a", 0o666)
        state.write_text("of an attempt that failed")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["exp-a", "exp-b"]


def test_the_copier_names_a_parent_that_is_gone(tmp_path: Path) -> None:
    result = run_copier(tmp_path, "exp-b", "exp-a")
    assert result.returncode == 1
    assert "the checkpoint folder of its parent, the Trial exp-a, is not on the volume" in result.stderr
    assert list(tmp_path.iterdir()) == []
