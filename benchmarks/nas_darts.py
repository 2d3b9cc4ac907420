"""What DARTS finds on the digits, and what a step of it costs, on one thread of a CPU.

    python benchmarks/nas_darts.py search [--epochs 50] [--order second] [--alpha_lr 0.0003] [--repeats 5]
    python benchmarks/nas_darts.py cost

`search` searches, then trains the cells that were found and those of 20 networks drawn at random in the same space from
scratch, all equally long, and compares their accuracies on test images which the search has not seen. `cost` measures a
step in both orders beside a step of a plain network of the same outline: time, and the memory of what is kept for the
way back.
"""

import argparse
import random
import resource
import statistics
import time
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from pykatib.nas.bilevel import Bilevel, SearchRates
from pykatib.nas.cells import CellNetwork, Outline, Supernet
from pykatib.nas.checkpoints import Checkpoints
from pykatib.nas.darts_program import Search
from pykatib.nas.darts_settings import DartsSettings
from pykatib.nas.devices import Devices
from pykatib.nas.genotype import NONE, Genotype, Node
from pykatib.nas.images import ImageSet, load_images
from pykatib.nas.training import evaluate, train

PRIMITIVES = (
    "separable_convolution_3x3",
    "separable_convolution_5x5",
    "dilated_convolution_3x3",
    "avg_pooling_3x3",
    "max_pooling_3x3",
    "skip_connection",
    NONE,
)
CPU = Devices(torch.device("cpu"), 0, mixed_precision=False)
RANDOM_CELLS = 20


def outline(images: ImageSet) -> Outline:
    """Small enough for a CPU: three cells of two nodes, which makes a space of some 10^8 architectures."""
    return Outline(
        layers=3, image_channels=images.channels, classes=images.classes, init_channels=4, stem_multiplier=3, nodes=2
    )


def search(args: argparse.Namespace) -> None:
    """Searches, retrains, compares."""
    images = replace(load_images("digits", side=8), repeats=args.repeats)
    torch.manual_seed(args.seed)
    network = Supernet(outline(images), PRIMITIVES)
    settings = DartsSettings(
        rates=SearchRates(alpha_lr=args.alpha_lr),
        epochs=args.epochs,
        batch_size=128,
        init_channels=4,
        stem_multiplier=3,
        nodes=2,
        print_step=10_000,
        order=args.order,
        seed=args.seed,
        unknown=(),
    )
    print(f"evenness of the architecture before: {network.entropy():.5f}", flush=True)
    began = time.process_time()
    Search(network, images, CPU, settings, Checkpoints(None, "")).run()
    last = network.genotype()
    print(
        f"search: {time.process_time() - began:.0f} s of CPU; evenness after: {network.entropy():.5f}; {last}",
        flush=True,
    )

    found = [retrained(images, last, seed=seed, epochs=args.retrain_epochs) for seed in range(args.found_seeds)]
    print("found, retrained:", *(f"{one:.4f}" for one in found), flush=True)
    generator = random.Random(args.seed)
    others = []
    for number in range(RANDOM_CELLS):
        others.append(retrained(images, drawn(generator), seed=number, epochs=args.retrain_epochs))
        print(f"random {number + 1}: {others[-1]:.4f}", flush=True)
    mean, deviation = statistics.mean(others), statistics.stdev(others)
    lead = (statistics.mean(found) - mean) / deviation
    print(f"random cells: mean {mean:.4f}, deviation {deviation:.4f}, best {max(others):.4f}")
    print(f"found: mean {statistics.mean(found):.4f}, {lead:+.2f} deviations from the mean of random cells")


def drawn(generator: random.Random) -> Genotype:
    """Random cells: two edges for each node, an operation for each."""
    choices = [name for name in PRIMITIVES if name != NONE]

    def cell() -> tuple[Node, ...]:
        return tuple(
            tuple((generator.choice(choices), edge) for edge in sorted(generator.sample(range(2 + node), 2)))
            for node in range(2)
        )

    return Genotype(cell(), cell())


def retrained(images: ImageSet, genotype: Genotype, *, seed: int, epochs: int) -> float:
    """Accuracy on the test images after training from scratch on all others."""
    torch.manual_seed(seed)
    network = CellNetwork(outline(images), genotype)
    for _ in train(
        network,
        images,
        CPU,
        optimizer=lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=3e-4),
        epochs=epochs,
        batch_size=128,
        seed=seed,
        part=images.training.and_then(images.validation),
        cosine_to=0.001,
    ):
        pass
    return evaluate(network, images, images.test, CPU, where="at the end").accuracy


def cost(args: argparse.Namespace) -> None:
    """A step of the supernet in both orders, and one of a plain network."""
    images = load_images("digits", side=8)
    shape = outline(images)
    chosen = images.prepared(images.training.images[:128], CPU.device), images.training.labels[:128]
    other = images.prepared(images.validation.images[:128], CPU.device), images.validation.labels[:128]
    supernet = Supernet(shape, PRIMITIVES)
    plain = CellNetwork(shape, drawn(random.Random(1)))
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.025, momentum=0.9)
    searches = {
        order: Bilevel(supernet, CPU, SearchRates(), order=order, epochs=50)  # type: ignore[arg-type]
        for order in ("first", "second")
    }

    def step_plain() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(plain(chosen[0]), chosen[1]).backward()
        optimizer.step()

    steps = {
        "plain network": step_plain,
        "supernet, weights only": lambda: torch.autograd.grad(
            functional.cross_entropy(supernet(chosen[0]), chosen[1]), supernet.weights()
        ),
        "search, first order": lambda: searches["first"].step(chosen, other, ""),
        "search, second order": lambda: searches["second"].step(chosen, other, ""),
    }
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):  # in turns, so that a busy moment falls on all
        for name, step in steps.items():
            began = time.process_time()
            step()
            spent[name].append(time.process_time() - began)
    least = {name: min(times) for name, times in spent.items()}
    for name, seconds in least.items():
        median = statistics.median(spent[name])
        times = seconds / least["plain network"]
        print(f"{name}: least {1000 * seconds:.1f} ms of CPU, median {1000 * median:.1f} ms; {times:.1f} x plain")
    print(f"second order / first order: {least['search, second order'] / least['search, first order']:.2f}")
    for label, network in (("plain network", plain), ("supernet", supernet)):
        weights = sum(one.numel() for one in network.parameters())
        print(
            f"{label}: {kept_bytes(network, chosen[0]) / 2**20:.1f} MiB kept for the way back, {weights:,} parameters"
        )
    print(f"greatest resident size: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def kept_bytes(network: nn.Module, images: torch.Tensor) -> int:
    """Bytes of distinct tensors that a forward pass keeps, parameters left out."""
    own = {parameter.data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(one: torch.Tensor) -> torch.Tensor:
        if one.data_ptr() not in own:
            kept[one.data_ptr()] = one.untyped_storage().nbytes()
        return one

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        scores = network(images)
    assert scores.requires_grad
    return sum(kept.values())


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_search = commands.add_parser("search")
    of_search.add_argument("--epochs", type=int, default=50)
    of_search.add_argument("--repeats", type=int, default=5, help="how often an epoch shows each image")
    of_search.add_argument("--retrain_epochs", type=int, default=8)
    of_search.add_argument("--found_seeds", type=int, default=3)
    of_search.add_argument("--order", choices=("first", "second"), default="second")
    of_search.add_argument("--alpha_lr", type=float, default=3e-4)
    of_search.add_argument("--seed", type=int, default=2)
    of_search.set_defaults(run=search)
    of_cost = commands.add_parser("cost")
    of_cost.add_argument("--rounds", type=int, default=15)
    of_cost.set_defaults(run=cost)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.run(args)


if __name__ == "__main__":
    main()
