"""Where an image's files are on this machine. Images are not pulled: a folder stands for one.

`--image IMAGE=FOLDER` says which. FOLDER holds the files as the image would, `/opt/app/train.py` as
`FOLDER/opt/app/train.py`, and may hold a file `katib-image.toml` with what else a container needs of its image:

    entrypoint = ["python3", "/opt/app/train.py"]   # what runs when the container has no command
    cmd = ["--epochs=1"]                            # its arguments when the container has no args
    workdir = "/opt/app"                            # where it runs when the container has no workingDir
    [env]                                           # variables below those of the container
    APP_HOME = "/opt/app"

A key names an image with or without tag or digest: without, it stands for all of them; with, for that one alone, and
it goes first. `docker.io/` and `docker.io/library/` in front mean nothing, as with Docker. The images of Katib's own
examples stand for the folders of `programs/`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

import pykatib
from pykatib.api.errors import FieldError, InvalidInput

IMAGE_FILE: Final = "katib-image.toml"

# Katib's example images, those of its older releases included, and the folders of `programs/` that do what they do.
EXAMPLE_IMAGES: Final[Mapping[str, str]] = {
    "seokii/mnist-katib-random": "mnist",
    "ghcr.io/kubeflow/katib/pytorch-mnist-cpu": "mnist",
    "ghcr.io/kubeflow/katib/pytorch-mnist-gpu": "mnist",
    "kubeflowkatib/pytorch-mnist": "mnist",
    "kubeflowkatib/pytorch-mnist-cpu": "mnist",
    "kubeflowkatib/pytorch-mnist-gpu": "mnist",
    "ghcr.io/kubeflow/katib/simple-pbt": "simple-pbt",
    "kubeflowkatib/simple-pbt": "simple-pbt",
    "ghcr.io/kubeflow/katib/tf-mnist-with-summaries": "mnist",
    "kubeflowkatib/tf-mnist-with-summaries": "mnist",
    "ghcr.io/kubeflow/katib/enas-cnn-cifar10-cpu": "enas_cnn",
    "ghcr.io/kubeflow/katib/enas-cnn-cifar10-gpu": "enas_cnn",
    "kubeflowkatib/enas-cnn-cifar10-cpu": "enas_cnn",
    "kubeflowkatib/enas-cnn-cifar10-gpu": "enas_cnn",
    "ghcr.io/kubeflow/katib/darts-cnn-cifar10-cpu": "darts_cnn",
    "ghcr.io/kubeflow/katib/darts-cnn-cifar10-gpu": "darts_cnn",
    "kubeflowkatib/darts-cnn-cifar10-cpu": "darts_cnn",
    "kubeflowkatib/darts-cnn-cifar10-gpu": "darts_cnn",
}


class ImageFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of `katib-image.toml`."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    workdir: str = ""
    env: dict[str, str] = {}


class ImageFolder(msgspec.Struct, frozen=True):
    """The folder that stands for an image; `described` is None where it has no `katib-image.toml`."""

    folder: Path
    described: ImageFile | None = None


class Images:
    """Finds the folder of an image. The user's mappings go before the built-in ones."""

    def __init__(self, mappings: Mapping[str, Path] | None = None, *, programs: Path | None = None) -> None:
        """Reads every mapped folder once. Raises InvalidInput, with all faults, where one cannot be used."""
        errors: list[FieldError] = []
        self._folders: dict[str, ImageFolder] = {}
        if programs is not None:
            for image, name in EXAMPLE_IMAGES.items():
                if (programs / name).is_dir():
                    self._add(image, programs / name, errors)
        for image, folder in (mappings or {}).items():
            self._add(image, folder, errors)
        if errors:
            raise InvalidInput(errors)

    def _add(self, image: str, folder: Path, errors: list[FieldError]) -> None:
        path = f"image {image}"
        if not folder.is_dir():
            errors.append(FieldError(path, f"{folder} is not a folder; name the one that holds the image's files"))
            return
        try:
            self._folders[_normalised(image)] = ImageFolder(folder.resolve(), _read_image_file(folder))
        except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            errors.append(FieldError(path, f"{folder / IMAGE_FILE} cannot be read: {error}"))

    def find(self, image: str) -> ImageFolder | None:
        """The folder that stands for an image, or None."""
        name = _normalised(image)
        without_digest = name.partition("@")[0]
        for key in (name, without_digest, _without_tag(without_digest)):
            if key in self._folders:
                return self._folders[key]
        return None


def parse_image_options(options: Iterable[str]) -> dict[str, Path]:
    """The mappings of `--image IMAGE=FOLDER` options, a later one over an earlier. Raises InvalidInput."""
    mappings: dict[str, Path] = {}
    errors: list[FieldError] = []
    for option in options:
        image, separator, folder = option.partition("=")
        if not (image.strip() and separator and folder.strip()):
            errors.append(FieldError("--image", f"found {option!r}; write IMAGE=FOLDER"))
            continue
        mappings[image.strip()] = Path(folder.strip()).expanduser()
    if errors:
        raise InvalidInput(errors)
    return mappings


def programs_folder() -> Path | None:
    """Where the example programs are: inside the installed package, else at the root of a checkout, else nowhere."""
    package = Path(pykatib.__file__).resolve().parent
    for folder in (package / "programs", package.parents[1] / "programs"):
        if folder.is_dir():
            return folder
    return None


def _read_image_file(folder: Path) -> ImageFile | None:
    file = folder / IMAGE_FILE
    if not file.is_file():
        return None
    return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), ImageFile)


def _normalised(image: str) -> str:
    image = image.strip()
    for registry in ("docker.io/", "index.docker.io/"):
        image = image.removeprefix(registry)
    return image.removeprefix("library/")


def _without_tag(image: str) -> str:
    # A colon before the last slash belongs to a registry's port.
    path, slash, last = image.rpartition("/")
    return path + slash + last.partition(":")[0]
