"""Makes the learning curves that `multi_fidelity.py` searches: small networks on real images of digits, epoch by epoch.

Every combination of five hyperparameters is trained for 81 epochs on half of scikit-learn's digits and judged on the
other half after each. About 25 minutes on one core. The accuracies are kept in `learning_curves.npz`.
"""

import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EPOCHS = 81
KEPT = Path(__file__).with_name("learning_curves.npz")
SPACE: dict[str, tuple[float, ...]] = {
    "learning_rate": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    "momentum": (0.0, 0.5, 0.9),
    "batch_size": (16, 64, 256),
    "hidden": (4, 16, 64),
    "alpha": (0.0001, 0.01, 1.0),
}


def combinations() -> list[tuple[float, ...]]:
    """All of them, the last hyperparameter changing fastest."""
    return list(itertools.product(*SPACE.values()))


def curve(values: tuple[float, ...], seed: int) -> NDArray[np.float32]:
    """The accuracy after each epoch, shape (EPOCHS,)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    setting = dict(zip(SPACE, values, strict=True))
    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(images / 16, labels, test_size=0.5, random_state=0)
    model = MLPClassifier(
        (int(setting["hidden"]),),
        solver="sgd",
        learning_rate_init=setting["learning_rate"],
        momentum=setting["momentum"],
        batch_size=int(setting["batch_size"]),
        alpha=setting["alpha"],
        random_state=seed,
    )
    accuracies = np.zeros(EPOCHS, np.float32)
    for epoch in range(EPOCHS):
        try:
            model.partial_fit(train, train_labels, classes=np.arange(10))
        except ValueError:  # it has diverged: nothing more is to come
            break
        accuracies[epoch] = model.score(test, test_labels)
    return accuracies


def main() -> None:
    """Trains all, and tells how far it is."""
    all_of_them = combinations()
    curves = []
    for number, values in enumerate(all_of_them):
        curves.append(curve(values, seed=number))
        if number % 20 == 0:
            print(f"{number} of {len(all_of_them)}", flush=True)
    np.savez_compressed(KEPT, accuracy=np.round(np.array(curves), 4))


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
