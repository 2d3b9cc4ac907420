"""DARTS's step (Liu et al. 2019, section 2.3): the architecture learns on images that the weights never see.

The weights w follow the loss on the training half by SGD, the architecture a follows that on the other half by Adam. In
first order a's gradient is that at the weights as they are. In second order it is that at the weights one step ahead,
w' = w - r dL_train(w, a), which depend on a themselves: the second term of equation 7 is a product of a Hessian and a
vector, taken as the difference of two gradients (equation 8).

The statistics of batch norm, too, are left alone while the architecture learns: they are part of the weights.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import torch
from torch import nn

from pykatib.nas.cells import Supernet
from pykatib.nas.devices import Devices
from pykatib.nas.training import checked_loss

Order: TypeAlias = Literal["first", "second"]
Some: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""A batch: images and their classes."""

DIFFERENCE: Final = 0.01  # equation 8's small number is this over the norm of the vector


@dataclass(frozen=True, kw_only=True)
class SearchRates:
    """The settings of both optimisers, by Katib's names."""

    w_lr: float = 0.025
    w_lr_min: float = 0.001
    w_momentum: float = 0.9
    w_weight_decay: float = 3e-4
    w_grad_clip: float = 5.0
    alpha_lr: float = 3e-4
    alpha_weight_decay: float = 1e-3


class Bilevel:
    """The two optimisers of a supernet and the steps that they take. One search owns it."""

    def __init__(self, network: Supernet, devices: Devices, rates: SearchRates, *, order: Order, epochs: int) -> None:
        self.network = network
        self._called = devices.spread(network)
        self._devices = devices
        self._rates = rates
        self._order = order
        self._weights = network.weights()
        self._alphas = network.alphas()
        self.weight_optimizer = torch.optim.SGD(
            self._weights, lr=rates.w_lr, momentum=rates.w_momentum, weight_decay=rates.w_weight_decay
        )
        self.alpha_optimizer = torch.optim.Adam(
            self._alphas, lr=rates.alpha_lr, betas=(0.5, 0.999), weight_decay=rates.alpha_weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.weight_optimizer, epochs, eta_min=rates.w_lr_min
        )

    def step(self, training: Some, validation: Some, where: str) -> tuple[torch.Tensor, float]:
        """One step of the architecture, then one of the weights: the training batch's scores and loss before it."""
        self._called.train()
        with still_statistics(self.network):
            gradients = self._ahead(training, validation, where) if self._order == "second" else None
            gradients = gradients or self._slopes(validation, self._alphas, where)
        for alpha, gradient in zip(self._alphas, gradients, strict=True):
            alpha.grad = gradient
        self.alpha_optimizer.step()

        scores, loss, number = self._loss(training, where)
        gradients = torch.autograd.grad(loss, self._weights)
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = gradient
        if self._rates.w_grad_clip > 0:
            nn.utils.clip_grad_norm_(self._weights, self._rates.w_grad_clip)
        self.weight_optimizer.step()
        return scores.detach(), number

    def evaluating(self) -> nn.Module:
        """What to call to score images."""
        return self._called

    def _loss(self, batch: Some, where: str) -> tuple[torch.Tensor, torch.Tensor, float]:
        images, labels = batch
        with self._devices.computing():
            scores = self._called(images)
        return scores, *checked_loss(scores, labels, where)

    def _slopes(self, batch: Some, of: Sequence[torch.Tensor], where: str) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(self._loss(batch, where)[1], list(of), allow_unused=True, materialize_grads=True)

    def _ahead(self, training: Some, validation: Some, where: str) -> tuple[torch.Tensor, ...]:
        """The architecture's gradient at the weights one step ahead; the weights are as before afterwards."""
        rate = float(self.weight_optimizer.param_groups[0]["lr"])
        kept = [weight.detach().clone() for weight in self._weights]
        slopes = self._slopes(training, self._weights, where)
        with torch.no_grad():
            for weight, slope in zip(self._weights, slopes, strict=True):
                momentum = self.weight_optimizer.state[weight].get("momentum_buffer")
                step = slope + self._rates.w_weight_decay * weight
                if momentum is not None:
                    step += self._rates.w_momentum * momentum
                weight.sub_(step, alpha=rate)
        both = self._slopes(validation, [*self._alphas, *self._weights], where)
        direct, vector = both[: len(self._alphas)], both[len(self._alphas) :]
        norm = float(torch.sqrt(sum((one.square().sum() for one in vector), torch.zeros((), device=vector[0].device))))
        small = DIFFERENCE / max(norm, 1e-12)
        sides = []
        for sign in (1, -1):
            self._put(kept, vector, sign * small)
            sides.append(self._slopes(training, self._alphas, where))
        self._put(kept, vector, 0.0)
        return tuple(
            one - rate * (above - below) / (2 * small) for one, above, below in zip(direct, *sides, strict=True)
        )

    def _put(self, weights: Sequence[torch.Tensor], vector: Sequence[torch.Tensor], scale: float) -> None:
        """Sets the weights to these plus the scaled vector."""
        with torch.no_grad():
            for weight, kept, direction in zip(self._weights, weights, vector, strict=True):
                weight.copy_(kept)
                if scale:
                    weight.add_(direction, alpha=scale)


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norm computes as in training, and its running statistics stay as they are."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    counted = [norm.num_batches_tracked.clone() if norm.num_batches_tracked is not None else None for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, before, counted, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)
