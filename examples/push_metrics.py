"""Fit noisy points by ridge regression and push the error of each fold: the Trial of push-metrics.yaml."""

import argparse

import numpy as np

import pykatib

FOLDS = 5


def main() -> None:
    """Cross-validate a polynomial; report the mean error so far after each fold."""
    parser = argparse.ArgumentParser(description="Cross-validate a ridge regression and push its error.")
    parser.add_argument("--degree", type=int, required=True)
    parser.add_argument("--penalty", type=float, required=True)
    args = parser.parse_args()

    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, 60)
    y = np.sin(4 * x) + random.normal(0, 0.2, 60)
    features = np.vander(x, args.degree + 1)
    errors = []
    for fold in range(FOLDS):
        test = np.arange(len(x)) % FOLDS == fold
        known, answers = features[~test], y[~test]
        weights = np.linalg.solve(known.T @ known + args.penalty * np.eye(args.degree + 1), known.T @ answers)
        errors.append(float(np.mean((features[test] @ weights - y[test]) ** 2)))
        pykatib.report_metrics({"error": float(np.mean(errors))})


if __name__ == "__main__":
    main()
