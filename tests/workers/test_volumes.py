"""Volumes become folders and files, and the paths in a manifest's texts follow them."""

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pykatib.api.job import Container, Volume
from pykatib.api.meta import ObjectMeta, Reference
from pykatib.api.objects import ConfigMap, Object, Secret
from pykatib.workers.environment import PodIdentity
from pykatib.workers.findings import Findings
from pykatib.workers.slots import Machine
from pykatib.workers.volumes import PathMap, PlannedFile, VolumePlan, mount_points, paths_in, plan_volumes

POD = PodIdentity(name="p", namespace="ns", uid="u", labels={"b": '2"', "a": "1"}, annotations={}, node_name="box")
OBJECTS: dict[Reference, Object] = {
    one.reference: one
    for one in (
        ConfigMap(metadata=ObjectMeta(name="config", namespace="ns"), data={"a.txt": "A", "b.txt": "B"}),
        Secret(metadata=ObjectMeta(name="secret", namespace="ns"), data={"key": base64.b64encode(b"\xff").decode()}),
    )
}


def plan(folder: Path, *volumes: dict[str, Any]) -> tuple[VolumePlan, Findings]:
    findings = Findings()
    planned = plan_volumes(
        msgspec.convert(list(volumes), list[Volume]),
        path="v",
        folder=folder,
        pod=POD,
        containers=[msgspec.convert({"name": "main", "resources": {"limits": {"cpu": "2"}}}, Container)],
        machine=Machine(millicpus=1000, memory_bytes=1),
        lookup=OBJECTS.get,
        findings=findings,
    )
    return planned, findings


def mounts(folder: Path, volume: dict[str, Any], *entries: dict[str, Any]) -> tuple[dict[str, Path], Findings, Any]:
    planned, findings = plan(folder, volume)
    container = msgspec.convert({"name": "main", "volumeMounts": list(entries)}, Container)
    found, folders = mount_points(container, path="c", volumes=planned, variables={"TRIAL": "t"}, findings=findings)
    return found, findings, folders


LONGEST_FIRST = (("/data/deep", Path("/local/deep")), ("/my data", Path("/local/spaced")), ("/data", Path("/local/d")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/data", "/local/d", id="whole"),
        pytest.param("/data/", "/local/d/", id="trailing slash"),
        pytest.param("/data/x/y.csv", "/local/d/x/y.csv", id="below"),
        pytest.param("/data/deep/x", "/local/deep/x", id="longest mount first"),
        pytest.param("/data/deeper", "/local/d/deeper", id="name that only begins alike, below"),
        pytest.param("/database", "/database", id="name that only begins alike"),
        pytest.param("/old/data/x", "/old/data/x", id="in the middle of a path"),
        pytest.param("data/x", "data/x", id="relative"),
        pytest.param("$HOME/data", "$HOME/data", id="after a variable"),
        pytest.param("${HOME}/data", "${HOME}/data", id="after a variable in braces"),
        pytest.param("$(pwd)/data", "$(pwd)/data", id="after a command"),
        pytest.param('"$HOME"/data', '"$HOME"/data', id="after a closing quote"),
        pytest.param("--in=/data/x", "--in=/local/d/x", id="after ="),
        pytest.param("/data/a:/data/b", "/local/d/a:/local/d/b", id="list with colons"),
        pytest.param("--in=/data/a,/data/b", "--in=/local/d/a,/local/d/b", id="list with commas"),
        pytest.param("['/data/a', \"/data/b\"]", "['/local/d/a', \"/local/d/b\"]", id="quoted list"),
        pytest.param('{"in":"/data"}', '{"in":"/local/d"}', id="JSON"),
        pytest.param("cd /data && ls (/data)>/data/o", "cd /local/d && ls (/local/d)>/local/d/o", id="shell"),
        pytest.param("open('/data/x')", "open('/local/d/x')", id="in parentheses"),
        pytest.param("http://host/data", "http://host/data", id="in a URL"),
        pytest.param("s3://data/x", "s3://data/x", id="bucket"),
        pytest.param("file:///data/x", "file:///local/d/x", id="file URL"),
        pytest.param("/data/../etc", "/data/../etc", id="leaves the mount"),
        pytest.param("/etc/../data/x", "/local/d/x", id="comes into the mount"),
        pytest.param("/my data/x", "/local/spaced/x", id="space in the mount path"),
        pytest.param("/data/lr=0.1/x", "/local/d/lr=0.1/x", id="= within a path"),
        pytest.param("", "", id="empty"),
        pytest.param("/", "/", id="root"),
    ],
)
def test_paths_at_or_below_a_mount_follow_it(text: str, expected: str) -> None:
    assert PathMap(LONGEST_FIRST).rewrite(text) == expected


def test_a_path_is_replaced_once_even_where_the_new_one_lies_below_another_mount() -> None:
    paths = PathMap((("/data", Path("/tmp/d")), ("/tmp", Path("/data/t"))))
    assert paths.rewrite("/data /tmp") == "/tmp/d /data/t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/opt/app.py", "{}/opt/app.py", id="there"),
        pytest.param("--config=/opt/app.py", "--config={}/opt/app.py", id="after ="),
        pytest.param("python /opt/app.py --x=/opt", "python {}/opt/app.py --x={}/opt", id="shell"),
        pytest.param("/opt/none.py", "/opt/none.py", id="not there"),
        pytest.param("/../opt/app.py", "{}/opt/app.py", id="nothing is above the root"),
        pytest.param("/", "/", id="root itself"),
        pytest.param("/data/x", "/local/d/x", id="a mount hides the image"),
    ],
)
def test_paths_that_exist_in_the_image_are_taken_from_its_folder(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/app.py").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x").touch()
    paths = PathMap((("/data", Path("/local/d")),), tmp_path)
    assert paths.rewrite(text) == expected.replace("{}", str(tmp_path))


def test_paths_are_found_in_texts() -> None:
    assert paths_in(["--a=/x/y/", "b", "cd //z && ls /w;"]) == {"/x/y", "/w"}


@pytest.mark.parametrize("volume", [{"emptyDir": {}}, {"emptyDir": {"medium": "Memory"}}, {}], ids=str)
def test_an_empty_dir_is_a_folder_of_the_trial(volume: dict[str, Any], tmp_path: Path) -> None:
    planned, findings = plan(tmp_path, {"name": "scratch", **volume})
    assert (planned.paths, planned.folders) == ({"scratch": tmp_path / "scratch"}, (tmp_path / "scratch",))
    assert (planned.files, findings.refusals) == ((), ())


@pytest.mark.parametrize(
    ("source", "files"),
    [
        pytest.param({"configMap": {"name": "config"}}, {"a.txt": (b"A", 0o644), "b.txt": (b"B", 0o644)}, id="map"),
        pytest.param(
            {"configMap": {"name": "config", "items": [{"key": "a.txt", "path": "x/y", "mode": 0o755}]}},
            {"x/y": (b"A", 0o755)},
            id="chosen keys",
        ),
        pytest.param({"configMap": {"name": "none", "optional": True}}, {}, id="optional"),
        pytest.param({"secret": {"secretName": "secret"}}, {"key": (b"\xff", 0o600)}, id="secret"),
        pytest.param({"secret": {"secretName": "secret", "defaultMode": 0o440}}, {"key": (b"\xff", 0o440)}, id="mode"),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"labels": (b'a="1"\nb="2\\""', 0o644)},
            id="all labels",
        ),
        pytest.param(
            {
                "downwardAPI": {
                    "items": [
                        {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
                        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                    ]
                }
            },
            {"cpu": (b"2", 0o644), "name": (b"p", 0o644)},
            id="fields and resources",
        ),
        pytest.param(
            {
                "projected": {
                    "sources": [
                        {"configMap": {"name": "config", "items": [{"key": "a.txt", "path": "key"}]}},
                        {"secret": {"name": "secret"}},
                        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                    ]
                }
            },
            {"key": (b"\xff", 0o600), "n": (b"p", 0o644)},
            id="projected, a later source over an earlier",
        ),
    ],
)
def test_contents_become_files(source: dict[str, Any], files: dict[str, tuple[bytes, int]], tmp_path: Path) -> None:
    planned, findings = plan(tmp_path, {"name": "v", **source})
    assert findings.refusals == ()
    assert planned.folders == (tmp_path / "v",)
    expected = {PlannedFile(tmp_path / "v" / name, content, mode) for name, (content, mode) in files.items()}
    assert set(planned.files) == expected


@pytest.mark.parametrize(
    ("volume", "path", "word"),
    [
        ({"persistentVolumeClaim": {"claimName": "x"}}, ".persistentVolumeClaim", "hostPath"),
        ({"nfs": {"server": "s", "path": "/"}}, ".nfs", "hostPath"),
        ({"csi": {"driver": "d"}}, ".csi", "hostPath"),
        ({"image": {"reference": "r"}}, ".image", "not pulled"),
        ({"ephemeral": {}}, ".ephemeral", "emptyDir"),
        ({"gitRepo": {"repository": "r"}}, ".gitRepo", "init container"),
        ({"emptyDir": {}, "nfs": {}}, "", "emptyDir and nfs"),
        ({"name": "../x"}, ".name", "a-z"),
        ({"configMap": {"name": "none"}}, ".configMap", "no ConfigMap 'none'"),
        ({"configMap": {"name": "config", "items": [{"key": "z", "path": "z"}]}}, ".configMap.items[0].key", "'z'"),
        (
            {"configMap": {"name": "config", "items": [{"key": "a.txt", "path": "../z"}]}},
            ".configMap.items[0].path",
            "within",
        ),
        ({"secret": {"secretName": "none"}}, ".secret", "no Secret 'none'"),
        ({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}, ".projected.sources[0]", "a cluster"),
        ({"hostPath": {"path": "relative"}}, ".hostPath.path", "absolute"),
        ({"hostPath": {"path": "/a/../b"}}, ".hostPath.path", "without .."),
        ({"hostPath": {"path": "/", "type": "Folder"}}, ".hostPath.type", "DirectoryOrCreate"),
        ({"hostPath": {"path": "/nowhere/at/all"}}, ".hostPath.path", "DirectoryOrCreate"),
        ({"hostPath": {"path": "/dev/null", "type": "Directory"}}, ".hostPath.path", "no Directory"),
        ({"hostPath": {"path": "/", "type": "File"}}, ".hostPath.path", "no File"),
    ],
    ids=str,
)
def test_a_volume_that_cannot_be_had_is_refused_with_what_would_do(
    volume: dict[str, Any], path: str, word: str, tmp_path: Path
) -> None:
    _, findings = plan(tmp_path, {"name": "v", **volume})
    assert [error.path for error in findings.refusals] == [f"v[0]{path}"]
    assert word in findings.refusals[0].message


def test_a_host_path_is_itself(tmp_path: Path) -> None:
    planned, findings = plan(tmp_path / "trial", {"name": "v", "hostPath": {"path": str(tmp_path)}})
    assert (planned.paths, planned.folders, findings.refusals) == ({"v": tmp_path}, (), ())


def test_a_host_path_that_may_be_created_is(tmp_path: Path) -> None:
    folder = {"name": "d", "hostPath": {"path": str(tmp_path / "d"), "type": "DirectoryOrCreate"}}
    file = {"name": "f", "hostPath": {"path": str(tmp_path / "f"), "type": "FileOrCreate"}}
    planned, findings = plan(tmp_path / "trial", folder, file)
    assert planned.folders == (tmp_path / "d",)
    assert planned.files == (PlannedFile(tmp_path / "f", b"", keep=True),)
    assert findings.refusals == ()


def test_two_volumes_of_one_name_are_refused(tmp_path: Path) -> None:
    assert [error.path for error in plan(tmp_path, {"name": "v"}, {"name": "v"})[1].refusals] == ["v[1].name"]


@pytest.mark.parametrize(
    ("entry", "local", "made"),
    [
        pytest.param({"mountPath": "/d/"}, "", False, id="whole"),
        pytest.param({"mountPath": "/d", "subPath": "x/y"}, "x/y", True, id="part"),
        pytest.param({"mountPath": "/d", "subPathExpr": "$(TRIAL)-x"}, "t-x", True, id="part by variable"),
    ],
)
def test_a_mount_is_the_volume_or_a_part_of_it(entry: dict[str, Any], local: str, made: bool, tmp_path: Path) -> None:
    found, findings, folders = mounts(tmp_path, {"name": "v"}, {"name": "v", **entry})
    assert findings.refusals == ()
    assert found == {"/d": tmp_path / "v" / local}
    assert folders == ((tmp_path / "v" / local,) if made else ())


def test_one_file_of_a_config_map_can_be_mounted(tmp_path: Path) -> None:
    volume = {"name": "v", "configMap": {"name": "config"}}
    found, _, folders = mounts(tmp_path, volume, {"name": "v", "mountPath": "/etc/a", "subPath": "a.txt"})
    assert found == {"/etc/a": tmp_path / "v/a.txt"}
    assert folders == ()


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ([{"name": "none", "mountPath": "/d"}], r"c.volumeMounts\[0].name"),
        ([{"name": "v", "mountPath": "d"}], r"c.volumeMounts\[0].mountPath"),
        ([{"name": "v", "mountPath": "//"}], r"c.volumeMounts\[0].mountPath"),
        ([{"name": "v", "mountPath": "/d"}, {"name": "v", "mountPath": "/d/"}], r"c.volumeMounts\[1].mountPath"),
        ([{"name": "v", "mountPath": "/d", "subPath": "a/../.."}], r"c.volumeMounts\[0].subPath"),
        ([{"name": "v", "mountPath": "/d", "subPath": "/a"}], r"c.volumeMounts\[0].subPath"),
        ([{"name": "v", "mountPath": "/d", "subPathExpr": "$(NONE)"}], r"c.volumeMounts\[0].subPathExpr"),
    ],
    ids=str,
)
def test_a_mount_that_makes_no_sense_is_refused(entries: list[dict[str, Any]], path: str, tmp_path: Path) -> None:
    _, findings, _ = mounts(tmp_path, {"name": "v"}, *entries)
    assert [re.fullmatch(path, error.path) is not None for error in findings.refusals] == [True]


def test_read_only_is_said_not_to_be_enforced(tmp_path: Path) -> None:
    _, findings, _ = mounts(tmp_path, {"name": "v"}, {"name": "v", "mountPath": "/d", "readOnly": True})
    assert [warning.path for warning in findings.warnings] == ["c.volumeMounts[0].readOnly"]
