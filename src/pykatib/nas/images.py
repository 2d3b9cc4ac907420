"""The images to train on: CIFAR-10 where the user has it, else the handwritten digits that scikit-learn ships.

Promises: which set is in use is said (`ImageSet.description`); sizes that do not fit it are refused; the test images
are never touched by a search, so that what is found can be judged by them.

The digits are 1,797 images of 8x8 pixels, in the order in which people wrote them. Validation and test are the hands of
others than those trained on. CIFAR-10 is read from the files of its authors (`cifar-10-batches-py` or
`cifar-10-batches-bin`), found in the folder that is named, in `CIFAR10_FOLDER`, or in `./data`.
"""

import gzip
import importlib.util
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pykatib.nas.reading import refused

FOLDER_VARIABLE: Final = "CIFAR10_FOLDER"
CLASSES: Final = 10
DIGITS_SIDE: Final = 8
DIGITS_TRAINING, DIGITS_VALIDATION = 900, 450
DIGITS_REPEATS: Final = 5  # so few images would make an epoch of seven steps
CIFAR_SIDE: Final = 32
CIFAR_VALIDATION: Final = 5_000
CIFAR_RECORD: Final = 1 + 3 * CIFAR_SIDE * CIFAR_SIDE


@dataclass(frozen=True)
class Labelled:
    """Images [n, channels, height, width] of numbers from 0 to 1, or of bytes, and their classes."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, begin: int, end: int) -> "Labelled":
        """Some of them."""
        return Labelled(self.images[begin:end], self.labels[begin:end])

    def and_then(self, other: "Labelled") -> "Labelled":
        """These, and others after them."""
        return Labelled(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]))


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images in three parts, how they are made alike, and how they may be moved about while training."""

    name: str
    description: str
    training: Labelled
    validation: Labelled
    test: Labelled
    deviation: torch.Tensor
    flips: bool
    shift: int
    repeats: int = 1  # how often an epoch shows each image, moved about anew each time
    classes: int = CLASSES

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.training.images.shape[1])

    def halves(self) -> tuple[Labelled, Labelled]:
        """Training and validation images cut in two: for the weights, and for the architecture."""
        both = self.training.and_then(self.validation)
        return both.part(0, len(both) // 2), both.part(len(both) // 2, len(both))

    def prepared(self, images: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Images as a network gets them: of one deviation, and black still zero, as a chain may begin with a ReLU."""
        moved = images.to(device)
        scaled = moved.float() / 255 if moved.dtype == torch.uint8 else moved
        return scaled / self.deviation.to(device)

    def varied(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Images moved by a few pixels, and some of them mirrored where that leaves them what they are."""
        count, channels, height, width = images.shape
        shift = self.shift
        padded = functional.pad(images, (shift, shift, shift, shift))
        corners = torch.randint(0, 2 * shift + 1, (2, count), generator=generator)
        rows = (corners[0][:, None] + torch.arange(height))[:, None, :, None]
        columns = (corners[1][:, None] + torch.arange(width))[:, None, None, :]
        if self.flips:
            mirrored = torch.rand(count, generator=generator) < 0.5
            columns = torch.where(mirrored[:, None, None, None], columns.flip(3), columns)
        return padded[
            torch.arange(count)[:, None, None, None], torch.arange(channels)[None, :, None, None], rows, columns
        ]


def load_images(
    name: str = "auto",
    *,
    folder: str = "",
    size: tuple[int, int, int] | None = None,
    side: int | None = None,
    limit: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> ImageSet:
    """The images of a name (`auto`: CIFAR-10 where it is found, else the digits), of a size (height, width, channels).

    Without a size they come as they are, the digits drawn with `side` pixels a side, or 16.
    `limit` takes only so many of the images of each part. InvalidInput says what is missing, or does not fit.
    """
    found = _cifar_folder(folder, environ)
    if name == "cifar10" and found is None:
        where = folder or environ.get(FOLDER_VARIABLE) or "./data"
        raise refused("--data", f"there is no CIFAR-10 in {where}: name the folder that holds cifar-10-batches-py")
    if name == "auto" and folder and found is None:
        raise refused("--data_folder", f"{folder} holds neither cifar-10-batches-py nor cifar-10-batches-bin")
    if name == "digits" or found is None:
        drawn = side or 2 * DIGITS_SIDE
        return _digits(size or (drawn, drawn, 1), limit)
    return _cifar(found, size or (side or CIFAR_SIDE, side or CIFAR_SIDE, 3), limit)


def check_classes(classes: int, images: ImageSet, path: str) -> None:
    """Refuses a network whose outputs are not the classes of the images."""
    if classes != images.classes:
        raise refused(path, f"found {classes}, but {images.name} has {images.classes} classes")


def _digits(size: tuple[int, int, int], limit: int | None) -> ImageSet:
    height, width, channels = size
    if height < DIGITS_SIDE or width < DIGITS_SIDE or channels not in (1, 3):
        message = f"found {height}x{width}x{channels}; the digits can be drawn at 8x8 or more, with 1 or 3 channels"
        raise refused("input_sizes", message)
    package = importlib.util.find_spec("sklearn")
    folders = package.submodule_search_locations if package is not None else None
    file = Path(folders[0], "datasets", "data", "digits.csv.gz") if folders else None
    if file is None or not file.is_file():
        message = "there is no CIFAR-10, and no scikit-learn, which ships the digits: pip install scikit-learn"
        raise refused("--data", message)
    with gzip.open(file, "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.float32)
    pixels = torch.from_numpy(table[:, :-1] / np.float32(16)).reshape(-1, 1, DIGITS_SIDE, DIGITS_SIDE)
    if (height, width) != (DIGITS_SIDE, DIGITS_SIDE):
        pixels = functional.interpolate(pixels, size=(height, width), mode="bilinear", align_corners=False)
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    all_images = Labelled(pixels.expand(-1, channels, -1, -1).contiguous(), labels)
    second = DIGITS_TRAINING + DIGITS_VALIDATION
    parts = (
        all_images.part(0, DIGITS_TRAINING),
        all_images.part(DIGITS_TRAINING, second),
        all_images.part(second, len(all_images)),
    )
    drawn = "" if (height, width) == (DIGITS_SIDE, DIGITS_SIDE) else f", drawn at {height}x{width}"
    return _image_set(
        "digits",
        f"scikit-learn's handwritten digits (8x8 grey{drawn})",
        parts,
        limit,
        flips=False,
        shift=max(1, height // DIGITS_SIDE),
        repeats=DIGITS_REPEATS,
    )


def _cifar(folder: Path, size: tuple[int, int, int], limit: int | None) -> ImageSet:
    if size != (CIFAR_SIDE, CIFAR_SIDE, 3):
        height, width, channels = size
        raise refused("input_sizes", f"found {height}x{width}x{channels}, but images of CIFAR-10 are 32x32x3")
    read, names = _reader(folder)
    tables = [read(folder / name) for name in names]
    training = _labelled(np.concatenate(tables[:-1]))
    test = _labelled(tables[-1])
    edge = len(training) - CIFAR_VALIDATION
    parts = (training.part(0, edge), training.part(edge, len(training)), test)
    return _image_set("CIFAR-10", f"CIFAR-10 from {folder}", parts, limit, flips=True, shift=4)


def _image_set(
    name: str,
    description: str,
    parts: tuple[Labelled, Labelled, Labelled],
    limit: int | None,
    *,
    flips: bool,
    shift: int,
    repeats: int = 1,
) -> ImageSet:
    training, validation, test = (part if limit is None else part.part(0, limit) for part in parts)
    numbers = f"{len(training)} to train, {len(validation)} to validate, {len(test)} to test"
    if repeats > 1:
        numbers += f"; an epoch shows each {repeats} times, moved by a pixel or so"
    sample = training.images[:10_000]
    pixels = sample.float() / 255 if sample.dtype == torch.uint8 else sample
    return ImageSet(
        name=name,
        description=f"{description}; {numbers}",
        training=training,
        validation=validation,
        test=test,
        deviation=pixels.std(dim=(0, 2, 3)).reshape(1, -1, 1, 1).clamp_min(1e-6),
        flips=flips,
        shift=shift,
        repeats=repeats,
    )


def _cifar_folder(folder: str, environ: Mapping[str, str]) -> Path | None:
    for place in (folder,) if folder else (environ.get(FOLDER_VARIABLE, ""), "data"):
        if not place:
            continue
        for inside in ("", "cifar-10-batches-py", "cifar-10-batches-bin"):
            found = Path(place, inside)
            if (found / "test_batch").is_file() or (found / "test_batch.bin").is_file():
                return found
    return None


def _reader(folder: Path) -> tuple[Callable[[Path], NDArray[np.uint8]], list[str]]:
    if (folder / "test_batch.bin").is_file():
        return _binary, [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    return _pickled, [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def _binary(file: Path) -> NDArray[np.uint8]:
    """Rows of a class and the bytes of an image."""
    try:
        rows = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise refused("--data_folder", f"{file} cannot be read: {error}") from error
    if len(rows) == 0 or len(rows) % CIFAR_RECORD:
        raise refused("--data_folder", f"{file} is no file of CIFAR-10: its length is {len(rows)} bytes")
    return rows.reshape(-1, CIFAR_RECORD)


def _pickled(file: Path) -> NDArray[np.uint8]:
    try:
        batch = pickle.loads(file.read_bytes(), encoding="bytes")
        labels, pixels = np.asarray(batch[b"labels"], dtype=np.uint8), np.asarray(batch[b"data"], dtype=np.uint8)
        return np.concatenate([labels[:, None], pixels.reshape(-1, CIFAR_RECORD - 1)], axis=1)
    except OSError as error:
        raise refused("--data_folder", f"{file} cannot be read: {error}") from error
    except (pickle.UnpicklingError, KeyError, TypeError, ValueError, EOFError) as error:
        raise refused("--data_folder", f"{file} is no file of CIFAR-10: {error}") from error


def _labelled(rows: NDArray[np.uint8]) -> Labelled:
    pixels = torch.from_numpy(rows[:, 1:].copy()).reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
    return Labelled(pixels, torch.from_numpy(rows[:, 0].astype(np.int64)))
