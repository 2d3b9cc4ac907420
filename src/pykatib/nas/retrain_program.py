"""Trains the network of cells that darts has found, from scratch: what `Best-Genotype` is worth.

Prints what the program for enas prints: after each epoch `Training-Accuracy=`, `Training-Loss=`, `Validation-Accuracy=`
and `Validation-Loss=`, with `--test` at the end `Test-Accuracy=` and `Test-Loss=`. SGD with momentum, its rate falling
as a cosine, as in Liu et al. 2019.
"""

import argparse
import time

import torch

from pykatib.nas.arguments import add_own_flags, rate, whole_from
from pykatib.nas.cells import CellNetwork, Outline
from pykatib.nas.checkpoints import Checkpoints, folder_of, identity
from pykatib.nas.devices import choose_devices
from pykatib.nas.enas_program import say, say_metrics
from pykatib.nas.genotype import read_genotype
from pykatib.nas.images import load_images
from pykatib.nas.reading import refused
from pykatib.nas.training import evaluate, train


def main(argv: list[str] | None = None) -> None:
    """Reads the flags, refuses what cannot be built, trains, prints."""
    args = _parse(argv)
    genotype = read_genotype(args.genotype.strip().strip('"'))  # the quotes are there where no shell took them off
    images = load_images(args.data, folder=args.data_folder, side=args.image_size, limit=args.limit)
    devices, note = choose_devices(args.num_gpus, mixed_precision=args.mixed_precision)
    outline = Outline(
        layers=args.num_layers,
        image_channels=images.channels,
        classes=images.classes,
        init_channels=args.init_channels,
        stem_multiplier=args.stem_multiplier,
        nodes=len(genotype.normal),
    )
    side = int(images.training.images.shape[2])
    if side < 2 ** len(outline.reductions):
        raise refused("--num_layers", f"{len(outline.reductions)} cells would halve images of {side} pixels to nothing")
    if len(genotype.reduce) != len(genotype.normal):
        raise refused("--genotype", f"found cells of {len(genotype.normal)} and {len(genotype.reduce)} nodes")
    torch.manual_seed(args.seed)
    network = CellNetwork(outline, genotype)
    training = identity(
        genotype=str(genotype),
        outline=repr(outline),
        epochs=args.num_epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
        images=images.description,
        mixed_precision=args.mixed_precision,
    )
    say(str(genotype))
    count = sum(weight.numel() for weight in network.parameters())
    say(f"{args.num_layers} cells, {count:,} weights; trained on {devices}{'. ' + note if note else ''}")
    say(f"Images: {images.description}")
    began = time.monotonic()
    for epoch in train(
        network,
        images,
        devices,
        optimizer=lambda weights: torch.optim.SGD(weights, lr=args.learning_rate, momentum=0.9, weight_decay=3e-4),
        epochs=args.num_epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        checkpoints=Checkpoints(folder_of(args.checkpoint), training),
        cosine_to=0.0,
    ):
        say(f"\nEpoch {epoch.number}/{args.num_epochs} ({time.monotonic() - began:.1f} s)")
        say_metrics("Training", epoch.training)
        say_metrics("Validation", epoch.validation)
    if args.test:
        say_metrics("Test", evaluate(network, images, images.test, devices, where="on the test images"))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the network of the cells that darts has found.")
    parser.add_argument("--genotype", required=True, help="the cells, as darts prints them after Best-Genotype=")
    parser.add_argument("--num_layers", type=whole_from(1), default=8, help="the number of cells")
    parser.add_argument("--init_channels", type=whole_from(1), default=16, help="channels of the first cell")
    parser.add_argument("--stem_multiplier", type=whole_from(1), default=3)
    parser.add_argument("--num_epochs", type=whole_from(1), default=50)
    parser.add_argument("--num_gpus", type=whole_from(0), default=1, help="at most; the CPU where there is none")
    add_own_flags(parser)
    parser.add_argument("--batch_size", type=whole_from(2), default=64)
    parser.add_argument("--learning_rate", type=rate, default=0.025, help="SGD's first")
    parser.add_argument("--seed", type=whole_from(0), default=1)
    parser.add_argument("--image_size", type=whole_from(8), help="pixels a side that digits are drawn with; 16")
    parser.add_argument("--test", action="store_true", help="print the score on the test images at the end")
    return parser.parse_args(argv)
