"""Models of scikit-learn on the data sets that come with it: errors in cross-validation over small grids.

A grid is trained completely when it is first asked for (a minute or two for all on one core) and kept as a table in the
user's cache directory. The second and the fourth are held out.
"""

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from problem import Problem, Wanted, choice, numbers
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from pykatib.algorithms.contract import ParameterValue
from pykatib.api.experiment import ParameterSpec

Grid = dict[str, list[float] | list[str]]

GRIDS: dict[str, Grid] = {
    "svc-digits": {
        "C": [10.0 ** (k / 2) for k in range(-4, 7)],
        "gamma": [10.0 ** (k / 2) for k in range(-10, 1)],
        "kernel": ["rbf", "poly", "sigmoid"],
    },
    "forest-wine": {
        "depth": [1, 2, 3, 4, 6, 8],
        "features": [1, 2, 3, 5, 8, 13],
        "leaf": [1, 2, 4, 8],
        "criterion": ["gini", "entropy"],
        "size": [3, 10, 30],
    },
    "boosting-diabetes": {
        "rate": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
        "depth": [1, 2, 3, 5],
        "size": [10, 30, 100],
        "subsample": [0.3, 0.6, 1.0],
        "loss": ["squared_error", "huber"],
    },
    "neighbours-cancer": {
        "count": [1, 2, 3, 5, 7, 9, 12, 15, 20, 30, 50],
        "weights": ["uniform", "distance"],
        "power": [1.0, 1.25, 1.5, 2.0, 3.0, 5.0],
        "scaler": ["standard", "range", "none"],
    },
}


def svc_digits(point: dict[str, str]) -> float:
    """A support vector machine for a part of the digits."""
    data, target = load_digits(return_X_y=True)
    model = SVC(C=float(point["C"]), gamma=float(point["gamma"]), kernel=point["kernel"])
    return _error(model, data[:600] / 16, target[:600])


def forest_wine(point: dict[str, str]) -> float:
    """A random forest."""
    model = RandomForestClassifier(
        n_estimators=int(point["size"]),
        max_depth=int(point["depth"]),
        max_features=int(point["features"]),
        min_samples_leaf=int(point["leaf"]),
        criterion=point["criterion"],
        random_state=0,
    )
    return _error(model, *load_wine(return_X_y=True))


def boosting_diabetes(point: dict[str, str]) -> float:
    """Boosted trees."""
    model = GradientBoostingRegressor(
        learning_rate=float(point["rate"]),
        max_depth=int(point["depth"]),
        n_estimators=int(point["size"]),
        subsample=float(point["subsample"]),
        loss=point["loss"],
        random_state=0,
    )
    return _error(model, *load_diabetes(return_X_y=True))


def neighbours_cancer(point: dict[str, str]) -> float:
    """Nearest neighbours."""
    model = KNeighborsClassifier(int(point["count"]), weights=point["weights"], p=float(point["power"]))
    scalers = {"standard": [StandardScaler()], "range": [MinMaxScaler()], "none": []}
    return _error(make_pipeline(*scalers[point["scaler"]], model), *load_breast_cancer(return_X_y=True))


def _error(model: BaseEstimator, data: object, target: object) -> float:
    return 1.0 - float(cross_val_score(model, data, target, cv=3).mean())


TRAINERS: dict[str, Callable[[dict[str, str]], float]] = {
    "svc-digits": svc_digits,
    "forest-wine": forest_wine,
    "boosting-diabetes": boosting_diabetes,
    "neighbours-cancer": neighbours_cancer,
}


def table(name: str) -> dict[str, float]:
    """The error of every point of a grid, from the cache if it is there."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pykatib-quality"
    path = folder / f"{name}.json"
    if path.exists():
        found: dict[str, float] = json.loads(path.read_text())
        return found
    names = list(GRIDS[name])
    texts = [[str(value) for value in row] for row in GRIDS[name].values()]
    errors = {
        " ".join(point): TRAINERS[name](dict(zip(names, point, strict=True))) for point in itertools.product(*texts)
    }
    folder.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(errors))
    fresh.replace(path)
    return errors


def specs(grid: Grid) -> tuple[ParameterSpec, ...]:
    """Lists of numbers are discrete, others categorical."""
    return tuple(
        choice(name, *row) if isinstance(row[0], str) else numbers(name, *row)  # type: ignore[arg-type]
        for name, row in grid.items()
    )


def problems(wanted: Wanted) -> Iterator[Problem]:
    """Those that are wanted."""
    for number, (name, grid) in enumerate(GRIDS.items(), start=1):
        held_out, quick = number % 2 == 0, number == 1
        if not wanted(held_out=held_out, quick=quick, standard=True):
            continue
        errors = table(name)

        def function(values: Sequence[ParameterValue], errors: dict[str, float] = errors) -> float:
            return errors[" ".join(map(str, values))]

        yield Problem(
            name,
            "models",
            specs(grid),
            function,
            min(errors.values()),
            held_out,
            quick=quick,
            standard=True,
        )
