"""Train a small image classifier: learning rate, dropout and optimiser from the command line, two metrics an epoch.

Prints `model val-loss=0.1234 val-acc=0.9876` after each epoch: lines that Katib's StdOut collector reads as they are.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "opt" / "image-classifier"))

import image_classifier as ic
import options

SEED = 1


def main() -> None:
    """Read the flags, train, print."""
    parser = argparse.ArgumentParser(description="Train a small image classifier and print its metrics per epoch.")
    parser.add_argument("--learning_rate", type=options.positive, default=0.1, help="above 0")
    parser.add_argument("--dropout", type=options.share, default=0.2, help="share of hidden units dropped, below 1")
    parser.add_argument("--opt", type=int, choices=(0, 1), default=0, help="optimiser: 0 plain SGD, 1 Adam")
    parser.add_argument("--epochs", type=options.count, default=6)
    parser.add_argument("--batch_size", type=options.count, default=64)
    args = parser.parse_args()

    try:
        images = ic.load_images()
    except ic.ImagesMissingError as error:
        sys.exit(str(error))
    network = ic.Network(dropout=args.dropout, seed=SEED)
    optimizer = ic.Sgd(args.learning_rate) if args.opt == 0 else ic.Adam(args.learning_rate)
    for event in ic.train(network, optimizer, images, epochs=args.epochs, batch_size=args.batch_size, seed=SEED):
        if isinstance(event, ic.Score):
            print(f"model val-loss={event.loss:.4f} val-acc={event.accuracy:.4f}", flush=True)


if __name__ == "__main__":
    main()
