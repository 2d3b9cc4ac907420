"""A simulated training for population based training: no model, no data, but a real checkpoint.

The best learning rate rises while accuracy climbs to 50 and falls again afterwards, so no constant rate is good
throughout: a run wins by continuing another one's checkpoint with a rate that suits the accuracy reached so far. That
is what PBT is for, and here it shows within seconds.

The state (`step`, `accuracy` of 0..100) lies in `<checkpoint>/training.ckpt` and is taken up where it is found. It is
written at the end and the noise depends on state and rate alone, so a run that was ended and starts again goes the
same way.
"""

import argparse
import math
import os
import pickle
import random
import sys
import time
from pathlib import Path

BEST_RATES = (0.001, 0.01)  # at accuracy 0 and 100, and at accuracy 50
TOLERANCE = 3.0  # a rate within this factor of the best one still learns
NOISE = 2.0
SECONDS = 7.0  # what the run lasts at least, as a training would


def main() -> None:
    """Continue from the checkpoint, simulate the epochs, save, print."""
    parser = argparse.ArgumentParser(description="Simulate a training whose best learning rate changes as it learns.")
    parser.add_argument("--lr", type=float, default=0.0001, help="learning rate, above 0")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--checkpoint", default="/var/log/katib/checkpoints/", help="folder of training.ckpt")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long the run lasts at least")
    args = parser.parse_args()
    if not (math.isfinite(args.lr) and args.lr > 0):
        parser.error(f"argument --lr: {args.lr} is not a finite number above 0")
    if args.epochs < 1:
        parser.error(f"argument --epochs: {args.epochs} is not a whole number from 1")

    ends_at = time.monotonic() + args.seconds
    file = Path(args.checkpoint, "training.ckpt")
    step, accuracy = load(file)
    for _ in range(args.epochs):
        step, accuracy = step + 1, advance(step, accuracy, args.lr)
    time.sleep(max(0.0, ends_at - time.monotonic()))
    save(file, step, accuracy)
    print(f"epoch {step}:\nlr={args.lr:.4f}\nValidation-accuracy={accuracy / 100:.4f}", flush=True)


def best_rate(accuracy: float) -> float:
    """The learning rate that suits an accuracy: a triangle with its peak in the middle."""
    low, high = BEST_RATES
    return low + (high - low) * (1 - abs(accuracy - 50) / 50)


def advance(step: int, accuracy: float, rate: float) -> float:
    """The accuracy one epoch later: up to a point more near the best rate, less where the rate is far too large."""
    distance = math.log(rate / best_rate(accuracy)) / math.log(TOLERANCE)
    gain = -min(distance - 1, 1.0) if distance > 1 else max(0.0, 1 - abs(distance))
    noise = random.Random(f"{step} {accuracy} {rate}").gauss(0, NOISE)
    return min(100.0, max(0.0, accuracy + gain + noise))


def load(file: Path) -> tuple[int, float]:
    """Step and accuracy of the checkpoint, or a fresh start where there is none."""
    try:
        # Only this program writes there; a checkpoint of unknown origin should not be unpickled.
        state = pickle.loads(file.read_bytes())
        return int(state["step"]), float(state["accuracy"])
    except FileNotFoundError:
        return 0, 0.0
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        sys.exit(f"{file} is not a checkpoint of this program: {error!r}")


def save(file: Path, step: int, accuracy: float) -> None:
    """Replace the checkpoint in one move, so that a run that is ended leaves a whole one."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        beside.write_bytes(pickle.dumps({"step": step, "accuracy": accuracy}))
        beside.replace(file)
    except OSError as error:
        sys.exit(f"--checkpoint {file.parent} cannot be written: {error}")


if __name__ == "__main__":
    main()
