"""ENAS's network: a chain of layers, each of which may take earlier ones too."""

import torch
from torch import nn

from pykatib.nas.layers import chain_operation, padded_together
from pykatib.nas.plans import NetworkPlan


class ChainNetwork(nn.Module):
    """The network of a plan: layers, the mean over the image, a dense layer that scores the classes."""

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        self.plan = plan
        self.operations = nn.ModuleList(chain_operation(layer) for layer in plan.layers)
        self.classifier = nn.Linear(plan.layers[-1].given.channels, plan.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The classes' scores (logits)."""
        maps = [images]
        for layer, operation in zip(self.plan.layers, self.operations, strict=True):
            maps.append(operation(padded_together([maps[source] for source in layer.inputs], layer.taken)))
        scores: torch.Tensor = self.classifier(maps[-1].mean(dim=(2, 3)))
        return scores
