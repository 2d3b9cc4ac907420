"""Tune a Python function: the same control plane as for manifests, without a manifest.

    python examples/tune_function.py

The function gets one dict with a value for each parameter, typed as the search space says, and returns its metrics.
"""

from typing import Any

import numpy as np

import pykatib
from pykatib import search


def objective(parameters: dict[str, Any]) -> dict[str, float]:
    """Fit a plane to noisy points by gradient descent; the loss is the mean squared error on points not seen."""
    random = np.random.default_rng(0)
    points = random.normal(size=(200, 5))
    values = points @ random.normal(size=5) + random.normal(0, 0.1, 200)
    weights = np.zeros(5)
    for _ in range(parameters["epochs"]):
        for start in range(0, 150, parameters["batch_size"]):
            rows = slice(start, min(start + parameters["batch_size"], 150))
            error = points[rows] @ weights - values[rows]
            weights -= parameters["lr"] * points[rows].T @ error / len(error)
    return {"loss": float(np.mean((points[150:] @ weights - values[150:]) ** 2))}


if __name__ == "__main__":
    result = pykatib.tune(
        objective=objective,
        parameters={
            "lr": search.double(1e-4, 1e-1, log=True),
            "batch_size": search.categorical([5, 15, 50]),
            "epochs": search.int(1, 10),
        },
        objective_metric_name="loss",
        objective_type="minimize",
        algorithm_name="random",
        max_trial_count=20,
        parallel_trial_count=2,
    )
    print(f"best loss {result.best_value:.4f} with {result.best_parameters}")
