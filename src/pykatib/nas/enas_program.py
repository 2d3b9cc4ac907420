"""The program of Katib's image `enas-cnn-cifar10`: trains the network of one architecture and prints its metrics.

After each epoch `Training-Accuracy=`, `Training-Loss=`, `Validation-Accuracy=` and `Validation-Loss=`, a line each.
"""

import argparse
import time

import torch

from pykatib.nas.arguments import add_own_flags, rate, whole_from
from pykatib.nas.chain import ChainNetwork
from pykatib.nas.checkpoints import Checkpoints, folder_of, identity
from pykatib.nas.devices import choose_devices
from pykatib.nas.images import check_classes, load_images
from pykatib.nas.plans import read_plan
from pykatib.nas.training import Score, evaluate, train


def main(argv: list[str] | None = None) -> None:
    """Reads the flags, refuses what cannot be built, trains, prints."""
    args = _parse(argv)
    plan = read_plan(args.architecture, args.nn_config)
    size = (plan.image.height, plan.image.width, plan.image.channels)
    images = load_images(args.data, folder=args.data_folder, size=size, limit=args.limit)
    check_classes(plan.classes, images, "nn_config.output_sizes")
    devices, note = choose_devices(args.num_gpus, mixed_precision=args.mixed_precision)
    torch.manual_seed(args.seed)
    network = ChainNetwork(plan)
    training = identity(
        architecture=args.architecture,
        nn_config=args.nn_config,
        epochs=args.num_epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
        images=images.description,
        mixed_precision=args.mixed_precision,
    )
    checkpoints = Checkpoints(folder_of(args.checkpoint), training)
    for layer in plan.layers:
        say(str(layer))
    count = sum(weight.numel() for weight in network.parameters())
    say(f"{count:,} weights; trained on {devices}{'. ' + note if note else ''}")
    say(f"Images: {images.description}")

    began = time.monotonic()
    for epoch in train(
        network,
        images,
        devices,
        optimizer=lambda weights: torch.optim.Adam(weights, lr=args.learning_rate),
        epochs=args.num_epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        checkpoints=checkpoints,
    ):
        say(f"\nEpoch {epoch.number}/{args.num_epochs} ({time.monotonic() - began:.1f} s)")
        say_metrics("Training", epoch.training)
        say_metrics("Validation", epoch.validation)
    if args.test:
        where = "on the test images"
        say_metrics("Test", evaluate(network, images, images.test, devices, where=where))


def say(text: str) -> None:
    """Prints at once: somebody is waiting for it."""
    print(text, flush=True)


def say_metrics(of: str, score: Score) -> None:
    """Prints the two metrics of some images as Katib's image does."""
    say(f"{of}-Accuracy={score.accuracy:.4f}\n{of}-Loss={score.loss:.4f}")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the network of an architecture that enas has proposed.")
    parser.add_argument("--architecture", required=True, help="operation and bits of each layer, as enas assigns them")
    parser.add_argument("--nn_config", required=True, help="what the operations are, as enas assigns it")
    parser.add_argument("--num_epochs", type=whole_from(1), default=10)
    parser.add_argument("--num_gpus", type=whole_from(0), default=1, help="at most; the CPU where there is none")
    add_own_flags(parser)
    parser.add_argument("--batch_size", type=whole_from(2), default=128)
    parser.add_argument("--learning_rate", type=rate, default=1e-3, help="Adam's")
    parser.add_argument("--seed", type=whole_from(0), default=1)
    parser.add_argument("--test", action="store_true", help="print the score on the test images at the end")
    return parser.parse_args(argv)
