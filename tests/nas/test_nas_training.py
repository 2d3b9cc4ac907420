"""Training: it learns, ends on what is no number, and goes on from a checkpoint as if it had not been ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from nas_texts import nn_config

torch = pytest.importorskip("torch", reason="training needs the extra nas")

from torch import nn  # noqa: E402

from pykatib.api.errors import InvalidInput  # noqa: E402
from pykatib.nas.bilevel import SearchRates  # noqa: E402
from pykatib.nas.chain import ChainNetwork  # noqa: E402
from pykatib.nas.checkpoints import Checkpoints, folder_of, identity  # noqa: E402
from pykatib.nas.darts_settings import read_darts_settings  # noqa: E402
from pykatib.nas.devices import Devices, choose_devices  # noqa: E402
from pykatib.nas.images import ImageSet, load_images  # noqa: E402
from pykatib.nas.plans import read_plan  # noqa: E402
from pykatib.nas.training import Batches, DivergedError, Epoch, train  # noqa: E402

CPU = Devices(torch.device("cpu"), 0, mixed_precision=False)


def digits(limit: int | None = None) -> ImageSet:
    return load_images("digits", size=(8, 8, 1), limit=limit, environ={})


def network(filters: int = 8) -> ChainNetwork:
    torch.manual_seed(1)
    convolution = ("convolution", {"filter_size": 3, "num_filter": filters, "stride": 1})
    pooling = ("reduction", {"reduction_type": "max_pooling", "pool_size": 2})
    return ChainNetwork(
        read_plan("[[0], [1, 0], [0, 0, 0]]", nn_config(convolution, pooling, layers=3, sizes=(8, 8, 1)))
    )


def epochs(
    count: int,
    *,
    of: nn.Module | None = None,
    images: ImageSet | None = None,
    rate: float = 1e-3,
    checkpoints: Checkpoints | None = None,
    devices: Devices = CPU,
    cosine_to: float | None = None,
) -> Iterator[Epoch]:
    return train(
        of or network(),
        images or digits(100),
        devices,
        optimizer=lambda weights: torch.optim.Adam(weights, lr=rate),
        epochs=count,
        batch_size=32,
        seed=1,
        checkpoints=checkpoints,
        cosine_to=cosine_to,
    )


def test_it_learns_to_tell_the_digits_of_writers_it_has_not_seen() -> None:
    *_, last = epochs(3, of=network(24), images=digits(), rate=5e-3)
    assert last.number == 3
    assert last.validation.accuracy > 0.75
    assert last.training.loss < 1.0


def test_equal_trainings_are_equal() -> None:
    assert list(epochs(2)) == list(epochs(2))


@pytest.mark.parametrize("cosine_to", [None, 1e-4], ids=["constant rate", "falling rate"])
def test_a_training_that_was_ended_goes_on_as_if_it_had_not_been(tmp_path: Path, cosine_to: float | None) -> None:
    whole = list(epochs(4, cosine_to=cosine_to))
    first = epochs(4, checkpoints=Checkpoints(tmp_path, "same"), cosine_to=cosine_to)
    seen = [next(first), next(first)]
    first.close()
    then = list(epochs(4, checkpoints=Checkpoints(tmp_path, "same"), cosine_to=cosine_to))
    assert [*seen, *then[1:]] == whole
    assert then[0] == seen[1]  # said again: the log of the first attempt may be gone
    assert list(epochs(4, checkpoints=Checkpoints(tmp_path, "same"), cosine_to=cosine_to)) == whole[-1:]


def test_the_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    next(epochs(1, checkpoints=Checkpoints(tmp_path, identity(epochs=1))))
    with pytest.raises(InvalidInput, match=r"--checkpoint: .* is of a training with other arguments"):
        next(epochs(1, checkpoints=Checkpoints(tmp_path, identity(epochs=2))))


@pytest.mark.parametrize("content", [b"", b"foreign", b"PK\x03\x04half"], ids=["empty", "foreign", "half"])
def test_what_is_no_checkpoint_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "training.pt"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"training\.pt is no checkpoint"):
        next(epochs(1, checkpoints=Checkpoints(tmp_path, "x")))
    assert file.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"--checkpoint: .*file/in/training\.pt cannot be written"):
        next(epochs(1, checkpoints=Checkpoints(tmp_path / "file" / "in", "x")))


def test_checkpoints_go_where_it_is_said_else_into_the_trials_own_folder(tmp_path: Path) -> None:
    own = {"PYKATIB_METRICS_FILE": str(tmp_path / "trial-1" / "2" / "metrics.jsonl")}
    assert folder_of(str(tmp_path / "stated"), own) == tmp_path / "stated"
    assert folder_of("", own) == tmp_path / "trial-1" / "checkpoint"
    assert folder_of("", {"PYKATIB_METRICS_FILE": str(tmp_path / "elsewhere" / "metrics.jsonl")}) is None
    assert folder_of("", {}) is None


def test_a_loss_that_is_no_number_ends_the_training_with_its_place() -> None:
    broken = network()
    with torch.no_grad():
        broken.classifier.bias.fill_(float("inf"))
    with pytest.raises(DivergedError, match=r"the loss is nan in epoch 1, step 1 of 16"):
        next(epochs(1, of=broken))


def test_mixed_precision_learns_too() -> None:
    if torch.get_num_threads() and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch computes bfloat16 too slowly for a test")
    *_, last = epochs(2, devices=Devices(torch.device("cpu"), 0, mixed_precision=True), rate=5e-3)
    assert last.training.loss < 2.3


def test_without_gpus_the_cpu_is_taken_and_it_is_said_when_more_were_asked_for() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has GPUs")
    devices, note = choose_devices(2, mixed_precision=False)
    assert str(devices) == "the CPU, single precision"
    assert note == "2 GPUs were asked for, and 0 are here."
    assert choose_devices(1, mixed_precision=True)[1] == ""


@pytest.mark.parametrize(("size", "count"), [(64, 8), (100, 5), (499, 1), (500, 1), (3, 167)])
def test_a_last_batch_of_one_image_is_left_out(size: int, count: int) -> None:
    images = digits(100)  # each shown five times an epoch
    batches = Batches(images, images.training, size=size, seed=1, device=torch.device("cpu"))
    sizes = [len(labels) for _, labels in batches]
    assert len(sizes) == batches.count == count
    assert min(sizes) > 1


def test_an_epoch_shows_every_image_as_often_as_it_is_to() -> None:
    images = digits(20)
    batches = Batches(images, images.training, size=7, seed=1, device=torch.device("cpu"))
    labels = torch.cat([labels for _, labels in batches])
    assert labels.bincount().tolist() == (5 * images.training.labels.bincount()).tolist()


def test_settings_of_darts_are_read_as_numbers_or_texts_and_null_is_the_default() -> None:
    settings = read_darts_settings(
        "{'num_epochs': '3', 'w_lr': 0.5, 'batch_size': null, 'order': 'first', 'num_epoch': '7'}"
    )
    assert settings.rates == SearchRates(w_lr=0.5)
    assert (settings.epochs, settings.batch_size, settings.nodes, settings.order, settings.seed) == (
        3,
        128,
        4,
        "first",
        2,
    )
    assert settings.complaints == ["The setting 'num_epoch' means nothing to this program; did you mean num_epochs?"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{'w_lr': '-1'}", "algorithm-settings: w_lr must be a number at least 0, found '-1'"),
        (
            "{'num_epochs': 0, 'order': 'third'}",
            "num_epochs must be a whole number at least 1, found '0'; order must be one",
        ),
        ("[]", "algorithm-settings: found [], wanted settings by name"),
        ("{", "algorithm-settings: found '{', which is no JSON"),
    ],
)
def test_settings_that_make_no_sense_are_refused(text: str, error: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_darts_settings(text)
    assert error in str(caught.value.errors[0])
