"""Training a network that is given, epoch by epoch: for ENAS's Trials, and for what a search has found."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pykatib.nas.checkpoints import Checkpoints
from pykatib.nas.devices import Devices
from pykatib.nas.images import ImageSet, Labelled


class DivergedError(Exception):
    """A loss that is no number; the message says where."""


@dataclass(frozen=True)
class Score:
    """Accuracy as a share, and mean loss."""

    accuracy: float
    loss: float


@dataclass(frozen=True)
class Epoch:
    """What came out of an epoch, counted from 1."""

    number: int
    training: Score
    validation: Score


class Tally:
    """Accuracy and loss over batches."""

    def __init__(self) -> None:
        self._right = 0
        self._loss = 0.0
        self._count = 0

    def add(self, scores: torch.Tensor, labels: torch.Tensor, loss: float) -> None:
        """Counts a batch."""
        self._right += int((scores.argmax(dim=1) == labels).sum())
        self._loss += loss * len(labels)
        self._count += len(labels)

    @property
    def score(self) -> Score:
        """Over all batches so far."""
        return Score(self._right / max(self._count, 1), self._loss / max(self._count, 1))


class Batches:
    """Batches of images in random order, moved about; one pass after another from the same generator."""

    def __init__(self, images: ImageSet, part: Labelled, *, size: int, seed: int, device: torch.device) -> None:
        self._images, self._part, self._size, self._device = images, part, size, device
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def count(self) -> int:
        """Batches of a pass. A last one of a single image is left out: batch norm needs two."""
        whole, left = divmod(len(self._part) * self._images.repeats, self._size)
        return whole + (1 if left > 1 or (left == 1 and whole == 0) else 0)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        passes = [torch.randperm(len(self._part), generator=self.generator) for _ in range(self._images.repeats)]
        order = torch.cat(passes)
        for number in range(self.count):
            chosen = order[number * self._size : (number + 1) * self._size]
            images = self._images.varied(self._part.images[chosen], self.generator)
            yield self._images.prepared(images, self._device), self._part.labels[chosen].to(self._device)


def checked_loss(scores: torch.Tensor, labels: torch.Tensor, where: str) -> tuple[torch.Tensor, float]:
    """The cross-entropy as a tensor and as a number; DivergedError where it is none."""
    loss = functional.cross_entropy(scores.float() if scores.dtype == torch.bfloat16 else scores, labels)
    number = float(loss.detach())
    if not math.isfinite(number):
        raise DivergedError(f"training has diverged: the loss is {number} {where}")
    return loss, number


def evaluate(
    network: nn.Module, images: ImageSet, part: Labelled, devices: Devices, *, where: str, batch_size: int = 500
) -> Score:
    """The network's score on a part of the images, as they are."""
    network.eval()
    tally = Tally()
    with torch.no_grad(), devices.computing():
        for first in range(0, len(part), batch_size):
            some = part.part(first, first + batch_size)
            labels = some.labels.to(devices.device)
            scores = network(images.prepared(some.images, devices.device))
            tally.add(scores, labels, checked_loss(scores, labels, where)[1])
    return tally.score


def train(
    network: nn.Module,
    images: ImageSet,
    devices: Devices,
    *,
    optimizer: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer],
    epochs: int,
    batch_size: int,
    seed: int,
    checkpoints: Checkpoints | None = None,
    part: Labelled | None = None,
    cosine_to: float | None = None,
) -> Iterator[Epoch]:
    """Trains, and yields each epoch as it ends; one that a checkpoint had is yielded once more, as the last it knows.

    `part` is trained on in place of the training images. With `cosine_to` the learning rate falls to that.

    Raises:
        DivergedError: the loss is no number.
    """
    keeper = checkpoints or Checkpoints(None, "")
    network.to(devices.device)
    called = devices.spread(network)
    used = optimizer(network.parameters())
    schedule = None
    if cosine_to is not None:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(used, epochs, eta_min=cosine_to)
    batches = Batches(images, part or images.training, size=batch_size, seed=seed, device=devices.device)
    done = 0
    saved: dict[str, Any] | None = keeper.load()
    if saved is not None:
        network.load_state_dict(saved["network"])
        used.load_state_dict(saved["optimizer"])
        if schedule is not None:
            schedule.load_state_dict(saved["schedule"])
        batches.generator.set_state(saved["generator"])
        done = saved["epoch"]
        yield Epoch(done, Score(*saved["training"]), Score(*saved["validation"]))
    for number in range(done + 1, epochs + 1):
        called.train()
        tally = Tally()
        for step, (chosen, labels) in enumerate(batches, 1):
            with devices.computing():
                scores = called(chosen)
            loss, value = checked_loss(scores, labels, f"in epoch {number}, step {step} of {batches.count}")
            used.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            used.step()
            tally.add(scores.detach(), labels, value)
        if schedule is not None:
            schedule.step()
        where = f"on the validation images after epoch {number}"
        epoch = Epoch(number, tally.score, evaluate(called, images, images.validation, devices, where=where))
        keeper.save(
            network=network.state_dict(),
            optimizer=used.state_dict(),
            schedule=schedule.state_dict() if schedule is not None else None,
            generator=batches.generator.get_state(),
            epoch=number,
            training=[epoch.training.accuracy, epoch.training.loss],
            validation=[epoch.validation.accuracy, epoch.validation.loss],
        )
        yield epoch
