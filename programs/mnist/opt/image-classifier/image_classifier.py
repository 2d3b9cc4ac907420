"""A small image classifier, trained for real with numpy alone, that the entry programs beside it share.

The images are scikit-learn's handwritten digits (1,797 of 8×8 pixels). Only the data file of that package is read:
importing it would cost a Trial more time than the training does. The images stand in the order in which people wrote
them, so training on the first ones and testing on the last tests the hand of other writers: harder than shuffling,
and the honest question. Accuracy therefore levels off a few percent below one, and a search has something to find.

Promises: equal options give equal results; a diverging training goes on and reports its `nan`, it hides nothing.
"""

from __future__ import annotations

import gzip
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

try:
    import numpy as np
    from numpy.typing import NDArray
except ModuleNotFoundError:
    sys.exit(f"{sys.executable} has no numpy, with which this program trains: pip install numpy scikit-learn")

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Average = Callable[[Floats], Floats]

SIDE = 8
CLASSES = 10
TRAINING_IMAGES = 1000
HIDDEN_UNITS = (256, 128)
# Up to a pixel each way: every image is shown from 25 positions, as one shifts a page a little.
STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)
SHIFTS = tuple((dy, dx) for dy in STEPS for dx in STEPS)


class ImagesMissingError(Exception):
    """The package that ships the images is not installed; the message says what to do."""


@dataclass(frozen=True)
class Images:
    """The training set (each image at several positions) and the test set (other writers)."""

    training: Floats
    training_labels: Labels
    test: Floats
    test_labels: Labels


def load_images() -> Images:
    """Read the digits from the installed scikit-learn, or say which package is missing."""
    package = importlib.util.find_spec("sklearn")
    folders = package.submodule_search_locations if package is not None else None
    if not folders:
        raise ImagesMissingError(
            f"{sys.executable} has no scikit-learn, which ships the images to train on: pip install scikit-learn"
        )
    file = Path(folders[0], "datasets", "data", "digits.csv.gz")
    try:
        with gzip.open(file, "rt", encoding="ascii") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.float32)
    except FileNotFoundError as error:
        raise ImagesMissingError(
            f"the installed scikit-learn has no {file}: pip install --upgrade scikit-learn"
        ) from error
    pixels, labels = table[:, :-1] / np.float32(16), table[:, -1].astype(np.int64)
    training = pixels[:TRAINING_IMAGES].reshape(-1, SIDE, SIDE)
    shifted = [shift(training, dy, dx).reshape(-1, SIDE * SIDE) for dy, dx in SHIFTS]
    return Images(
        training=np.concatenate(shifted),
        training_labels=np.tile(labels[:TRAINING_IMAGES], len(SHIFTS)),
        test=pixels[TRAINING_IMAGES:],
        test_labels=labels[TRAINING_IMAGES:],
    )


def shift(images: Floats, dy: float, dx: float) -> Floats:
    """Move images by at most a pixel; what comes in from outside is blank."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    height, width = images.shape[1:]
    moved = np.zeros_like(images)
    for row, row_weight in ((0, max(dy, 0.0)), (1, 1 - abs(dy)), (2, max(-dy, 0.0))):
        for column, column_weight in ((0, max(dx, 0.0)), (1, 1 - abs(dx)), (2, max(-dx, 0.0))):
            if row_weight and column_weight:
                part = padded[:, row : row + height, column : column + width]
                moved += np.float32(row_weight * column_weight) * part
    return moved


class Network:
    """A perceptron of two hidden layers (rectified linear) that drops hidden units while it trains.

    `parameters` and the gradients are one flat vector each, of which the layers are views: an optimiser is then one
    line of arithmetic, and replicas exchange one message a step.
    """

    def __init__(self, *, dropout: float, seed: int) -> None:
        self.dropout = dropout
        self.random = np.random.default_rng(seed)
        sizes = (SIDE * SIDE, *HIDDEN_UNITS, CLASSES)
        shapes: list[tuple[int, ...]] = [
            shape for inputs, outputs in pairwise(sizes) for shape in ((inputs, outputs), (outputs,))
        ]
        count = sum(int(np.prod(shape)) for shape in shapes)
        self.parameters = np.zeros(count, dtype=np.float32)
        self.gradients = np.zeros(count, dtype=np.float32)
        self.layers = list(_views(self.parameters, shapes))
        self.layer_gradients = list(_views(self.gradients, shapes))
        for weights in self.layers[::2]:
            # He et al. 2015, eq. 10: keeps the variance through rectified layers.
            weights[...] = self.random.normal(0, np.sqrt(2 / weights.shape[0]), weights.shape)

    def scores(self, images: Floats) -> Floats:
        """The classes' scores (logits), nothing dropped."""
        (w1, b1), (w2, b2), (w3, b3) = zip(self.layers[::2], self.layers[1::2], strict=True)
        hidden = np.maximum(images @ w1 + b1, 0)
        hidden = np.maximum(hidden @ w2 + b2, 0)
        scores: Floats = hidden @ w3 + b3
        return scores

    def learn(self, images: Floats, labels: Labels) -> float:
        """Fill `gradients` for one batch; the answer is its mean loss."""
        (w1, b1), (w2, b2), (w3, b3) = zip(self.layers[::2], self.layers[1::2], strict=True)
        g_w1, g_b1, g_w2, g_b2, g_w3, g_b3 = self.layer_gradients
        before1 = images @ w1 + b1
        kept1: Floats = self._kept(before1.shape) * (before1 > 0)
        hidden1 = before1 * kept1
        before2 = hidden1 @ w2 + b2
        kept2: Floats = self._kept(before2.shape) * (before2 > 0)
        hidden2 = before2 * kept2
        scores = (hidden2 @ w3 + b3).astype(np.float32, copy=False)
        log_chances = log_softmax(scores)
        rows = np.arange(len(labels))
        loss = -float(log_chances[rows, labels].mean())

        error = np.exp(log_chances)
        error[rows, labels] -= 1
        error /= len(labels)
        np.matmul(hidden2.T, error, out=g_w3)
        error.sum(axis=0, out=g_b3)
        error = (error @ w3.T) * kept2
        np.matmul(hidden1.T, error, out=g_w2)
        error.sum(axis=0, out=g_b2)
        error = (error @ w2.T) * kept1
        np.matmul(images.T, error, out=g_w1)
        error.sum(axis=0, out=g_b1)
        return loss

    def save(self, path: str) -> None:
        """Write the parameters as a numpy file."""
        np.save(path, self.parameters)

    def _kept(self, shape: tuple[int, ...]) -> Floats:
        """Dropout's mask; the units that stay are scaled up, so that evaluation needs no correction."""
        if self.dropout == 0:
            return np.ones(shape, dtype=np.float32)
        stay = self.random.random(shape, dtype=np.float32) >= self.dropout
        return stay.astype(np.float32) / np.float32(1 - self.dropout)


def log_softmax(scores: Floats) -> Floats:
    """The logarithms of the classes' chances."""
    scores = scores - scores.max(axis=1, keepdims=True)
    log_chances: Floats = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return log_chances


def _views(vector: Floats, shapes: list[tuple[int, ...]]) -> Iterator[Floats]:
    start = 0
    for shape in shapes:
        end = start + int(np.prod(shape))
        yield vector[start:end].reshape(shape)
        start = end


class Sgd:
    """Stochastic gradient descent with momentum."""

    def __init__(self, learning_rate: float, momentum: float = 0.0) -> None:
        self.learning_rate = np.float32(learning_rate)
        self.momentum = np.float32(momentum)
        self.velocity: Floats | None = None

    def step(self, network: Network) -> None:
        """Move the parameters against the gradients."""
        if self.velocity is None:
            self.velocity = np.zeros_like(network.gradients)
        self.velocity *= self.momentum
        self.velocity += network.gradients
        network.parameters -= self.learning_rate * self.velocity


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) with its usual decay rates."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.steps = 0
        self.mean: Floats | None = None
        self.square: Floats | None = None

    def step(self, network: Network) -> None:
        """Move the parameters by the scaled running mean of the gradients."""
        gradients = network.gradients
        if self.mean is None or self.square is None:
            self.mean, self.square = np.zeros_like(gradients), np.zeros_like(gradients)
        self.steps += 1
        self.mean += np.float32(0.1) * (gradients - self.mean)
        self.square += np.float32(0.001) * (gradients * gradients - self.square)
        rate = np.float32(self.learning_rate / (1 - 0.9**self.steps))
        root = np.sqrt(self.square / np.float32(1 - 0.999**self.steps)) + np.float32(1e-8)
        network.parameters -= rate * self.mean / root


@dataclass(frozen=True)
class Batch:
    """What is known after a batch: which images it began with, of how many, and its loss before the step."""

    epoch: int
    index: int
    first_image: int
    images: int
    loss: float


@dataclass(frozen=True)
class Score:
    """Accuracy (a fraction) and mean loss on the test set after an epoch."""

    epoch: int
    accuracy: float
    loss: float


def train(
    network: Network,
    optimizer: Sgd | Adam,
    images: Images,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    test_batch_size: int = 1000,
    rank: int = 0,
    replicas: int = 1,
    average: Average | None = None,
) -> Iterator[Batch | Score]:
    """Train, and yield every batch and every epoch's score as they come.

    With several replicas each sees its share of the images and `average` averages a vector over all of them; the
    replicas stay equal because they start equal and take equal steps.
    """
    order = np.random.default_rng(seed)
    # Overflow on the way to a diverged training is not news: the metrics say so themselves.
    with np.errstate(all="ignore"):
        for epoch in range(1, epochs + 1):
            # Equal shares, so that no replica waits for a batch that another one does not have.
            share = order.permutation(len(images.training))[rank::replicas][: len(images.training) // replicas]
            for index, first in enumerate(range(0, len(share), batch_size)):
                chosen = share[first : first + batch_size]
                loss = network.learn(images.training[chosen], images.training_labels[chosen])
                if average is not None:
                    message = average(np.append(network.gradients, np.float32(loss)))
                    network.gradients[...] = message[:-1]
                    loss = float(message[-1])
                yield Batch(epoch, index, first, len(share), loss)
                optimizer.step(network)
            yield evaluate(network, images, epoch=epoch, batch_size=test_batch_size)


def evaluate(network: Network, images: Images, *, epoch: int, batch_size: int) -> Score:
    """Score the network on the test set; a network of `nan` recognises nothing."""
    right, loss = 0, 0.0
    for first in range(0, len(images.test), batch_size):
        labels = images.test_labels[first : first + batch_size]
        chances = log_softmax(network.scores(images.test[first : first + batch_size]))
        finite = np.isfinite(chances).all(axis=1)
        right += int(((chances.argmax(axis=1) == labels) & finite).sum())
        loss -= float(chances[np.arange(len(labels)), labels].sum())
    return Score(epoch, right / len(images.test), loss / len(images.test))
