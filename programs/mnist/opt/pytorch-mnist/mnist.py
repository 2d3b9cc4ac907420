"""Train a small image classifier with the flags and the log lines of Katib's `pytorch-mnist` image.

Manifests written for that image run with this program unchanged; what they train is the network of the folder beside
this one, with numpy on the CPU. Started as replicas (WORLD_SIZE, RANK, MASTER_ADDR, MASTER_PORT) they average their
gradients every step; `--backend` is accepted and says nothing, since there is one way here.
"""

import argparse
import json
import os
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "image-classifier"))

import image_classifier as ic
import options
from replicas import Replicas, ReplicasApartError


def main() -> None:
    """Read the flags, meet the other replicas, train, report."""
    args = parse_arguments()
    try:
        images = ic.load_images()
        replicas = Replicas.assemble()
    except (ic.ImagesMissingError, ReplicasApartError) as error:
        sys.exit(str(error))
    with closing(replicas), ExitStack() as stack:
        # Replicas on one machine share the path: one of them writes there.
        path = args.log_path if replicas.rank == 0 else ""
        file = stack.enter_context(open_log(path)) if path else None
        try:
            run(args, images, replicas, file)
        except ReplicasApartError as error:
            sys.exit(str(error))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a small image classifier (Katib's pytorch-mnist flags).")
    parser.add_argument("--batch-size", type=options.count, default=64)
    parser.add_argument("--test-batch-size", type=options.count, default=1000)
    parser.add_argument("--epochs", type=options.count, default=10)
    parser.add_argument("--lr", type=options.positive, default=0.01, help="learning rate, above 0")
    parser.add_argument("--momentum", type=options.not_negative, default=0.5)
    parser.add_argument("--no-cuda", action="store_true", help="accepted; training is on the CPU in any case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-interval", type=options.count, default=10, help="batches between two lines")
    parser.add_argument("--log-path", default="", help="file that metrics are appended to, besides standard output")
    parser.add_argument("--save-model", action="store_true", help="write the weights to mnist_mlp.npy")
    parser.add_argument("--logger", choices=("standard", "hypertune"), default="standard")
    parser.add_argument("--backend", choices=("gloo", "nccl", "mpi"), default="gloo", help="accepted; see above")
    args = parser.parse_args()
    if args.seed < 0:
        parser.error(f"argument --seed: {args.seed} is below 0")
    if args.log_path == "" and args.logger == "hypertune":
        args.log_path = os.environ.get("CLOUD_ML_HP_METRIC_FILE", "")
        if args.log_path == "":
            parser.error("argument --logger: hypertune writes to a file, so it needs --log-path")
    return args


def run(args: argparse.Namespace, images: ic.Images, replicas: Replicas, file: TextIO | None) -> None:
    """Train and log until the last epoch."""
    lines_file = file if args.logger == "standard" else None
    network = ic.Network(dropout=0, seed=args.seed)
    events = ic.train(
        network,
        ic.Sgd(args.lr, args.momentum),
        images,
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        test_batch_size=args.test_batch_size,
        rank=replicas.rank,
        replicas=replicas.count,
        average=replicas.average if replicas.count > 1 else None,
    )
    for event in events:
        if isinstance(event, ic.Batch):
            if event.index % args.log_interval == 0:
                where = f"[{event.first_image}/{event.images} ({100 * event.first_image / event.images:.0f}%)]"
                log(f"Train Epoch: {event.epoch} {where}\tloss={event.loss:.4f}", lines_file)
            continue
        metrics = {"accuracy": event.accuracy, "loss": event.loss}
        log(
            ";".join(f"{{metricName: {name}, metricValue: {value:.4f}}}" for name, value in metrics.items()),
            lines_file,
        )
        if args.logger == "hypertune" and file is not None:
            for name, value in metrics.items():
                print(hypertune_line(name, value, event.epoch), file=file)
    if args.save_model and replicas.rank == 0:
        network.save("mnist_mlp.npy")


def open_log(path: str) -> TextIO:
    """The file to append to, line by line; its folder is made first."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return Path(path).open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        sys.exit(f"--log-path {path} cannot be written: {error}")


def log(message: str, file: TextIO | None) -> None:
    """Print a line with its time and level, and add it to the log file where there is one."""
    line = time.strftime("%Y-%m-%dT%H:%M:%SZ INFO     ", time.gmtime()) + message
    print(line, flush=True)
    if file is not None:
        print(line, file=file)


def hypertune_line(name: str, value: float, step: int) -> str:
    """A metric as the hypertune library writes it: values are text, the time is a number of seconds."""
    return json.dumps(
        {
            "timestamp": time.time(),
            "trial": os.environ.get("CLOUD_ML_TRIAL_ID", "0"),
            name: str(value),
            "global_step": str(step),
            "checkpoint_path": "",
        }
    )


if __name__ == "__main__":
    main()
