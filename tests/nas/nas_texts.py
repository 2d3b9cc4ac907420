"""Texts as Trials of architecture search get them."""

from collections.abc import Sequence
from typing import Any

from pykatib.algorithms.nas.strings import to_text

CONVOLUTION: tuple[str, dict[str, Any]] = ("convolution", {"filter_size": "3", "num_filter": "8", "stride": "1"})
POOLING: tuple[str, dict[str, Any]] = ("reduction", {"reduction_type": "max_pooling", "pool_size": 2})


def nn_config(
    *operations: tuple[str, dict[str, Any]],
    layers: int = 1,
    sizes: Sequence[object] = (16, 16, 1),
    outputs: Sequence[object] = (10,),
) -> str:
    """A configuration whose operations are numbered from 0."""
    embedding = {
        str(number): {"opt_id": number, "opt_type": kind, "opt_params": parameters}
        for number, (kind, parameters) in enumerate(operations or (CONVOLUTION, POOLING))
    }
    return to_text(
        {"num_layers": layers, "input_sizes": list(sizes), "output_sizes": list(outputs), "embedding": embedding}
    )
