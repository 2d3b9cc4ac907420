"""Train a small image classifier with the flags and event files of Katib's `tf-mnist-with-summaries` image.

Manifests written for that image run with this program unchanged; what they train is the network of the folder beside
this one, with numpy, and TensorFlow is not needed: the event files are written by hand (see `event_file`). Started as
workers of a TFJob, which `TF_CONFIG` tells, the replicas average their gradients every step. Each worker writes its own
event files: in a cluster each has a folder of its own.
"""

import argparse
import os
import sys
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "image-classifier"))

import image_classifier as ic
import numpy as np
import options
from event_file import EventFile
from replicas import Replicas, ReplicasApartError


def main() -> None:
    """Read the flags, meet the other workers, train, write summaries."""
    args = parse_arguments()
    try:
        images = ic.load_images()
        replicas = Replicas.assemble()
    except (ic.ImagesMissingError, ReplicasApartError) as error:
        sys.exit(str(error))
    try:
        with (
            closing(replicas),
            EventFile(Path(args.log_path, "train")) as train,
            EventFile(Path(args.log_path, "test")) as test,
        ):
            run(args, images, replicas, train, test)
    except ReplicasApartError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"--log-path {args.log_path} cannot be written: {error}")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    temporary = os.environ.get("TEST_TMPDIR", "/tmp")
    parser = argparse.ArgumentParser(description="Train a small image classifier (Katib's tf-mnist flags).")
    parser.add_argument("--batch-size", type=options.count, default=64)
    parser.add_argument("--learning-rate", type=options.positive, default=0.001, help="of Adam, above 0")
    parser.add_argument("--epochs", type=options.count, default=10)
    parser.add_argument("--log-interval", type=options.count, default=100, help="batches between two lines")
    parser.add_argument(
        "--log-path",
        default=f"{temporary}/tensorflow/mnist/logs/mnist_with_summaries",
        help="folder of the event files, in train/ and test/",
    )
    return parser.parse_args()


def run(args: argparse.Namespace, images: ic.Images, replicas: Replicas, train: EventFile, test: EventFile) -> None:
    """Train, print and summarise until the last epoch. Metrics are running means over all epochs, as in that image."""
    network = ic.Network(dropout=0, seed=1)
    losses: list[float] = []
    training = Mean()
    accuracy, loss = Mean(), Mean()
    # A thousand of them tell as much about the training set as all do, and take no time.
    sample = ic.Images(images.training, images.training_labels, images.training[::25], images.training_labels[::25])
    events = ic.train(
        network,
        ic.Adam(args.learning_rate),
        images,
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=1,
        rank=replicas.rank,
        replicas=replicas.count,
        average=replicas.average if replicas.count > 1 else None,
    )
    for event in events:
        if isinstance(event, ic.Batch):
            losses.append(event.loss)
            if event.index % args.log_interval == 0:
                where = f"[{event.first_image}/{event.images} ({100 * event.first_image / event.images:.0f}%)]"
                print(f"Train Epoch: {event.epoch} {where}\tloss={np.mean(losses):.4f}", flush=True)
            continue
        training.add(ic.evaluate(network, sample, epoch=event.epoch, batch_size=1000).accuracy)
        accuracy.add(event.accuracy)
        loss.add(event.loss)
        train.add(event.epoch, {"loss": float(np.mean(losses)), "accuracy": training.value})
        test.add(event.epoch, {"loss": loss.value, "accuracy": accuracy.value})
        print(f"Test Loss: {loss.value:.4f}, Test Accuracy: {100 * accuracy.value:.2f}", flush=True)


class Mean:
    """The mean of what has come so far."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, value: float) -> None:
        """Take one more value in."""
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        """The mean."""
        return self.total / self.count


if __name__ == "__main__":
    main()
