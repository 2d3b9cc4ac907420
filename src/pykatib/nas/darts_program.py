"""The program of Katib's image `darts-cnn-cifar10`: searches for the cells of a network and prints the best.

The first half of the images trains the weights, the second half the architecture, and on that one, too, the network is
validated after each epoch. At the end `Best-Genotype=Genotype(…)`: the cells after the epoch in which the supernet was
best. `Validation-Accuracy=` and `Validation-Loss=` after each epoch are ours.
"""

import argparse
from collections.abc import Iterator

import torch

from pykatib.nas.arguments import add_own_flags, whole_from
from pykatib.nas.bilevel import Bilevel
from pykatib.nas.cells import Outline, Supernet
from pykatib.nas.checkpoints import Checkpoints, folder_of, identity
from pykatib.nas.darts_settings import DartsSettings, read_darts_settings
from pykatib.nas.devices import Devices, choose_devices
from pykatib.nas.enas_program import say, say_metrics
from pykatib.nas.genotype import read_genotype, read_primitives
from pykatib.nas.images import ImageSet, load_images
from pykatib.nas.reading import read_text, refused, whole
from pykatib.nas.training import Batches, Score, Tally, evaluate


def main(argv: list[str] | None = None) -> None:
    """Reads the flags, refuses what cannot be built, searches, prints."""
    args = _parse(argv)
    settings = read_darts_settings(args.algorithm_settings)
    primitives = read_primitives(args.search_space)
    layers = whole(read_text(args.num_layers, "num-layers"), "num-layers")
    images = load_images(args.data, folder=args.data_folder, side=args.image_size, limit=args.limit)
    devices, note = choose_devices(args.num_gpus, mixed_precision=args.mixed_precision)
    torch.manual_seed(settings.seed)
    outline = Outline(
        layers=layers,
        image_channels=images.channels,
        classes=images.classes,
        init_channels=settings.init_channels,
        stem_multiplier=settings.stem_multiplier,
        nodes=settings.nodes,
    )
    side = int(images.training.images.shape[2])
    if side < 2 ** len(outline.reductions):
        raise refused("num-layers", f"{len(outline.reductions)} cells would halve images of {side} pixels to nothing")
    network = Supernet(outline, primitives)
    training = identity(
        settings=args.algorithm_settings,
        primitives=primitives,
        layers=layers,
        images=images.description,
        mixed_precision=args.mixed_precision,
    )
    for complaint in settings.complaints:
        say(complaint)
    say(f"Choosing from {', '.join(primitives)}")
    count = sum(weight.numel() for weight in network.weights())
    say(f"{layers} cells of {settings.nodes} nodes, {count:,} weights, {settings.order} order; on {devices}")
    if note:
        say(note)
    say(f"Images: {images.description}; half of those to train and to validate are for the weights, half for the cells")
    Search(network, images, devices, settings, Checkpoints(folder_of(args.checkpoint), training)).run()


class Search:
    """One search, from where its checkpoint left it."""

    def __init__(
        self,
        network: Supernet,
        images: ImageSet,
        devices: Devices,
        settings: DartsSettings,
        checkpoints: Checkpoints,
    ) -> None:
        self.network = network.to(devices.device)
        self._images, self._devices, self._settings, self._checkpoints = images, devices, settings, checkpoints
        self.bilevel = Bilevel(network, devices, settings.rates, order=settings.order, epochs=settings.epochs)
        self.for_weights, self.for_alphas = images.halves()
        size, device = settings.batch_size, devices.device
        self._training = Batches(images, self.for_weights, size=size, seed=settings.seed, device=device)
        self._validation = Batches(images, self.for_alphas, size=size, seed=settings.seed + 1, device=device)
        self._done = 0
        self.best = Score(-1.0, 0.0)
        self.best_genotype = network.genotype()

    def run(self) -> None:
        """Searches to the last epoch and prints what was found."""
        self._resume()
        for number in range(self._done + 1, self._settings.epochs + 1):
            self.run_epoch(number)
        say(f"Final best Prec@1 = {self.best.accuracy:.4%}")
        say(f"\nBest-Genotype={self.best_genotype}")

    def run_epoch(self, number: int) -> None:
        """One pass over the training half, and a look at the other."""
        settings, epochs = self._settings, self._settings.epochs
        tally = Tally()
        validation = self._endless()
        for step, batch in enumerate(self._training, 1):
            where = f"in epoch {number}, step {step} of {self._training.count}"
            scores, loss = self.bilevel.step(batch, next(validation), where)
            tally.add(scores, batch[1], loss)
            if step % settings.print_step == 0 or step == self._training.count:
                score = tally.score
                progress = f"Step {step:03d}/{self._training.count:03d} Loss {score.loss:.3f}"
                say(f"Train: [{number:2d}/{epochs}] {progress} Prec@1 {score.accuracy:.1%}")
        self.bilevel.schedule.step()
        score = evaluate(
            self.bilevel.evaluating(), self._images, self.for_alphas, self._devices, where=f"after epoch {number}"
        )
        if score.accuracy > self.best.accuracy:
            self.best, self.best_genotype = score, self.network.genotype()
        self._save(number, score)
        self._report(number, score)

    def _report(self, number: int, score: Score) -> None:
        say(f"Validation: [{number:2d}/{self._settings.epochs}] Final Prec@1 {score.accuracy:.4%}")
        say_metrics("Validation", score)
        say(f"Evenness of the architecture's weights (1 is undecided): {self.network.entropy():.4f}")
        say(f"Cells so far: {self.network.genotype()}")

    def _endless(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from self._validation

    def _save(self, number: int, score: Score) -> None:
        self._checkpoints.save(
            network=self.network.state_dict(),
            weight_optimizer=self.bilevel.weight_optimizer.state_dict(),
            alpha_optimizer=self.bilevel.alpha_optimizer.state_dict(),
            schedule=self.bilevel.schedule.state_dict(),
            generators=[self._training.generator.get_state(), self._validation.generator.get_state()],
            epoch=number,
            score=[score.accuracy, score.loss],
            best=[self.best.accuracy, self.best.loss],
            best_genotype=str(self.best_genotype),
        )

    def _resume(self) -> None:
        saved = self._checkpoints.load()
        if saved is None:
            return
        self.network.load_state_dict(saved["network"])
        self.bilevel.weight_optimizer.load_state_dict(saved["weight_optimizer"])
        self.bilevel.alpha_optimizer.load_state_dict(saved["alpha_optimizer"])
        self.bilevel.schedule.load_state_dict(saved["schedule"])
        for batches, state in zip((self._training, self._validation), saved["generators"], strict=True):
            batches.generator.set_state(state)
        self._done = saved["epoch"]
        self.best, self.best_genotype = Score(*saved["best"]), read_genotype(saved["best_genotype"])
        say(f"Going on after epoch {self._done}, which ended so:")
        self._report(self._done, Score(*saved["score"]))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Search for the cells of a network, as darts asks for it.")
    parser.add_argument("--algorithm-settings", required=True, help="settings, as darts assigns them")
    parser.add_argument("--search-space", required=True, help="the operations to choose from, as darts assigns them")
    parser.add_argument("--num-layers", required=True, help="the number of cells")
    add_own_flags(parser)
    parser.add_argument("--num_gpus", type=whole_from(0), default=1, help="at most; the CPU where there is none")
    parser.add_argument("--image_size", type=whole_from(8), help="pixels a side that digits are drawn with; 16")
    return parser.parse_args(argv)
