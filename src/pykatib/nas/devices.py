"""Where a network is trained: on the CPU, on a GPU, or spread over several; in single or in mixed precision."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from pykatib.nas.reading import refused


@dataclass(frozen=True)
class Devices:
    """The device that holds the network, how many GPUs share its work, and whether it computes in bfloat16."""

    device: torch.device
    gpus: int
    mixed_precision: bool

    def __str__(self) -> str:
        where = f"{self.gpus} GPU{'s' if self.gpus > 1 else ''}" if self.gpus else "the CPU"
        return f"{where}, {'bfloat16 where it does no harm' if self.mixed_precision else 'single precision'}"

    def spread(self, network: nn.Module) -> nn.Module:
        """What to call in place of a network that is on the device: it cuts a batch up where there are several GPUs."""
        return nn.DataParallel(network, list(range(self.gpus))) if self.gpus > 1 else network

    def computing(self) -> AbstractContextManager[object]:
        """Around forward passes."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.mixed_precision else nullcontext()


def choose_devices(gpus: int, *, mixed_precision: bool) -> tuple[Devices, str]:
    """Up to so many GPUs, else the CPU; and, where there are fewer than were asked for, a sentence that says so."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    used = min(gpus, there)
    if used and mixed_precision and not torch.cuda.is_bf16_supported():
        raise refused("--mixed_precision", "this GPU knows no bfloat16")
    if not used:
        # Sums come out the same however many cores there are, and Trials side by side do not starve each other.
        torch.use_deterministic_algorithms(True)
    note = f"{gpus} GPUs were asked for, and {there} are here." if 1 < gpus != used else ""
    return Devices(torch.device("cuda" if used else "cpu"), used, mixed_precision), note
