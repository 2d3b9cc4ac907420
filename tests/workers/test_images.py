"""A folder stands for an image, whichever way the image is written."""

from pathlib import Path

import pytest

from pykatib.api.errors import InvalidInput
from pykatib.workers.images import EXAMPLE_IMAGES, Images, parse_image_options, programs_folder


@pytest.mark.parametrize(
    ("key", "image", "found"),
    [
        pytest.param("user/app", "user/app", True, id="equal"),
        pytest.param("user/app", "user/app:1.2", True, id="tag of the image ignored"),
        pytest.param("user/app", "user/app@sha256:ab", True, id="digest of the image ignored"),
        pytest.param("user/app", "user/app:1.2@sha256:ab", True, id="tag and digest ignored"),
        pytest.param("user/app:1.2", "user/app:1.2", True, id="tag of the key matches"),
        pytest.param("user/app:1.2", "user/app:1.3", False, id="tag of the key differs"),
        pytest.param("user/app:1.2", "user/app", False, id="tag of the key, none of the image"),
        pytest.param("user/app:1.2", "user/app:1.2@sha256:ab", True, id="tag of the key, digest ignored"),
        pytest.param("docker.io/user/app", "user/app:1", True, id="registry of the key dropped"),
        pytest.param("user/app", "docker.io/user/app:1", True, id="registry of the image dropped"),
        pytest.param("python", "docker.io/library/python:3.11", True, id="library dropped"),
        pytest.param("host:5000/app", "host:5000/app:1", True, id="port is no tag"),
        pytest.param("app", "other/app", False, id="other repository"),
        pytest.param("ghcr.io/user/app", "user/app", False, id="other registry"),
    ],
)
def test_an_image_is_found_by_its_name(key: str, image: str, found: bool, tmp_path: Path) -> None:
    folder = Images({key: tmp_path}).find(image)
    assert (folder is not None) == found


def test_a_key_with_a_tag_goes_before_one_without(tmp_path: Path) -> None:
    (tmp_path / "any").mkdir()
    (tmp_path / "one").mkdir()
    images = Images({"app:1": tmp_path / "one", "app": tmp_path / "any"})
    found = [images.find(image) for image in ("app:1", "app:2")]
    assert [one.folder.name for one in found if one is not None] == ["one", "any"]


def test_the_users_folder_goes_before_the_built_in_one(tmp_path: Path) -> None:
    images = Images({"seokii/mnist-katib-random": tmp_path}, programs=programs_folder())
    found = images.find("seokii/mnist-katib-random:0.0.4")
    assert found is not None
    assert found.folder == tmp_path.resolve()


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"image app: .*nowhere is not a folder"):
        Images({"app": tmp_path / "nowhere"})


@pytest.mark.parametrize(
    "image",
    [
        "seokii/mnist-katib-random:0.0.4",
        "ghcr.io/kubeflow/katib/pytorch-mnist-cpu:latest",
        "ghcr.io/kubeflow/katib/pytorch-mnist-gpu:latest",
        "docker.io/kubeflowkatib/pytorch-mnist:v1beta1-45c5727",
        "ghcr.io/kubeflow/katib/simple-pbt:latest",
    ],
)
def test_example_images_stand_for_programs(image: str) -> None:
    found = Images(programs=programs_folder()).find(image)
    assert found is not None
    assert any(found.folder.rglob("*.py"))


def test_example_images_without_a_program_stand_for_nothing(tmp_path: Path) -> None:
    images = Images(programs=tmp_path)
    assert [image for image in EXAMPLE_IMAGES if images.find(image) is not None] == []


def test_the_image_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "katib-image.toml").write_text('entrypoint = ["run"]\nworkdir = "/opt"\n[env]\nA = "b"\n')
    found = Images({"app": tmp_path}).find("app")
    assert found is not None
    assert found.described is not None
    assert (found.described.entrypoint, found.described.workdir, found.described.env) == (("run",), "/opt", {"A": "b"})


@pytest.mark.parametrize("text", ["entrypoint = [", 'entry = ["run"]', 'entrypoint = "run"', "cmd = [1]"])
def test_a_bad_image_file_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "katib-image.toml").write_text(text)
    with pytest.raises(InvalidInput, match=r"katib-image\.toml cannot be read"):
        Images({"app": tmp_path})


def test_options_map_images_to_folders() -> None:
    assert parse_image_options(["a/b:1=/x", "host:5000/c=y=z"]) == {"a/b:1": Path("/x"), "host:5000/c": Path("y=z")}


@pytest.mark.parametrize("option", ["app", "=folder", "app=", ""])
def test_a_bad_option_is_refused(option: str) -> None:
    with pytest.raises(InvalidInput, match="write IMAGE=FOLDER"):
        parse_image_options([option])
