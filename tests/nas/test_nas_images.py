"""The images: which set is taken, in which parts, of which sizes, and how they are moved about."""

import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="images are tensors of the extra nas")

from pykatib.api.errors import InvalidInput  # noqa: E402
from pykatib.nas import images as images_module  # noqa: E402
from pykatib.nas.images import ImageSet, Labelled, check_classes, load_images  # noqa: E402

RECORDS = 40


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A CIFAR-10 of a few images in both of its forms; image i of a file has the value i everywhere."""
    monkeypatch.setattr(images_module, "CIFAR_VALIDATION", 20)
    folders = {"py": tmp_path / "pickled" / "cifar-10-batches-py", "bin": tmp_path / "binary" / "cifar-10-batches-bin"}
    for folder in folders.values():
        folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        labels = np.arange(RECORDS, dtype=np.uint8) % 10
        pixels = np.repeat(np.arange(RECORDS, dtype=np.uint8)[:, None], 3072, axis=1)
        batch = {b"labels": labels.tolist(), b"data": pixels}
        (folders["py"] / name).write_bytes(pickle.dumps(batch))
        np.concatenate([labels[:, None], pixels], axis=1).tofile(folders["bin"] / f"{name}.bin")
    return folders


@pytest.mark.parametrize("form", ["py", "bin"])
def test_cifar_is_read_from_both_of_its_forms(cifar: dict[str, Path], form: str) -> None:
    for place in (cifar[form], cifar[form].parent):
        found = load_images(folder=str(place), environ={})
        assert found.name == "CIFAR-10"
        assert str(cifar[form]) in found.description
        assert [len(part) for part in (found.training, found.validation, found.test)] == [180, 20, RECORDS]
        assert found.training.images.shape == (180, 3, 32, 32)
        assert found.test.images[7].unique().tolist() == [7]
        assert found.test.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_cifar_is_found_where_the_environment_says_else_the_digits_are_taken(cifar: dict[str, Path]) -> None:
    assert load_images(environ={"CIFAR10_FOLDER": str(cifar["py"].parent)}).name == "CIFAR-10"
    assert load_images("digits", environ={"CIFAR10_FOLDER": str(cifar["py"])}).name == "digits"
    digits = load_images(environ={})
    assert digits.name == "digits"
    assert "scikit-learn's handwritten digits" in digits.description


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "cifar10"}, "--data: there is no CIFAR-10 in ./data"),
        ({"folder": "/nowhere"}, "--data_folder: /nowhere holds neither"),
        ({"size": (4, 4, 1)}, "input_sizes: found 4x4x1; the digits can be drawn at 8x8 or more"),
        ({"size": (32, 32, 4)}, "input_sizes: found 32x32x4; the digits can be drawn at 8x8 or more, with 1 or 3"),
    ],
    ids=str,
)
def test_images_that_are_not_there_or_do_not_fit_are_refused(arguments: dict[str, str], error: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_images(**arguments, environ={})  # type: ignore[arg-type]
    assert str(caught.value.errors[0]).startswith(error)


def test_sizes_that_are_not_those_of_cifar_are_refused(cifar: dict[str, Path]) -> None:
    with pytest.raises(InvalidInput, match=r"input_sizes: found 28x28x1, but images of CIFAR-10 are 32x32x3"):
        load_images(folder=str(cifar["py"]), size=(28, 28, 1))


@pytest.mark.parametrize("name", ["test_batch", "data_batch_3"])
def test_a_broken_file_of_cifar_is_named(cifar: dict[str, Path], name: str) -> None:
    (cifar["py"] / name).write_bytes(b"not a pickle")
    with pytest.raises(InvalidInput, match=f"{name} is no file of CIFAR-10"):
        load_images(folder=str(cifar["py"]))
    (cifar["bin"] / f"{name}.bin").write_bytes(b"short")
    with pytest.raises(InvalidInput, match=f"{name}.bin is no file of CIFAR-10: its length is 5 bytes"):
        load_images(folder=str(cifar["bin"]))


def test_a_network_with_other_outputs_than_classes_is_refused() -> None:
    digits = load_images("digits", side=8)
    check_classes(10, digits, "nn_config.output_sizes")
    with pytest.raises(InvalidInput, match=r"nn_config.output_sizes: found 12, but digits has 10 classes"):
        check_classes(12, digits, "nn_config.output_sizes")


def test_parts_and_halves_have_no_image_in_common_and_halves_leave_the_test_images_out() -> None:
    digits = load_images("digits", side=8)
    assert [len(part) for part in (digits.training, digits.validation, digits.test)] == [900, 450, 447]
    weights, alphas = digits.halves()
    assert (len(weights), len(alphas)) == (675, 675)
    together = torch.cat([weights.images, alphas.images])
    torch.testing.assert_close(together, torch.cat([digits.training.images, digits.validation.images]))


def test_digits_are_drawn_at_the_size_and_with_the_channels_that_are_asked_for() -> None:
    digits = load_images("digits", size=(32, 24, 3), limit=5)
    assert digits.training.images.shape == (5, 3, 32, 24)
    assert len(digits.test) == 5
    assert torch.equal(digits.training.images[:, 0], digits.training.images[:, 2])
    assert float(digits.training.images.max()) <= 1


def numbered(*, flips: bool, shift: int) -> ImageSet:
    images = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4).repeat(200, 1, 1, 1)
    part = Labelled(images, torch.zeros(200, dtype=torch.int64))
    one = torch.ones(1)
    return ImageSet(
        name="x", description="", training=part, validation=part, test=part, deviation=one, flips=flips, shift=shift
    )


def test_images_are_moved_by_up_to_the_shift_and_mirrored_where_they_may_be() -> None:
    still = numbered(flips=False, shift=0)
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(still.varied(still.training.images, generator), still.training.images)

    moved = numbered(flips=False, shift=1)
    corners = moved.varied(moved.training.images, generator)[:, 0, 1, 1].unique().tolist()
    assert corners == [1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 9.0, 10.0, 11.0]

    mirrored = numbered(flips=True, shift=0)
    rows = {tuple(row) for row in mirrored.varied(mirrored.training.images, generator)[:, 0, 0].tolist()}
    assert rows == {(1.0, 2.0, 3.0, 4.0), (4.0, 3.0, 2.0, 1.0)}


def test_equal_generators_move_images_equally() -> None:
    images = numbered(flips=True, shift=1)
    varied = [images.varied(images.training.images, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*varied)
